"""A person counts once, whatever form an answer comes in."""

import itertools
import json
import random
import unicodedata

import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import files
from mmal_jax.oracles.people import identity
from tests.support import exports
from tests.support import people

_give, _line, _lines = people.give, people.line, people.lines


@pytest.fixture(name='asked')
def _asked(tmp_path):
  """A folder in which images 0 to 2 were asked about; two people must agree."""
  def ask(**rules):
    oracle = files.files(tmp_path, people.shown(), **{'people': 2} | rules)
    try:
      return people.asks(oracle, range(3))[:, 1].tolist()
    except oracle_lib.Waiting as e:
      return str(e)
  ask()
  return tmp_path, ask


def _put(folder, name, content):
  (folder / 'answers' / name).write_text(
      content if isinstance(content, str) else json.dumps(content))


def _accepted(folder):
  path = folder / 'ledger.jsonl'
  return _lines(path) if path.exists() else []


@pytest.mark.parametrize(
    'one,other', list(itertools.combinations(exports.FORMS, 2)))
def test_two_forms_of_one_export_are_one_person(asked, one, other):
  folder, ask = asked
  made = exports.tasks(folder, [4, 5, 6], 8)
  for form in (one, other):
    email = {'page': None, 'tsv': None}.get(form, 'Ann@Example.org')
    _put(folder, exports.NAMES[form], exports.of_form(made, form, email))
  assert ('fewer than 2 people have answered (3): image-0, image-1, image-2.'
          in ask())
  assert not _accepted(folder)
  # A second person is one.
  made = exports.tasks(folder, [4, 5, 6], 9, first=50)
  _put(folder, 'b.json', exports.of_form(made, 'snapshot', 'bob@example.org'))
  assert ask() == [4, 5, 6]
  assert [len(entry['annotators']) for entry in _accepted(folder)] == [2] * 3


@pytest.mark.parametrize('names', [
    ('Ann@Example.org', 'ann@example.ORG', ' ann@example.org\t'),
    ('1', 1, 1.0, '1.0', ' 1 ', '\uff11'),
    ('Zo\u00eb', 'Zoe\u0308', 'ZO\u00cb', 'zo\u00eb\u200b', '\u00a0Zo\u00eb '),
    ('Ann  Lee', 'ann lee', 'ANN\u00a0LEE'),
    ('ann@example.org', 'Ann Lee <ann@example.org>', 'mailto:Ann@example.org'),
    ('stra\u00dfe', 'STRASSE'),
    ('o\ufb03ce', 'office'),
    ("'Ann'", 'Ann', '\u2018Ann\u2019', 'Ann (you)', '="Ann"'),
    ('\u0130pek', 'ipek'), ('O\u2019Brien', "O'Brien", 'O&#39;Brien'),
    ('ann@x.org', 'ann@x.org (Ann Lee)', "'ann@x.org'", 'ann@x.org;',
     'ann@x.org.', '"Lee, Ann" <ann@x.org>', '=\u201cann@x.org\u201d',
     'ann\uff20x.org,', '[ann@x.org](mailto:ann@x.org)', '\ufeffann@x.org',
     'ann@x.org <ann@x.org>', '&lt;ann@x.org&gt;', 'ann@x.org (you)'),
    ('1', "'1", '1,0', '1,00', '1 (you)', '="1"', '#1', 'ID: 1', '\u0661', '1;',
     '1e0', '1.0E+00', 'ann@x.org 1', 'Ann Lee ann@x.org 1', '1;ann@x.org',
     'ann@x.org'),
    ('1234567', '1.234567E+06', '1,234567E+06', '1,234,567', "1'234'567",
     '1.234.567', '1\u202f234\u202f567')])
def test_a_name_written_otherwise_is_the_same(asked, names):
  folder, ask = asked
  for number, name in enumerate(names):
    _give(folder, f'{number}.jsonl', _line('image-1', 7, name))
  assert 'fewer than 2 people have answered (1): image-1.' in ask()
  assert not _accepted(folder)


def test_objects_and_texts_that_tools_write(asked):
  folder, ask = asked
  for number, who in enumerate((
      {'id': 1, 'email': 'ANN@x.org'}, '{"id": 1, "email": null}',
      "{'id': 1, 'email': 'ann@x.org', 'active': True}", 'Ann ann@x.org, 1',
      1, 'ann@x.org', {'user_id': 1})):
    made = exports.tasks(folder, [4, None, None], 1, first=10 * number)
    made[0]['annotations'][0]['completed_by'] = who
    _put(folder, f'{number}.json', made)
  said = ask()
  assert 'fewer than 2 people have answered (1): image-0.' in said
  assert 'may be' not in said


def test_a_reviewer_is_not_an_annotator(asked):
  folder, ask = asked
  made = exports.tasks(folder, [4, None, None], 1)
  made[0]['updated_by'] = 2
  made[0]['annotations'][0] |= {'updated_by': 2, 'last_created_by': 2}
  _put(folder, 'a.json', made)
  made[0]['annotations'][0] |= {
      'completed_by': 1, 'created_username': 'Ann  ann@x.org, 1'}
  _put(folder, 'b.json', made)
  _give(folder, 'c.jsonl', _line('image-0', 4, 'ann@x.org'))
  assert 'fewer than 2 people have answered (1): image-0.' in ask()


def test_a_number_and_an_e_mail_that_nothing_joins(asked):
  folder, ask = asked
  made = exports.tasks(folder, [4, 5, None], 1)
  _put(folder, 'page.json', made)
  _give(folder, 'a.jsonl', _line('image-0', 4, 'ann@x.org'))
  said = ask()
  assert 'two annotators may be one person' in said
  assert 'image-0: is ann@x.org also 1?' in said
  assert str(folder / 'annotators.jsonl') in said and not _accepted(folder)
  conflict, = _lines(folder / 'conflicts.jsonl')
  assert conflict['state'] == 'perhaps one person'
  # They are one.
  stated = folder / 'annotators.jsonl'
  stated.write_text('{"names": ["1", "ANN@x.org"]}\n')
  said = ask()
  assert 'may be one' not in said and not _accepted(folder)
  assert not (folder / 'conflicts.jsonl').exists()
  # They are two.
  stated.write_text('{"names": [1]}\n')
  assert 'accepted for good' in ask()
  assert list(_accepted(folder)[0]['annotators']) == ['ann@x.org', '1']


@pytest.mark.parametrize('one,other', [
    ('1234567', '1.23E+06'), ('1', 'user 1'), ('1', 'user1'), ('1', '+1'),
    ('Ann Lee', 'Lee, Ann'), ('Ann Lee', 'Ann'), ('Ann Lee', 'ann.lee@x.org'),
    ('Ann Lee', 'a17@x.org (Ann Lee)'), ('Jos\u00e9', 'Jose'),
    ('annlee', 'Ann_Lee'), ('ann@x.org', 'ann at x.org'),
    ('Ann Lee', '{"id": 1, "first_name": "Ann", "last_name": "Lee"}')])
def test_two_spellings_that_may_be_one_person_wait(asked, one, other):
  folder, ask = asked
  _give(folder, 'a.jsonl', _line('image-0', 4, one), _line('image-0', 4, other))
  assert 'image-0: is ' in ask() and not _accepted(folder)
  (folder / 'annotators.jsonl').write_text(json.dumps({'names': [one]}) + '\n')
  assert 'accepted for good' in ask()


@pytest.mark.parametrize('one,other', [
    ('1234567', '1.24E+06'), ('1', 'user 12'), ('Ann Lee', 'Ann Low'),
    ('annotator 1', 'annotator 2'), ('ann@x.org', 'ann@y.org'), ('1', '11'),
    ('\u2603', '\u2602')])
def test_two_people_are_two(asked, one, other):
  folder, ask = asked
  _give(folder, 'a.jsonl', _line('image-0', 4, one), _line('image-0', 4, other))
  assert 'accepted for good' in ask()


@pytest.mark.parametrize('who', ['ann@x.org; bob@x.org', '[1]', "['ann']"])
def test_two_people_in_one_cell_are_refused(asked, who):
  folder, ask = asked
  _give(folder, 'a.jsonl', _line('image-0', 4, who))
  with pytest.raises(ValueError, match='a.jsonl, line 1: .*of one person'):
    ask()


def test_a_name_that_may_be_an_e_mails(asked):
  folder, ask = asked
  _give(folder, 'a.jsonl', _line('image-0', 4, 'Ann'),
        _line('image-0', 4, 'ann@x.org'), _line('image-1', 4, 'Cid'),
        _line('image-1', 4, 'ann@x.org'))
  assert 'image-0: is Ann also ann@x.org?' in ask()
  assert [entry['query'] for entry in _accepted(folder)] == ['image-1']


def test_two_servers_with_the_same_numbers(asked):
  folder, ask = asked
  made = exports.tasks(folder, [4, 5, 6], 1)
  _put(folder, 'a.json', exports.of_form(made, 'snapshot', 'ann@x.org'))
  _put(folder, 'b.json', exports.of_form(made, 'snapshot', 'bob@x.org'))
  with pytest.raises(ValueError, match=(
      'annotator 1 is ann@x.org .a.json, task 30.* and bob@x.org .b.json')):
    ask()
  stated = folder / 'annotators.jsonl'
  stated.write_text('{"names": ["ann@x.org", "bob@x.org"]}\n')
  assert 'fewer than 2 people have answered' in ask()  # a new address
  stated.write_text('{"names": ["ann@x.org"]}\n{"names": ["bob@x.org"]}\n')
  assert ask() == [4, 5, 6]
  # By numbers alone: what differs cannot be of one annotation.
  (folder / 'answers' / 'a.json').unlink()
  stated.unlink()
  (folder / 'ledger.jsonl').unlink()
  _put(folder, 'a.json', made)
  _put(folder, 'b.json', exports.tasks(folder, [4, 7, 6], 1, day=2))
  with pytest.raises(ValueError, match='annotation 2 was made at another time'):
    ask()


def test_the_later_answer_of_a_person_holds(asked):
  folder, ask = asked
  made = exports.tasks(folder, [4, 5, 6], 1, day=2)
  _put(folder, 'a.json', made)
  changed = exports.tasks(folder, [7, 5, 6], 1, day=2)
  changed[0]['annotations'][0]['updated_at'] = '2026-03-04T10:00:00+00:00'
  _put(folder, 'b.json', exports.of_form(changed, 'min'))
  # Another annotation of the same person, begun earlier.
  _put(folder, 'c.json', exports.tasks(folder, [None, 8, None], 1, 70, day=1))
  assert ask(people=1) == [7, 5, 6]
  assert [entry['sources'] for entry in _accepted(folder)][:2] == [
      ['b.json, task 30, annotation 1'], ['a.json, task 31, annotation 2']]


@pytest.mark.parametrize('late,early', [
    ('2026-03-04T12:00:00+02:00', '2026-03-04T11:30:00+05:00'),
    ('2026-03-04 10:00:00', '2026-03-04T11:59:59+02:00'),
    (1772618400000, 1772618399), (1772618400, '2026-03-04T09:59:59Z')])
def test_the_later_answer_in_any_form_of_time(asked, late, early):
  folder, ask = asked
  made = [exports.tasks(folder, [n, None, None], 1, n) for n in (4, 7)]
  for tasks, time in zip(made, (late, early)):
    tasks[0]['annotations'][0] |= {'updated_at': time, 'lead_time': None}
  _put(folder, 'a.json', made[0])
  _put(folder, 'b.json', made[1])
  assert 'accepted for good' in ask(people=1)
  assert _accepted(folder)[0]['answer'] == {'text': 4}


@pytest.mark.parametrize('timed', [True, False])
@pytest.mark.parametrize('order', [1, -1])
def test_a_skip_and_an_answer_of_one_person(asked, timed, order):
  folder, ask = asked
  made = exports.tasks(folder, [4, 5, 6], 1)
  for task, day in zip(made, (2, 2, 2)):
    answer, = task['annotations']
    skip = exports.annotation(
        answer['id'] + 20, 1, [], was_cancelled=True, day=day - 1)
    answer |= {'created_at': f'2026-03-0{day}T11:00:00Z',
               'updated_at': f'2026-03-0{day}T11:00:00Z'}
    task['annotations'] = [skip, answer][::order]
    if not timed:
      for one in task['annotations']:
        del one['created_at'], one['updated_at']
  _put(folder, 'a.json', made)
  assert ask(people=1, skip_is_refusal=True) == [4, 5, 6]


def test_a_skip_that_came_later_takes_the_answer_back(asked):
  folder, ask = asked
  made = exports.tasks(folder, [4, 5, 6], 1)
  made[0]['annotations'].append(
      exports.annotation(30, 1, [], was_cancelled=True, day=3))
  _put(folder, 'a.json', made)
  assert ask(people=1, skip_is_refusal=True) == [-1, 5, 6]
  # And an answer after that comes too late, which is no reason to stop.
  made[0]['annotations'].append(
      exports.annotation(31, 1, [exports.result('text', 4)], day=4))
  _put(folder, 'a.json', made)
  assert ask(people=1, skip_is_refusal=True) == [-1, 5, 6]
  assert _lines(folder / 'conflicts.jsonl')[0]['state'] == 'accepted before'


def test_answers_that_differ_and_tell_no_time_are_refused(asked):
  folder, ask = asked
  _give(folder, 'a.jsonl', _line('image-0', 4, 'Ann'))
  _give(folder, 'b.jsonl', _line('image-0', 5, 'ann'))
  with pytest.raises(ValueError, match=(
      'b.jsonl, line 1: Ann answers image-0 by text 5, but in a.jsonl, line 1 '
      'by text 4: remove one')):
    ask()


def test_a_majority_counts_each_person_once(asked):
  folder, ask = asked
  made = exports.tasks(folder, [4, None, None], 1)
  _put(folder, 'page.json', made)
  _put(folder, 'api.json', exports.of_form(made, 'snapshot', 'Ann@x.org'))
  _put(folder, 'min.json', exports.of_form(made, 'min', 'ann@X.org'))
  _give(folder, 'a.jsonl', _line('image-0', 7, 'bob@x.org'))
  said = ask(conflicts='majority')
  assert 'people disagree (1;' in said and not _accepted(folder)


def test_a_ledger_of_before_names_the_same_people(asked):
  folder, ask = asked
  (folder / 'ledger.jsonl').write_text(json.dumps({
      'query': 'image-0', 'answer': {'text': 4}, 'sources': ['x', 'y'],
      'annotators': {'Ann@X.org': {'text': 4}, '1': {'text': 4}}}) + '\n')
  _give(folder, 'a.jsonl', _line('image-0', 5, 'ann@x.org'))
  with pytest.raises(ValueError, match='ann@x.org now answers image-0 by text'):
    ask()


def test_who_was_joined_before_stays_so(asked):
  folder, ask = asked
  made = exports.tasks(folder, [4, None, None], 1)
  _put(folder, 'api.json', exports.of_form(made, 'snapshot', 'ann@x.org'))
  ask(people=1)
  assert _accepted(folder)[0]['names'] == {'ann@x.org': ['1']}
  (folder / 'answers' / 'api.json').unlink()
  _give(folder, 'a.jsonl', _line('image-1', 4, 1),
        _line('image-1', 4, 'ann@x.org'))
  said = ask()
  assert 'may be one' not in said and len(_accepted(folder)) == 1


@pytest.mark.parametrize('line,what', [
    ('["ann"]', 'is no object'), ('{"names": []}', 'is needed'),
    ('{"names": "ann"}', 'is needed'), ('{"names": [true]}', 'is needed'),
    ('{"names": ["ann"], "who": 1}', 'is needed'),
    ('{"names": ["ANN"]}\n{"names": ["ann", 2]}', "'ann' stands in")])
def test_a_file_of_names_that_cannot_be_read(asked, line, what):
  folder, ask = asked
  (folder / 'annotators.jsonl').write_text(line)
  with pytest.raises(ValueError, match=f'annotators.jsonl, line .*{what}'):
    ask()


def _all_mergers(names, may_be_one):
  """All ways in which names may be people: lists of groups, brute force."""
  if not names:
    yield []
    return
  first, *rest = names
  for groups in _all_mergers(rest, may_be_one):
    yield [[first], *groups]
  for other in rest:
    if may_be_one(first, other):
      for groups in _all_mergers([n for n in rest if n != other], may_be_one):
        yield [[first, other], *groups]


@pytest.mark.parametrize('seed', range(30))
def test_what_is_accepted_is_so_whoever_they_are(seed):
  rng = random.Random(seed)
  names = [f'{kind}{number}' for kind in 'im' for number in range(3)]

  def may_be_one(one, other):
    return one[0] != other[0] and (
        int(one[1]) + int(other[1])) % (2 + seed % 2) == 0

  for _ in range(40):
    conflicts = rng.choice(answers_lib.CONFLICTS)
    needed = rng.randint(1, 4)
    votes = [answers_lib.Vote('image-0', (0, rng.choice((3, 3, 3, 4))), name,
                              None, '') for name in rng.sample(
                                  names, rng.randint(1, 6))]
    found = answers_lib.decide(
        {'image-0': votes}, conflicts, needed, may_be_one)
    row = found.accepted.get('image-0')
    if row is None:
      continue
    by = {vote.annotator: vote.row for vote in votes}
    for groups in _all_mergers(list(by), may_be_one):
      for says in itertools.product(*({by[n] for n in g} for g in groups)):
        same = says.count(row)
        assert len(says) >= needed and 2 * same > len(says)
        assert conflicts != 'ask' or same == len(says)


def test_names_of_all_kinds():
  assert identity.parse(unicodedata.normalize('NFD', 'Jos\u00e9')) is not None
  for nameless in (None, True, -1, 1.5, float('nan'), float('inf'), '', ' \t',
                   '\u200b', 'x' * 201, '\ud800', [1], {}, {'id': None},
                   {'email': ''}):
    assert identity.parse(nameless) is None, nameless

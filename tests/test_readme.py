"""What README, the guides and CONTRIBUTING show can be run, and is there."""

import configparser
import functools
import importlib
import importlib.util
import pathlib
import re

from absl import flags
import pytest
import yaml

from experiments import config_file
from experiments import run
from experiments.configs import common
import mmal_jax
from mmal_jax.acquire import registry
from mmal_jax.config import differences
from mmal_jax.config import sections
from mmal_jax.data import registry as datasets
from mmal_jax.learn import registry as learners
from mmal_jax.models import registry as models
from mmal_jax.oracles import registry as oracles
from tests import test_package
from tests.support import programs
from tests.support import published_files
from tests.support import torch_models

_ROOT = pathlib.Path(__file__).parent.parent
_README = (_ROOT / 'README.md').read_text()
_CONTRIBUTING = (_ROOT / 'CONTRIBUTING.md').read_text()
# Every document, by its path from the root.
_DOCUMENTS = {
    path.relative_to(_ROOT).as_posix(): path.read_text()
    for path in sorted([
        *_ROOT.glob('*.md'), *(_ROOT / 'experiments').glob('*.md'),
        *(_ROOT / 'tpu_scripts').glob('*.md'),
        *(_ROOT / 'mmal_jax').rglob('*.md')])}
_GUIDES = ['experiments/README.md', *(
    f'mmal_jax/{package}/README.md'
    for package in ('acquire', 'data', 'models', 'learn', 'oracles/people',
                    'session'))]
_TEXT = '\n'.join(_DOCUMENTS.values()).replace('\\\n', '')
_SETUP = configparser.ConfigParser()
_SETUP.read(_ROOT / 'setup.cfg')
# By console command, the program that it is.
_CONSOLE = {
    name.strip(): f'experiments.{target.rpartition(":")[2].strip()}'
    for name, _, target in (
        line.partition('=') for line in _SETUP['options.entry_points'][
            'console_scripts'].strip().splitlines())}
_COMMANDS = sorted({
    *re.findall(r'python -m (experiments[\w.]+)((?: +--[^\n`]*)?)', _TEXT),
    *((_CONSOLE[name], arguments) for name, arguments in re.findall(
        r'(?:^|`|&& |bin/)(mmal-[a-z-]*[a-z])((?: +--[^\n`]*)?)', _TEXT,
        re.M))})
# A block of a walk begins with the file that it belongs to.
_IN_FILE = re.compile(r'# (?:mmal_jax|experiments|tests)/\S+\.py')


def _python(text):
  return re.findall(r'^```python\n(.*?)^```$', text, re.S | re.M)


_EXAMPLES = [
    pytest.param(example, id=f'{name}-{i}')
    for name, text in _DOCUMENTS.items()
    for i, example in enumerate(_python(text)) if not _IN_FILE.match(example)]


@pytest.fixture(scope='module', name='downloaded')
def _downloaded(tmp_path_factory):
  """A folder in which `DIR` holds published weights."""
  folder = tmp_path_factory.mktemp('downloaded')
  published_files.publish(
      torch_models.siglip(vocab=300), folder / 'DIR', 'SiglipImageProcessor')
  return folder


def test_readme_is_short_and_names_every_guide():
  assert len(_README.encode()) <= 8000
  for guide in (*_GUIDES, 'CONTRIBUTING.md', 'CHANGELOG.md', 'CITATION.cff'):
    assert f']({guide})' in _README, guide


def test_configs_are_said_to_be_code():
  for name in ('README.md', 'experiments/README.md'):
    text = ' '.join(_DOCUMENTS[name].split())
    assert '`--config=FILE' in text and re.search(
        r'\*\*[^*]*code and is executed[^*]*trust[^*]*\*\*', text), name


@pytest.mark.parametrize('example', _EXAMPLES)
def test_python_examples_run(example, downloaded, monkeypatch):
  monkeypatch.chdir(downloaded)
  exec(example, {})


def test_all_code_has_a_language_that_is_tested():
  for name, text in _DOCUMENTS.items():
    blocks = re.findall(r'^```(\w*)\n', text, re.M)
    assert set(blocks) <= {'python', 'sh', 'json', ''}, name


def test_guides_have_examples():
  tested = ' '.join(param.id for param in _EXAMPLES)
  for name in ('README.md', 'mmal_jax/acquire', 'mmal_jax/models'):
    assert name in tested
  for guide in _GUIDES:
    assert 'python -m ' in _DOCUMENTS[guide], guide


def test_strategies_that_commands_name_are_there():
  named = re.findall(r'--strategies=([\w@,]*\w)', _TEXT)
  assert named
  for name in {n for names in named for n in names.split(',')}:
    registry.find(name)


def test_every_strategy_is_in_its_guide():
  for name in registry.STRATEGIES:
    assert f'`{name}`' in _DOCUMENTS['mmal_jax/acquire/README.md'], name


@functools.cache
def _values(spec):
  """The values of the config that a command's `--config=SPEC` stands for."""
  (_, argument) = config_file.expand(['', f'--config={spec}'])
  config = config_file.load(argument.partition('=')[2])
  return dict(differences.flat(config.to_dict()))


@pytest.mark.parametrize('module,arguments', _COMMANDS)
def test_flags_that_commands_name_are_there(module, arguments):
  importlib.import_module(module)
  known = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(module)}
  config = re.findall(r'--config=(\S+)', arguments)
  default = 'pretrained' if '--init=' in arguments else 'colorswap'
  values = _values(config[0] if config else default)
  for name in re.findall(r'--(?:no)?([\w.]+)', arguments):
    part, _, value = name.partition('.')
    assert part in known or part == 'help', name
    assert not value or value in values, name
  for value in re.findall(r'--set=([\w.]+)=', arguments):
    assert value in values


def _every_value():
  """Values of all configs, by their names."""
  names = [path.stem for path in config_file.FOLDER.glob('*.py')
           if path.stem not in ('__init__', 'common', 'saved')]
  names += [*(f'images_and_texts:{name}' for name in (
      'huggingface', 'karpathy', 'table', 'unpaired_folder')),
            'pretrained:paired_folder', 'features:sound']
  return {key for name in names for key in _values(name)}


def test_flags_and_values_that_texts_name_are_there():
  """Those outside of commands, and in tables of values."""
  # All but the first are pytest's, isort's and pip's.
  known = {'help', 'dist', 'check', 'no'}
  for module in {module for module, _ in _COMMANDS}:
    importlib.import_module(module)
    known |= {
        flag.name for flag in flags.FLAGS.get_key_flags_for_module(module)}
  # A walk adds the last of them.
  values = _every_value() | {'acquisition.outliers.power'}
  parts = {value.partition('.')[0] for value in values if '.' in value}
  for name in ('README.md', 'CONTRIBUTING.md', *_GUIDES):
    text = _DOCUMENTS[name]
    for flag in re.findall(r'(?<![\w-])--([a-z][\w.]*)', text):
      part, _, value = flag.partition('.')
      assert part in known, (name, flag)
      assert not value or value in values, (name, flag)
    for section, rest in re.findall(r'`(\w+)\.([a-z]\w*)(?:=\w+)?`', text):
      if section in parts and rest not in ('py', 'jsonl'):
        assert f'{section}.{rest}' in values, (name, section, rest)


def test_configs_that_texts_name_are_there():
  """Of tables and sentences; those of commands are read with their flags."""
  for name in re.findall(r'`--config=([\w/]+)(?::\w+)?`', _TEXT):
    assert name in ('FILE', 'NAME', 'two_views') or (
        config_file.FOLDER / f'{name}.py').exists(), name


def test_every_console_command_is_in_the_guide_beside_its_program():
  table = dict(re.findall(
      r'^\| `(mmal-[\w-]+)` \| `(experiments\.\w+)` \|',
      _DOCUMENTS['experiments/README.md'], re.M))
  assert table == _CONSOLE


def test_every_public_name_is_in_readme():
  for name in mmal_jax.__all__:
    assert name == '__version__' or re.search(
        rf'(?:`|mmal_jax\.){name}\b', _README), name


def test_every_extra_is_explained():
  listed = set(re.findall(r'`([\w-]+)`', ' '.join(re.findall(
      r'^\| (`[\w-]+`(?:, `[\w-]+`)*) \|', _CONTRIBUTING, re.M))))
  assert set(_SETUP['options.extras_require']) <= listed


def test_every_value_of_a_strategy_is_in_its_guide():
  for name in registry.STRATEGIES:
    for value in sections.strategy_values(name):
      assert f'`{name}.{value}`' in (
          _DOCUMENTS['mmal_jax/acquire/README.md']), (name, value)


def test_modules_that_texts_name_as_programs_are_there():
  for module in set(re.findall(r'`(experiments\.[\w.]+)`', _TEXT)) | set(
      re.findall(r'python3? -m ([\w.]+\w)', _TEXT)):
    assert importlib.util.find_spec(module), module


def _anchors(text):
  """The anchors of a document's headings, as GitHub makes them."""
  prose = re.sub(r'^```.*?^```$', '', text, flags=re.S | re.M)
  return {re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-')
          for heading in re.findall(r'^#+ (.*)$', prose, re.M)}


@pytest.mark.parametrize('name', _DOCUMENTS)
def test_links_lead_to_files_and_headings_that_are_there(name):
  for link in re.findall(r'\]\(([^)\s]+)\)', _DOCUMENTS[name]):
    if link.startswith(('https://', 'http://')):
      continue
    path, _, anchor = link.partition('#')
    target = (_ROOT / name).parent / path if path else _ROOT / name
    assert target.exists(), link
    if anchor:
      assert anchor in _anchors(target.read_text()), link


def test_files_that_texts_name_are_there():
  """And folders of tests. Walks make the rest."""
  names = set(re.findall(
      r'(?<![/\w.])((?:(?:experiments|mmal_jax|tests)/[\w/]+\.|tests/)\w+)',
      '\n'.join(text for name, text in _DOCUMENTS.items()
                if name != 'CHANGELOG.md')))
  made = set(re.findall(
      r'^# (\S+\.py)$', '\n'.join(_python(_CONTRIBUTING)), re.M))
  assert made
  for name in names - made:
    assert (_ROOT / name).exists(), name


def test_table_of_packages_is_in_the_order_of_imports():
  rows = _CONTRIBUTING.partition('| package | what |')[2]
  table = re.findall(r'^\| `(\w+)` \| ', rows, re.M)
  assert table == test_package._FLOW
  root = _ROOT / 'mmal_jax'
  assert set(table) == {
      path.name.removesuffix('.py') for path in root.iterdir()
      if path.suffix == '.py' or (path / '__init__.py').exists()
  } - {'__init__'}


def test_ci_finds_the_test_command():
  """`.ci/run` takes it from README by its marker."""
  block = re.search(
      r'^<!-- test command -->\n```sh\n(.*?)^```$', _README, re.S | re.M)
  assert '.venv/bin/pytest' in block[1]
  for extra in {extra for found in re.findall(r"'\.\[([\w,-]+)\]'", _TEXT)
                for extra in found.split(',')}:
    assert extra in _SETUP['options.extras_require'], extra


def test_citation_is_of_the_newest_version_and_names_the_paper():
  found = yaml.safe_load((_ROOT / 'CITATION.cff').read_text())
  assert {'cff-version', 'message', 'title', 'authors'} <= set(found)
  newest = re.search(r'^## (\S+)', _DOCUMENTS['CHANGELOG.md'], re.M)[1]
  assert str(found['version']) == newest == mmal_jax.__version__
  (paper, ) = found['references']
  assert '2510.03247' in paper['url']
  assert [author['family-names'] for author in paper['authors']] == [
      'Zhang', 'Zhu']


def _walks(folder):
  """Writes the files of CONTRIBUTING's walks; returns the registries' lines.
  """
  lines = {}
  for block in _python(_CONTRIBUTING):
    first, _, code = block.partition('\n')
    path = _IN_FILE.match(first)[0].removeprefix('# ')
    if ': ' in first:  # As `# mmal_jax/data/registry.py: DATASETS`.
      lines[first.rpartition(': ')[2]] = code
    else:
      (folder / path).parent.mkdir(parents=True, exist_ok=True)
      (folder / path).write_text(code)
  return lines


def _load(path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


# By their names in the walks.
_REGISTRIES = {
    'DATASETS': datasets.DATASETS, 'ORACLES': oracles.ORACLES,
    'LEARNERS': learners.LEARNERS, 'MODELS': models.MODELS}


@pytest.fixture(name='walked')
def _walked(tmp_path, monkeypatch):
  """A folder with the files of all walks, of which the registries know."""
  lines = _walks(tmp_path)
  assert set(lines) == {'_ALL', '_TRAIN', *_REGISTRIES}
  made = {path.stem: _load(path) for path in sorted(
      (tmp_path / 'mmal_jax').rglob('*.py'))}
  monkeypatch.setitem(
      sections._STATED, 'train', sections._TRAIN | eval(
          f'{{{lines.pop("_TRAIN")}}}', {'Knob': sections.Knob}))
  for strategy in eval(f'[{lines.pop("_ALL")}]', made):
    monkeypatch.setitem(registry.STRATEGIES, strategy.name, strategy)
  for name, line in lines.items():
    for key, entry in eval(f'{{{line}}}', made).items():
      monkeypatch.setitem(_REGISTRIES[name], key, entry)
  return tmp_path


def test_walks_pass_their_tests(walked):
  files = sorted((walked / 'tests').rglob('*.py'))
  assert len(files) == 2 + len(_REGISTRIES)
  for path in files:
    (test, ) = (value for name, value in vars(_load(path)).items()
                if name.startswith('test_'))
    test()


def test_walks_work_together_in_a_run(walked, capsys):
  programs.call(
      run, f'--config={walked}/experiments/configs/two_views.py',
      f'--workdir={walked}/w', f'--cache_dir={walked}/c', *programs.SMALL,
      '--strategies=random,outliers', '--oracle=tired',
      '--config.oracle.answers=2', '--config.acquisition.outliers.power=1',
      '--config.train.learner=as_it_is', '--config.as_it_is.loss=3',
      parse=run.parse_flags)
  assert 'outliers' in capsys.readouterr().out


@pytest.mark.long
def test_a_walks_model_is_trained(walked):
  config = common.config(
      dataset={'name': 'two_views'}, model={'name': 'maps', 'size': 4},
      train={'steps_per_round': 2}, strategies=('outliers', ), rounds=2,
      batch=3)
  assert 'outliers' in mmal_jax.run(config, walked / 'w', walked / 'c')

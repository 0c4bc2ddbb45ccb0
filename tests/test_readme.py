"""What README, the guides and CONTRIBUTING show can be run, and is there."""

import configparser
import importlib
import importlib.util
import pathlib
import re

from absl import flags
import pytest
import yaml

from experiments import run
from mmal_jax.acquire import registry
from mmal_jax.config import differences
from mmal_jax.data import registry as datasets
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
    for package in ('acquire', 'data', 'models', 'learn', 'oracles/people'))]
_TEXT = '\n'.join(_DOCUMENTS.values()).replace('\\\n', '')
_COMMANDS = sorted(set(re.findall(
    r'python -m (experiments[\w.]+)((?: +--[^\n`]*)?)', _TEXT)))
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


def _config(argument):
  """The config that a command's `--config=PATH:ARGUMENT` stands for."""
  path, _, argument = argument.partition(':')
  spec = importlib.util.spec_from_file_location('config', _ROOT / path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(*filter(None, [argument]))


def _values(argument):
  return dict(differences.flat(_config(argument).to_dict()))


@pytest.mark.parametrize('module,arguments', _COMMANDS)
def test_flags_that_commands_name_are_there(module, arguments):
  importlib.import_module(module)
  known = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(module)}
  config = re.findall(r'--config=(\S+)', arguments)
  default = 'pretrained' if '--init=' in arguments else 'colorswap'
  values = _values(
      config[0] if config else f'experiments/configs/{default}.py')
  for name in re.findall(r'--(?:no)?([\w.]+)', arguments):
    part, _, value = name.partition('.')
    assert part in known or part == 'help', name
    assert not value or value in values, name
  for value in re.findall(r'--set=([\w.]+)=', arguments):
    assert value in values


def _every_value():
  """Values of all configs, by their names."""
  configs = _ROOT / 'experiments' / 'configs'
  names = [f'experiments/configs/{path.name}' for path in configs.glob('*.py')
           if path.stem not in ('__init__', 'common', 'saved')]
  names += ['experiments/configs/images_and_texts.py:unpaired_folder',
            'experiments/configs/images_and_texts.py:karpathy',
            'experiments/configs/pretrained.py:paired_folder',
            'experiments/configs/features.py:sound']
  return {key for name in names for key in _values(name)}


def test_flags_and_values_that_texts_name_are_there():
  """Those outside of commands, and in tables of values."""
  known = {'help', 'dist', 'check'}  # The latter are pytest's and isort's.
  for module in {module for module, _ in _COMMANDS}:
    importlib.import_module(module)
    known |= {
        flag.name for flag in flags.FLAGS.get_key_flags_for_module(module)}
  values = _every_value()
  sections = {value.partition('.')[0] for value in values if '.' in value}
  for name in ('README.md', 'CONTRIBUTING.md', *_GUIDES):
    text = _DOCUMENTS[name]
    for flag in re.findall(r'(?<![\w-])--([a-z][\w.]*)', text):
      part, _, value = flag.partition('.')
      assert part in known, (name, flag)
      assert not value or value in values, (name, flag)
    for section, rest in re.findall(r'`(\w+)\.([a-z]\w*)(?:=\w+)?`', text):
      if section in sections and rest not in ('py', 'jsonl'):
        assert f'{section}.{rest}' in values, (name, section, rest)


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


# Walks make these.
_MADE = {'mmal_jax/acquire/strategies/outliers.py', 'tests/test_outliers.py',
         'mmal_jax/data/two_views.py', 'experiments/configs/two_views.py'}


def test_files_that_texts_name_are_there():
  names = set(re.findall(
      r'(?<![/\w.])((?:experiments|mmal_jax|tests)/[\w/]+\.\w+)', '\n'.join(
          text for name, text in _DOCUMENTS.items() if name != 'CHANGELOG.md')))
  assert _MADE <= names
  for name in names - _MADE:
    assert (_ROOT / name).exists(), name


def test_table_of_packages_is_in_the_order_of_imports():
  table = re.findall(r'^\| `(\w+)` \| ', _CONTRIBUTING, re.M)
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
  extras = configparser.ConfigParser()
  extras.read(_ROOT / 'setup.cfg')
  assert '.venv/bin/pytest' in block[1]
  for extra in {extra for found in re.findall(r"'\.\[([\w,-]+)\]'", _TEXT)
                for extra in found.split(',')}:
    assert extra in extras['options.extras_require'], extra


def test_citation_is_of_the_newest_version_and_names_the_paper():
  found = yaml.safe_load((_ROOT / 'CITATION.cff').read_text())
  assert {'cff-version', 'message', 'title', 'authors'} <= set(found)
  newest = re.search(r'^## (\S+)', _DOCUMENTS['CHANGELOG.md'], re.M)[1]
  assert str(found['version']) == newest
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


def test_walks_to_a_strategy_and_a_dataset_work(
    tmp_path, monkeypatch, capsys):
  lines = _walks(tmp_path)
  outliers = _load(tmp_path / 'mmal_jax/acquire/strategies/outliers.py')
  for strategy in eval(f'[{lines["_ALL"]}]', {'outliers': outliers}):
    monkeypatch.setitem(registry.STRATEGIES, strategy.name, strategy)
  two_views = _load(tmp_path / 'mmal_jax/data/two_views.py')
  for name, load in eval(
      f'{{{lines["DATASETS"]}}}', {'two_views': two_views}).items():
    monkeypatch.setitem(datasets.DATASETS, name, load)
  _load(tmp_path / 'tests/test_outliers.py').test_an_outlier_is_asked_about()
  programs.call(
      run, f'--config={tmp_path}/experiments/configs/two_views.py',
      f'--workdir={tmp_path}/w', f'--cache_dir={tmp_path}/c', *programs.SMALL,
      '--strategies=random,outliers')
  assert 'outliers' in capsys.readouterr().out

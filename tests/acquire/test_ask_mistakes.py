"""Plausible mistakes in a call of `ask`: refused in plain words, or taken."""

import inspect
import pydoc
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import mmal_jax
from mmal_jax.acquire import ask as ask_lib
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry
from mmal_jax.embed import disk

_N, _A = 60, 25
_RNG = np.random.default_rng(7)
_HIDDEN = _RNG.normal(size=(_N, 5))
_REST = np.arange(_N) >= _A
# Features of two encoders, and embeddings of one space.
_IMAGES, _TEXTS = ((_HIDDEN @ _RNG.normal(size=(5, d))).astype(np.float32)
                   for d in (24, 17))
_ONE, _OTHER = ((_IMAGES + 0.3 * _RNG.normal(size=_IMAGES.shape)).astype(
    np.float32) for _ in range(2))


def _call(images=_IMAGES, texts=_TEXTS, known=None, batch=4, **options):
  options = {'image_remaining': _REST, 'text_remaining': _REST} | options
  a, b = known or (images[:_A], texts[:_A])
  return mmal_jax.ask(images, texts, a, b, batch, **options)


def _joint(known=None, images=_ONE, texts=_OTHER, **options):
  return _call(images, texts, known or (_ONE[:_A], _OTHER[:_A]), **options)


def _same(query, expected):
  assert query.modality == expected.modality
  np.testing.assert_array_equal(query.indices, expected.indices)


@pytest.mark.long
def test_sound_calls_raise_nothing_and_warn_of_nothing():
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    _call()
    _joint()
    # Known pairs that are not in the pools.
    for images, texts in ((_IMAGES, _TEXTS), (_ONE, _OTHER)):
      mmal_jax.ask(images[_A:], texts[_A:], images[:_A], texts[:_A], 4)
      mmal_jax.ask(images, texts, None, None, 4)


@pytest.mark.long
def test_copies_and_few_distinct_rows_are_sound():
  """Equal rows in both pools, more known pairs than items, nearly all known."""
  two = _ONE[:2]
  same = np.tile(two, (8, 1))
  left = np.arange(16) > 2
  mmal_jax.ask(same, same[::-1], same[:3], same[::-1][:3], 3,
               image_remaining=left, text_remaining=left)
  with warnings.catch_warnings(action='ignore'):
    mmal_jax.ask(same, same[::-1], np.tile(two, (20, 1)),
                 np.tile(two[::-1], (20, 1)), 3)
  # What is known of a stream outgrows its buffers.
  mmal_jax.ask(_ONE[-9:], _OTHER[-9:], _ONE[:40], _OTHER[:40], 3)
  last = np.arange(_N) >= _N - 3
  mmal_jax.ask(_ONE, _OTHER, _ONE[:-3], _OTHER[:-3], 3, image_remaining=last,
               text_remaining=last)


@pytest.mark.parametrize('images,texts', [(_IMAGES, _TEXTS), (_ONE, _OTHER)])
def test_pools_and_known_pairs_have_changed_places(images, texts):
  with pytest.raises(ValueError, match='every row of images is one of the 60 '
                     'rows of aligned_images.*pools first'):
    mmal_jax.ask(images[:_A], texts[:_A], images, texts, 4)
  with pytest.raises(ValueError, match='60 rows and aligned_texts 50; .*'
                     'have pools and known pairs changed places'):
    mmal_jax.ask(images[:_A], texts[:_A], images, texts[:50], 4)
  with pytest.raises(ValueError, match=r'image_remaining has shape \(25,\); '
                     r'\(60,\) .* row of aligned_images: have pools'):
    mmal_jax.ask(images, texts, images[:_A], texts[:_A], 4,
                 image_remaining=np.ones(_A, bool))


def _on_disk(folder, rows):
  path = folder / 'rows.npy'
  np.save(path, rows)
  return disk.open_rows(path, chunk_bytes=25 * rows[0].nbytes)


def test_the_sides_of_known_pairs_have_changed_places(tmp_path):
  sides = 'have the two sides, or the two pools, changed places'
  with pytest.raises(ValueError, match=f'as wide as texts, and .*{sides}'):
    _call(known=(_TEXTS[:_A], _IMAGES[:_A]))
  with pytest.raises(ValueError, match=f'as wide as texts, and .*{sides}'):
    _call(_TEXTS, _IMAGES, (_IMAGES[:_A], _TEXTS[:_A]))
  swapped = _OTHER[:_A], _ONE[:_A]
  for options in ({}, {'shared_space': False},
                  {'images': _on_disk(tmp_path, _ONE)}):
    with pytest.raises(ValueError, match=f'in 25 of 25 known pairs .*{sides}'):
      _joint(swapped, **options)
  with pytest.raises(ValueError, match='in 25 of 25 known pairs'):
    _joint(tuple(x.astype(np.float16) for x in swapped),
           images=jnp.asarray(_ONE, jnp.float16),
           texts=jnp.asarray(_OTHER, jnp.float16))
  some = (np.concatenate([_ONE[:20], _OTHER[20:_A]]),
          np.concatenate([_OTHER[:20], _ONE[20:_A]]))
  with pytest.warns(UserWarning, match='in 5 of 25 known pairs, the first of '
                    'them pair 20'):
    _joint(some)


def test_one_side_is_given_twice():
  with pytest.raises(ValueError, match='25 of 25 rows of aligned_texts are '
                     'rows of images, and none of texts'):
    _joint((_ONE[:_A], _ONE[:_A]))
  with pytest.raises(ValueError, match='aligned_images are rows of texts'):
    _joint((_OTHER[:_A], _OTHER[:_A]))
  with pytest.warns(UserWarning, match='is one array given for both'):
    _joint((_ONE[:_A], _ONE[:_A]), texts=_ONE)


@pytest.mark.long
def test_what_only_looks_odd_is_a_warning():
  order = 'no more alike than other couples .* in the same order'
  with pytest.warns(UserWarning, match=order):
    _joint((_ONE[:_A], _OTHER[_A - 1::-1]))
  with pytest.warns(UserWarning, match=order + '.*shared_space=False'):
    others = (_HIDDEN @ _RNG.normal(size=(5, 24))).astype(np.float32)
    _call(_IMAGES, others, (_IMAGES[:_A], others[:_A]))
  with pytest.warns(UserWarning, match='hardly better than by chance'):
    _call(known=(_IMAGES[:_A], np.random.default_rng(0).permutation(
        _TEXTS[:_A])))
  with pytest.warns(UserWarning, match='logarithm of 100'):
    _joint(logit_scale=np.log(100))
  # Not from the pools, but nearer to the wrong ones.
  gap = np.zeros(24, np.float32) + 3
  with pytest.warns(UserWarning, match='the two pools, changed places'):
    mmal_jax.ask(_ONE[_A:] + gap, _OTHER[_A:] - gap, _OTHER[:_A] - gap,
                 _ONE[:_A] + gap, 4)


def test_badge_on_features_names_another_way():
  with pytest.raises(ValueError, match='badge.*of a trained model, which '
                     'features of two encoders do not have'):
    _call(strategy='badge')


def test_masks_that_mean_something_else():
  with pytest.raises(ValueError, match='image_remaining is True for the known '
                     'images alone.*~image_remaining'):
    _call(image_remaining=~_REST)
  with pytest.raises(ValueError, match='text_remaining is True for the known'):
    _joint(text_remaining=~_REST)
  for mask, what in (
      (np.flatnonzero(_REST), r'of numbers of rows give numpy\.isin'),
      (_REST.astype(int), 'zeros and ones give'),
      (_REST.astype(float), 'zeros and ones give'),
      (['a'] * _N, 'has dtype <U1; bool is needed, one for each row of images'),
  ):
    with pytest.raises(TypeError, match=f'(?i)image_remaining .*{what}'):
      _call(image_remaining=mask)
  for mask, what in (
      (_REST[:, None], r'image_remaining\.reshape\(-1\)'),
      (_REST[:50], 'image_remaining and text_remaining changed places'),
      (_REST[:24], 'one for each column of images')):
    with pytest.raises(ValueError, match=what):
      mmal_jax.ask(_IMAGES, _TEXTS[:50], _IMAGES[:20], _TEXTS[:20], 4,
                   image_remaining=mask)
  _same(_call(image_remaining=_REST.tolist(),
              text_remaining=torch.tensor(_REST)), _call())
  with pytest.warns(UserWarning, match='it is one of aligned_images: '
                    'image_remaining should be False there'):
    _call(batch=50, strategy='random@image', image_remaining=None,
          text_remaining=None)


def _bfloat16(rows):
  return torch.tensor(rows).bfloat16()


@pytest.mark.parametrize('convert', [
    np.float64, np.longdouble, lambda x: x.astype('>f4'), lambda x: x.tolist(),
    list, lambda x: torch.tensor(x, requires_grad=True),
    lambda x: [torch.tensor(row) for row in x], np.asfortranarray,
    lambda x: np.ma.masked_array(x), lambda x: x.view(np.matrix)],
    ids=['float64', 'longdouble', 'big-endian', 'lists', 'list of arrays',
         'tensor', 'list of tensors', 'column-major', 'unmasked', 'matrix'])
def test_rows_of_other_kinds_are_taken(convert):
  """The picks are those of the same numbers in float32."""
  _same(_joint(tuple(convert(x[:_A]) for x in (_ONE, _OTHER)),
               images=convert(_ONE), texts=convert(_OTHER)), _joint())


def test_bfloat16_tensors_are_taken_exactly():
  rounded = [np.asarray(jnp.asarray(x, jnp.bfloat16).astype(jnp.float32))
             for x in (_ONE, _OTHER)]
  _same(_joint(tuple(_bfloat16(x[:_A]) for x in (_ONE, _OTHER)),
               images=_bfloat16(_ONE), texts=_bfloat16(_OTHER)),
        _joint(tuple(x[:_A] for x in rounded), images=rounded[0],
               texts=rounded[1]))


class _Sparse:
  nnz = 3

  def toarray(self):
    raise AssertionError('it may be large')


@pytest.mark.parametrize('images,what', [
    (np.arange(_N), r'of numbers of rows give the rows'),
    ((9 * _IMAGES).astype(int), 'tokens or pixels are no features.*float32'),
    (np.zeros((_N, 8, 8, 3), np.uint8), 'embed the images first'),
    (_IMAGES.astype(complex), r'images\.real'),
    (_IMAGES.astype(str), 'of columns of which some are text'),
    (np.array([*map(list, _IMAGES), None], object)[:-1], r'numpy\.stack'),
    ([[1.0, 2.0], [3.0]], r'lengths \[1, 2\]'),
    ('images.npy', r"images='images\.npy' is a path.*numpy\.load"),
    ({'image': _IMAGES, 'sound': _TEXTS}, r'image, sound.*give images\[\.\.\.'),
    (None, 'images is None; an array is needed'),
    ((row for row in _IMAGES), 'images is a generator; an array is needed'),
    (_Sparse(), r'sparse matrix.*images\.toarray\(\)'),
    (np.ma.masked_array(_IMAGES, _IMAGES > 1), r'masked array.*images\.filled'),
])
def test_what_holds_no_features(images, what):
  with pytest.raises(TypeError, match=f'(?is){what}'):
    _call(images, known=(_IMAGES[:_A], _TEXTS[:_A]))


@pytest.mark.parametrize('changes,what', [
    ({'images': _IMAGES[:, 0]}, r'of a single item give images\[None\]'),
    ({'images': _IMAGES.reshape(_N, 4, 6)}, r'images\.mean\(axis=1\)'),
    ({'images': _IMAGES.T}, r'if images is \[features, items\] give images\.T'),
    ({'texts': _TEXTS.T}, r'if texts is \[features, items\] give texts\.T'),
    ({'known': (_IMAGES[:_A].T, _TEXTS[:_A])},
     r'if aligned_images is \[features, items\] give aligned_images\.T'),
    ({'images': _IMAGES.T, 'texts': _TEXTS.T,
      'known': (_IMAGES[:_A].T, _TEXTS[:_A].T)},
     r'\[features, items\] give images\.T and aligned_images\.T'),
    ({'known': (_IMAGES[0], _TEXTS[0])}, r'give aligned_images\[None\]'),
    ({'known': (_IMAGES[:_A], _IMAGES[:_A])}, 'rows from the other pool'),
    ({'shared_space': True}, 'images have 24 columns and texts 17.*one width'),
    ({'images': np.float64(1e300) * _IMAGES}, 'images is NaN or infinite'),
    ({'images': np.float64(1e-300) * _IMAGES}, 'images is all zeros'),
])
def test_shapes_and_values_say_what_to_give(changes, what):
  changes = {'known': (_IMAGES[:_A], _TEXTS[:_A])} | changes
  with pytest.raises(ValueError, match=f'(?i){what}'):
    _call(**changes)


@pytest.mark.parametrize('known,what', [
    ((np.arange(9), np.arange(9)), r'give the rows: images\[aligned_images\]'),
    (([3, 1], [3, 1]), r'give the rows: images\[aligned_images\]'),
    ((~_REST, ~_REST), r'of a mask give the rows: images\[aligned_images\]'),
    ((np.ones((9, 2), int),) * 2, r'texts=texts\[pairs\[:, 1\]\]')])
def test_known_pairs_are_rows_and_not_their_numbers(known, what):
  with pytest.raises(TypeError, match=f'(?i){what}'):
    _call(known=known)


def test_no_known_pair_may_be_given_in_several_ways():
  for known in ((None, None), ([], []), (_IMAGES[:0], _TEXTS[:0])):
    _same(_call(known=known), _call(known=(_IMAGES[:0], _TEXTS[:0])))


@pytest.mark.parametrize('strategy,what', [
    ('MMAL-Plus', 'Did you mean mmal_plus'), ('mmal+', 'mean mmal_plus'),
    ('k-center', 'Did you mean coreset'), ('core_set', 'Did you mean coreset'),
    ('facility_location', 'Did you mean facility'),
    ('entropie', 'Did you mean entropy'), ('typiclus', 'mean typiclust'),
    ('uncertainty', 'Did you mean margin'),
    ('mmal@images', 'rule for the modality.*Did you mean image'),
    ('mmal@caption', 'rule for the modality is unknown; known are gap, '),
    ('random@altenate', 'Did you mean alternate'),
    (3, 'a name or a function is needed'),
])
@pytest.mark.parametrize('call', [_call, _joint])
def test_names_of_strategies(strategy, what, call):
  with pytest.raises(ValueError, match=f'strategy=.*{what}'):
    call(strategy=strategy)


@pytest.mark.parametrize('name', ['cosine', 'sqeuclidean', 'inner', 'COSINE'])
def test_metrics_by_name(name):
  metric = metric_lib.METRICS[name.lower()]
  _same(_joint(metric=name), _joint(metric=metric))
  assert repr(metric) == name.upper()


@pytest.mark.parametrize('name,nearest', [
    ('euclidean', 'sqeuclidean'), ('dot', 'inner'), ('L2', 'sqeuclidean'),
    ('cosin', 'cosine')])
def test_metrics_that_are_called_otherwise(name, nearest):
  with pytest.raises(ValueError, match=f'metric=.*Did you mean {nearest}?'):
    _joint(metric=name)


@pytest.mark.parametrize('arguments,named,what', [
    ((4,), {'image_remaning': _REST}, 'has no argument image_remaning.*Did you '
     'mean image_remaining'),
    ((), {'batch_size': 4}, 'no argument batch_size.*Did you mean batch'),
    ((4,), {'temperature': 4}, 'Did you mean logit_scale'),
    ((4,), {'random_state': 4}, 'Did you mean seed'),
    ((), {}, 'ask lacks batch; the call is ask.images, texts, '),
    ((4, 'mmal', False), {}, 'give the others by name: .*seed='),
    ((4,), {'batch': 4}, 'batch is given twice: as argument 5 and by name'),
    ((_REST,), {}, r'batch=array of shape \(60,\) must be an integer'),
    ((4.0,), {}, r'batch=4\.0 must be an integer: give 4'),
    ((4,), {'shared_space': 'yes'}, "shared_space='yes' must be True or False"),
    ((4,), {'text_asked': 1.5, 'image_asked': 1}, 'text_asked=1.5 must be an'),
    ((4,), {'logit_scale': [9.0, 9.0]}, 'must be a number'),
])
def test_arguments_that_do_not_exist_or_lack(arguments, named, what):
  with pytest.raises(TypeError, match=what):
    mmal_jax.ask(_ONE, _OTHER, _ONE[:_A], _OTHER[:_A], *arguments, **named)


def test_known_pairs_that_lack():
  with pytest.raises(TypeError, match='ask lacks aligned_images and '
                     'aligned_texts; .* give None for both'):
    mmal_jax.ask(_IMAGES, _TEXTS, batch=4)
  with pytest.raises(TypeError, match='known_images.*Did you mean aligned_im'):
    mmal_jax.ask(_IMAGES, _TEXTS, known_images=None, known_texts=None, batch=4)


@pytest.mark.parametrize('strategy,options,what', [
    ('entropy', {}, 'logit_scale=None: .*give logit_scale, '),
    ('mmal_entropy', {}, 'logit_scale=None: .*give logit_scale, '),
    ('badge', {'logit_scale': 9.0}, 'logit_bias=None: .*give logit_bias, '),
    ('random@cheapest', {}, 'image_costs=None: .*image_costs and text_costs'),
    ('coreset@alternate', {}, 'image_asked=None: .*image_asked and text_asked'),
    ('mmal@cheapest', {'image_costs': 2.0}, 'text_costs is not given'),
    ('mmal@cheapest', {'image_costs': 2.0, 'text_costs': -_ONE[:, 0] ** 2},
     'text_costs is not within .* in 60 of 60 rows, the first of them row 0'),
    ('mmal@cheapest', {'image_costs': _ONE, 'text_costs': 1.0},
     r'image_costs has shape \(60, 24\); \(60,\) is needed'),
])
def test_errors_name_what_the_caller_has(strategy, options, what):
  with pytest.raises(ValueError, match=what) as error:
    _joint(strategy=strategy, **options)
  assert 'view' not in str(error.value)


@pytest.mark.long
def test_costs_and_what_was_asked_are_used():
  costs = {'image_costs': 5, 'text_costs': np.full(_N, 2)}
  for call in (_call, _joint):
    assert call(strategy='random@cheapest', **costs).modality == 'text'
    assert call(strategy='random@cheapest', image_costs=1,
                text_costs=2.5).modality == 'image'
    assert call(strategy='random@alternate', image_asked=7,
                text_asked=np.int64(8)).modality == 'image'
    assert call(strategy='mmal_plus', image_asked=jnp.array(9),
                text_asked=8).modality == 'text'
  cheap = np.where(np.arange(_N) % 2, 1e-3, 1.0)
  query = _joint(strategy='mmal_plus_by_cost', image_costs=cheap,
                 text_costs=cheap)
  assert (query.indices % 2).all()


def test_a_strategy_that_cannot_work_on_disk(tmp_path):
  with pytest.raises(TypeError, match="strategy='two_sided' needs images and "
                     'texts in memory'):
    _joint(images=_on_disk(tmp_path, _ONE), strategy='two_sided')
  with pytest.raises(TypeError, match='the strategy mine has answered with .*'
                     r'Query\(modality, indices\) is needed'):
    def mine(views, batch, key):
      del views, key
      return list(range(batch))
    _joint(strategy=mine)


def test_mmal_plus_is_what_the_docstring_says():
  _same(_joint(strategy='mmal_plus'),
        _joint(strategy='design_by_entropy@random'))
  _same(_joint(strategy='facility_reference'), _joint(strategy='facility'))
  _same(_call(), _call(strategy='mmal_plus'))
  _same(_call(), _call(strategy='design_by_entropy@random'))


@pytest.mark.parametrize('function', [mmal_jax.ask, ask_lib.ask])
def test_help_is_to_be_read(function):
  text = pydoc.plain(pydoc.render_doc(function))
  head = text.split('Which items')[0]
  assert '<' not in head and 'lambda' not in head and 'strategy: ' in head
  assert 'options' not in inspect.signature(function).parameters
  assert all(f'{name}: ' in text.split('Args:')[1]
             for name in inspect.signature(function).parameters)
  for name in ('mmal_plus', 'design_by_entropy'):
    assert name in registry.STRATEGIES and name in text

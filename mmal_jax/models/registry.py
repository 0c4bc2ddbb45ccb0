"""Every model by name.

`MODELS[name](items, num_tokens, rngs=..., **config)`.
"""

from collections.abc import Mapping
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.models import config as config_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import hog as hog_lib
from mmal_jax.models import linear as linear_lib
from mmal_jax.models import mlp
from mmal_jax.models import text
from mmal_jax.models import vit

# By modality, the shape and type of one item.
Items = Mapping[str, jax.ShapeDtypeStruct]


def transformers(
    items: Items,
    num_tokens: int,
    *,
    rngs: nnx.Rngs,
    width: int = 96,
    depth: int = 2,
    heads: int = 4,
    patch: int = 8,
    embed_dim: int = 64,
    dtype: str = 'float32',
    remat: bool = False,
) -> dual_encoder.DualEncoder:
  """Transformers of the same width and depth: ViTs for pixels, and for texts.

  Args:
    items: by modality: `(h, w, 3)` uint8 pixels or `(length,)` int32 tokens.
    num_tokens: rows of the token embedding.
    rngs: source of the initial parameters.
    width: of all residual streams.
    depth: number of blocks of each tower.
    heads: attention heads; they divide the width.
    patch: height and width of a patch in pixels.
    embed_dim: of the shared space.
    dtype: that the towers compute in, `float32` or `bfloat16`.
    remat: compute blocks again in the backward pass instead of keeping them.

  Raises:
    ValueError: if items are neither pixels nor tokens, or for a size below 1.
  """
  stack = config_lib.Stack(width, depth, heads, 4 * width)
  config_lib.check_meeting(embed_dim, dtype)
  compute, towers = jnp.dtype(dtype), {}
  for modality, item in items.items():
    if len(item.shape) == 3:
      tower = config_lib.ImageTower(stack, item.shape[:2], patch)
      if item.shape[0] % patch or item.shape[1] % patch:
        raise ValueError(f'patch={patch} must divide the image size '
                         f'{item.shape[0]}x{item.shape[1]}.')
      towers[modality] = vit.ViT(tower, compute, remat, rngs=rngs)
    elif item.dtype == jnp.int32:
      tower = config_lib.TextTower(stack, num_tokens, item.shape[0])
      towers[modality] = text.TextTransformer(
          tower, compute, remat, rngs=rngs)
    else:
      raise ValueError(
          'model=transformers needs pixels and texts; the pool holds '
          f'{_described(items)}. For features take model=mlp.')
  return dual_encoder.DualEncoder(towers, embed_dim, rngs=rngs)


def mlps(
    items: Items,
    num_tokens: int,
    *,
    rngs: nnx.Rngs,
    width: int = 512,
    embed_dim: int = 256,
) -> dual_encoder.DualEncoder:
  """An MLP head on each modality's precomputed features.

  Args and errors as in `transformers`, with items of shape `(d,)`, no tokens,
  and `width` that of the hidden layers.
  """
  _check_features(
      items, num_tokens, 'mlp', width=width, embed_dim=embed_dim)
  return dual_encoder.DualEncoder(
      {modality: mlp.MLP(item.shape[0], width, rngs=rngs)
       for modality, item in items.items()}, embed_dim, rngs=rngs)


def linear(
    items: Items,
    num_tokens: int,
    *,
    rngs: nnx.Rngs,
    embed_dim: int = 256,
    shared: bool = False,
) -> dual_encoder.DualEncoder:
  """A linear head on each modality's precomputed features (`linear.Linear`).

  Args and errors as in `mlps`, and:
    embed_dim: of the heads' space; or as many as features have, if fewer.
    shared: whether the features of all modalities lie in one space already, as
      a pretrained dual encoder's do: then they are what is known before any
      answer.

  Raises:
    ValueError: if `shared` features differ in length.
  """
  _check_features(items, num_tokens, 'linear', embed_dim=embed_dim)
  sizes = {modality: item.shape[0] for modality, item in items.items()}
  if shared and len(set(sizes.values())) > 1:
    raise ValueError(f'model.shared=True needs features of the same length; '
                     f'the pool holds {_described(items)}.')
  width = min(embed_dim, *sizes.values())
  towers = {modality: linear_lib.Linear(size, width, shared, rngs=rngs)
            for modality, size in sizes.items()}
  return dual_encoder.DualEncoder(
      towers, width, unprojected=tuple(towers), rngs=rngs)


def hog(
    items: Items,
    num_tokens: int,
    *,
    rngs: nnx.Rngs,
    cells: int = 4,
    bins: int = 9,
    shared: bool = False,
) -> dual_encoder.DualEncoder:
  """The same fixed features of all modalities' pixels (`hog.Hog`).

  Args:
    items: by modality, `(h, w, 3)` uint8 pixels.
    num_tokens: 0: there are no texts.
    rngs: of no use, for there is nothing to draw.
    cells: of a row, and of a column; they divide the sizes of all images.
    bins: of directions.
    shared: whether items of two modalities that look alike are known to belong
      together, before any answer, as far as the answers bear it out.

  Raises:
    ValueError: if items are no pixels, or for a size that does not fit.
  """
  del shared  # It is for the learner: the features are the same.
  for key, size in (('cells', cells), ('bins', bins)):
    if size < 1:
      raise ValueError(f'model.{key}={size!r} must be at least 1.')
  for item in items.values():
    if len(item.shape) != 3:
      raise ValueError(
          f'model=hog needs pixels; the pool holds {_described(items)}.')
    if item.shape[0] % cells or item.shape[1] % cells:
      raise ValueError(f'model.cells={cells} must divide the image size '
                       f'{item.shape[0]}x{item.shape[1]}.')
  towers = {modality: hog_lib.Hog(cells, bins) for modality in items}
  width = cells * cells * (3 + bins)
  return dual_encoder.DualEncoder(
      towers, width, unprojected=tuple(towers), rngs=rngs)


def _check_features(items: Items, num_tokens: int, name: str, **sizes: int):
  for key, size in sizes.items():
    if size < 1:
      raise ValueError(f'model.{key}={size!r} must be at least 1.')
  if num_tokens or any(len(item.shape) != 1 for item in items.values()):
    raise ValueError(
        f'model={name} needs one row of features an item; the pool holds '
        f'{_described(items)}. For pixels and texts take model=transformers.')


def _described(items: Items) -> str:
  return ', '.join(f'{modality} of shape {item.shape} and type {item.dtype}'
                   for modality, item in items.items())


# Not `linear`: its heads are not learnt by gradient.
MODELS = {'transformers': transformers, 'mlp': mlps, 'hog': hog}
# Of these, those without parameters: fixed functions, the same of all
# modalities.
FIXED = frozenset({'hog'})


def initial(
    name: str, items: Mapping[str, Any], num_tokens: int, seed: int,
    **values: Any,
) -> tuple[nnx.GraphDef, nnx.State]:
  """A model's structure, and its initial parameters.

  Args:
    name: of `MODELS`.
    items: by modality, `encode.Items` of it.
    num_tokens: rows of the token embedding.
    seed: of the parameters.
    **values: of the model.
  """
  kinds = {m: jax.ShapeDtypeStruct(some.values.shape[1:], some.values.dtype)
           for m, some in items.items()}
  return nnx.split(
      MODELS[name](kinds, num_tokens, rngs=nnx.Rngs(seed), **values), nnx.Param)

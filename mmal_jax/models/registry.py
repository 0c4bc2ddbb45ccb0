"""Every model by name.

`MODELS[name](image_shape, text_shape, num_tokens, rngs=..., **config)`.
"""

from flax import nnx

from mmal_jax.models import config as config_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import mlp


def transformers(
    image_shape: tuple[int, ...],
    text_shape: tuple[int, ...],
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
  """A ViT and a text transformer of the same width and depth.

  Args:
    image_shape: of one image, `(h, w, 3)`.
    text_shape: of one text, `(length,)` tokens.
    num_tokens: rows of the token embedding; 0 where texts are features.
    rngs: source of the initial parameters.
    width: of both residual streams.
    depth: number of blocks of each tower.
    heads: attention heads; they divide the width.
    patch: height and width of a patch in pixels.
    embed_dim: of the shared space.
    dtype: that the towers compute in, `float32` or `bfloat16`.
    remat: compute blocks again in the backward pass instead of keeping them.

  Raises:
    ValueError: if images are not pixels or texts not tokens, or for a size
      below 1.
  """
  if len(image_shape) != 3 or num_tokens == 0:
    raise ValueError(
        'model=transformers needs pixels and texts; an image of the pool has '
        f'shape {image_shape} and a text {text_shape}. For features take '
        'model=mlp.')
  stack = config_lib.Stack(width, depth, heads, 4 * width)
  config = config_lib.DualEncoder(
      config_lib.ImageTower(stack, image_shape[:2], patch),
      config_lib.TextTower(stack, num_tokens, text_shape[0]),
      embed_dim, dtype=dtype, remat=remat)
  if image_shape[0] % patch or image_shape[1] % patch:
    raise ValueError(f'patch={patch} must divide the image size '
                     f'{image_shape[0]}x{image_shape[1]}.')
  return dual_encoder.from_config(config, rngs=rngs)


def mlps(
    image_shape: tuple[int, ...],
    text_shape: tuple[int, ...],
    num_tokens: int,
    *,
    rngs: nnx.Rngs,
    width: int = 512,
    embed_dim: int = 256,
) -> dual_encoder.DualEncoder:
  """An MLP head on each modality's precomputed features.

  Args and errors as in `transformers`, with shapes `(d_image,)` and `(d_text,)`
  and `width` that of the hidden layers.
  """
  _check_sizes(width=width, embed_dim=embed_dim)
  if len(image_shape) != 1 or num_tokens:
    raise ValueError(
        'model=mlp needs one row of features an item; an image of the pool has '
        f'shape {image_shape} and a text {text_shape}. For pixels and texts '
        'take model=transformers.')
  return dual_encoder.DualEncoder(
      mlp.MLP(image_shape[0], width, rngs=rngs),
      mlp.MLP(text_shape[0], width, rngs=rngs),
      embed_dim, rngs=rngs)


def _check_sizes(**sizes: int) -> None:
  for name, size in sizes.items():
    if size < 1:
      raise ValueError(f'model.{name}={size!r} must be at least 1.')


MODELS = {'transformers': transformers, 'mlp': mlps}

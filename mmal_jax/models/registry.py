"""Every model by name: `MODELS[name](pool, num_tokens, rngs=..., **config)`.
"""

from flax import nnx

from mmal_jax.data import encode
from mmal_jax.models import dual_encoder
from mmal_jax.models import mlp
from mmal_jax.models import text
from mmal_jax.models import vit


def transformers(
    pairs: encode.EncodedPairs,
    num_tokens: int,
    *,
    rngs: nnx.Rngs,
    width: int = 96,
    depth: int = 2,
    heads: int = 4,
    patch: int = 8,
    embed_dim: int = 64,
) -> dual_encoder.DualEncoder:
  """A ViT and a text transformer of the same width and depth.

  Args:
    pairs: the pool, for the shapes of its images and texts.
    num_tokens: rows of the token embedding.
    rngs: source of the initial parameters.
    width: of both residual streams.
    depth: number of blocks of each tower.
    heads: attention heads; they divide the width.
    patch: height and width of a patch in pixels.
    embed_dim: of the shared space.

  Raises:
    ValueError: if images are not pixels or texts not tokens.
  """
  images, texts = pairs.images.values, pairs.texts.values
  if images.ndim != 4 or num_tokens == 0:
    raise ValueError(
        'model=transformers needs pixels and texts; the pool\'s images have '
        f'shape {images.shape} and its texts {texts.shape}. For features take '
        'model=mlp.')
  return dual_encoder.DualEncoder(
      vit.ViT(images.shape[1:], patch, width, depth, heads, rngs=rngs),
      text.TextTransformer(
          num_tokens, texts.shape[1], width, depth, heads, rngs=rngs),
      embed_dim, rngs=rngs)


def mlps(
    pairs: encode.EncodedPairs,
    num_tokens: int,
    *,
    rngs: nnx.Rngs,
    width: int = 512,
    embed_dim: int = 256,
) -> dual_encoder.DualEncoder:
  """An MLP head on each modality's precomputed features.

  Args and errors as in `transformers`, with `width` that of the hidden layers.
  """
  images, texts = pairs.images.values, pairs.texts.values
  if images.ndim != 2 or num_tokens:
    raise ValueError(
        'model=mlp needs one row of features an item; the pool\'s images have '
        f'shape {images.shape} and its texts {texts.shape}. For pixels and '
        'texts take model=transformers.')
  return dual_encoder.DualEncoder(
      mlp.MLP(images.shape[1], width, rngs=rngs),
      mlp.MLP(texts.shape[1], width, rngs=rngs),
      embed_dim, rngs=rngs)


MODELS = {'transformers': transformers, 'mlp': mlps}

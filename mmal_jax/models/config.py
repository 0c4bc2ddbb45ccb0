"""What a dual encoder of two transformers is made of, as plain values."""

import dataclasses
from typing import Any

_ACTIVATIONS = ('gelu', 'gelu_tanh', 'quick_gelu')
_IMAGE_POOLINGS = ('mean', 'class', 'attention')
_TEXT_POOLINGS = ('mean', 'end', 'last')
DTYPES = ('float32', 'bfloat16')
# A table of a model's tensors has one entry a block and tensor.
_MOST_BLOCKS = 1000


@dataclasses.dataclass(frozen=True)
class Stack:
  """A stack of pre-norm transformer blocks.

  Attributes:
    width: of the residual stream.
    depth: number of blocks.
    heads: attention heads; they divide the width.
    mlp_width: of the hidden layer of each block's MLP.
    activation: of the MLPs: `gelu` (by the error function), `gelu_tanh` (its
      approximation by a tanh), or `quick_gelu` (x σ(1.702 x), OpenAI's CLIP).
    norm_eps: of every LayerNorm.
  """

  width: int
  depth: int
  heads: int
  mlp_width: int
  activation: str = 'gelu_tanh'
  norm_eps: float = 1e-6

  def __post_init__(self):
    _at_least_one(self, 'width', 'depth', 'heads', 'mlp_width')
    if self.depth > _MOST_BLOCKS:
      raise ValueError(f'model.depth={self.depth!r} must be at most '
                       f'{_MOST_BLOCKS}.')
    _one_of(self, 'activation', _ACTIVATIONS)
    if self.width % self.heads:
      raise ValueError(
          f'heads={self.heads} must divide width={self.width}.')


@dataclasses.dataclass(frozen=True)
class ImageTower:
  """A vision transformer.

  Attributes:
    stack: its blocks.
    size: height and width of an image in pixels.
    patch: height and width of a patch in pixels. What is left of the image
      beyond the last whole patch, below and to the right, is not seen, as in
      SigLIP So400m/14 at 384 pixels.
    pooling: `mean` over the patches, the `class` token (CLIP), or `attention`
      of a learnt probe (SigLIP's MAP head).
    norm_first: a LayerNorm on the embedded patches (CLIP).
    patch_bias: the patch embedding has a bias (not in CLIP).
    mean: of the training images, by channel, for pixels within [0, 1].
    std: their standard deviation.
  """

  stack: Stack
  size: tuple[int, int]
  patch: int
  pooling: str = 'mean'
  norm_first: bool = False
  patch_bias: bool = True
  mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
  std: tuple[float, float, float] = (0.5, 0.5, 0.5)

  def __post_init__(self):
    _at_least_one(self, 'patch')
    _one_of(self, 'pooling', _IMAGE_POOLINGS)
    if min(self.size) < self.patch:
      raise ValueError(f'patch={self.patch} is larger than the image of '
                       f'{self.size[0]}x{self.size[1]}.')

  @property
  def grid(self) -> tuple[int, int]:
    """Rows and columns of patches."""
    return self.size[0] // self.patch, self.size[1] // self.patch


@dataclasses.dataclass(frozen=True)
class TextTower:
  """A text transformer.

  Attributes:
    stack: its blocks.
    vocab_size: rows of the token embedding.
    length: tokens of every text, padding included.
    pooling: `mean` over the tokens that are not 0, which is then padding that
      no token attends to; the `end` token (CLIP); or the `last` token, padding
      or not (SigLIP).
    causal: a token attends to those up to itself alone (CLIP).
    end_id: of the first token that `end` pooling takes; None takes the first of
      the highest id, as OpenAI's vocabulary ends with it.
  """

  stack: Stack
  vocab_size: int
  length: int
  pooling: str = 'mean'
  causal: bool = False
  end_id: int | None = None

  def __post_init__(self):
    _at_least_one(self, 'vocab_size', 'length')
    _one_of(self, 'pooling', _TEXT_POOLINGS)


@dataclasses.dataclass(frozen=True)
class DualEncoder:
  """Two towers, and how they meet.

  Attributes:
    image: the image tower.
    text: the text tower.
    embed_dim: of the shared space.
    image_projection: a linear map follows the image tower (none in SigLIP,
      where `embed_dim` is the tower's width).
    projection_bias: the projections have biases.
    logit_scale: initial value, a logarithm.
    logit_bias: initial value.
    dtype: that towers compute in, `float32` or `bfloat16`. Parameters and the
      embeddings that come out are float32.
    remat: blocks are computed again in the backward pass instead of kept.
  """

  image: ImageTower
  text: TextTower
  embed_dim: int
  image_projection: bool = True
  projection_bias: bool = True
  # Of Zhai et al. 2023, section 3.2: log 10 and -10.
  logit_scale: float = 2.302585092994046
  logit_bias: float = -10.0
  dtype: str = 'float32'
  remat: bool = False

  def __post_init__(self):
    check_meeting(self.embed_dim, self.dtype)
    if not self.image_projection and self.embed_dim != self.image.stack.width:
      raise ValueError(
          f'embed_dim={self.embed_dim} must be the image tower\'s width='
          f'{self.image.stack.width} where it has no projection.')


def check_meeting(embed_dim: int, dtype: str) -> None:
  """Refuses what no space to meet in is made of, or no tower computes in."""
  if embed_dim < 1:
    raise ValueError(f'model.embed_dim={embed_dim!r} must be at least 1.')
  if dtype not in DTYPES:
    raise ValueError(
        f'model.dtype={dtype!r} is none of {", ".join(DTYPES)}.')


def differences(one: Any, other: Any, prefix: str = '') -> list[str]:
  """Names and values of the fields in which two configurations differ.

  >>> differences(Stack(8, 1, 2, 32), Stack(8, 2, 2, 32))
  ['depth: 1 and 2']
  """
  found = []
  for field in dataclasses.fields(one):
    a, b = (getattr(side, field.name) for side in (one, other))
    if dataclasses.is_dataclass(a):
      found += differences(a, b, f'{prefix}{field.name}.')
    elif a != b:
      found.append(f'{prefix}{field.name}: {a} and {b}')
  return found


def _at_least_one(config, *names):
  for name in names:
    if getattr(config, name) < 1:
      raise ValueError(f'model.{name}={getattr(config, name)!r} must be at '
                       'least 1.')


def _one_of(config, name, known):
  if getattr(config, name) not in known:
    raise ValueError(f'model.{name}={getattr(config, name)!r} is none of '
                     f'{", ".join(known)}.')

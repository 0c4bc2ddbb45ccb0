r"""Floating-point operations of a forward pass, counted from the configuration.

Matrix products alone, those of attention among them; a multiplication and an
addition are two operations. A transformer of depth L, width w and MLP width m
takes for a sequence of n tokens

.. math::
  L \, \big(\underbrace{8 n w^2}_{q, k, v, out} + \underbrace{4 n w m}_{MLP}
  + \underbrace{4 n^2 w}_{q k^\top, \text{weights} \cdot v}\big),

and what stands before and behind it (patches, attention pooling, projections)
its own matrix products. All tokens count, padding included, and a causal mask
saves nothing, as all of it is computed. LayerNorm, softmax, activations and the
loss do not count; in a published size they are about a per cent.

A training step counts as three forward passes: the backward pass has two
products for each of the forward's. What rematerialisation computes again does
not count: a share of the machine's rate is then that of the work that had to be
done.

References:
  Chowdhery et al., PaLM: Scaling Language Modeling with Pathways, 2022,
  section 4.1 and appendix B (model FLOPs utilisation); Kaplan et al., Scaling
  Laws for Neural Language Models, 2020, table 1.
"""

from mmal_jax.models import config as config_lib

TRAINING = 3
"""Forward passes that a training step counts as."""


def image(config: config_lib.DualEncoder) -> int:
  """Operations for the embedding of one image.

  >>> from mmal_jax.models.pretrained import presets
  >>> image(presets.PRESETS['siglip_b16']) / 1e9  # doctest: +ELLIPSIS
  35.4...

  Args:
    config: of the dual encoder.
  """
  tower = config.image
  width, patches = tower.stack.width, tower.grid[0] * tower.grid[1]
  total = _linear(patches, 3 * tower.patch**2, width)
  tokens = patches + (tower.pooling == 'class')
  total += _transformer(tower.stack, tokens)
  if tower.pooling == 'attention':
    # The probe is one query; only keys and values are taken of all tokens.
    total += _linear(2 + 2 * tokens, width, width)
    total += _attention(1, tokens, width)
    total += 2 * _linear(1, width, tower.stack.mlp_width)
  if config.image_projection:
    total += _linear(1, width, config.embed_dim)
  return total


def text(config: config_lib.DualEncoder) -> int:
  """Operations for the embedding of one text.

  Args:
    config: of the dual encoder.
  """
  tower = config.text
  return (_transformer(tower.stack, tower.length)
          + _linear(1, tower.stack.width, config.embed_dim))


def pair(config: config_lib.DualEncoder) -> int:
  """Operations for the embedding of an image and a text."""
  return image(config) + text(config)


def _transformer(stack: config_lib.Stack, tokens: int) -> int:
  return stack.depth * (
      4 * _linear(tokens, stack.width, stack.width)
      + 2 * _linear(tokens, stack.width, stack.mlp_width)
      + _attention(tokens, tokens, stack.width))


def _linear(rows: int, inputs: int, outputs: int) -> int:
  return 2 * rows * inputs * outputs


def _attention(queries: int, keys: int, width: int) -> int:
  # All heads together are as wide as the stream.
  return 4 * queries * keys * width

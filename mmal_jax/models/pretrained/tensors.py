"""Published tensors and the parameters of a dual encoder: names and layouts.

Everything that reads or writes weights goes by a table of `Tensor`s, in either
direction, and every tensor of a file must be in it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from flax import nnx
import jax
import numpy as np

from mmal_jax.files import plain_text
from mmal_jax.models import config as config_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import names
from mmal_jax.models.pretrained import families

# A checkpoint of another architecture has hundreds that do not fit.
_SHOWN = 20


class Tensor(NamedTuple):
  """One tensor of a checkpoint.

  Attributes:
    name: there.
    shape: there.
    parameters: dotted names of ours that it holds; of several, equal parts
      along the first axis, in order.
    layout: `matrix` (each part is transposed: PyTorch has outputs first),
      `patches` (`[width, 3, p, p]`; ours `[p * p * 3, width]`), or `same`. Up
      to the shape, which ours split by attention heads.
  """

  name: str
  shape: tuple[int, ...]
  parameters: tuple[str, ...]
  layout: str = 'same'

  def to_parameters(self, values: np.ndarray) -> dict[str, np.ndarray]:
    """Values by the names of parameters, of their size if not their shape."""
    parts = (np.split(values, len(self.parameters))
             if len(self.parameters) > 1 else [values])
    return {name: np.ascontiguousarray(self._transposed(part), np.float32)
            for name, part in zip(self.parameters, parts)}

  def from_parameters(self, params: Mapping[str, Any]) -> np.ndarray:
    """The other way round: float32 of the tensor's shape."""
    parts = [np.asarray(params[name], np.float32) for name in self.parameters]
    if self.layout == 'matrix':
      parts = [part.reshape(self.shape[1], -1).T for part in parts]
    elif self.layout == 'patches':
      width, channels, *patch = self.shape
      parts = [part.reshape(*patch, channels, width).transpose(3, 2, 0, 1)
               for part in parts]
    return np.concatenate([np.ravel(p) for p in parts]).reshape(self.shape)

  def _transposed(self, part):
    if self.layout == 'matrix':
      return part.T
    return part.transpose(2, 3, 1, 0) if self.layout == 'patches' else part


def table(config: config_lib.DualEncoder) -> list[Tensor]:
  """The tensors of a CLIP or a SigLIP in transformers.

  >>> from mmal_jax.models.pretrained import presets
  >>> print(table(presets.PRESETS['clip_b16'])[0])  # doctest: +ELLIPSIS
  Tensor(name='vision_model.embeddings.patch_embedding.weight', shape=(768, ...

  Raises:
    ValueError: if the configuration is neither.
  """
  family = families.of(config)
  image, text, embed_dim = config.image, config.text, config.embed_dim
  width, patch = image.stack.width, image.patch
  in_image, in_text = 'vision_model.', 'text_model.'
  positions = image.grid[0] * image.grid[1] + (image.pooling == 'class')
  found = [
      Tensor(f'{in_image}embeddings.patch_embedding.weight',
             (width, 3, patch, patch), ('image_tower.embed.kernel',),
             'patches'),
      Tensor(f'{in_image}embeddings.position_embedding.weight',
             (positions, width), ('image_tower.position',)),
      *_transformer(f'{in_image}encoder.layers.', f'{in_image}post_layernorm',
                    'image_tower.transformer.', image.stack),
      Tensor(f'{in_text}embeddings.token_embedding.weight',
             (text.vocab_size, text.stack.width),
             ('text_tower.token.embedding',)),
      Tensor(f'{in_text}embeddings.position_embedding.weight',
             (text.length, text.stack.width), ('text_tower.position',)),
      *_transformer(f'{in_text}encoder.layers.', f'{in_text}final_layer_norm',
                    'text_tower.transformer.', text.stack),
  ]
  if family is families.CLIP:
    return found + [
        Tensor(f'{in_image}embeddings.class_embedding', (width,),
               ('image_tower.class_token',)),
        *_norm(f'{in_image}pre_layrnorm', 'image_tower.norm_first', width),
        Tensor('visual_projection.weight', (embed_dim, width),
               ('image_projection.kernel',), 'matrix'),
        Tensor('text_projection.weight', (embed_dim, text.stack.width),
               ('text_projection.kernel',), 'matrix'),
        Tensor('logit_scale', (), ('logit_scale',))]
  head, ours = f'{in_image}head.', 'image_tower.pooling.'
  inputs = [f'{ours}attention.{side}' for side in ('query', 'key', 'value')]
  return found + [
      Tensor(f'{in_image}embeddings.patch_embedding.bias', (width,),
             ('image_tower.embed.bias',)),
      Tensor(f'{head}probe', (1, 1, width), (f'{ours}probe',)),
      Tensor(f'{head}attention.in_proj_weight', (3 * width, width),
             tuple(f'{name}.kernel' for name in inputs), 'matrix'),
      Tensor(f'{head}attention.in_proj_bias', (3 * width,),
             tuple(f'{name}.bias' for name in inputs)),
      *_linear(f'{head}attention.out_proj', f'{ours}attention.out',
               width, width),
      *_norm(f'{head}layernorm', f'{ours}norm', width),
      *_mlp(f'{head}mlp', f'{ours}mlp', image.stack),
      *_linear(f'{in_text}head', 'text_projection', text.stack.width,
               embed_dim),
      Tensor('logit_scale', (1,), ('logit_scale',)),
      Tensor('logit_bias', (1,), ('logit_bias',))]


def _linear(theirs, ours, inputs, outputs):
  return [
      Tensor(f'{theirs}.weight', (outputs, inputs), (f'{ours}.kernel',),
             'matrix'),
      Tensor(f'{theirs}.bias', (outputs,), (f'{ours}.bias',))]


def _norm(theirs, ours, width):
  return [Tensor(f'{theirs}.weight', (width,), (f'{ours}.scale',)),
          Tensor(f'{theirs}.bias', (width,), (f'{ours}.bias',))]


def _mlp(theirs, ours, stack):
  return (_linear(f'{theirs}.fc1', f'{ours}.expand', stack.width,
                  stack.mlp_width)
          + _linear(f'{theirs}.fc2', f'{ours}.contract', stack.mlp_width,
                    stack.width))


def _transformer(layers, last_norm, ours, stack):
  found = _norm(last_norm, f'{ours}norm', stack.width)
  for i in range(stack.depth):
    theirs, block = f'{layers}{i}.', f'{ours}blocks.{i}.'
    found += _norm(f'{theirs}layer_norm1', f'{block}norm_attention',
                   stack.width)
    for side, name in (('q_proj', 'query'), ('k_proj', 'key'),
                       ('v_proj', 'value'), ('out_proj', 'out')):
      found += _linear(f'{theirs}self_attn.{side}', f'{block}attention.{name}',
                       stack.width, stack.width)
    found += _norm(f'{theirs}layer_norm2', f'{block}norm_mlp', stack.width)
    found += _mlp(f'{theirs}mlp', f'{block}mlp', stack)
  return found


def check(
    needed: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    where: str,
) -> None:
  """Accounts for every tensor.

  Args:
    needed: shapes by name.
    found: shapes by name of those that are there. Buffers of transformers
      (`*.position_ids`: 0, 1, 2, ...) do not count.
    where: they were found, for the message.

  Raises:
    ValueError: listing those that are missing, of another shape, or not known.
  """
  found = {name: tuple(shape) for name, shape in found.items()
           if not name.endswith('.position_ids')}
  problems = [f'missing: {name} {shape}' for name, shape in needed.items()
              if name not in found]
  problems += [f'{name} is {found[name]}, not {shape}'
               for name, shape in needed.items()
               if name in found and found[name] != tuple(shape)]
  problems += [f'unexpected: {name} {found[name]}' for name in sorted(found)
               if name not in needed]
  if problems:
    more = len(problems) - _SHOWN
    raise ValueError('\n  '.join(
        [f'{where} does not hold what its configuration needs:',
         *map(plain_text.for_terminal, problems[:_SHOWN]),
         *[f'... and {more} more'] * (more > 0)]))


def read(
    needed: Iterable[Tensor],
    values: Callable[[str], np.ndarray],
    where: str,
) -> dict[str, np.ndarray]:
  """All parameters of a table, by name.

  Args:
    needed: what `check` has found to be there.
    values: of a tensor by its name; asked for one at a time, so that no more
      than one is in memory twice.
    where: they are, for the message.

  Raises:
    ValueError: if a value is not finite, as a 32-bit float.
  """
  params = {}
  for tensor in needed:
    with np.errstate(over='ignore'):  # Of 64 bits; what comes of it is refused.
      parts = tensor.to_parameters(values(tensor.name))
    if not all(np.isfinite(part).all() for part in parts.values()):
      raise ValueError(
          f'{where} holds NaN, or an infinite number, in {tensor.name}.')
    params |= parts
  return params


def by_name(params: nnx.State) -> dict[str, Any]:
  """Arrays by dotted names."""
  return dict(zip(names.all_names(params), jax.tree.leaves(params)))


def state(
    config: config_lib.DualEncoder, params: Mapping[str, np.ndarray]
) -> nnx.State:
  """`nnx.split(model, nnx.Param)[1]` of arrays by dotted names."""
  return jax.tree_util.tree_map_with_path(
      lambda path, leaf: params[names.dotted(path)].reshape(leaf.shape),
      nnx.state(dual_encoder.abstract(config), nnx.Param))

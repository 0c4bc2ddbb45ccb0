"""What makes a dual encoder a CLIP or a SigLIP: all but its sizes."""

import math
from typing import Any, NamedTuple

from mmal_jax.models import config as config_lib


class Family(NamedTuple):
  """Configurations of one published architecture.

  Attributes:
    name: as `model_type` in transformers.
    image: fields of `config.ImageTower` that all of them share.
    text: of `config.TextTower`.
    meeting: of `config.DualEncoder`.
    pixels: mean and standard deviation that most of them were trained with.
    initial: the scale and the bias that their training started with.
  """

  name: str
  image: dict[str, Any]
  text: dict[str, Any]
  meeting: dict[str, Any]
  pixels: dict[str, tuple[float, float, float]]
  initial: dict[str, float]

  def build(
      self,
      image: dict[str, Any],
      text: dict[str, Any],
      embed_dim: int,
      **initial: float,
  ) -> config_lib.DualEncoder:
    """A configuration of the family from the fields that it leaves open."""
    return config_lib.DualEncoder(
        config_lib.ImageTower(**self.image | self.pixels | image),
        config_lib.TextTower(**self.text | text),
        embed_dim, **self.meeting | self.initial | initial)

  def differs(self, config: config_lib.DualEncoder) -> list[str]:
    """In what a configuration is none of the family."""
    return [
        f'{prefix}{name} is {getattr(part, name)!r}, not {value!r}'
        for prefix, part, fields in (
            ('image.', config.image, self.image),
            ('text.', config.text, self.text), ('', config, self.meeting))
        for name, value in fields.items() if getattr(part, name) != value]


CLIP = Family(
    'clip',
    image={'pooling': 'class', 'norm_first': True, 'patch_bias': False},
    text={'pooling': 'end', 'causal': True},
    meeting={'image_projection': True, 'projection_bias': False},
    pixels={'mean': (0.48145466, 0.4578275, 0.40821073),
            'std': (0.26862954, 0.26130258, 0.27577711)},
    initial={'logit_scale': math.log(1 / 0.07), 'logit_bias': 0.0})
"""Radford et al., Learning Transferable Visual Models From Natural Language
Supervision, 2021, section 2."""

SIGLIP = Family(
    'siglip',
    image={'pooling': 'attention', 'norm_first': False, 'patch_bias': True},
    text={'pooling': 'last', 'causal': False},
    meeting={'image_projection': False, 'projection_bias': True},
    pixels={'mean': (0.5, 0.5, 0.5), 'std': (0.5, 0.5, 0.5)},
    initial={'logit_scale': math.log(10), 'logit_bias': -10.0})
"""Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023; SigLIP 2 of
fixed resolution (Tschannen et al. 2025) has the same architecture."""


def of(config: config_lib.DualEncoder) -> Family:
  """The family that a configuration belongs to.

  Raises:
    ValueError: if it is none, with what differs from each.
  """
  for family in (CLIP, SIGLIP):
    if not family.differs(config):
      return family
  raise ValueError(
      'the model is neither a CLIP ('
      f'{"; ".join(CLIP.differs(config))}) nor a SigLIP ('
      f'{"; ".join(SIGLIP.differs(config))}).')

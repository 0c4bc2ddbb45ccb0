"""Published configurations by name.

`clip_b16` is a CLIP of a ViT-B with patches of 16 pixels, for images of 224, as
no size follows. Weights come from `pretrained.load`.
"""

from mmal_jax.models import config as config_lib
from mmal_jax.models.pretrained import families


def _clip(
    patch: int, size: int = 224, *, large: bool = False,
    activation: str = 'quick_gelu',
) -> config_lib.DualEncoder:
  """Radford et al. 2021, table 20 (base and large)."""
  width, depth, text_width = (1024, 24, 768) if large else (768, 12, 512)

  def stack(width, depth):
    return config_lib.Stack(
        width, depth, width // 64, 4 * width, activation, norm_eps=1e-5)

  return families.CLIP.build(
      {'stack': stack(width, depth), 'size': (size, size), 'patch': patch},
      {'stack': stack(text_width, 12), 'vocab_size': 49408, 'length': 77},
      embed_dim=text_width)


# Zhai et al., Scaling Vision Transformers, 2022, table 2; So400m: Alabdulmohsin
# et al., Getting ViT in Shape, 2023.
_BASE = config_lib.Stack(768, 12, 12, 3072)
_LARGE = config_lib.Stack(1024, 24, 16, 4096)
_SO400M = config_lib.Stack(1152, 27, 16, 4304)
_GIANT = config_lib.Stack(1536, 40, 16, 6144)


def _siglip(
    image: config_lib.Stack, patch: int, size: int = 224, *,
    text: config_lib.Stack | None = None, vocab_size: int = 32000,
    length: int = 64,
) -> config_lib.DualEncoder:
  return families.SIGLIP.build(
      {'stack': image, 'size': (size, size), 'patch': patch},
      {'stack': text or image, 'vocab_size': vocab_size, 'length': length},
      embed_dim=image.width)


def _siglip2(
    image: config_lib.Stack, patch: int, size: int = 224, *,
    text: config_lib.Stack | None = None,
) -> config_lib.DualEncoder:
  return _siglip(image, patch, size, text=text, vocab_size=256000)


PRESETS: dict[str, config_lib.DualEncoder] = {
    'clip_b32': _clip(32),
    'clip_b16': _clip(16),
    'clip_l14': _clip(14, large=True),
    'clip_l14_336': _clip(14, 336, large=True),
    # Trained on LAION or DataComp. Some of the large ones take pixels within
    # [-1, 1]: a checkpoint's own mean and std are read with it.
    'openclip_b32': _clip(32, activation='gelu'),
    'openclip_b16': _clip(16, activation='gelu'),
    'openclip_l14': _clip(14, large=True, activation='gelu'),
    'siglip_b16': _siglip(_BASE, 16),
    'siglip_b16_256': _siglip(_BASE, 16, 256),
    'siglip_b16_384': _siglip(_BASE, 16, 384),
    'siglip_b16_512': _siglip(_BASE, 16, 512),
    'siglip_l16_256': _siglip(_LARGE, 16, 256),
    'siglip_l16_384': _siglip(_LARGE, 16, 384),
    'siglip_so400m_14': _siglip(_SO400M, 14, length=16),
    'siglip_so400m_14_384': _siglip(_SO400M, 14, 384),
    'siglip2_b16': _siglip2(_BASE, 16),
    'siglip2_b16_256': _siglip2(_BASE, 16, 256),
    'siglip2_b16_384': _siglip2(_BASE, 16, 384),
    'siglip2_b16_512': _siglip2(_BASE, 16, 512),
    'siglip2_b32_256': _siglip2(_BASE, 32, 256),
    'siglip2_l16_256': _siglip2(_LARGE, 16, 256),
    'siglip2_l16_384': _siglip2(_LARGE, 16, 384),
    'siglip2_l16_512': _siglip2(_LARGE, 16, 512),
    'siglip2_so400m_14': _siglip2(_SO400M, 14),
    'siglip2_so400m_14_384': _siglip2(_SO400M, 14, 384),
    'siglip2_so400m_16_256': _siglip2(_SO400M, 16, 256),
    'siglip2_so400m_16_384': _siglip2(_SO400M, 16, 384),
    'siglip2_so400m_16_512': _siglip2(_SO400M, 16, 512),
    'siglip2_giant_16_256': _siglip2(_GIANT, 16, 256, text=_SO400M),
    'siglip2_giant_16_384': _siglip2(_GIANT, 16, 384, text=_SO400M),
}

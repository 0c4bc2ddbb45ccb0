"""SigLIP in PyTorch: transformers' own model, as it is usually run."""

from collections.abc import Callable, Iterable
import importlib
import os
from typing import Any

import numpy as np

_PACKAGES = ('torch', 'transformers', 'safetensors')
_PEAK_LR, _WEIGHT_DECAY, _CLIP = 1e-4, 1e-4, 1.0


def missing(device: str) -> str:
  """Why there is no PyTorch on `cpu` or `cuda`; empty if there is."""
  for package in _PACKAGES:
    try:
      importlib.import_module(package)
    except ImportError:
      return f'{package} is not installed'
  import torch
  if device == 'cuda' and not torch.cuda.is_available():
    return f'torch {torch.__version__} sees no GPU'
  return ''


class Siglip:
  """A model on a device, with attention by `scaled_dot_product_attention`.

  Args:
    folder: holds the model, as transformers reads it.
    device: `cpu` or `cuda`.

  Attributes:
    versions: of what it is made of.
  """

  def __init__(self, folder: str | os.PathLike[str], device: str):
    import torch
    import transformers
    transformers.utils.logging.disable_progress_bar()
    self.versions = (f'torch {torch.__version__}, '
                     f'transformers {transformers.__version__}')
    torch.set_num_threads(os.cpu_count())
    self._torch, self._device = torch, device
    self._model = transformers.SiglipModel.from_pretrained(
        folder, attn_implementation='sdpa').to(device).train()
    self._optimizer = None

  def loss(self, images: np.ndarray, tokens: np.ndarray, dtype: str) -> float:
    """The sigmoid loss of pairs, computed in `float32` or `bfloat16`."""
    with self._torch.inference_mode():
      return self._loss(*self._inputs(images, tokens), dtype).item()

  def training(
      self, images: np.ndarray, tokens: np.ndarray, dtype: str, compiled: bool
  ) -> Callable[[], float]:
    """A function that takes one step on this batch and returns the loss.

    Args:
      images: `[b, h, w, 3]` uint8.
      tokens: `[b, length]` int32.
      dtype: `float32`, or `bfloat16` by autocast.
      compiled: by `torch.compile`, at the first call.
    """
    torch, parameters = self._torch, list(self._model.parameters())
    batch = self._inputs(images, tokens)
    if self._optimizer is None:
      self._optimizer = torch.optim.AdamW(
          parameters, lr=_PEAK_LR, weight_decay=_WEIGHT_DECAY, fused=True)
    loss_of = self._compile(self._loss) if compiled else self._loss

    def step() -> float:
      loss = loss_of(*batch, dtype)
      loss.backward()
      torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
      self._optimizer.step()
      self._optimizer.zero_grad()
      if self._device == 'cuda':
        torch.cuda.synchronize()  # `item` does not wait for the parameters.
      return loss.item()

    return step

  def embedding(
      self, modality: str, dtype: str, compiled: bool
  ) -> Callable[[Iterable[np.ndarray]], np.ndarray]:
    """A function from batches of images or tokens to all their embeddings.

    Args:
      modality: `image` or `text`.
      dtype: `float32`, or `bfloat16` by autocast.
      compiled: by `torch.compile`, at the first call.

    Returns:
      Takes batches, as `training` does; returns `[n, d]` float32.
    """
    encode = self._encode_image if modality == 'image' else self._encode_text
    if compiled:
      encode = self._compile(encode)

    def embed(batches: Iterable[np.ndarray]) -> np.ndarray:
      with self._torch.inference_mode():
        found = [encode(self._send(batch), dtype).float() for batch in batches]
        return self._torch.cat(found).cpu().numpy()

    return embed

  def recover(self) -> None:
    """Drops what a call that failed has left in memory."""
    self._model.zero_grad()
    if self._device == 'cuda':
      self._torch.cuda.empty_cache()

  def close(self) -> None:
    """Gives its memory back."""
    self._model = self._optimizer = None
    self._torch.compiler.reset()
    if self._device == 'cuda':
      self._torch.cuda.empty_cache()

  def _compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
    # For every shape anew: it can make the most of it then.
    return self._torch.compile(function, dynamic=False)

  def _send(self, values: np.ndarray):
    return self._torch.from_numpy(values).to(self._device)

  def _inputs(self, images: np.ndarray, tokens: np.ndarray):
    return self._send(images), self._send(tokens)

  def _autocast(self, dtype: str):
    return self._torch.autocast(
        self._device, self._torch.bfloat16, enabled=dtype == 'bfloat16')

  def _loss(self, images, tokens, dtype: str):
    with self._autocast(dtype):
      return self._model(
          input_ids=tokens, pixel_values=_pixel_values(images),
          return_loss=True).loss

  def _encode_image(self, images, dtype: str):
    with self._autocast(dtype):
      return _unit(self._model.vision_model(
          pixel_values=_pixel_values(images)).pooler_output)

  def _encode_text(self, tokens, dtype: str):
    with self._autocast(dtype):
      return _unit(self._model.text_model(input_ids=tokens).pooler_output)


def _pixel_values(images):
  # Mean and standard deviation are 1/2.
  return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def _unit(features):
  return features / features.norm(dim=-1, keepdim=True)

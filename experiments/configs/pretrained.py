"""Fine-tunes a published CLIP or SigLIP: give `--init=DIR`.

`pretrained.py:synthetic_colorswap` renders a ColorSwap at 224 pixels; another
name takes images and texts in files, as in `images_and_texts.py`:
`pretrained.py:paired_folder` your own (give `--config.dataset.folder=DIR`).
"""

import ml_collections

from experiments.configs import common

_COLORSWAP = {
    'name': 'synthetic_colorswap', 'seed': 0, 'pretrain': 1, 'pool': 700,
    'test': 300, 'image_size': 224, 'skew': 1.0}


def get_config(dataset: str = 'synthetic_colorswap') -> (
    ml_collections.ConfigDict):
  return common.config(
      dataset=(_COLORSWAP if dataset == _COLORSWAP['name']
               else common.images_and_texts(dataset)),
      # `checkpoint`: whatever --init holds. On a GPU or a TPU give
      # `--config.model.dtype=bfloat16`.
      model={'name': 'checkpoint'},
      train={'batch_size': 64, 'peak_lr': 1e-5, 'weight_decay': 0.1},
      mesh={'data': -1},
      strategies=('mmal', 'random'),
      seeds=(0, 1, 2),
      rounds=5)

"""Fine-tunes a published CLIP or SigLIP by the paper's recipe: `--init=DIR`.

The recipe is that of the paper's authors for ColorSwap (Zhang et al., Test-Time
Matching, arXiv 2510.07632): AdamW at a rate of 1e-5, which falls by a cosine to
a tenth, a weight decay of 0.05, minibatches of 50, ten rounds of 30 epochs. A
round has the steps of 30 epochs over 1,400 pairs, all of ColorSwap's training
split, however many are aligned yet. That gradients are clipped and that biases
and norms do not decay is ours. Data are chosen as in `pretrained.py`.
"""

import ml_collections

from experiments.configs import pretrained

_PAIRS, _EPOCHS, _ROUNDS = 1400, 30, 10


def get_config(dataset: str = 'synthetic_colorswap') -> (
    ml_collections.ConfigDict):
  config = pretrained.get_config(dataset)
  config.train.update(
      batch_size=50, steps_per_round=_EPOCHS * _PAIRS // 50, peak_lr=1e-5,
      final_lr_fraction=0.1, warmup_fraction=0.0, weight_decay=0.05)
  config.rounds, config.batch = _ROUNDS, _PAIRS // _ROUNDS
  return config

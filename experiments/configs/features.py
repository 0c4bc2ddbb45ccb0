"""Your own features of frozen encoders; linear heads in closed form align them.

Give `--config.dataset.images=FILE --config.dataset.texts=FILE`. Of further
modalities name them: `features.py:sound,sketch` takes
`--config.dataset.others.sound=FILE --config.dataset.others.sketch=FILE`.

Where people answer, `--config.dataset.labels.image=FILE` and
`--config.dataset.labels.text=FILE` show them a text or an image for each row.
"""

import ml_collections
from ml_collections import config_dict

from experiments.configs import common


def get_config(others: str = '') -> ml_collections.ConfigDict:
  names = [name for name in others.split(',') if name]
  asking = common.asking(('image', 'text', *names))
  return ml_collections.ConfigDict(asking | {
      'dataset': {
          'name': 'features',
          'images': config_dict.placeholder(str),
          'texts': config_dict.placeholder(str),
          'others': {m: config_dict.placeholder(str) for m in names},
          # What people see of the rows (`--oracle=files`, the report), by
          # modality: a text file with a line for each row, a text or the path
          # of an image; or a folder of images.
          'labels': {m: config_dict.placeholder(str)
                     for m in ('image', 'text', *names)},
          'split': config_dict.placeholder(str),
          'pool_split': 'train', 'test_split': 'test',
          'test_fraction': 0.2, 'seed': 0},
      'model': {'name': 'mlp', 'width': 512, 'embed_dim': 256},
      # `gradient` or `closed_form` (mmal_jax/learn/registry.py).
      'closed_form': common.closed_form(),
      'matches': common.matches(),
      'train': {
          'learner': 'closed_form',
          'steps_per_round': 100, 'batch_size': 256, 'peak_lr': 1e-3,
          'weight_decay': 0.5, 'shift': 0, 'restart': True}
      | common.optional_training() | common.if_training_diverges(),
      'strategies': ('random', 'mmal', 'mmal_plus'),
      'seeds': (0, 1, 2, 3, 4),
      'rounds': 6,
      # Half of the pool over all rounds, but at most 100 a round.
      'batch': config_dict.placeholder(int),
      # For each seed once more, with all pairs of the pool.
      'whole_pool': True,
  })

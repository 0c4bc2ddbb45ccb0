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
  modalities = ('image', 'text', *names)
  return common.config(
      modalities=modalities,
      dataset={
          'name': 'features',
          'others': {m: config_dict.placeholder(str) for m in names},
          # What people see of the rows (`--oracle=files`, the report), by
          # modality: a text file with a line for each row, a text or the path
          # of an image; or a folder of images.
          'labels': {m: config_dict.placeholder(str) for m in modalities}},
      model={'name': 'mlp'},
      train={'learner': 'closed_form'},
      strategies=('random', 'mmal', 'mmal_plus'),
      seeds=(0, 1, 2, 3, 4),
      rounds=6,
      # For each seed once more, with all pairs of the pool.
      whole_pool=True)

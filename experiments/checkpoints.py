"""The flags of all programs that start from a published checkpoint."""

from absl import flags

from experiments import paths
from mmal_jax.models import presets

INIT = paths.define(
    'init', None,
    'Checkpoint to start from: a folder in Hugging Face\'s layout (config.json,'
    ' model.safetensors, the tokenizer, preprocessor_config.json), a '
    'repository\'s name, or a .npz of big_vision.')
MODEL = flags.DEFINE_string(
    'model', None,
    'What --init must hold, to be refused otherwise, out of: '
    f'{", ".join(presets.PRESETS)}.')

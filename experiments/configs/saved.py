"""An experiment that was run before: `--config=.../saved.py:PATH`.

PATH is the `config.json` that it left in its workdir.
"""

from mmal_jax.workdir import saved_config

get_config = saved_config.get_config

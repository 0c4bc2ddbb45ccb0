# %% [markdown]
# # Compare ways to choose what is asked
#
# An image for each caption, captions with the same words and swapped colours,
# and the pairs are hidden. Strategies ask for counterparts, round by round, and
# a dual encoder learns from the answers. Three minutes on a CPU; a GPU or TPU
# (*Runtime, Change runtime type*) is used where there is one.

# %%
EXTRAS = ['experiments', 'tensorboard']
# include: install.py

# %% tags=["parameters"]
config_name = 'colorswap'  # @param ["colorswap", "colorswap_siglip", "emoji"]
strategies = 'random,mmal,coreset'  # @param {type: "string"}
seeds = '0'  # @param {type: "string"}
rounds = 4  # @param {type: "integer"}
batch = 250  # @param {type: "integer"}
workdir = 'runs/notebook'  # @param {type: "string"}
changes = {}  # More values, as {'train.peak_lr': 0.01}.

# %% [markdown]
# With `workdir` on Drive, a run outlives the machine:
# `from google.colab import drive; drive.mount('/content/drive')`, and
# `workdir = '/content/drive/MyDrive/notebook'`.
#
# ## The experiment
#
# From a shell `python -m experiments.run` does the same, and its
# `--show_config` explains every value.

# %%
import importlib

import mmal_jax

module = importlib.import_module(f'experiments.configs.{config_name}')
config = mmal_jax.config_of(
    module.get_config(), strategies=tuple(strategies.split(',')),
    seeds=tuple(map(int, seeds.split(','))), rounds=rounds, batch=batch,
    **changes)

# %% [markdown]
# ## Watch it
#
# `log=('tensorboard',)` below is `--log=tensorboard` of a shell.

# %%
if importlib.util.find_spec('tensorboard'):  # Colab has it.
  from tensorboard import notebook
  notebook.start(f'--logdir {workdir}/logs/tensorboard --reload_interval 5')

# %% [markdown]
# ## Run it
#
# **Press stop at any time, and run this cell again:** it goes on where it was,
# and comes to the same end.

# %%
from IPython import display

tables = mmal_jax.run(
    config, workdir, resume=True, notify=print, log=('tensorboard',))
display.Markdown(tables)

# %% [markdown]
# ## Curves
#
# An arrow is what a strategy saves. One seed shows little: `seeds = '0,1,2'`
# adds intervals.

# %%
display.Image(f'{workdir}/curves.png', width=900)

# %% [markdown]
# ## What was asked
#
# All scores of all rounds are in `metrics.jsonl`, all questions and answers in
# `queries.jsonl`.

# %%
import json

with open(f'{workdir}/queries.jsonl') as lines:
  query = json.loads(next(lines))
{key: value[:5] if isinstance(value, list) else value
 for key, value in query.items()}

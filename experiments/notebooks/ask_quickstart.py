# %% [markdown]
# # Ask about a few, match the rest
#
# Two vendors draw the same emoji, and which drawings belong together is
# unknown. We ask about 30 of 500. Two minutes on a CPU.

# %%
EXTRAS = ['experiments']
# include: install.py

# %% tags=["parameters"]
drawings_each = 500  # @param {type: "integer"}
questions_a_round = 6  # @param {type: "integer"}
rounds = 5  # @param {type: "integer"}
probability = 0.5  # @param {type: "number"}

# %% [markdown]
# ## Two collections
#
# Each in an order of its own. `right` is what the annotator knows.

# %%
import numpy as np

from mmal_jax.data import emoji

_, drawings = emoji.read()
rng = np.random.default_rng(0)
rows = rng.permutation(len(drawings['noto']))[:drawings_each]
order = rng.permutation(len(rows))
items = {'google': drawings['noto'][rows],
         'twitter': drawings['twemoji'][rows][order]}
right = {'google': np.argsort(order), 'twitter': order}

# %% [markdown]
# Features: colours and edges. Yours may be of any two encoders; they need not
# know of each other.

# %%
from mmal_jax.models import hog

encoder = hog.Hog(cells=6, bins=8)
features = {name: np.asarray(encoder(some)) for name, some in items.items()}
{name: some.shape for name, some in features.items()}

# %% [markdown]
# ## Ask
#
# The first questions are drawn at random, and so far the counterparts are
# guesses.

# %%
import tempfile

import mmal_jax

folder = tempfile.mkdtemp()
session = mmal_jax.Session(items, features=features, folder=folder)
questions = session.ask(questions_a_round)
questions

# %% [markdown]
# ## Tell, and learn
#
# `right` answers in place of a person. `skill` says how well answers that were
# held out are predicted, relative to chance, which is 1.


# %%
def answer(question):
  return right[question.modality][question.number]


session.tell({question: answer(question) for question in questions})
session.fit()

# %% [markdown]
# ## Again
#
# Now the session chooses what to ask, with what it has learnt. Its
# counterparts look more alike already.

# %%
questions = session.ask(questions_a_round)
questions

# %% [markdown]
# ## Does it matter what is asked?
#
# The same number of questions, chosen by the strategy and at random. Right is
# a drawing whose likeliest counterpart is its own.


# %%
def share_right(session):
  scores = session.embeddings('google') @ session.embeddings('twitter').T
  return np.mean(scores.argmax(axis=1) == right['google'])


def curve(session):
  shares = []
  for _ in range(rounds):
    asked = session.ask(questions_a_round)
    session.tell({question: answer(question) for question in asked})
    session.fit()
    shares.append(100 * share_right(session))
  return shares


curves = {
    strategy: curve(mmal_jax.Session(
        items, features=features, strategy=strategy))
    for strategy in ('random', 'mmal_plus')}

# %%
import io

from IPython import display
from matplotlib.figure import Figure

figure = Figure(figsize=(6, 3.5), layout='constrained')
axes = figure.subplots()
for strategy, shares in curves.items():
  answers = questions_a_round * np.arange(1, rounds + 1)
  axes.plot(answers, shares, marker='o', label=strategy)
axes.set(xlabel='answers', ylabel='right (%)')
axes.legend()
png = io.BytesIO()
figure.savefig(png, dpi=100)
display.Image(png.getvalue())

# %% [markdown]
# This is one run, and luck has a part in it.
# [RESULTS.md](https://github.com/OWNER/mmal_jax/blob/main/experiments/RESULTS.md)
# has means over many seeds, and data where no strategy helps.
#
# ## Match the rest
#
# With probabilities that are calibrated on answers held out. Few answers
# promise little.

# %%
while len(session.known) < rounds * questions_a_round:
  questions = session.ask(questions_a_round)
  session.tell({question: answer(question) for question in questions})
pairs = session.match(probability=probability)
hits = right['google'][pairs.rows[:, 0]] == pairs.rows[:, 1]
print(f'{hits.sum()} of {len(pairs)} pairs are right; '
      f'{pairs.probabilities.sum():.0f} were promised')

# %%
display.HTML(pairs._repr_html_(8))

# %% [markdown]
# ## Nothing answered is lost
#
# Each answer was on the disk when `tell` returned. After the kernel has died:

# %%
session.close()
session = mmal_jax.Session.load(folder)
session

# %% [markdown]
# # Your photos and captions
#
# Two collections, and which caption belongs to which photo is unknown. A
# published model guesses, you answer some questions, and the rest is matched.

# %%
EXTRAS = ['experiments', 'pretrained', 'datasets']
# include: install.py

# %% [markdown]
# ## Where they are
#
# - `example`: icons that come with the package, and their names.
# - `upload`: a zip with a folder `photos`, and `captions.txt`, one a line.
# - `drive`: the same, in `folder` of your Drive.
# - `huggingface`: `dataset`, with its columns.

# %% tags=["parameters"]
source = 'example'  # @param ["example", "upload", "drive", "huggingface"]
folder = 'my_pairs'  # @param {type: "string"}
dataset = 'OWNER/NAME'  # @param {type: "string"}
split = 'train'  # @param {type: "string"}
image_column = 'image'  # @param {type: "string"}
text_column = 'text'  # @param {type: "string"}
checkpoint = 'google/siglip-base-patch16-224'  # @param {type: "string"}
questions_a_round = 10  # @param {type: "integer"}
probability = 0.9  # @param {type: "number"}

# %%
import pathlib
import zipfile

import numpy as np
from PIL import Image

from mmal_jax.data import emoji


def example(folder, n=200):
  """Icons, and their names in another order."""
  table, drawings = emoji.read()
  rng = np.random.default_rng(0)
  chosen = [i for i, row in enumerate(table)
            if row.group in ('Animals & Nature', 'Food & Drink')][:n]
  (folder / 'photos').mkdir(parents=True, exist_ok=True)
  for place, i in enumerate(chosen):
    Image.fromarray(drawings['noto'][i]).save(
        folder / 'photos' / f'{place:03}.png')
  (folder / 'captions.txt').write_text(''.join(
      f'an icon: {table[i].name.replace("_", " ")}\n'
      for i in rng.permutation(chosen)))


def upload(folder):
  from google.colab import files
  for name in files.upload():
    zipfile.ZipFile(name).extractall(folder)


folder = pathlib.Path(folder)
if source == 'drive':
  from google.colab import drive
  drive.mount('/content/drive')
  folder = pathlib.Path('/content/drive/MyDrive') / folder
folder.mkdir(parents=True, exist_ok=True)
if source == 'huggingface':
  import datasets
  rows = datasets.load_dataset(dataset, split=split)
  photos, captions = rows[image_column], rows[text_column]
else:
  if not (folder / 'captions.txt').exists():
    {'example': example, 'upload': upload}[source](folder)
  photos, captions = folder / 'photos', folder / 'captions.txt'

# %% [markdown]
# ## The model
#
# A name on the hub of Hugging Face, or a folder. The first time it is
# downloaded.

# %%
import mmal_jax

model = mmal_jax.load_pretrained(checkpoint)
print('images of', model.config.image.size, 'pixels, texts of',
      model.config.text.length, 'tokens')

# %% [markdown]
# ## The session
#
# It is kept in a folder: after the kernel has died, run all cells again, and
# it goes on.

# %%
kept = folder / 'session'
if kept.exists():
  session = mmal_jax.Session.load(kept)
else:
  session = mmal_jax.Session(
      images=photos, texts=captions, encoder=model, folder=kept)
session

# %% [markdown]
# ## Answer
#
# | key | means |
# | --- | --- |
# | `1`, `2`, ... | this candidate, counted from the left |
# | `n` | none of these |
# | `x` | it has no counterpart at all |
# | `s` | skip: I cannot say |
# | `q` | enough for now |
#
# **Run this cell again for more questions.** What you have answered is learnt
# from first.
#
# A page is quicker, and searches in all items: `session.page('questions.html')`
# writes it, a browser shows it, and `session.tell('answers_....jsonl')` takes
# the file that it gives.

# %%
from IPython import display

WORDS = {'n': 'none of these', 'x': 'no counterpart', 's': 'skip'}


def answered(question):
  """Tells the session what is typed; False at `q`."""
  (candidates, ) = question.candidates.values()
  by_key = {str(i): number for i, number in enumerate(candidates, 1)} | WORDS
  keys = ', '.join([*by_key, 'q'])
  while (key := input(f'{keys}: ').strip()) != 'q':
    if key in by_key:
      session.tell({question: by_key[key]})
      return True
    print(f'{key!r} is none of {keys}')
  return False


for _ in session.ask(questions_a_round):
  # Those that are open, with candidates that are not taken yet.
  questions = session.ask()
  display.display(questions[:1])
  if not answered(questions[0]):
    break
session

# %% [markdown]
# ## Learn, and match the rest
#
# `skill`: how much better than chance answers that were held out are predicted.
# Probabilities need five answers, and are better with thirty.

# %%
session.fit()

# %%
pairs = session.match(probability=probability)
print(len(pairs), 'pairs')
display.HTML(pairs._repr_html_(8))

# %% [markdown]
# ## Export
#
# All pairs: those that you answered, and those that were matched.

# %%
import csv


def named(modality, number):
  """A caption, or a photo's file."""
  item = session.item(modality, number)
  return getattr(item, 'name', item)


def pairs_of(rows, probabilities):
  return [(named('image', image), named('text', text), round(p, 3))
          for (image, text), p in zip(rows.tolist(), probabilities)]


told = pairs_of(session.known, [1.0] * len(session.known))
matched = pairs_of(pairs.rows, pairs.probabilities.tolist())
with open(folder / 'pairs.csv', 'w', newline='', encoding='utf-8') as file:
  writer = csv.writer(file)
  writer.writerow(['image', 'text', 'probability'])
  writer.writerows(told + matched)
print(len(told), 'answered and', len(matched), 'matched, in',
      folder / 'pairs.csv')

# %%
if source == 'upload':
  from google.colab import files
  files.download(str(folder / 'pairs.csv'))

"""Every dataset by name: `DATASETS[name](**config) -> schema.Dataset`.

What a loader takes by its arguments, the section `dataset` of a config says; a
`preprocess` it is given for a published model.
"""

from mmal_jax.data import coco_captions
from mmal_jax.data import colorswap
from mmal_jax.data import emoji
from mmal_jax.data import features
from mmal_jax.data import huggingface_dataset
from mmal_jax.data import karpathy
from mmal_jax.data import paired_folder
from mmal_jax.data import synthetic_colorswap
from mmal_jax.data import synthetic_trio
from mmal_jax.data import table
from mmal_jax.data import unpaired_folder
from mmal_jax.data import webdataset

DATASETS = {
    'coco_captions': coco_captions.load,
    'colorswap': colorswap.load,
    'emoji': emoji.load,
    'features': features.load,
    'huggingface': huggingface_dataset.load,
    'karpathy': karpathy.load,
    'paired_folder': paired_folder.load,
    'synthetic_colorswap': synthetic_colorswap.load,
    'synthetic_trio': synthetic_trio.load,
    'table': table.load,
    'unpaired_folder': unpaired_folder.load,
    'webdataset': webdataset.load,
}
# Those that are rendered, into a folder of the cache (`data_dir`).
RENDERED = frozenset({'synthetic_colorswap'})
# What people see of the rows, where it is not what is learnt from.
SEEN = {'features': features.load_seen}

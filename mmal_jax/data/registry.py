"""Every dataset by name: `DATASETS[name](**config) -> schema.Dataset`."""

from mmal_jax.data import coco_captions
from mmal_jax.data import colorswap
from mmal_jax.data import emoji
from mmal_jax.data import features
from mmal_jax.data import karpathy
from mmal_jax.data import paired_folder
from mmal_jax.data import synthetic_colorswap
from mmal_jax.data import synthetic_trio
from mmal_jax.data import unpaired_folder
from mmal_jax.data import webdataset

DATASETS = {
    'coco_captions': coco_captions.load,
    'colorswap': colorswap.load,
    'emoji': emoji.load,
    'features': features.load,
    'karpathy': karpathy.load,
    'paired_folder': paired_folder.load,
    'synthetic_colorswap': synthetic_colorswap.load,
    'synthetic_trio': synthetic_trio.load,
    'unpaired_folder': unpaired_folder.load,
    'webdataset': webdataset.load,
}

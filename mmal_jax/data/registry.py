"""Every dataset by name: `DATASETS[name](**config) -> schema.Dataset`."""

from mmal_jax.data import features
from mmal_jax.data import paired_folder
from mmal_jax.data import synthetic_colorswap

DATASETS = {
    'features': features.load,
    'paired_folder': paired_folder.load,
    'synthetic_colorswap': synthetic_colorswap.load,
}

"""Every strategy by name; a variant is one more line."""

import functools

from mmal_jax.acquire import uncertainty
from mmal_jax.acquire import views
from mmal_jax.acquire.strategies import coreset
from mmal_jax.acquire.strategies import margin
from mmal_jax.acquire.strategies import mmal
from mmal_jax.acquire.strategies import random

STRATEGIES: dict[str, views.Strategy] = {
    'mmal': mmal.mmal,
    'random': random.random,
    'coreset': coreset.coreset,
    'margin': margin.margin,
    # Ablations: stage 1 off, with the modality fixed.
    'mmal_image': functools.partial(mmal.mmal, modality='image'),
    'mmal_text': functools.partial(mmal.mmal, modality='text'),
    'coreset_image': functools.partial(coreset.coreset, modality='image'),
    'coreset_text': functools.partial(coreset.coreset, modality='text'),
    'margin_image': functools.partial(margin.margin, modality='image'),
    'margin_text': functools.partial(margin.margin, modality='text'),
    # Other scores in place of the margin.
    'least_confidence': functools.partial(
        margin.margin, uncertainty=uncertainty.LEAST_CONFIDENCE),
    'entropy': functools.partial(
        margin.margin, uncertainty=uncertainty.ENTROPY),
    'mmal_least_confidence': functools.partial(
        mmal.mmal, uncertainty=uncertainty.LEAST_CONFIDENCE),
    'mmal_entropy': functools.partial(
        mmal.mmal, uncertainty=uncertainty.ENTROPY),
    # Stages 1 and 2 without 3.
    'mmal_no_uncertainty': functools.partial(mmal.mmal, coreset_ratio=1.0),
}

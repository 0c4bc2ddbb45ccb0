"""The learners by name, as `train.learner` of a config takes them.

Another one is a `maker.Maker` in a file of its own, and a line here.
"""

from mmal_jax.learn import fine_tune_make
from mmal_jax.learn import maker
from mmal_jax.learn.closed_form import make as closed_form
from mmal_jax.learn.gradient import make as gradient

GRADIENT, CLOSED_FORM = 'gradient', 'closed_form'
FINE_TUNE = 'fine_tune'
LEARNERS: dict[str, maker.Maker] = {
    GRADIENT: gradient.MAKER,
    CLOSED_FORM: closed_form.MAKER,
    FINE_TUNE: fine_tune_make.MAKER,
}

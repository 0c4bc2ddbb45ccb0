"""The learners by name, as `train.learner` of a config takes them.

Another one is a `maker.Maker` in a file of its own, and a line here.
"""

from mmal_jax.learn import fine_tune_make
from mmal_jax.learn import maker
from mmal_jax.learn.closed_form import make as closed_form
from mmal_jax.learn.gradient import make as gradient

LEARNERS: dict[str, maker.Maker] = {
    'gradient': gradient.MAKER,
    'closed_form': closed_form.MAKER,
    'fine_tune': fine_tune_make.MAKER,
}

"""The learners by name, as `train.learner` of a config takes them."""

GRADIENT, CLOSED_FORM = 'gradient', 'closed_form'
FINE_TUNE = 'fine_tune'
LEARNERS = {
    GRADIENT: 'steps of an optimizer on minibatches of the answers',
    CLOSED_FORM: 'heads on frozen features by regularised CCA, and the closed '
                 'world',
    FINE_TUNE: 'heads in closed form, then steps of an optimizer on towers and '
               'heads',
}

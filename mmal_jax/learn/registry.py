"""The learners by name, as `train.learner` of a config takes them."""

GRADIENT, CLOSED_FORM = 'gradient', 'closed_form'
LEARNERS = {
    GRADIENT: 'steps of an optimizer on minibatches of the answers',
    CLOSED_FORM: 'heads on frozen features by regularised CCA, and the closed '
                 'world',
}

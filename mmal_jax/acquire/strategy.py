"""A strategy: a rule for the modality, times a selector of items."""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

import jax
import numpy as np

from mmal_jax.acquire import arguments
from mmal_jax.acquire import coverage
from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import values as values_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole

Views = Mapping[str, views_lib.View]


@dataclasses.dataclass(frozen=True)
class Strategy:
  """What to ask about: which modality, by a rule; which items, by a selector.

  A selector is a pure function of one modality's view,
  `select(view, others, k, key, **values) -> [k] int32`, with `others` the views
  of the other modalities, and `key` None unless the strategy `draws`. Its
  keyword-only arguments are the strategy's values (`values.read`).

  >>> from mmal_jax.acquire import views
  >>> def first(view, others, k, key):
  ...   return views.keep_best(-jax.numpy.arange(len(view.remaining)),
  ...                          view.remaining, k)
  >>> view = views.View(jax.numpy.eye(4), jax.numpy.arange(4) > 0,
  ...                   jax.numpy.eye(4), jax.numpy.arange(4) < 1)
  >>> query = Strategy('first', first, rule='text')(
  ...     {'image': view, 'text': view}, 2, jax.random.key(0))
  >>> query.modality, query.indices.tolist()
  ('text', [1, 2])

  Attributes:
    name: that it is known by.
    select: the selector. Of a `joint` strategy it sees all views, and chooses
      the modality itself: `select(views, select_modality, key, **values) ->
      {modality: [k] int32}`, where `select_modality(views)` says how many
      items are asked about of which modalities (`modality.Selection`).
    rule: as `modality.Selection` takes it; or a function of the views that
      names one.
    joint: whether `select` sees all views at once.
    draws: whether `select` draws at random: the key is split in two, one half
      for the rule; of the other each modality has a key of its own
      (`views.key_of`), or a joint selector all.
    uniform: whether any remaining item of a modality is as likely to be chosen
      as any other, so that what was asked about is a fair sample.
    one_device: whether pools have to be in memory on one device
      (`whole.check`); loops bring sharded ones there. Right for a selector that
      makes anything of rows that do not remain, as of their mean: a sharded
      pool may be filled up with some.
    uses_reference: whether it goes by `View.reference` where that is there; or
      a function of its values that says so.
    needs: fields of `View` that must not be None; or a function of its values
      that names them.
    fixed: values that a variant is made of; they cannot be set.
    given: values that were set.

  Raises:
    TypeError, ValueError: for a selector whose values cannot be read
      (`values.read`).
  """

  name: str
  select: Callable[..., Any]
  rule: str | Callable[[Views], str] = 'random'
  joint: bool = False
  draws: bool = False
  uniform: bool = False
  one_device: bool = False
  uses_reference: bool | Callable[[Mapping[str, Any]], bool] = False
  needs: tuple[str, ...] | Callable[[Mapping[str, Any]], tuple[str, ...]] = ()
  fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
  given: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

  def __post_init__(self):
    self._known()  # Refuses a selector whose values cannot be read.

  def __call__(
      self, views: Views, batch: int, key: jax.Array, **values: Any
  ) -> views_lib.Query:
    """The query of one round.

    Args:
      views: by modality.
      batch: the number of items to query.
      key: typed; of all that is drawn.
      **values: as for `with_values`.

    Raises:
      TypeError: for a pool on disk, where all must be in memory, for values of
        other names or types, and for a selector that answers with anything but
        `[k]` integers or draws without a key.
      ValueError: for a sharded one, where all must be on one device, for values
        out of bounds, or if the views lack what is needed (`views.Missing`).
    """
    if values:
      return self.with_values(**values)(views, batch, key)
    if self.one_device:
      whole.check(views, self.name)
    for field in self._declared(self.needs):
      if any(getattr(view, field) is None for view in views.values()):
        raise views_lib.Missing(field, self.name)
    rule = self.rule(views) if callable(self.rule) else self.rule
    if rule == 'gap':
      # Once for stages 1 and 2.
      views = {m: coverage.covered(view) for m, view in views.items()}
    key_rule, key = jax.random.split(key) if self.draws else (key, None)
    select_modality = modality_lib.Selection(rule, batch, key_rule)
    if self.joint:
      picks = self.select(views, select_modality, key, **self.values)
    else:
      picks = {
          m: self._picks(
              views[m], views_lib.others(views, m), k,
              views_lib.key_of(key, views, m) if self.draws else None)
          for m, k in select_modality(views).items()}
    return select_modality.query(views, picks)

  @property
  def __name__(self) -> str:
    return self.name

  @property
  def open(self) -> dict[str, values_lib.Value]:
    """By name, the values that can be set."""
    return {name: value for name, value in self._known().items()
            if name not in self.fixed}

  @property
  def values(self) -> dict[str, Any]:
    """By name, all that `select` is given."""
    defaults = {name: value.default for name, value in self._known().items()}
    return {**defaults, **self.given, **self.fixed}

  @property
  def needed(self) -> tuple[str, ...]:
    """Fields of `View` that must not be None, for the rule as well."""
    return (*self._declared(self.needs), *modality_lib.NEEDS.get(self.rule, ()))

  @property
  def needs_reference(self) -> bool:
    """Whether it goes by what was known before training, if it can."""
    return bool(self._declared(self.uses_reference))

  def with_rule(self, rule: str) -> 'Strategy':
    """The strategy with another rule for the modality."""
    return dataclasses.replace(self, rule=rule)

  def with_values(self, **values: Any) -> 'Strategy':
    """The strategy with some of its values set.

    Raises:
      TypeError: for an unknown name, or a value of a wrong type.
      ValueError: for what a variant has fixed, and what is out of bounds.
    """
    self._check(values)
    for name in values:
      if name in self.fixed:
        raise ValueError(f'{self.name} is made by {name}={self.fixed[name]!r}: '
                         'it cannot be set.')
    return dataclasses.replace(self, given={**self.given, **values})

  def variant(
      self, name: str, rule: str | None = None, **values: Any
  ) -> 'Strategy':
    """A strategy of its own, whose values are fixed.

    Args:
      name: of the variant.
      rule: for the modality; None for the same.
      **values: to be fixed.
    """
    self._check(values)
    return dataclasses.replace(
        self, name=name, rule=self.rule if rule is None else rule,
        fixed={**self.fixed, **values})

  def _picks(self, view, others, k, key) -> jax.Array:
    """What the selector answers, if it is what it should be."""
    try:
      picks = self.select(view, others, k, key, **self.values)
    except TypeError as e:
      if self.draws or 'PRNG key' not in str(e):
        raise
      raise TypeError(
          f'the selector of {self.name} has got no key to draw with: say so, '
          f'Strategy({self.name!r}, ..., draws=True).') from e
    shape, kind = (getattr(picks, x, None) for x in ('shape', 'dtype'))
    if shape != (k,) or kind is None or not np.issubdtype(kind, np.integer):
      raise TypeError(
          f'the selector of {self.name} has answered with '
          + (type(picks).__name__ if kind is None else f'{kind}{[*shape]}')
          + f'; an array [{k}] of integer indices is needed, as '
          'views.keep_best makes it of scores.')
    return picks

  def _known(self) -> dict[str, values_lib.Value]:
    return values_lib.read(self.select)

  def _check(self, values) -> None:
    known = self._known()
    for name, given in values.items():
      if name not in known:
        raise TypeError(
            f'{self.name} has no value {name}; '
            + (f'it takes {", ".join(known)}.' if known else 'it takes none.')
            + arguments.did_you_mean(name, known))
      values_lib.check(name, given, known[name])

  def _declared(self, what):
    return what(self.values) if callable(what) else what

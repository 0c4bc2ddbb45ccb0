"""Counts XLA compilations, to show that rounds do not recompile."""

import jax

_EVENT = '/jax/core/compile/backend_compile_duration'


class CompilationCounter:
  """`count` is the number of compilations since it was made."""

  def __init__(self):
    self.count = 0
    jax.monitoring.register_event_duration_secs_listener(self._listen)

  def _listen(self, event: str, duration: float, **kwargs) -> None:
    del duration, kwargs
    self.count += event == _EVENT

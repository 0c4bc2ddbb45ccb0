"""What an experiment has to know of a learner to make one."""

from collections.abc import Callable
import dataclasses
from typing import Any, NamedTuple

from flax import nnx
import jax

from mmal_jax.data import encode
from mmal_jax.learn import learner as learner_lib


class Given(NamedTuple):
  """What a learner is made of.

  Attributes:
    config: of the experiment, complete.
    data: as the learner gets them: features, for one that works on these.
    mesh: to learn on; None for one device.
    graphdef: of a `DualEncoder`; None where a learner on features makes it.
    params: any parameters of it: their names and shapes count.
    default_loss: where the config names none.
    has_prior: whether features were alike across modalities before any answer.
  """

  config: Any
  data: encode.EncodedDataset
  mesh: jax.sharding.Mesh | None = None
  graphdef: nnx.GraphDef | None = None
  params: nnx.State | None = None
  default_loss: str = 'sigmoid'
  has_prior: bool = False


# A learner, and the parameters that its runs start from.
Made = tuple[learner_lib.Learner, nnx.State | None]


@dataclasses.dataclass(frozen=True)
class Maker:
  """A learner as the registry holds it.

  Attributes:
    about: what it does, in a few words.
    make: makes it. What it takes by keyword alone are values of the config's
      section of the learner's name, with the defaults of its signature.
    reads: sections of the config that it goes by; of others a sweep says that
      nothing reads them.
    works_on_features: whether it learns on fixed features; of other items,
      towers that stay as they are make them.
    not_exported: why the model of a run on a checkpoint has no place in the
      checkpoint's format; '' where it has.
    check: refuses a config, before any data are read.
    check_data: refuses data.
  """

  about: str
  make: Callable[..., Made]
  reads: tuple[str, ...] = ()
  works_on_features: bool = False
  not_exported: str = ''
  check: Callable[[Any], None] = lambda config: None
  check_data: Callable[[Any, encode.EncodedDataset], None] = (
      lambda config, data: None)

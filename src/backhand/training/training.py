"""What is trained, as one value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import optax

from backhand import checks
from backhand.gradients import Gradient, manual
from backhand.layer import Array, Layer
from backhand.losses import Loss

Metric: TypeAlias = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Training:
    """A net, the loss it should lower, and how: what everything that trains or scores takes.

    Attributes:
      net: a Layer.
      loss: a Loss, of the net's predictions.
      optimizer: one of optax's. It may follow a schedule, clip gradients or decay weights:
        `optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))` needs nothing of ours.
      gradient: `manual`, by hand, or `autodiff`, to compare with it.

    Raises TypeError if one of these is something else.
    """

    net: Layer
    loss: Loss
    optimizer: optax.GradientTransformation
    gradient: Callable[[Layer, Loss], Gradient] = manual

    def __post_init__(self) -> None:
        checks.net("Training", "net", self.net)
        checks.loss("Training", "loss", self.loss)
        checks.optimizer("Training", "optimizer", self.optimizer)
        checks.function("Training", "gradient", self.gradient, "bh.manual or bh.autodiff")


def check_training(caller: str, candidate: object) -> None:
    """Raise TypeError unless the candidate is a Training."""
    if not isinstance(candidate, Training):
        raise TypeError(
            f"{caller}: training should be a Training, such as Training(net, loss, "
            f"optax.adam(1e-3)), got {checks.shown(candidate)}"
        )

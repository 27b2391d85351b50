"""Metrics: what people want to know of a prediction, and nothing need differentiate.

Each is `metric(prediction, target) -> scalar`, over all N examples at once, and can be jitted. A
prediction with NaN in it scores NaN: argmax would call it class 0, and a broken net would seem to
be right one time in ten. Raises TypeError or ValueError if the two do not fit, or N is 0.
"""

import jax
import jax.numpy as jnp

from backhand import checks
from backhand.layer import Array, HostOrDevice


def accuracy(prediction: HostOrDevice, target: HostOrDevice) -> Array:
    """The share of examples whose predicted class is their label.

    prediction (N, classes), scores or probabilities: the class is the largest, the first of equals.
    With one column it is a logit, and the class is 1 if it is above 0. target (N,) of integers.
    """
    is_logit = len(prediction.shape) == 2 and prediction.shape[1] == 1
    checks.labels("accuracy", prediction, target, classes=2 if is_logit else 0)
    predicted = prediction[:, 0] > 0 if is_logit else prediction.argmax(1)
    right = predicted.astype(jnp.int32) == target.astype(jnp.int32)
    # In float32, as half precision can't count to N. XLA multiplies by 1/N if it sees N, and 41 of
    # 41 would be 0.99999994: behind the barrier it divides.
    count = jax.lax.optimization_barrier(jnp.float32(right.size))
    share = right.sum(dtype=jnp.float32) / count
    return jnp.where(jnp.isnan(prediction).any(), jnp.nan, share)


def zero_one(prediction: HostOrDevice, target: HostOrDevice) -> Array:
    """The zero-one loss, 1 − `accuracy`: the share of examples that are wrong."""
    return 1 - accuracy(prediction, target)


def mean_absolute_error(prediction: HostOrDevice, target: HostOrDevice) -> Array:
    """The mean of |ŷ − y|, in the target's unit. Both (N, outputs) or (N,), alike."""
    checks.same_form("mean_absolute_error", prediction, target)
    return jnp.abs(prediction - target).mean()


def r2(prediction: HostOrDevice, target: HostOrDevice) -> Array:
    """The coefficient of determination, R² = 1 − Σ (ŷ − y)²/Σ (y − ȳ)², ȳ each column's mean.

    1 is perfect, 0 no better than always saying ȳ, and it can be negative. Both (N, outputs) or
    (N,), alike; several outputs' sums are taken together. NaN or −inf if y is constant: then there
    is nothing to explain.
    """
    checks.same_form("r2", prediction, target)
    deviation = target - jnp.broadcast_to(target.mean(0), target.shape)
    return 1 - ((prediction - target) ** 2).sum() / (deviation**2).sum()

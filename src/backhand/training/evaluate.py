"""How good a net's predictions are: its loss and metrics on a set of examples."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import jax
import jax.numpy as jnp

from backhand import checks
from backhand.layer import Array, HostOrDevice, Layer, Params
from backhand.training.training import Metric, Training, check_training

BLOCK = 1024  # examples whose predictions are made at once, to bound memory


def evaluate(
    training: Training,
    params: Params,
    x: HostOrDevice,
    y: HostOrDevice,
    metrics: Sequence[Metric] = (),
) -> dict[str, float]:
    """The loss and the metrics, by name, of `net.apply` on x and y; every example counts once.

    Predictions are made in equal blocks of about a thousand examples, to bound memory; loss and
    metrics then see them all at once, so a metric need not be a mean. Raises TypeError or
    ValueError if x has a NaN or an infinity, params are not the net's, or `loss.check` objects.
    """
    check_training("evaluate", training)
    checks.metrics("evaluate", "metrics", metrics)
    checks.examples("evaluate", "x", x)
    checks.batch("evaluate", x, y)
    checks.params("evaluate", "x", x, training.net, params)
    prediction = jax.eval_shape(training.net.apply, params, x)
    checks.target("evaluate", "y", training.loss, prediction, y)
    prediction, scores = _scorer(training, tuple(metrics))(params, x, y)
    checks.target("evaluate", "y", training.loss, prediction, y)
    return {name: float(scores[name]) for name in ("loss", *(m.__name__ for m in metrics))}


def scoring(
    training: Training, metrics: Sequence[Metric]
) -> Callable[[Params, HostOrDevice, HostOrDevice], tuple[Array, dict[str, Array]]]:
    """A pure function (params, x, y) -> (predictions, scores by name), of all examples."""

    def score(params: Params, x: HostOrDevice, y: HostOrDevice) -> tuple[Array, dict[str, Array]]:
        x, y = jnp.asarray(x), jnp.asarray(y)
        prediction = in_blocks(training.net, params, x)
        value, _ = training.loss.forward(prediction, y)
        scores = {metric.__name__: metric(prediction, y) for metric in metrics}
        return prediction, {"loss": value, **scores}

    return score


def in_blocks(net: Layer, params: Params, x: Array) -> Array:
    """`net.apply` on x, in blocks of equal size, so that one compiled program takes them all."""
    count = -(-len(x) // BLOCK)
    if count == 1:
        whole: Array = net.apply(params, x)
        return whole
    size = -(-len(x) // count)
    overlap = count * size - len(x)  # rows that the last block repeats of the one before
    starts = jnp.minimum(jnp.arange(count) * size, len(x) - size)

    blocks = jax.lax.map(
        lambda start: net.apply(params, jax.lax.dynamic_slice_in_dim(x, start, size)), starts
    )
    most = blocks[:-1].reshape(-1, *blocks.shape[2:])
    return jnp.concatenate([most, blocks[-1, overlap:]])


_scorer = lru_cache(maxsize=8)(lambda training, metrics: jax.jit(scoring(training, metrics)))

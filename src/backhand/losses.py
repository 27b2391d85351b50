"""The losses: how wrong a prediction is, as one number, and which way is less wrong.

    forward   (prediction, target)  -> (value, residuals)
    backward  (residuals,)          -> dprediction

`value` is a scalar, the mean over the batch of N examples; so each row of dprediction =
∂value/∂prediction carries a factor 1/N, once, here. `backward` differentiates exactly the `forward`
beside it. Targets get no gradient.

`check(prediction, target)` raises TypeError or ValueError if the two do not fit. Each `forward`
calls it: it compares shapes and dtypes whenever it is traced, and values (labels out of range, NaN)
whenever they can be read, as before training, when `fit` checks all targets at once.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from backhand import checks
from backhand.layer import Array, Residuals, Tree


class Loss(NamedTuple):
    """A forward and its backward, and the check of what they are given."""

    forward: Callable[[Tree, Tree], tuple[Array, Residuals]]
    backward: Callable[[Residuals], Tree]
    check: Callable[[Tree, Tree], None] = lambda prediction, target: None


def _squared_error() -> Loss:
    """Squared error, L = 1/N Σ_n ‖ŷ_n − y_n‖²; ∂L/∂ŷ = 2 (ŷ − y)/N. Keeps ŷ − y.

    ŷ and y (N, outputs) or (N,), alike and floating: (N, 1) minus (N,) would be N×N. Legendre's and
    Gauss's least squares, without the ½ that some put before it.
    """
    check = partial(checks.same_form, "squared_error")

    def forward(prediction: Array, target: Array) -> tuple[Array, Array]:
        check(prediction, target)
        error = prediction - target
        return (error * error).mean() * (error.size // len(error)), error

    def backward(error: Array) -> Array:
        return 2 * error / len(error)

    return Loss(forward, backward, check)


def _absolute_error() -> Loss:
    """Absolute error, L = 1/N Σ_n ‖ŷ_n − y_n‖₁; ∂L/∂ŷ = sign(ŷ − y)/N, and 0 at ŷ = y.

    Keeps the sign. ŷ and y (N, outputs) or (N,), alike and floating. Every error pulls alike, large
    or small, which is why outliers do not drag the fit: it estimates the median, as the squared
    error does the mean.
    """
    check = partial(checks.same_form, "absolute_error")

    def forward(prediction: Array, target: Array) -> tuple[Array, Array]:
        check(prediction, target)
        error = prediction - target
        return jnp.abs(error).mean() * (error.size // len(error)), jnp.sign(error)

    def backward(sign: Array) -> Array:
        return sign / len(sign)

    return Loss(forward, backward, check)


def huber(delta: float = 1.0) -> Loss:
    """Huber's loss, L = 1/N Σ h(ŷ − y), h(e) = e²/2 if |e| ≤ δ, else δ (|e| − δ/2) (Huber, 1964).

    h'(e) is e, clipped to ±δ: a squared error for small errors, an absolute one for large. It keeps
    just that. ŷ and y (N, outputs) or (N,), alike and floating. Raises ValueError unless delta is
    positive.
    """
    delta = checks.positive_number("huber", "delta", delta)
    check = partial(checks.same_form, f"huber({delta})")

    def forward(prediction: Array, target: Array) -> tuple[Array, Array]:
        check(prediction, target)
        error = prediction - target
        clipped = jnp.clip(error, -delta, delta)
        # clipped (error − clipped/2): e²/2 inside, δ (|e| − δ/2) outside.
        return (clipped * (error - clipped / 2)).mean() * (error.size // len(error)), clipped

    def backward(clipped: Array) -> Array:
        return clipped / len(clipped)

    return Loss(forward, backward, check)


def _logistic() -> Loss:
    """Logistic loss of one logit z, with labels y in {0, 1} (Cox, 1958).

    The cross-entropy of p = σ(z): −log p where y = 1, −log(1 − p) where y = 0. Both are
    log(1 + e^(sz)), with s = −1 where y = 1 and s = 1 where y = 0, a form that neither overflows
    nor cancels:

        L = 1/N Σ_n log(1 + exp(s_n z_n))      ∂L/∂z = s σ(s z)/N, which is (σ(z) − y)/N

    z (N, 1), as `linear(1)` gives it; y (N,) of integers. Keeps z and s.
    """
    check = partial(checks.labels, "logistic", classes=2, columns=1)

    def forward(prediction: Array, target: Array) -> tuple[Array, Residuals]:
        check(prediction, target)
        s = 1 - 2 * target[:, None].astype(prediction.dtype)
        return jnp.logaddexp(s * prediction, 0).mean(), (prediction, s)

    def backward(residuals: tuple[Array, Array]) -> Array:
        logit, s = residuals
        return s * jax.nn.sigmoid(s * logit) / len(logit)

    return Loss(forward, backward, check)


def _cross_entropy() -> Loss:
    """Cross-entropy of probabilities, L = −1/N Σ_n log p_n,y(n), for use after `softmax`.

    ∂L/∂p_nj = −1/(N p_nj) where j is example n's label, else 0. p (N, classes), rows summing to 1;
    labels (N,) of integers. Keeps p and the labels.

    A probability may underflow to 0, whose log is −∞. It then counts as the smallest normal number
    of its dtype; the loss stays finite, but it is flat there, and its derivative 0: the example no
    longer teaches. `softmax_cross_entropy`, which never forms p, has no such edge.
    """

    def check(prediction: Array, target: Array) -> None:
        checks.labels("cross_entropy", prediction, target)
        checks.probabilities("cross_entropy", prediction)

    def forward(prediction: Array, target: Array) -> tuple[Array, Residuals]:
        check(prediction, target)
        label = target.astype(jnp.int32)  # one_hot, in backward, would wrap in uint8
        p = jnp.take_along_axis(prediction, label[:, None], axis=1)
        tiny = jnp.finfo(p.dtype).tiny
        return -jnp.log(jnp.where(p > tiny, p, tiny)).mean(), (prediction, label)

    def backward(residuals: tuple[Array, Array]) -> Array:
        p, label = residuals
        # The divisor is safe even where the slope is not used: 0/0 would be NaN.
        slope = jnp.where(p > jnp.finfo(p.dtype).tiny, -1 / jnp.where(p > 0, p, 1), 0) / len(p)
        return slope * jax.nn.one_hot(label, p.shape[1], dtype=p.dtype)

    return Loss(forward, backward, check)


def _softmax_cross_entropy() -> Loss:
    """Cross-entropy of softmax, from the logits z: L = 1/N Σ_n (log Σ_k exp z_nk − z_n,y(n)).

    With p = softmax(z), the two derivatives collapse into ∂L/∂z_nj = (p_nj − [j = y(n)])/N: what
    was predicted, less what was so (Bishop, Pattern Recognition and Machine Learning, §4.3.4).

    z (N, classes); labels (N,) of integers. Keeps p and the labels. Each row's largest logit is
    subtracted first, which changes nothing and lets nothing overflow: L and its derivative are
    finite for any finite logits. A logit of −∞ has p = 0 and gradient 0.
    """
    check = partial(checks.labels, "softmax_cross_entropy")

    def forward(prediction: Array, target: Array) -> tuple[Array, Residuals]:
        check(prediction, target)
        label = target.astype(jnp.int32)  # one_hot, in backward, would wrap in uint8
        z = prediction - prediction.max(1, keepdims=True)
        exp_z = jnp.exp(z)
        total = exp_z.sum(1, keepdims=True)
        loss = jnp.log(total) - jnp.take_along_axis(z, label[:, None], axis=1)
        # p is kept, not log p: XLA would repeat the exp wherever the gradient is read.
        return loss.mean(), (exp_z / total, label)

    def backward(residuals: tuple[Array, Array]) -> Array:
        p, label = residuals
        return (p - jax.nn.one_hot(label, p.shape[1], dtype=p.dtype)) / len(p)

    return Loss(forward, backward, check)


squared_error = _squared_error()
absolute_error = _absolute_error()
logistic = _logistic()
cross_entropy = _cross_entropy()
softmax_cross_entropy = _softmax_cross_entropy()

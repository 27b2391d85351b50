"""What users get wrong, said before the first step.

JAX is silent about much: a label out of range is clamped, (N, 1) minus (N,) is N×N, float64 becomes
float32, the mean of an empty batch is NaN. Each check here raises ValueError or TypeError with the name of
what was wrong, what was got, what was expected, and, where there is one, the call that would have worked.

Shapes and dtypes are known even while JAX traces a function; values only outside it. A check of values
passes over what it cannot see.
"""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from backhand.layer import Layer


def positive_integer(caller: str, name: str, value: Any, least: int = 1) -> None:
    """Raise unless `value` is an integer of at least `least`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{caller}: {name} should be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{caller}: {name} should be at least {least}, got {value}")


def finite_number(caller: str, name: str, value: Any) -> float:
    """The value as a Python float, which takes on any array's dtype; raise unless it is a finite real number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{caller}: {name} should be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{caller}: {name} should be finite, got {value}")
    return float(value)


def positive_number(caller: str, name: str, value: Any) -> float:
    """The value as a Python float; raise unless it is a finite number above 0."""
    finite_number(caller, name, value)
    if value <= 0:
        raise ValueError(f"{caller}: {name} should be above 0, got {value}")
    return float(value)


def positive_float32(caller: str, name: str, value: Any) -> float:
    """The value as a Python float; raise unless it is above 0 and at most 1e30, which float32 can work with."""
    if positive_number(caller, name, value) > 1e30:
        raise ValueError(f"{caller}: {name} should be a number float32 can work with, got {value}")
    return float(value)


def seed_in_range(caller: str, value: Any, count: int = 1) -> None:
    """Raise unless `value`, and each of the `count` integers from it on, is a seed: from 0 to 2³² − 1."""
    positive_integer(caller, "seed", value, least=0)
    if value + count > 2**32:
        above = f"{value}, and {count - 1} above it" if count > 1 else value
        raise ValueError(f"{caller}: seed should be below 2**32, got {above}")


def non_negative_number(caller: str, name: str, value: Any) -> float:
    """The value as a Python float; raise unless it is a finite number, 0 or above."""
    finite_number(caller, name, value)
    if value < 0:
        raise ValueError(f"{caller}: {name} should be at least 0, got {value}")
    return float(value)


def image_shape(caller: str, value: Any) -> tuple[int, int]:
    """The value; raise unless it is (height, width), two positive integers."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{caller}: image_shape should be (height, width), such as (28, 28), got {value!r}")
    for side in value:
        positive_integer(caller, "image_shape", side)
    return value[0], value[1]


def fraction(caller: str, name: str, value: Any) -> float:
    """The value as a Python float; raise unless it is from 0 to below 1."""
    finite_number(caller, name, value)
    if not 0 <= value < 1:
        raise ValueError(f"{caller}: {name} should be from 0 to below 1, got {value}")
    return float(value)


def layers(caller: str, candidates: Sequence[Any], at_least: int = 0) -> None:
    """Raise unless every candidate is a Layer."""
    for position, layer in enumerate(candidates, start=1):
        if isinstance(layer, Layer):
            continue
        hint = f"; unpack it: {caller}(*layers)" if isinstance(layer, list | tuple) else _called(layer)
        raise TypeError(f"{caller}: argument {position} should be a Layer, got {layer!r}{hint}")
    if len(candidates) < at_least:
        raise ValueError(f"{caller} needs at least {at_least} layer, got {len(candidates)}")


def net(caller: str, candidate: Any) -> None:
    """Raise unless the candidate is a Layer."""
    if not isinstance(candidate, Layer):
        listed = isinstance(candidate, list | tuple) and all(isinstance(part, Layer) for part in candidate)
        hint = "; serial(*layers) makes it one" if listed else _called(candidate)
        raise TypeError(f"{caller}: net should be a Layer, got {candidate!r}{hint}")


def _called(candidate: Any) -> str:
    return f"; did you mean {getattr(candidate, '__name__', 'it')}(...)?" if callable(candidate) else ""


def function(caller: str, name: str, candidate: Any, such_as: str = "") -> None:
    """Raise unless the candidate can be called."""
    if not callable(candidate):
        example = f" such as {such_as}" if such_as else ""
        raise TypeError(f"{caller}: {name} should be a function{example}, got {candidate!r}")


def loss(caller: str, candidate: Any) -> None:
    """Raise unless the candidate is a Loss, with a forward, a backward and a check."""
    if not all(hasattr(candidate, part) for part in ("forward", "backward", "check")):
        raise TypeError(f"{caller}: loss should be a Loss such as softmax_cross_entropy, got {candidate!r}")


def metrics(caller: str, candidates: Any) -> None:
    """Raise unless the candidates are functions in a list, with names that differ, none of them loss."""
    if not isinstance(candidates, list | tuple) or not all(
        callable(metric) and hasattr(metric, "__name__") for metric in candidates
    ):
        raise TypeError(
            f"{caller}: metrics should be a list of named functions such as [accuracy], got {candidates!r}"
        )
    names = ["loss", *(metric.__name__ for metric in candidates)]
    if len(set(names)) < len(names):
        raise ValueError(
            f"{caller}: metrics should have names of their own, other than loss, got {', '.join(names[1:])}"
        )


def params(caller: str, layer: Layer, candidate: Any, name: str, x: Any) -> None:
    """Raise unless the candidate has the form of the layer's params, and takes inputs like x, called `name`."""
    like = jax.ShapeDtypeStruct(x.shape, x.dtype)
    try:
        wanted = _shapes(jax.eval_shape(layer.init, jax.random.key(0), like))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{caller}: {name} of shape {x.shape} does not suit the net: {error}") from error
    got = _shapes(candidate)
    if got.keys() == wanted.keys():  # else what goes wrong says nothing of x
        try:
            jax.eval_shape(layer.apply, candidate, like)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{caller}: {name} of shape {x.shape} does not suit the params: {error}"
            ) from error
    if got != wanted:
        differences = [
            f"{leaf} is {got.get(leaf, 'missing')}, where the net has {wanted.get(leaf, 'none')}"
            for leaf in wanted | got
            if got.get(leaf) != wanted.get(leaf)
        ]
        raise ValueError(f"{caller}: params should be those of the net, but {'; '.join(differences[:3])}")


def _shapes(tree: Any) -> dict[str, str]:
    """The shape of each leaf of a tree, or its type where it has none, by its path in it."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): str(
            getattr(leaf, "shape", type(leaf).__name__)
        )
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


def target(caller: str, name: str, loss: Any, prediction: Any, candidate: Any) -> None:
    """Raise what `loss.check` raises, of a target that the caller calls `name`."""
    try:
        loss.check(prediction, candidate)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{caller}: {name} does not go with the net's predictions: {error}") from error


def summands(caller: str, names: Sequence[str], terms: Sequence[Any]) -> None:
    """Raise unless all terms of a sum have one shape."""
    if len({term.shape for term in terms}) > 1:
        got = ", ".join(f"{name} has shape {term.shape}" for name, term in zip(names, terms, strict=True))
        raise ValueError(f"{caller}: what is summed should have one shape, but {got}")


def matrix(caller: str, x: Any, inputs: int | None = None) -> None:
    """Raise unless x is, or stands for, a floating-point (batch, inputs) matrix."""
    array("x", x, caller)
    if len(x.shape) != 2:
        raise ValueError(
            f"{caller}: x should have shape (batch, inputs), got {x.shape}; x.reshape(len(x), -1) makes rows of it"
        )
    if inputs is not None and x.shape[1] != inputs:
        raise ValueError(f"{caller}: x should have shape (batch, {inputs}), as its params do, got {x.shape}")
    floating("x", x, caller)


def array(name: str, a: Any, caller: str) -> None:
    """Raise unless `a` has a shape and a dtype, a batch axis, and something in it."""
    if not hasattr(a, "shape") or not hasattr(a, "dtype"):
        raise TypeError(
            f"{caller}: {name} should be an array, got {type(a).__name__}; numpy.asarray makes it one"
        )
    if len(a.shape) == 0:
        raise ValueError(f"{caller}: {name} should have a batch axis, got a scalar")


def floating(name: str, a: Any, caller: str) -> None:
    """Raise unless `a` is floating, in a precision that JAX will keep."""
    if not jnp.issubdtype(a.dtype, jnp.floating):
        scale = f"{name}.astype('float32')" + (" / 255" if a.dtype == np.uint8 else "")
        raise TypeError(f"{caller}: {name} should be floating point, got {a.dtype}; {scale} makes it so")
    if jax.dtypes.canonicalize_dtype(a.dtype) != a.dtype:
        raise TypeError(
            f"{caller}: {name} is {a.dtype}, which JAX would silently round to "
            f"{jax.dtypes.canonicalize_dtype(a.dtype)}; pass {name}.astype('float32'), or ask for 64 bits with "
            f"jax.config.update('jax_enable_x64', True)"
        )


def examples(name: str, x: Any, caller: str) -> None:
    """Raise unless x is a non-empty floating array without NaN or infinity."""
    array(name, x, caller)
    not_empty(name, x, caller)
    floating(name, x, caller)
    finite(name, x, caller)


def not_empty(name: str, a: Any, caller: str) -> None:
    """Raise where `a` has no examples: their mean would be NaN."""
    if a.shape[0] == 0:
        raise ValueError(
            f"{caller}: {name} is empty, of shape {a.shape}; the mean over no examples is not a number"
        )


def finite(name: str, a: Any, caller: str) -> None:
    """Raise where a value of `a` is NaN or infinite, and say which is the first."""
    if not known(a):
        return
    bad = ~np.isfinite(np.asarray(a, dtype=np.float64 if a.dtype == np.float64 else np.float32))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{caller}: {name} should be finite, but {bad.sum()} of its {bad.size} values are not; "
            f"the first is {name}[{', '.join(map(str, where))}] = {np.asarray(a)[where]}"
        )


def known(a: Any) -> bool:
    """Whether the values of `a` can be read now: it is an array, and not one that is being traced."""
    return isinstance(a, np.ndarray | jax.Array) and not isinstance(a, jax.core.Tracer)


def same_form(caller: str, prediction: Any, target: Any) -> None:
    """Raise unless prediction and target have one shape and one floating dtype, and target is finite."""
    array("target", target, caller)
    array("prediction", prediction, caller)
    if target.shape != prediction.shape:
        hint = ""
        if math.prod(target.shape) == math.prod(prediction.shape):
            hint = f"; target.reshape({', '.join(map(str, prediction.shape))}) would fit"
        raise ValueError(
            f"{caller}: target should have the prediction's shape {prediction.shape}, got {target.shape}{hint}"
        )
    not_empty("target", target, caller)
    if target.dtype != prediction.dtype:
        raise TypeError(
            f"{caller}: target should have the prediction's dtype {prediction.dtype}, got {target.dtype}; "
            f"target.astype('{prediction.dtype}') would fit"
        )
    floating("target", target, caller)
    finite("target", target, caller)


def labels(
    caller: str, prediction: Any, target: Any, classes: int | None = None, columns: int | None = None
) -> None:
    """Raise unless target holds a label in 0 … classes−1 for each row of prediction (N, columns).

    There are as many classes as columns, unless said otherwise.
    """
    array("target", target, caller)
    array("prediction", prediction, caller)
    rows = f"(batch, {columns or 'classes'})"
    if len(prediction.shape) != 2 or prediction.shape[1] != (columns or prediction.shape[1]):
        raise ValueError(f"{caller}: the prediction should have shape {rows}, got {prediction.shape}")
    if not jnp.issubdtype(target.dtype, jnp.integer):
        hint = "; target.astype('int32') would fit" if len(target.shape) == 1 else ""
        raise TypeError(f"{caller}: target should hold integer labels, got {target.dtype}{hint}")
    if target.shape != prediction.shape[:1]:
        hint = "; target.argmax(1) makes labels of one-hot rows" if target.shape == prediction.shape else ""
        hint = "; target[:, 0] would fit" if target.shape == (prediction.shape[0], 1) else hint
        raise ValueError(
            f"{caller}: target should have shape {prediction.shape[:1]}, a label for each example, "
            f"got {target.shape}{hint}"
        )
    not_empty("target", target, caller)
    if known(target):
        classes = classes or prediction.shape[1]
        y = np.asarray(target)
        if y.min() < 0 or y.max() >= classes:
            where = int(np.argmax((y < 0) | (y >= classes)))
            raise ValueError(
                f"{caller}: target should hold labels from 0 to {classes - 1}, for {classes} classes, "
                f"but target[{where}] is {y[where]}"
            )


def probabilities(caller: str, prediction: Any) -> None:
    """Raise where prediction's rows are seen not to be probabilities."""
    if not known(prediction):
        return
    p = np.asarray(prediction, dtype=np.float64)
    sums = p.sum(1)
    bad = (
        (p < 0).any(1) | (p > 1.001).any(1) | (abs(sums - 1) > 0.05)
    )  # loose enough for bfloat16; false for NaN
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"{caller}: the prediction should hold probabilities, each row summing to 1, but row {row} is "
            f"from {p[row].min():.3g} to {p[row].max():.3g} and sums to {sums[row]:.3g}; end the net with softmax, or "
            f"give its logits to softmax_cross_entropy"
        )


def same_tree(caller: str, name: str, got: Any, wanted: Any) -> None:
    """Raise unless two trees have one structure, and their leaves the same shapes and dtypes."""
    forms = [jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree) for tree in (got, wanted)]
    if forms[0] != forms[1]:
        raise ValueError(f"{caller}: {name} should have the form {forms[1]}, got {forms[0]}")


def key(caller: str, candidate: Any) -> None:
    """Raise unless the candidate is one typed PRNG key."""
    if not (isinstance(candidate, jax.Array) and jnp.issubdtype(candidate.dtype, jax.dtypes.prng_key)):
        raise TypeError(f"{caller}: key should be a typed key such as jax.random.key(0), got {candidate!r}")
    if candidate.shape != ():
        raise ValueError(f"{caller}: key should be one key, got an array of keys of shape {candidate.shape}")


def optimizer(caller: str, candidate: Any) -> None:
    """Raise unless the candidate is one of optax's optimizers."""
    if not isinstance(candidate, optax.GradientTransformation):
        raise TypeError(
            f"{caller}: optimizer should be one of optax's, such as optax.adam(1e-3), got {candidate!r}"
        )


def descent(caller: str, candidate: optax.GradientTransformation, params: Any) -> None:
    """Raise unless an optimizer goes downhill, or at first stands still.

    A learning rate is out of sight, in its optimizer's closures, so it is judged by what it does: with
    every parameter 0, it is told of gradients of +1, then of −1. Descent goes down, then up.
    """

    # One entry stands for each array: the optimizer is asked for a direction, not to do the work.
    zeros = jax.tree.map(lambda p: jnp.zeros((1,) * p.ndim, p.dtype), params)

    @jax.jit
    def move(gradient: float) -> list[Any]:
        gradients = jax.tree.map(lambda p: jnp.full_like(p, gradient), zeros)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its int32 counts with floats
            updates, _ = candidate.update(gradients, candidate.init(zeros), zeros)
        return jax.tree.leaves(updates)

    with jax.ensure_compile_time_eval():  # also where init_state itself is being traced
        try:
            down, up = (sum(float(u.sum()) for u in move(gradient)) for gradient in (1.0, -1.0))
        except TypeError as error:
            raise TypeError(
                f"{caller}: optimizer needs more than gradients, state and params: {error}"
            ) from error
    if not math.isfinite(down) or not math.isfinite(up) or down > up:
        raise ValueError(
            f"{caller}: optimizer should go downhill, but where every gradient is +1 it moves the parameters by "
            f"{down:+.3g} in all; its learning rate should be a finite number above 0, and a chain of optax's "
            f"scale_by_… needs optax.scale_by_learning_rate(1e-3) at its end"
        )


def batch(caller: str, x: Any, y: Any) -> None:
    """Raise unless x is a floating array, not empty, and y an array with as many examples."""
    array("x", x, caller)
    array("y", y, caller)
    not_empty("x", x, caller)
    floating("x", x, caller)
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"{caller}: x and y should have as many examples, got x {x.shape} and y {y.shape}")


def batches(caller: str, count: int, batch_size: Any) -> None:
    """Raise unless at least one batch of `batch_size` can be drawn from `count` examples."""
    positive_integer(caller, "batch_size", batch_size)
    if batch_size > count:
        raise ValueError(
            f"{caller}: batch_size should be at most the number of examples, {count}, got {batch_size}"
        )

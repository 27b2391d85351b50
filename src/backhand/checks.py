"""Users' mistakes, refused before the first step.

JAX is silent about many: a label out of range is clamped, (N, 1) minus (N,) is N×N, float64 becomes
float32, the mean of an empty batch is NaN. Each check raises ValueError or TypeError and names the
function that was called, the argument, what was expected, what was got and, if there is one, the
call that would have worked. All take (caller, name, value, …), in this order.

Shapes and dtypes are known even while JAX traces a function, values only outside it. A check of
values passes over what it cannot read.
"""

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from backhand.layer import Array, Key, Layer, Params, Shaped, Tree


def shown(value: object) -> str:
    """A value in one line, of at most 80 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:60]}… ({type(value).__name__})"


def positive_integer(caller: str, name: str, value: object, least: int = 1) -> int:
    """The value; raise unless it is an integer of at least `least`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{caller}: {name} should be an integer, got {shown(value)}")
    if int(value) < least:
        raise ValueError(f"{caller}: {name} should be at least {least}, got {value}")
    return int(value)


def finite_number(caller: str, name: str, value: object) -> float:
    """The value as a Python float, which adopts any array's dtype; raise unless it is finite."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{caller}: {name} should be a number, got {shown(value)}")
    if not math.isfinite(value):
        raise ValueError(f"{caller}: {name} should be finite, got {value}")
    return float(value)


def _number(caller: str, name: str, value: object, fits: Callable[[float], bool], be: str) -> float:
    number = finite_number(caller, name, value)
    if not fits(number):
        raise ValueError(f"{caller}: {name} should be {be}, got {value}")
    return number


def positive_number(caller: str, name: str, value: object) -> float:
    """The value as a Python float; raise unless it is a finite number above 0."""
    return _number(caller, name, value, lambda v: v > 0, "above 0")


def positive_float32(caller: str, name: str, value: object) -> float:
    """The value as a Python float; raise unless it is above 0 and at most 1e30 (float32)."""
    positive_number(caller, name, value)
    return _number(caller, name, value, lambda v: v <= 1e30, "a number float32 can work with")


def non_negative_number(caller: str, name: str, value: object) -> float:
    """The value as a Python float; raise unless it is a finite number of at least 0."""
    return _number(caller, name, value, lambda v: v >= 0, "at least 0")


def fraction(caller: str, name: str, value: object) -> float:
    """The value as a Python float; raise unless it is from 0 to below 1."""
    return _number(caller, name, value, lambda v: 0 <= v < 1, "from 0 to below 1")


def within(caller: str, name: str, value: object, low: float, high: float) -> float:
    """The value as a Python float; raise unless it is from `low` to `high`."""
    return _number(caller, name, value, lambda v: low <= v <= high, f"from {low:g} to {high:g}")


def different(caller: str, name: str, values: Sequence[object]) -> None:
    """Raise unless there is at least one value, and each once."""
    if not values or len(set(values)) < len(values):
        got = " ".join(map(str, values)) or "none"
        raise ValueError(f"{caller}: {name} should be one or more, each once, got {got}")


def seed_in_range(caller: str, value: object, count: int = 1) -> None:
    """Raise unless `value` and the `count` − 1 integers above it are seeds: from 0 to 2³² − 1."""
    first = positive_integer(caller, "seed", value, least=0)
    if first + count > 2**32:
        above = f"{first}, and {count - 1} above it" if count > 1 else first
        raise ValueError(f"{caller}: seed should be below 2**32, got {above}")


def image_shape(caller: str, name: str, value: object) -> tuple[int, int]:
    """The value; raise unless it is (height, width), two positive integers."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        wanted = "(height, width), such as (28, 28)"
        raise TypeError(f"{caller}: {name} should be {wanted}, got {shown(value)}")
    height, width = (positive_integer(caller, name, side) for side in value)
    return height, width


def layers(caller: str, candidates: Sequence[object], at_least: int = 0) -> None:
    """Raise unless every candidate is a Layer."""
    for position, layer in enumerate(candidates, start=1):
        net(caller, f"argument {position}", layer, f"unpack it: {caller}(*layers)")
    if len(candidates) < at_least:
        raise ValueError(f"{caller} needs at least {at_least} layer, got {len(candidates)}")


def net(
    caller: str, name: str, candidate: object, hint: str = "serial(*layers) makes it one"
) -> None:
    """Raise unless the candidate is a Layer; of a list, `hint` says how to pass it."""
    if isinstance(candidate, Layer):
        return
    if callable(candidate):
        hint = f"did you mean {getattr(candidate, '__name__', 'it')}(...)?"
    elif not isinstance(candidate, list | tuple):
        hint = ""
    got = f"got {shown(candidate)}{'; ' if hint else ''}{hint}"
    raise TypeError(f"{caller}: {name} should be a Layer, {got}")


def function(caller: str, name: str, candidate: object, such_as: str = "") -> None:
    """Raise unless the candidate can be called."""
    if not callable(candidate):
        example = f" such as {such_as}" if such_as else ""
        raise TypeError(f"{caller}: {name} should be a function{example}, got {shown(candidate)}")


def loss(caller: str, name: str, candidate: object) -> None:
    """Raise unless the candidate is a Loss, with a forward, a backward and a check."""
    if not all(hasattr(candidate, part) for part in ("forward", "backward", "check")):
        wanted = "a Loss such as softmax_cross_entropy"
        raise TypeError(f"{caller}: {name} should be {wanted}, got {shown(candidate)}")


def optimizer(caller: str, name: str, candidate: object) -> None:
    """Raise unless the candidate is one of optax's optimizers."""
    if not isinstance(candidate, optax.GradientTransformation):
        wanted = "one of optax's, such as optax.adam(1e-3)"
        raise TypeError(f"{caller}: {name} should be {wanted}, got {shown(candidate)}")


def metrics(caller: str, name: str, candidates: object) -> None:
    """Raise unless the candidates are a list of functions with names of their own, not loss."""
    if not isinstance(candidates, list | tuple) or not all(
        callable(metric) and hasattr(metric, "__name__") for metric in candidates
    ):
        wanted = "a list of named functions such as [accuracy]"
        raise TypeError(f"{caller}: {name} should be {wanted}, got {shown(candidates)}")
    names = [metric.__name__ for metric in candidates]
    if len({"loss", *names}) < 1 + len(names):
        wanted = "names of their own, other than loss"
        raise ValueError(f"{caller}: {name} should have {wanted}, got {', '.join(names)}")


def key(caller: str, name: str, candidate: object) -> None:
    """Raise unless the candidate is one typed PRNG key."""
    shape = _typed_key(caller, name, candidate)
    if shape != ():
        raise ValueError(f"{caller}: {name} should be one key, got an array of shape {shape}")


def keys(caller: str, name: str, candidate: object) -> None:
    """Raise unless the candidate is one typed PRNG key, or an array (n,) of them."""
    shape = _typed_key(caller, name, candidate)
    if len(shape) > 1 or shape == (0,):
        raise ValueError(f"{caller}: {name} should be a key or an array (n,) of keys, got {shape}")


def _typed_key(caller: str, name: str, candidate: object) -> tuple[int, ...]:
    """The shape of what should be a key or an array of keys."""
    if not isinstance(candidate, Key) or not jnp.issubdtype(candidate.dtype, jax.dtypes.prng_key):
        wanted = "a typed key such as jax.random.key(0)"
        raise TypeError(f"{caller}: {name} should be {wanted}, got {shown(candidate)}")
    return candidate.shape


def params(caller: str, name: str, x: Shaped, layer: Layer, candidate: Params) -> None:
    """Raise unless the candidate has the form of the layer's params and takes x, called `name`."""
    like = jax.ShapeDtypeStruct(x.shape, x.dtype)
    unsuited = f"{caller}: {name} of shape {x.shape} does not suit the"
    alive(caller, "params", candidate)
    try:
        wanted = _shapes(jax.eval_shape(layer.init, jax.random.key(0), like))
    except (TypeError, ValueError) as error:
        raise _kind(error)(f"{unsuited} net: {error}") from error
    got = _shapes(candidate)
    if got.keys() == wanted.keys():  # otherwise the error would say nothing about x
        try:
            jax.eval_shape(layer.apply, candidate, like)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{unsuited} params: {error}") from error
    if got != wanted:
        differences = [
            f"{leaf} is {got.get(leaf, 'missing')}, where the net has {wanted.get(leaf, 'none')}"
            for leaf in wanted | got
            if got.get(leaf) != wanted.get(leaf)
        ]
        shown = "; ".join(differences[:3])
        raise ValueError(f"{caller}: params should be those of the net, but {shown}")


def _shapes(tree: Tree) -> dict[str, str]:
    """Each leaf's shape, or its type if it has none, by its path in the tree."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = (jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in flat)
    shapes = (str(getattr(leaf, "shape", type(leaf).__name__)) for _, leaf in flat)
    return dict(zip(names, shapes, strict=True))


def _kind(error: Exception) -> type[Exception]:
    return TypeError if isinstance(error, TypeError) else ValueError


def target(caller: str, name: str, loss: Any, prediction: Tree, candidate: Tree) -> None:
    """Raise what `loss.check` raises about a target that the caller calls `name`."""
    try:
        loss.check(prediction, candidate)
    except (TypeError, ValueError) as error:
        says = f"{caller}: {name} does not go with the net's predictions: {error}"
        raise _kind(error)(says) from error


def same_tree(caller: str, name: str, got: Tree, wanted: Tree) -> None:
    """Raise unless two trees have one structure, and their leaves the same shapes and dtypes."""
    a, b = (jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", t) for t in (got, wanted))
    if a != b:
        raise ValueError(f"{caller}: {name} should have the form {b}, got {a}")


def summands(caller: str, names: Sequence[str], terms: Sequence[Shaped]) -> None:
    """Raise unless all terms of a sum have one shape."""
    shapes = [term.shape for term in terms]
    if len(set(shapes)) > 1:
        got = ", ".join(f"{name} has shape {s}" for name, s in zip(names, shapes, strict=True))
        raise ValueError(f"{caller}: what is summed should have one shape, but {got}")


def matrix(caller: str, name: str, x: Shaped, inputs: int | None = None) -> None:
    """Raise unless x is, or stands for, a floating-point (batch, inputs) matrix."""
    array(caller, name, x)
    if len(x.shape) != 2:
        hint = f"{name}.reshape(len({name}), -1) makes rows of it"
        wanted = "should have shape (batch, inputs)"
        raise ValueError(f"{caller}: {name} {wanted}, got {x.shape}; {hint}")
    if x.shape[1] == 0:
        raise ValueError(f"{caller}: {name} should have at least one column, got {x.shape}")
    if inputs is not None and x.shape[1] != inputs:
        wanted = f"(batch, {inputs}), as its params do"
        raise ValueError(f"{caller}: {name} should have shape {wanted}, got {x.shape}")
    floating(caller, name, x)


def array(caller: str, name: str, a: object) -> None:
    """Raise unless `a` is an array with a batch axis that JAX can take as it is."""
    if not hasattr(a, "shape") or not hasattr(a, "dtype"):
        got = f"got {type(a).__name__}; numpy.asarray makes it one"
        raise TypeError(f"{caller}: {name} should be an array, {got}")
    if len(a.shape) == 0:
        raise ValueError(f"{caller}: {name} should have a batch axis, got a scalar")
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError(f"{caller}: {name} should have no mask; {name}.filled(0) has none")
    if not getattr(a.dtype, "isnative", True):
        native = a.dtype.newbyteorder("=")
        wanted = f"the byte order of this machine, got {a.dtype}"
        raise TypeError(f"{caller}: {name} should have {wanted}; {name}.astype('{native}') has it")
    alive(caller, name, a)


def alive(caller: str, name: str, tree: Tree) -> None:
    """Raise if an array in the tree was deleted, as those that a compiled function was donated."""
    if any(known(a) and isinstance(a, Array) and a.is_deleted() for a in jax.tree.leaves(tree)):
        raise ValueError(
            f"{caller}: the arrays of {name} were deleted: a function that donates them, such as "
            f"make_epoch's, used their memory for what it returned"
        )


def floating(caller: str, name: str, a: Shaped) -> None:
    """Raise unless `a` is floating, in a precision that JAX will keep."""
    if not jnp.issubdtype(a.dtype, jnp.floating):
        made = f"{name}.astype('float32')" + (" / 255" if a.dtype == np.uint8 else "")
        got = f"got {a.dtype}; {made} makes it so"
        raise TypeError(f"{caller}: {name} should be floating point, {got}")
    kept(caller, name, a)


def numeric(caller: str, name: str, a: Shaped) -> None:
    """Raise unless `a` has numbers."""
    if not jnp.issubdtype(a.dtype, np.number) and a.dtype != np.bool_:
        raise TypeError(f"{caller}: {name} should have numbers in it, got {a.dtype}")


def kept(caller: str, name: str, a: Shaped) -> None:
    """Raise unless `a` has numbers, of a dtype that JAX will keep."""
    numeric(caller, name, a)
    dtype = jax.dtypes.canonicalize_dtype(a.dtype)
    if dtype != a.dtype:
        raise TypeError(
            f"{caller}: {name} is {a.dtype}, which JAX would silently round to {dtype}; pass "
            f"{name}.astype('{dtype}'), or ask for 64 bits with "
            f"jax.config.update('jax_enable_x64', True)"
        )


def examples(caller: str, name: str, x: Shaped) -> None:
    """Raise unless x is a non-empty array of numbers, none of them NaN or infinite."""
    array(caller, name, x)
    not_empty(caller, name, x)
    kept(caller, name, x)
    finite(caller, name, x)


def not_empty(caller: str, name: str, a: Shaped) -> None:
    """Raise if `a` has no examples: their mean would be NaN."""
    if a.shape[0] == 0:
        why = "the mean over no examples is not a number"
        raise ValueError(f"{caller}: {name} is empty, of shape {a.shape}; {why}")


def finite(caller: str, name: str, a: Shaped) -> None:
    """Raise if a value of `a` is NaN or infinite, and say which is the first."""
    if not known(a) or not jnp.issubdtype(a.dtype, jnp.floating):
        return
    bad = ~np.isfinite(np.asarray(a, dtype=np.float64 if a.dtype == np.float64 else np.float32))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        first = f"{name}[{', '.join(map(str, where))}] = {np.asarray(a)[where]}"
        raise ValueError(
            f"{caller}: {name} should be finite, but {bad.sum()} of its {bad.size} values are not; "
            f"the first is {first}"
        )


def known(a: object) -> bool:
    """Whether the values of `a` can be read now: it is an array, and JAX is not tracing it."""
    return isinstance(a, np.ndarray | Array) and not isinstance(a, jax.core.Tracer)


def same_form(caller: str, prediction: Shaped, target: Shaped) -> None:
    """Raise unless target is finite and has the prediction's shape and floating dtype."""
    array(caller, "target", target)
    array(caller, "prediction", prediction)
    if target.shape != prediction.shape:
        hint = ""
        if math.prod(target.shape) == math.prod(prediction.shape):
            hint = f"; target.reshape({', '.join(map(str, prediction.shape))}) would fit"
        wanted = f"the prediction's shape {prediction.shape}"
        raise ValueError(f"{caller}: target should have {wanted}, got {target.shape}{hint}")
    not_empty(caller, "target", target)
    if target.dtype != prediction.dtype:
        hint = f"target.astype('{prediction.dtype}') would fit"
        wanted = f"the prediction's dtype {prediction.dtype}"
        raise TypeError(f"{caller}: target should have {wanted}, got {target.dtype}; {hint}")
    floating(caller, "target", target)
    finite(caller, "target", target)


def labels(
    caller: str, prediction: Shaped, target: Shaped, classes: int = 0, columns: int = 0
) -> None:
    """Raise unless target has a label in 0 … classes−1 for each row of prediction (N, columns).

    0 classes are as many as there are columns, 0 columns any number.
    """
    array(caller, "target", target)
    array(caller, "prediction", prediction)
    got = prediction.shape
    if len(got) != 2 or got[1] != (columns or got[1]):
        wanted = f"(batch, {columns or 'classes'})"
        raise ValueError(f"{caller}: the prediction should have shape {wanted}, got {got}")
    if not jnp.issubdtype(target.dtype, jnp.integer):
        hint = "; target.astype('int32') would fit" if len(target.shape) == 1 else ""
        raise TypeError(f"{caller}: target should hold integer labels, got {target.dtype}{hint}")
    if target.shape != got[:1]:
        hint = ""
        if target.shape == (got[0], 1):
            hint = "; target[:, 0] would fit"
        elif target.shape == got:
            hint = "; target.argmax(1) makes labels of one-hot rows"
        wanted = f"{got[:1]}, a label for each example"
        raise ValueError(f"{caller}: target should have shape {wanted}, got {target.shape}{hint}")
    not_empty(caller, "target", target)
    if known(target):
        classes = classes or got[1]
        y = np.asarray(target)
        if y.min() < 0 or y.max() >= classes:
            where = int(np.argmax((y < 0) | (y >= classes)))
            raise ValueError(
                f"{caller}: target should hold labels from 0 to {classes - 1}, for {classes} "
                f"classes, but target[{where}] is {y[where]}"
            )


def probabilities(caller: str, prediction: Shaped) -> None:
    """Raise if prediction's values can be read and its rows are not probabilities."""
    if not known(prediction):
        return
    p = np.asarray(prediction, dtype=np.float64)
    sums = p.sum(1)
    # Loose enough for bfloat16; false for NaN.
    bad = (p < 0).any(1) | (p > 1.001).any(1) | (abs(sums - 1) > 0.05)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"{caller}: the prediction should hold probabilities, each row summing to 1, but row "
            f"{row} is from {p[row].min():.3g} to {p[row].max():.3g} and sums to {sums[row]:.3g}; "
            f"end the net with softmax, or give its logits to softmax_cross_entropy"
        )


def descent_moves(
    caller: str, optimizer: optax.GradientTransformation, params: Params
) -> tuple[Array, Array]:
    """How far an optimizer moves parameters in all if every gradient is +1, and if all are −1.

    A learning rate is hidden in its optimizer's closures, so `descent` judges it by what it does to
    parameters that are 0. Can be traced. Raises TypeError if the optimizer needs more than
    gradients, its state and params.
    """
    # One entry stands for each array: the optimizer is asked for a direction, not to do the work.
    zeros = jax.tree.map(lambda p: jnp.zeros((1,) * p.ndim, p.dtype), params)

    def moved(gradient: float) -> Array:
        gradients = jax.tree.map(lambda p: jnp.full_like(p, gradient), zeros)
        try:
            with jax.numpy_dtype_promotion("standard"):  # optax mixes its int32 counts with floats
                updates, _ = optimizer.update(gradients, optimizer.init(zeros), zeros)
        except TypeError as error:
            says = "optimizer needs more than gradients, state and params"
            raise TypeError(f"{caller}: {says}: {error}") from error
        return sum((u.sum().astype(float) for u in jax.tree.leaves(updates)), start=jnp.zeros(()))

    return moved(1.0), moved(-1.0)


def descent(caller: str, down: float, up: float) -> None:
    """Raise unless these two `descent_moves` go down for +1 and up for −1, or are both 0."""
    if not math.isfinite(down) or not math.isfinite(up) or down > up:
        raise ValueError(
            f"{caller}: optimizer should go downhill, but where every gradient is +1 it moves the "
            f"parameters by {down:+.3g} in all; its learning rate should be a finite number above "
            f"0, and a chain of optax's scale_by_… needs optax.scale_by_learning_rate(1e-3) at its "
            f"end"
        )


def batch(caller: str, x: Shaped, y: Shaped) -> None:
    """Raise unless x is an array of numbers, not empty, and y an array with as many examples."""
    array(caller, "x", x)
    array(caller, "y", y)
    not_empty(caller, "x", x)
    kept(caller, "x", x)
    if x.shape[0] != y.shape[0]:
        got = f"got x {x.shape} and y {y.shape}"
        raise ValueError(f"{caller}: x and y should have as many examples, {got}")


def batches(caller: str, count: int, batch_size: object) -> None:
    """Raise unless at least one batch of `batch_size` can be drawn from `count` examples."""
    if positive_integer(caller, "batch_size", batch_size) > count:
        wanted = f"at most the number of examples, {count}"
        raise ValueError(f"{caller}: batch_size should be {wanted}, got {batch_size}")

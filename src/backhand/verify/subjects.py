"""What can be checked, in one form: a plain function, and a forward and backward that claim its gradient.

A `Layer`, a `Loss`, a `(forward, backward)` pair and a function with a `jax.custom_vjp` rule all become a
`Subject`. Its arguments are pytrees; their floating leaves get gradients, integers and keys none.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.layer import Layer
from backhand.losses import Loss

Arguments = tuple[Any, ...]


class Subject(NamedTuple):
    """A function and the gradient claimed for it.

    `forward` and `backward` take all arguments as one tuple; `backward` returns a gradient for each
    argument that has one. `resize(n)` gives the arguments with n examples, and is None where nobody said
    which axis counts examples. `check` raises where arguments are outside the function's domain.
    """

    name: str
    names: tuple[str, ...]
    arguments: Arguments
    function: Callable[[Arguments], Any]
    forward: Callable[[Arguments], tuple[Any, Any]]
    backward: Callable[[Arguments, Any, Any], Sequence[Any]]
    differentiable: tuple[bool, ...]
    resize: Callable[[int], Arguments] | None = None
    empty: bool = False  # whether 0 examples make sense
    check: Callable[[Arguments], None] = lambda arguments: None
    apply: Callable[[Arguments], Any] | None = (
        None  # what forward's value should equal, where that is another function
    )
    has_residuals: bool = True

    def rule(self, arguments: Arguments, dy: Any) -> Sequence[Any]:
        """The gradients by hand: backward after forward."""
        _, residuals = self.forward(arguments)
        return self.backward(arguments, residuals, dy)


def as_subject(subject: Any, inputs: Arguments, reference: Any, params: Any, seed: int) -> Subject:
    """Whatever `check_backward` was given, as a Subject with floating leaves in float64."""
    if isinstance(subject, Layer):
        return _from_layer(subject, inputs, params, seed)
    if params is not None:
        raise TypeError("check_backward: params go with a Layer; give a function's as one of its arguments")
    if isinstance(subject, Loss):
        return _from_loss(subject, inputs, seed)
    if isinstance(subject, tuple | list) and len(subject) == 2 and all(callable(part) for part in subject):
        return _from_pair(subject[0], subject[1], reference, inputs, seed)
    if callable(subject):
        return _from_function(subject, reference, inputs, seed)
    raise TypeError(
        f"check_backward: subject should be a Layer, a Loss, a (forward, backward) pair, or a function with a "
        f"custom_vjp rule and reference= the plain function, got {subject!r}"
    )


def _from_layer(layer: Layer, inputs: Arguments, params: Any, seed: int) -> Subject:
    if len(inputs) != 1:
        raise TypeError(f"check_backward: a Layer is checked on one x, got {len(inputs)} inputs")
    (x,) = filled(inputs, seed)
    init_key, key, other_key = jax.random.split(jax.random.key(seed), 3)
    key_data, other_data = jax.random.key_data(key), jax.random.key_data(other_key)

    def forward(arguments: Arguments, data: Any = key_data) -> tuple[Any, Any]:
        params, x = arguments
        return layer.forward(
            params, x, jax.random.wrap_key_data(data)
        )  # a key made afresh is never used twice

    if params is None:
        params = _off_zero(layer.init(init_key, x), seed)
    params = cast(params, jnp.float64)
    # Where another key gives another y, forward draws at random, and apply is another function.
    ys = [jax.tree.leaves(forward((params, x), data)[0]) for data in (key_data, other_data)]
    deterministic = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*ys, strict=True))
    return Subject(
        name=layer.name,
        names=("params", "x"),
        arguments=(params, x),
        function=lambda arguments: forward(arguments)[0],
        forward=forward,
        backward=lambda arguments, residuals, dy: layer.backward(arguments[0], residuals, dy),
        differentiable=(True, True),
        resize=lambda n: (params, rows(x, n)),
        empty=True,
        apply=(lambda arguments: layer.apply(*arguments)) if deterministic else None,
    )


def _from_loss(loss: Loss, inputs: Arguments, seed: int) -> Subject:
    if len(inputs) != 2:
        raise TypeError(
            f"check_backward: a Loss is checked on a prediction and a target, got {len(inputs)} inputs"
        )
    prediction, target = filled(inputs, seed)
    return Subject(
        name=loss.forward.__qualname__.split(".")[0].lstrip("_"),
        names=("prediction", "target"),
        arguments=(prediction, target),
        function=lambda arguments: loss.forward(*arguments)[0],
        forward=lambda arguments: loss.forward(*arguments),
        backward=lambda arguments, residuals, dy: (_scaled(loss.backward(residuals), dy), None),
        differentiable=(True, False),
        resize=lambda n: (rows(prediction, n), rows(target, n)),
        check=lambda arguments: loss.check(*arguments),
    )


def _scaled(dprediction: Any, dy: Any) -> Any:
    return jax.tree.map(lambda d: d * dy.astype(d.dtype), dprediction)


def _from_pair(forward: Any, backward: Any, reference: Any, inputs: Arguments, seed: int) -> Subject:
    arguments = filled(inputs, seed)
    plain = (lambda *args: forward(*args)[0]) if reference is None else reference

    def gradients(arguments: Arguments, residuals: Any, dy: Any) -> Sequence[Any]:
        given = backward(residuals, dy)
        alone = len(arguments) == 1 and not (isinstance(given, tuple) and len(given) == 1)
        return (given,) if alone else given

    return Subject(
        name=_name_of(forward),
        names=_argument_names(plain if reference else forward, len(arguments)),
        arguments=arguments,
        function=lambda arguments: plain(*arguments),
        forward=lambda arguments: forward(*arguments),
        backward=gradients,
        differentiable=(True,) * len(arguments),
        apply=None if reference is None else lambda arguments: reference(*arguments),
    )


def _from_function(function: Any, reference: Any, inputs: Arguments, seed: int) -> Subject:
    if reference is None:
        raise TypeError(
            "check_backward: give reference=, the plain function that the rule should agree with; "
            "jax.vjp of a custom_vjp function would be compared with itself"
        )
    arguments = filled(inputs, seed)

    def backward(arguments: Arguments, _: Any, dy: Any) -> Sequence[Any]:
        leaves = Leaves.of(arguments, (True,) * len(arguments))
        _, pull = jax.vjp(lambda values: function(*leaves.merge(values)), leaves.values)
        return leaves.merge(pull(dy)[0], others=None)

    return Subject(
        name=_name_of(function),
        names=_argument_names(reference, len(arguments)),
        arguments=arguments,
        function=lambda arguments: reference(*arguments),
        forward=lambda arguments: (function(*arguments), ()),
        backward=backward,
        differentiable=(True,) * len(arguments),
        apply=lambda arguments: reference(*arguments),
        has_residuals=False,
    )


class Leaves(NamedTuple):
    """The floating leaves of some arguments, their names, and the way back."""

    values: list[Any]
    paths: tuple[tuple[int, Any], ...]  # of each: its argument's number, its path in it
    merge: Callable[..., Arguments]

    @classmethod
    def of(cls, arguments: Arguments, differentiable: tuple[bool, ...]) -> "Leaves":
        """Take the arguments apart; `merge(values)` puts them together again around new values."""
        flat, treedef = flatten_with_path(arguments)
        takes_part = [differentiable[path[0].idx] and is_floating(leaf) for path, leaf in flat]
        others_now = [leaf for _, leaf in flat]

        def merge(values: Sequence[Any], others: Any = others_now) -> Any:
            rest = [None] * len(flat) if others is None else others
            fresh = iter(values)
            return treedef.unflatten(
                [next(fresh) if takes else old for takes, old in zip(takes_part, rest, strict=True)]
            )

        paths = tuple(
            (path[0].idx, path[1:]) for (path, _), takes in zip(flat, takes_part, strict=True) if takes
        )
        return cls([leaf for (_, leaf), takes in zip(flat, takes_part, strict=True) if takes], paths, merge)

    def labels(self, names: Sequence[str]) -> list[str]:
        """What people call each leaf's gradient: dw for params.w, dx for x, d(layers[0].w) deeper in."""
        labels = []
        for number, path in self.paths:
            steps = [
                str(getattr(step, "name", getattr(step, "key", getattr(step, "idx", "")))) for step in path
            ]
            if names[number] == "params" and len(steps) == 1:
                labels.append(f"d{steps[0]}" if steps[0].isidentifier() else f"dparams[{steps[0]}]")
            else:
                labels.append(".".join([f"d{names[number]}", *steps]))
        return labels


def flatten_with_path(tree: Any) -> tuple[list[tuple[Any, Any]], Any]:
    """The leaves with their paths, and the structure; its type has no stubs."""
    return jax.tree_util.tree_flatten_with_path(tree)


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """The leaves and the structure."""
    return jax.tree.flatten(tree)


def is_floating(leaf: Any) -> bool:
    """Whether a leaf is a floating-point array or number, to be differentiated by."""
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating) if not _is_key(leaf) else False


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def cast(tree: Any, dtype: Any) -> Any:
    """The tree with its floating leaves in another dtype."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype) if is_floating(leaf) else leaf, tree)


def filled(inputs: Arguments, seed: int) -> Arguments:
    """The inputs in float64, with standard normal numbers where only a shape was given."""
    rng = np.random.default_rng(seed)

    def fill(leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"check_backward: values are needed, not only a shape, for the {leaf.dtype} input {leaf}"
            )
        return jnp.asarray(rng.standard_normal(leaf.shape))

    filled: Arguments = cast(jax.tree.map(fill, inputs), jnp.float64)
    for leaf in jax.tree.leaves(filled):
        if is_floating(leaf):
            checks.finite("input", jnp.asarray(leaf), "check_backward")
    return filled


def _off_zero(params: Any, seed: int) -> Any:
    """Params a little off where init put them: a bias of 0 would hide what multiplies it."""
    rng = np.random.default_rng(seed + 1)
    return jax.tree.map(lambda p: p + jnp.asarray(0.1 * rng.standard_normal(p.shape), p.dtype), params)


def rows(tree: Any, n: int) -> Any:
    """n rows of each leaf, taken round and round."""
    return jax.tree.map(lambda leaf: leaf[np.arange(n) % max(leaf.shape[0], 1)], tree)


def _name_of(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _argument_names(function: Any, count: int) -> tuple[str, ...]:
    try:
        names = tuple(inspect.signature(function).parameters)[:count]
    except (TypeError, ValueError):
        names = ()
    return names if len(names) == count else tuple(f"argument{i}" for i in range(count))

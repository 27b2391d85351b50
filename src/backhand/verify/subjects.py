"""What can be checked, in one form: a plain function, and a forward and backward for its gradient.

A `Layer`, a `Loss`, a `(forward, backward)` pair and a function with a `jax.custom_vjp` rule all
become a `Subject`. Its arguments are pytrees; their floating leaves get gradients, integers and
keys none.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.interop import reads
from backhand.layer import Array, Layer, Params, Residuals, Tree
from backhand.losses import Loss

Arguments: TypeAlias = tuple[Tree, ...]
Function: TypeAlias = Callable[..., Tree]  # a user's own


class Subject(NamedTuple):
    """A function and the gradient claimed for it.

    `forward` and `backward` take all arguments as one tuple; `backward` returns a gradient for each
    argument that has one. `resize(n)` gives the arguments with n examples, and is None if it is not
    known which axis counts examples; `empty` is whether 0 of them make sense. `check` raises if
    arguments are outside the function's domain. `apply` is what forward's value should equal, if
    that is not `function` itself.
    """

    name: str
    names: tuple[str, ...]
    arguments: Arguments
    function: Callable[[Arguments], Tree]
    forward: Callable[[Arguments], tuple[Tree, Residuals]]
    backward: Callable[[Arguments, Residuals, Tree], Sequence[Tree]]
    differentiable: tuple[bool, ...]
    resize: Callable[[int], Arguments] | None = None
    empty: bool = False
    check: Callable[[Arguments], None] = lambda arguments: None
    apply: Callable[[Arguments], Tree] | None = None
    has_residuals: bool = True

    def rule(self, arguments: Arguments, dy: Tree) -> Sequence[Tree]:
        """The gradients by hand: backward after forward."""
        _, residuals = self.forward(arguments)
        return self.backward(arguments, residuals, dy)


def as_subject(
    subject: object, inputs: Arguments, reference: Function | None, params: Params, seed: int
) -> Subject:
    """Whatever `check_backward` was given, as a Subject with floating leaves in float64."""
    if isinstance(subject, Layer):
        return _from_layer(subject, inputs, params, seed)
    if params is not None:
        says = "check_backward: params go with a Layer; give a function's as one of its arguments"
        raise TypeError(says)
    if isinstance(subject, Loss):
        return _from_loss(subject, inputs, seed)
    if isinstance(subject, tuple | list) and len(subject) == 2 and all(map(callable, subject)):
        return _from_pair(subject[0], subject[1], reference, inputs, seed)
    if callable(subject):
        return _from_function(subject, reference, inputs, seed)
    raise TypeError(
        f"check_backward: subject should be a Layer, a Loss, a (forward, backward) pair, or a "
        f"function with a custom_vjp rule and reference= the plain function, got {subject!r}"
    )


def _from_layer(layer: Layer, inputs: Arguments, params: Params, seed: int) -> Subject:
    if len(inputs) != 1:
        raise TypeError(f"check_backward: a Layer is checked on one x, got {len(inputs)} inputs")
    (x,) = filled(inputs, seed)
    init_key, key, read_key = jax.random.split(jax.random.key(seed), 3)
    data = jax.random.key_data(key)  # a key made from it is never used twice

    def forward(arguments: Arguments) -> tuple[Tree, Residuals]:
        params, x = arguments
        return layer.forward(params, x, jax.random.wrap_key_data(data))

    if params is None:
        params = _off_zero(jax.jit(layer.init)(init_key, x), seed)
    params = cast(params, jnp.float64)
    # If forward draws at random, apply is a different function.
    at_random = any(reads(lambda key: layer.forward(params, x, key), read_key))
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
        apply=None if at_random else lambda arguments: layer.apply(*arguments),
    )


def _from_loss(loss: Loss, inputs: Arguments, seed: int) -> Subject:
    if len(inputs) != 2:
        wanted = "a Loss is checked on a prediction and a target"
        raise TypeError(f"check_backward: {wanted}, got {len(inputs)} inputs")
    prediction, target = filled(inputs, seed)

    def backward(_: Arguments, residuals: Residuals, dy: Array) -> Sequence[Tree]:
        return jax.tree.map(lambda d: d * dy.astype(d.dtype), loss.backward(residuals)), None

    return Subject(
        name=loss.forward.__qualname__.split(".")[0].lstrip("_"),
        names=("prediction", "target"),
        arguments=(prediction, target),
        function=lambda arguments: loss.forward(*arguments)[0],
        forward=lambda arguments: loss.forward(*arguments),
        backward=backward,
        differentiable=(True, False),
        resize=lambda n: (rows(prediction, n), rows(target, n)),
        check=lambda arguments: loss.check(*arguments),
    )


def _from_pair(
    forward: Function, backward: Function, reference: Function | None, inputs: Arguments, seed: int
) -> Subject:
    arguments = filled(inputs, seed)
    plain: Function = reference or (lambda *args: forward(*args)[0])

    def gradients(arguments: Arguments, residuals: Residuals, dy: Tree) -> Sequence[Tree]:
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


def _from_function(
    function: Function, reference: Function | None, inputs: Arguments, seed: int
) -> Subject:
    if reference is None:
        raise TypeError(
            "check_backward: give reference=, the plain function that the rule should agree with; "
            "jax.vjp of a custom_vjp function would be compared with itself"
        )
    arguments = filled(inputs, seed)

    def backward(arguments: Arguments, _: Residuals, dy: Tree) -> Sequence[Tree]:
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

    values: list[Array]
    paths: tuple[tuple[int, tuple[object, ...]], ...]  # each one's argument, and its path in it
    merge: Callable[..., Arguments]

    @classmethod
    def of(cls, arguments: Arguments, differentiable: tuple[bool, ...]) -> "Leaves":
        """Take the arguments apart; `merge(values)` puts them together again with new values."""
        flat, treedef = flatten_with_path(arguments)
        floats = [differentiable[path[0].idx] and is_floating(leaf) for path, leaf in flat]
        others_now = [leaf for _, leaf in flat]

        def merge(values: Sequence[Array], others: list[Tree] | None = others_now) -> Arguments:
            rest, fresh = others or [None] * len(flat), iter(values)
            leaves = [next(fresh) if new else old for new, old in zip(floats, rest, strict=True)]
            merged: Arguments = treedef.unflatten(leaves)
            return merged

        taken = [both for both, takes in zip(flat, floats, strict=True) if takes]
        paths = tuple((path[0].idx, path[1:]) for path, _ in taken)
        return cls([leaf for _, leaf in taken], paths, merge)

    def labels(self, names: Sequence[str]) -> list[str]:
        """What people call each leaf's gradient: dw for params.w, dx for x, dparams.0.w deeper."""
        labels = []
        for number, path in self.paths:
            keys = ("name", "key", "idx")
            steps = [str(next((getattr(s, k) for k in keys if hasattr(s, k)), "")) for s in path]
            if names[number] == "params" and len(steps) == 1:
                labels.append(f"d{steps[0]}" if steps[0].isidentifier() else f"dparams[{steps[0]}]")
            else:
                labels.append(".".join([f"d{names[number]}", *steps]))
        return labels


# The leaves, with their paths or without, and the structure, whose type has no stubs.
flatten_with_path: Callable[[Tree], tuple[list[Tree], Tree]] = jax.tree.flatten_with_path
flatten: Callable[[Tree], tuple[list[Array], Tree]] = jax.tree.flatten


def is_floating(leaf: Tree) -> bool:
    """Whether a leaf is a floating-point array or number, to be differentiated by."""
    if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return False
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


# Inputs are made by NumPy: it does at once what JAX would compile for every shape.


def cast(tree: Tree, dtype: np.dtype | type) -> Tree:
    """The tree with its floating leaves in another dtype."""
    return jax.tree.map(lambda a: placed(a, dtype) if is_floating(a) else a, tree)


def placed(a: Array | np.ndarray | float, dtype: np.dtype | type) -> Array:
    """A copy of `a` in this dtype, for JAX."""
    return jnp.asarray(np.array(a, dtype), dtype)


def filled(inputs: Arguments, seed: int) -> Arguments:
    """The inputs in float64, with standard normal numbers where only a shape was given."""
    rng = np.random.default_rng(seed)

    def fill(leaf: Tree) -> Tree:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            wanted = f"values are needed, not only a shape, for the {leaf.dtype} input {leaf}"
            raise TypeError(f"check_backward: {wanted}")
        return rng.standard_normal(leaf.shape)

    filled: Arguments = cast(jax.tree.map(fill, inputs), jnp.float64)
    for leaf in jax.tree.leaves(filled):
        if is_floating(leaf):
            checks.finite("check_backward", "input", leaf)
    return filled


def _off_zero(params: Params, seed: int) -> Params:
    """Params a little off where init put them: a bias of 0 would hide what multiplies it."""
    rng = np.random.default_rng(seed + 1)
    return jax.tree.map(lambda p: np.asarray(p) + 0.1 * rng.standard_normal(p.shape), params)


def rows(tree: Tree, n: int) -> Tree:
    """n rows of each leaf, taken round and round."""
    turns = np.arange(n)
    return jax.tree.map(lambda a: placed(np.asarray(a)[turns % max(len(a), 1)], a.dtype), tree)


def _name_of(function: object) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _argument_names(function: Function, count: int) -> tuple[str, ...]:
    try:
        names = tuple(inspect.signature(function).parameters)[:count]
    except (TypeError, ValueError):
        names = ()
    return names if len(names) == count else tuple(f"argument{i}" for i in range(count))

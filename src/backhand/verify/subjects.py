"""What can be checked, in one form: a plain function, and a forward and backward for its gradient.

A `Layer`, a `Loss`, a `(forward, backward)` pair and a function with a `jax.custom_vjp` rule all
become a `Subject`. Its arguments are pytrees; their floating leaves get gradients, integers and
keys none.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from backhand import checks
from backhand.interop import reads
from backhand.layer import Array, Layer, Residuals, Tree
from backhand.losses import Loss

Arguments: TypeAlias = tuple[Tree, ...]
Function: TypeAlias = Callable[..., Tree]  # a user's own
SIZES = (1, 7, 8)  # one example; a prime, which is no other axis's size; a power of two


class Subject(NamedTuple):
    """A function and the gradient claimed for it; its functions take all arguments as one tuple."""

    name: str
    names: tuple[str, ...]  # of the arguments
    arguments: Arguments
    function: Callable[[Arguments], Tree]
    forward: Callable[[Arguments], tuple[Tree, Residuals]]
    backward: Callable[[Arguments, Residuals, Tree], Sequence[Tree]]  # a gradient for each argument
    resize: Callable[[int], Arguments] = lambda n: ()  # the arguments with n examples
    sizes: tuple[int, ...] = ()  # the n to try; none if no axis is known to count examples
    constant: str = ""  # an argument that is not differentiated by
    apply: Callable[[Arguments], Tree] | None = None  # forward's value, if that is not function's


def as_subject(
    subject: object, inputs: Arguments, reference: Function | None, seed: int
) -> Subject:
    """Whatever `check_backward` was given, as a Subject with floating leaves in float64."""
    arguments = filled(inputs, seed)
    if isinstance(subject, Layer):
        return _from_layer(subject, arguments, seed)
    if isinstance(subject, Loss):
        return _from_loss(subject, arguments)
    functions = subject if isinstance(subject, tuple | list) else (subject, reference)
    if len(functions) == 2 and all(map(callable, functions)):
        return _from_functions(subject, reference, arguments)
    if callable(subject):
        raise TypeError(
            f"check_backward: a function with a custom_vjp rule needs reference=, the plain "
            f"function that it should agree with (with itself it always agrees), and one that "
            f"makes layers should be called, as in linear(10); got {subject!r}"
        )
    raise TypeError(
        f"check_backward: subject should be a Layer, a Loss, a (forward, backward) pair, or a "
        f"function with a custom_vjp rule and reference= the plain function, got {subject!r}"
    )


def _from_layer(layer: Layer, inputs: Arguments, seed: int) -> Subject:
    if len(inputs) != 1:
        raise TypeError(f"check_backward: a Layer is checked on one x, got {len(inputs)} inputs")
    (x,) = inputs
    for leaf in jax.tree.leaves(x):
        checks.array("check_backward", "x", leaf)
    init_key, key, read_key = jax.random.split(jax.random.key(seed), 3)
    data = jax.random.key_data(key)  # a key made from it is never used twice

    def forward(arguments: Arguments) -> tuple[Tree, Residuals]:
        params, x = arguments
        return layer.forward(params, x, jax.random.wrap_key_data(data))

    # A bias of 0, as init gives it, would hide what multiplies it.
    rng, params = np.random.default_rng(seed + 1), jax.jit(layer.init)(init_key, x)
    params = jax.tree.map(lambda p: np.asarray(p) + 0.1 * rng.standard_normal(p.shape), params)
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
        resize=lambda n: (params, rows(x, n)),
        sizes=(*SIZES, 0),
        apply=None if at_random else lambda arguments: layer.apply(*arguments),
    )


def _from_loss(loss: Loss, inputs: Arguments) -> Subject:
    if len(inputs) != 2:
        wanted = "a Loss is checked on a prediction and a target"
        raise TypeError(f"check_backward: {wanted}, got {len(inputs)} inputs")

    def backward(_: Arguments, residuals: Residuals, dy: Array) -> Sequence[Tree]:
        return jax.tree.map(lambda d: d * dy.astype(d.dtype), loss.backward(residuals)), None

    return Subject(
        name=loss.forward.__qualname__.split(".")[0].lstrip("_"),
        names=("prediction", "target"),
        arguments=inputs,
        function=lambda arguments: loss.forward(*arguments)[0],
        forward=lambda arguments: loss.forward(*arguments),
        backward=backward,
        resize=lambda n: rows(inputs, n),
        sizes=SIZES,
        constant="target",
    )


def _from_functions(subject: Any, reference: Function | None, arguments: Arguments) -> Subject:
    """A (forward, backward) pair, or a function whose custom_vjp rule jax.vjp will ask."""
    is_pair = not callable(subject)
    function = subject[0] if is_pair else subject

    def forward(arguments: Arguments) -> tuple[Tree, Residuals]:
        given = function(*arguments)
        return given if is_pair else (given, ())

    def backward(arguments: Arguments, residuals: Residuals, dy: Tree) -> Sequence[Tree]:
        given = subject[1](residuals, dy) if is_pair else jax.vjp(subject, *arguments)[1](dy)
        alone = len(arguments) == 1 and not (isinstance(given, tuple) and len(given) == 1)
        return (given,) if alone else given

    def plain(arguments: Arguments) -> Tree:
        return forward(arguments)[0] if reference is None else reference(*arguments)

    try:
        names = tuple(inspect.signature(reference or function).parameters)[: len(arguments)]
    except (TypeError, ValueError):  # some built-in functions have no signature
        names = ()
    if len(names) < len(arguments):  # *args
        names = tuple(f"argument{i}" for i in range(len(arguments)))
    return Subject(
        name=getattr(function, "__name__", type(function).__name__),
        names=names,
        arguments=arguments,
        function=plain,
        forward=forward,
        backward=backward,
        apply=None if reference is None else plain,
    )


# The leaves, with their paths or without, and the structure, whose type has no stubs.
flatten_with_path: Callable[[Tree], tuple[list[Tree], Tree]] = jax.tree.flatten_with_path
flatten: Callable[[Tree], tuple[list[Array], Tree]] = jax.tree.flatten


def is_floating(leaf: Tree) -> bool:
    """Whether a leaf is a floating-point array or number, to be differentiated by."""
    if leaf is None or jnp.issubdtype(getattr(leaf, "dtype", np.void), jax.dtypes.prng_key):
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
        if getattr(leaf, "ndim", 0):
            checks.array("check_backward", "input", leaf)
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            if is_floating(leaf):
                checks.finite("check_backward", "input", leaf)
            return leaf
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            wanted = f"values are needed, not only a shape, for the {leaf.dtype} input {leaf}"
            raise TypeError(f"check_backward: {wanted}")
        return rng.standard_normal(leaf.shape)

    filled: Arguments = cast(jax.tree.map(fill, inputs), jnp.float64)
    return filled


def rows(tree: Tree, n: int) -> Tree:
    """n rows of each leaf, taken round and round."""
    turns = np.arange(n)
    return jax.tree.map(lambda a: placed(np.asarray(a)[turns % max(len(a), 1)], a.dtype), tree)

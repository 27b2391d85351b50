"""Does a function use JAX's autodiff? A trap is set where every path to it comes through.

`jax.grad` and its kin do one of three things in the end: they make a trace that pushes tangents
forward, or one that records them, or they pull cotangents back. However and whenever a function
came by `grad`, it arrives there.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import jax
from jax._src.interpreters import ad

from backhand.layer import Tree

TRAPS = ((ad.JVPTrace, "__init__"), (ad.LinearizeTrace, "__init__"), (ad, "backward_pass3"))
# What in jax/_src/api.py differentiates; what it returns is defined inside it. `jax.jacobian` is
# jacrev, and `jax.hessian` is jacfwd of jacrev.
BACK = ("grad", "value_and_grad", "vjp", "fwd_and_bwd", "jacrev")
FORTH = ("jvp", "jacfwd", "linearize", "linear_transpose")
NAMES = {name: f"jax.{name}" for name in BACK + FORTH} | {"VJP": "a function that jax.vjp returned"}
JAX = Path(jax.__file__).parent / "_src"

# At a value of it that JAX has not seen, it traces again even what is jitted.
_tracing = jax.make_user_context()
_numbers = count()


def assert_no_autodiff(function: Callable[..., Tree], *args: Tree) -> None:
    """Trace `function(*args)`; raise AssertionError if it uses JAX's autodiff.

    The arguments are arrays or trees of them. The error names what was called, and where. It does
    not matter how the function came by it (`from jax import grad`, a `jax.grad(loss)` made
    beforehand, a partial of it), that it is jitted and was traced before, or that it catches the
    error. A function that carries a derivative rule, such as `jax.nn.relu`, passes if it is not
    differentiated; so does the linear map that a `jax.linearize` before the call returned, which is
    a function like any other. JAX is left as it was. Not for use while another thread
    differentiates.
    """
    found: list[str] = []
    with ExitStack() as traps:
        for owner, name in TRAPS:
            trap = _trap(getattr(owner, name), found)
            traps.enter_context(mock.patch.object(owner, name, trap))
        try:
            with _tracing(next(_numbers)):
                jax.make_jaxpr(function)(*args)
        except Exception:
            if not found:
                raise
    if found:
        raise AssertionError(f"the function should use no autodiff, but it calls {found[0]}")


def _trap(original: Callable[..., Any], found: list[str]) -> Callable[..., Any]:
    def trap(*args: Any, **kwargs: Any) -> Any:
        frame, inside = sys._getframe(1), []
        while frame.f_back is not None and _is_jax(frame):
            inside.append(frame)
            frame = frame.f_back
        # JAX's linear solve notes its transposed problem whether or not it will be differentiated.
        if any(_file(f).name == "solves.py" for f in inside):
            return original(*args, **kwargs)
        # JAX's functions are made of one another, grad of value_and_grad and that of vjp; what was
        # asked for is the outermost of them.
        outer = [f.f_code.co_qualname.split(".")[0] for f in inside if _file(f) == JAX / "api.py"]
        name = next((NAMES[n] for n in reversed(outer) if n in NAMES), "JAX's autodiff")
        at = frame.f_code
        found.append(f"{name} at {at.co_filename}:{frame.f_lineno} in {at.co_name}")
        raise AssertionError(found[-1])

    return trap


def _is_jax(frame: FrameType) -> bool:
    return JAX in _file(frame).parents or _file(frame).name == "contextlib.py"


def _file(frame: FrameType) -> Path:
    return Path(frame.f_code.co_filename)

"""What makes two trainings the same: their settings, and digests of their data and functions.

A checkpoint resumes only the training that wrote it; what has changed is named.
"""

import hashlib
import re
import weakref
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from backhand.layer import Array, HostOrDevice, Tree
from backhand.storage import parameters
from backhand.storage.digests import sha256
from backhand.storage.json_values import JSON
from backhand.training.loop import Data, Loop, Plan, without_keys
from backhand.training.step import TrainState

_digests: dict[int, str] = {}  # by id, of arrays that nobody can change, while they live


def identity(loop: Loop, data: Data) -> dict[str, JSON]:
    """What identifies a training that is about to start, on these data, in JSON's terms."""
    plan, state = loop.plan, loop.position.state
    start = parameters.named_arrays(without_keys((state.params, state.opt_state)))
    return {
        "jax": jax.__version__,
        "batch_size": plan.batch_size,
        "begins": int(np.ravel(state.step)[0]),
        "key": np.asarray(jax.random.key_data(state.key)).tolist(),
        "first parameters": sha256(start),
        "scored": list(plan.scored),
        "data_per_key": plan.data_per_key,
        **{
            f"{split} {part}": digest_of(a)
            for split, pair in data.items()
            for part, a in zip("xy", pair, strict=True)
        },
        **programs(plan, state, loop.data),
    }


def programs(plan: Plan, state: TrainState, data: Data) -> dict[str, str]:
    """A digest of each function that the training is made of, as JAX traces it."""
    net, loss = plan.training.net, plan.training.loss

    def first(tree: Tree, axes: bool) -> Tree:  # one net's part, as a form
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[axes:], a.dtype), tree)

    params, opt_state, _, key = first(state, plan.many)
    x, y = (
        jax.ShapeDtypeStruct((plan.batch_size, *a.shape[1:]), a.dtype)
        for a in first(data["train"], plan.data_per_key)
    )
    prediction = jax.eval_shape(net.apply, params, x)
    gradient = plan.training.gradient(net, loss)
    traced = {
        "net": traced_as(net.forward, params, x, key),
        "loss": traced_as(loss.forward, prediction, y),
        "gradient": traced_as(gradient, params, x, y, key),
    }
    with jax.numpy_dtype_promotion("standard"):
        update = plan.training.optimizer.update
        traced["optimizer"] = traced_as(update, params, opt_state, params)
    for metric in plan.metrics:
        traced[f"metric {metric.__name__}"] = traced_as(metric, prediction, y)
    if plan.observe is not None:
        traced["observe"] = traced_as(plan.observe, params)
    return traced


def traced_as(function: Callable[..., Tree], *forms: Tree) -> str:
    """A digest of a function as JAX traces it: every operation, shape and constant."""
    traced = jax.make_jaxpr(function)(*forms)
    text = re.sub(r" at 0x[0-9a-f]+", "", str(traced))  # where Python keeps a function
    constants = sha256(parameters.named_arrays(without_keys(list(_constants(traced)))))
    return hashlib.sha256(f"{text} {constants}".encode()).hexdigest()


def _constants(traced: ClosedJaxpr | Jaxpr) -> Iterator[Array]:
    """The arrays that a traced function holds, and those of the functions it calls."""
    yield from getattr(traced, "consts", ())
    for equation in getattr(traced, "jaxpr", traced).eqns:
        for inner in jax.tree.leaves(equation.params):
            if isinstance(inner, ClosedJaxpr | Jaxpr):
                yield from _constants(inner)


def digest_of(a: HostOrDevice) -> str:
    """The SHA-256 of an array. One that can't change is digested once."""
    if not _is_fixed(a):
        return sha256({"": np.asarray(a)})
    if id(a) not in _digests:
        _digests[id(a)] = sha256({"": np.asarray(a)})
        weakref.finalize(a, _digests.pop, id(a), None)
    return _digests[id(a)]


def _is_fixed(a: object) -> bool:
    """Whether nobody can write to the array, nor to what it is a view of."""
    while isinstance(a, np.ndarray):
        if a.flags.writeable:
            return False
        a = a.base
    return a is None or isinstance(a, jax.Array | bytes)

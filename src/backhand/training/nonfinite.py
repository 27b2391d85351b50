"""Where a number stopped being finite: one step repeated and inspected, layer by layer."""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from backhand.layer import Array, Key, Layer, Params, Residuals, Tree, map_layers
from backhand.losses import Loss

SMALLER_STEPS = "a smaller learning rate, or gradients clipped by optax.clip_by_global_norm(1.0)"


class Place(NamedTuple):
    """The first array with a NaN or an infinity, and what computed it; `str` says it.

    direction: "data", "params", "forward", "loss" or "backward".
    layer: the layer's name; "" if it is the data or the loss.
    path: where the layer stands, as in `map_layers`: net.parts[1].parts[0] is at (1, 0).
    array: which array, as in "y" or "dparams.w".
    entry, value: the index of its first entry that is not finite, and that entry.
    bad, size, dtype: how many of its entries are not finite, of how many.
    largest: the largest absolute values of what it was computed from, by name.
    advice: what to try.
    """

    direction: str
    layer: str
    path: tuple[int, ...]
    array: str
    entry: tuple[int, ...]
    value: float
    bad: int
    size: int
    dtype: str
    largest: dict[str, float]
    advice: str = ""

    def __str__(self) -> str:
        number = f"layer {'.'.join(str(i + 1) for i in self.path)}" if self.path else "the net"
        layer = f"{number}, {self.layer} (net{''.join(f'.parts[{i}]' for i in self.path)})"
        start = {
            "data": "the batch has",
            "params": f"{layer}, had, before the step,",
            "forward": f"the forward of {layer}, gave",
            "loss": "the loss gave",
            "backward": f"the backward of {f'{layer},' if self.layer else 'the loss'} gave",
        }[self.direction]
        entry = self.array + (f"[{', '.join(map(str, self.entry))}]" if self.entry else "")
        entries = "entry" if self.size == 1 else "entries"
        share = f"{self.bad:,} of {self.size:,} {entries}, {self.dtype}"
        given = ", ".join(f"|{name}| ≤ {value:.3g}" for name, value in self.largest.items())
        since = f", from {given}" if given else ""
        return f"{start} {self.value} first at {entry} ({share}){since}"


class NonFiniteError(FloatingPointError):
    """Training stopped: a loss, a parameter or a number of the optimizer's became NaN or infinite.

    The message says where, and what to try.

    step: the number of the step, `state.step` before it; None if it is not known.
    epoch, batch: the same, each counted from 1.
    split: which split's loss was not finite after the epoch; None if it was a step that failed.
    seed: which of many nets, from 0; None if there is one.
    where: what `first_nonfinite` says about the step.
    """

    def __init__(
        self,
        *,
        epoch: int,
        step: int | None = None,
        batch: int | None = None,
        split: str | None = None,
        seed: int | None = None,
        where: Place | None = None,
    ) -> None:
        self.epoch, self.step, self.batch = epoch, step, batch
        self.split, self.seed, self.where = split, seed, where
        whose = "" if seed is None else f" of net {seed}"
        if split is None:
            when = f"at step {step:,} (epoch {epoch}, batch {batch})"
        else:
            when = f"after epoch {epoch}, scored on all of {split}"
        why, advice = str(where), where.advice if where else SMALLER_STEPS
        if where is None and split is not None:
            why = "the loss by forward is finite, and the loss by apply is not"
        elif where is None:
            why = (
                "by hand, its loss and gradient are finite; the optimizer's update, or autodiff's "
                "gradient, is not"
            )
        super().__init__(f"training{whose} stopped {when}: {why}. Try: {advice}.")


def first_nonfinite(
    net: Layer, loss: Loss, params: Params, x: Array, y: Array, key: Key
) -> Place | None:
    """Where, in one step by hand on a batch, a NaN or an infinity comes first; None if nowhere.

    The arguments are those of `manual`'s gradient; `key` is the step's, `fold_in(state.key,
    state.step)`. It inspects in turn the batch, the params, the output of each forward, the loss,
    its backward, and the gradients from each backward. A layer whose input is not finite is
    not reported. The parts of a combinator are inspected; what it sums up itself is its own.
    """
    found: list[Place] = []

    def look(
        direction: str,
        made: Mapping[str, Tree],
        given: Mapping[str, Tree],
        kept: Residuals = (),
        layer: Layer | None = None,
        path: tuple[int, ...] = (),
    ) -> None:
        if any(not np.isfinite(a).all() for a, _ in _arrays(given).values()):
            return
        for array, (a, dtype) in _arrays(made).items():
            bad = ~np.isfinite(a)
            if bad.any():
                entry = tuple(int(i) for i in np.argwhere(bad)[0])
                place = Place(
                    direction, "" if layer is None else layer.name, path, array, entry,
                    float(a[entry]), int(bad.sum()), a.size, dtype,
                    _largest({**given, "residuals": kept}),
                )  # fmt: skip
                found.append(place._replace(advice=_advice(place)))

    def observe(path: tuple[int, ...], layer: Layer) -> Layer:
        def forward(p: Params, x: Array, key: Key) -> tuple[Array, Residuals]:
            out, residuals = layer.forward(p, x, key)
            look("params", {"params": p}, {}, (), layer, path)
            look("forward", {"y": out}, {"x": x, "params": p}, (), layer, path)
            return out, residuals

        def backward(p: Params, residuals: Residuals, dy: Array) -> tuple[Params, Array]:
            dparams, dx = layer.backward(p, residuals, dy)
            made = {"dparams": dparams, "dx": dx}
            look("backward", made, {"dy": dy, "params": p}, residuals, layer, path)
            return dparams, dx

        return layer._replace(forward=forward, backward=backward)

    params, x, y = jax.tree.map(jnp.asarray, (params, x, y))
    look("data", {"x": x, "y": y}, {})
    observed = map_layers(observe, net)
    prediction, residuals = observed.forward(params, x, jax.random.clone(key))
    value, dprediction = _of_loss(loss)(prediction, y)
    look("loss", {"L": value}, {"prediction": prediction, "y": y})
    look("backward", {"dprediction": dprediction}, {"prediction": prediction, "y": y})
    observed.backward(params, residuals, dprediction)
    return min(found, key=lambda place: place.direction not in ("data", "params"), default=None)


@lru_cache(maxsize=8)
def _of_loss(loss: Loss) -> Callable[[Array, Array], tuple[Array, Array]]:
    """A loss and its backward, compiled: it checks values before training, and not if traced."""

    def of_loss(prediction: Array, y: Array) -> tuple[Array, Array]:
        value, residuals = loss.forward(prediction, y)
        return value, loss.backward(residuals)

    return jax.jit(of_loss)


def _arrays(trees: Mapping[str, Tree]) -> dict[str, tuple[np.ndarray, str]]:
    """The floating arrays of named trees, in float64, with their dtype; not those being traced."""
    return {
        name + jax.tree_util.keystr(path): (np.asarray(leaf, np.float64), leaf.dtype.name)
        for name, tree in trees.items()
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
        if isinstance(leaf, np.ndarray | jax.Array)
        and not isinstance(leaf, jax.core.Tracer)
        and jnp.issubdtype(leaf.dtype, jnp.floating)
    }


def _largest(trees: Mapping[str, Tree]) -> dict[str, float]:
    return {
        name: max(float(abs(a).max(initial=0)) for a, _ in arrays.values())
        for name, tree in trees.items()
        if (arrays := _arrays({name: tree}))
    }


def _advice(place: Place) -> str:
    if place.direction == "data":
        return f"drop or repair the examples whose {place.array} is not finite"
    if place.direction == "params":
        return f"start from finite parameters; if an earlier step made them so, {SMALLER_STEPS}"
    most = float(jnp.finfo(place.dtype).max)
    if not math.isfinite(kept := place.largest.get("residuals", 0)):
        return f"look at its forward, which kept {kept} for its backward"
    largest = max(place.largest.values(), default=0)
    # From here on a sum of a thousand products may overflow.
    if largest > math.sqrt(most / 1024):
        if most < 1e5:
            return f"float32: {place.dtype} ends at {most:,.0f}"
        return (
            f"{SMALLER_STEPS}, or x and y scaled to about 1: numbers this large overflow "
            f"{place.dtype}"
        )
    exp = f", an exp of more than {math.log(most):.0f}" if largest > math.log(most) else ""
    check = "; check_backward compares it with autodiff" if place.direction == "backward" else ""
    return f"look in its formula for a division by 0{exp}, or a log or sqrt at or below 0{check}"

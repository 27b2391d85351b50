"""The proof: every layer, loss, combinator and net here has the gradient that it claims.

Each entry of the catalogue goes through `check_backward` in float32, bfloat16 and float16, and so
do whole nets. Their loss's gradient is then compared with autodiff's in float64, and so are 500
steps of training by each, from one start over the same batches. Exits with 1 if anything is wrong.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

import backhand as bh
from backhand import data, plots, runs
from backhand.layer import Array, Tree
from backhand.reporting import Report, Table, code, details, paragraph
from backhand.training import Progress
from backhand.verify import Check, check_backward
from backhand.verify.catalogue import catalogue, nets

DTYPES = ("float32", "bfloat16", "float16")
GRADIENT = 1e-12  # ‖by hand − autodiff‖/‖autodiff‖ in float64, as check_backward asks
STEPS, BATCH_SIZE = 500, 32
OPTIMIZERS = {"SGD": optax.sgd(0.1), "Adam": optax.adam(1e-3)}
# In float64 a term wrong by a part in a million shows by 1e-9, while rounding stays near 1e-15. But
# training 20 layers is chaotic, and a rounding grows: how far, a second training by autodiff says,
# from a start one rounding away; 100 times that is allowed.
DRIFT, CHAOS = 1e-9, 100


@dataclass(frozen=True)
class Config(runs.Config):
    """From what the checks are drawn: inputs, cotangents, first weights and batches."""


def load(config: Config) -> data.Dataset:
    """The digits, on which nets are trained."""
    return data.digits(config.seed)


def train(config: Config, run: runs.Run, digits: data.Dataset) -> None:
    """Check everything; print the whole story of what is wrong."""
    (x, y), entries = digits["train"], catalogue(seed=config.seed)
    subjects = {name: (entry.subject, *entry.inputs) for name, entry in entries.items()}
    subjects |= {f"net, {name}": (net, x[:6]) for name, net in nets().items()}
    progress = Progress(1, parts=len(subjects) + len(nets()))
    found: dict[str, bh.Report] = {}
    for name, given in subjects.items():
        progress.begin(len(found), name)
        found[name] = check_backward(*given, dtypes=DTYPES, seed=config.seed)
    for name, net in nets().items():
        progress.begin(len(found), f"trainings of {name}")
        with jax.enable_x64(True):
            checks = tuple(trainings(net, config.seed, x.astype(np.float64), y))
        found[f"trained, {name}"] = bh.Report(name, checks)
    progress.clear()
    for name, verdict in found.items():
        shares = {check.name: check.share for check in verdict.checks}
        run.keep(name, ok=verdict.ok, shares=shares, story=str(verdict))
    if wrong := [str(verdict) for verdict in found.values() if not verdict.ok]:
        print("\n\n".join(wrong))
        raise SystemExit(1)


def trainings(
    net: bh.Layer, seed: int, x: np.ndarray, y: np.ndarray, steps: int = STEPS
) -> Iterator[Check]:
    """The net's gradient by hand against autodiff's; how far trainings by each drift apart."""
    loss = bh.cross_entropy if net.parts[-1] is bh.softmax else bh.softmax_cross_entropy
    ways, key, some = (bh.manual, bh.autodiff), jax.random.key(seed), x[:BATCH_SIZE]
    params, batch = net.init(jax.random.clone(key), some), (some, y[:BATCH_SIZE])
    ours, theirs = (way(net, loss)(params, *batch, jax.random.clone(key))[1] for way in ways)
    yield Check("loss gradient", float(apart(ours, theirs, 2) / optax.tree.norm(theirs)), GRADIENT)
    batches = np.random.default_rng(seed).integers(0, len(x), (steps, BATCH_SIZE))
    for name, optimizer in OPTIMIZERS.items():
        by_hand, by_jax = (bh.Training(net, loss, optimizer, gradient) for gradient in ways)
        one_step = [bh.make_step(training) for training in (by_hand, by_jax, by_jax)]
        start = bh.init_state(by_hand, jax.random.clone(key), some)
        nudged = jax.tree.map(lambda p: p * (1 + jnp.finfo(p.dtype).eps), start.params)

        def advance(states: Tree, batch: tuple[Array, Array]) -> tuple[Tree, tuple[Array, Array]]:
            pairs = zip(one_step, states, strict=True)  # noqa: B023
            states = tuple(step(state, *batch)[0] for step, state in pairs)
            a, b, c = (state.params for state in states)
            return states, (apart(a, b, np.inf), apart(c, b, np.inf))

        states = (start, start, start._replace(params=nudged))
        _, drifts = jax.jit(lambda *a: jax.lax.scan(advance, *a))(states, (x[batches], y[batches]))
        drift, rounding = (float(each.max()) for each in drifts)  # NaN stays NaN, and is not ok
        yield Check(f"{steps} steps of {name}", drift, max(DRIFT, CHAOS * rounding))


def apart(a: Tree, b: Tree, order: float) -> Array:
    """The norm of the difference of two trees."""
    return jnp.asarray(optax.tree.norm(optax.tree.sub(a, b), ord=order))


RIGHT = "Every backward pass is right: each check of each subject stays within its tolerance."
WRONG = "A backward pass is WRONG: its report stands below the picture."
READING = """
A dot is a subject, a diamond their geometric mean; left of the bar, at 1, a subject is right. What
is below a millionth is drawn there. In float64 a gradient by hand is compared with jax.vjp of the
plain forward, and that with the slopes of the forward's values. In float32, bfloat16 and float16 it
may be twice as far from the float64 gradient as autodiff in the same dtype, and a few ulps. A
training by hand may drift from the one by autodiff, in any parameter at any step, by 1e-9, or by
100 times as much as a rounding of the start alone makes autodiff drift from itself."""


def report(_: Config, run: runs.Run, __: data.Dataset) -> Report:
    """The page: every check of every subject as a share of its tolerance."""
    rows: list[tuple[object, ...]] = []
    kinds: dict[str, list[float]] = {}
    for name, kept in run.kept.items():
        shares: dict[str, float] = {}
        for check, share in kept.facts["shares"].items():
            kind = re.split("[,:]", check)[0]
            shares[kind] = max(shares.get(kind, 0.0), np.nan_to_num(share, nan=np.inf))
        for kind, share in shares.items():
            kinds.setdefault(kind, []).append(share)
        worst = max(shares, key=shares.__getitem__)
        verdict = "right" if kept.facts["ok"] else "WRONG"
        rows.append((name, len(kept.facts["shares"]), worst, f"{shares[worst]:.1e}", verdict))
    header = ("subject", "checks", "nearest to its tolerance", "share", "verdict")
    table = Table(header, rows, "Each subject's check that is nearest to its tolerance")
    stories = [(kept.facts["ok"], code(kept.facts["story"])) for kept in run.kept.values()]
    wrong = [story for ok, story in stories if not ok]
    every = details("Every report", *(story for _, story in stories))
    seen = {kind: np.clip(shares, 1e-6, 1e6) for kind, shares in kinds.items()}
    mark = ("tolerance", dict.fromkeys(seen, 1.0))
    drawing = plots.dots(seen, "Checks", "figure / tolerance", marks=mark, log=True, wide=True)
    picture = run.figure("shares", drawing, wide=True)
    pieces = [*wrong, paragraph(READING), table.html(), every]
    finding = WRONG if wrong else RIGHT
    return Report("Are the backward passes right?", finding, picture, pieces, table)


if __name__ == "__main__":
    description = "Check every layer, loss, combinator, net and training against autodiff."
    runs.main(Config, train, report, load=load, description=description)

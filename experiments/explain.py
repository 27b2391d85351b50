"""Back-propagation step by step: a small net, one batch, all values forward, all gradients back.

The page is to be read with pencil and paper: all numbers are on it, with the chain rule beside them
in symbols and in words, and autodiff's figure beside every gradient. `make explain` runs it.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

import backhand as bh
from backhand import data, plots, runs
from backhand.checks import positive_integer, positive_number
from backhand.inspection import Explanation, Node
from backhand.inspection.nodes import form, norm
from backhand.layer import Params
from backhand.models import Activation, perceptron, perceptron_name
from backhand.reporting import Report, Table, written
from backhand.reporting.page import code, details, figures, heading, matrices, paragraph, step
from backhand.reporting.page import matrix as bordered
from backhand.training import Progress

LOSSES = ("cross_entropy", "softmax_cross_entropy")
WIDEST = 8  # columns of a matrix, and layers: nobody reads more numbers than that
STEPS = (1.0, 0.1, 0.01)  # sizes of the step downhill, as parts of the learning rate


@dataclass(frozen=True)
class Config(runs.Config):
    """The net that is explained, and the batch it is explained on."""

    hidden: tuple[int, ...] = (3,)
    """Hidden widths, each at most 8."""
    activation: Activation = "tanh"
    """What stands between linear layers."""
    loss: Literal["cross_entropy", "softmax_cross_entropy"] = "cross_entropy"
    """Of probabilities, after a softmax layer; or of logits, softmax and loss in one."""
    inputs: int = 2
    """How many numbers an example is."""
    classes: int = 3
    """How many classes there are."""
    examples: int = 4
    """How many examples the batch has."""
    learning_rate: float = 1.0
    """The step downhill; a tenth and a hundredth of it are tried, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("hidden", "inputs", "classes", "examples"):
            value = getattr(self, field)
            for size in (*value, len(value) or 1) if isinstance(value, tuple) else (value,):
                positive_integer("config", field, size, least=2 if field == "classes" else 1)
                if size > WIDEST:
                    raise ValueError(f"config: {field} should be at most {WIDEST}, got {size}")
        positive_number("config", "learning_rate", self.learning_rate)


def load(config: Config) -> data.Dataset:
    """A few points about a centre for each class, to one decimal; the classes take turns."""
    rng = np.random.default_rng(config.seed)
    centres = 1.5 * rng.standard_normal((config.classes, config.inputs))
    y = (np.arange(config.examples) % config.classes).astype(np.int32)
    x = (centres[y] + 0.5 * rng.standard_normal((config.examples, config.inputs))).round(1)
    names = tuple(map(str, range(config.classes)))
    return data.Dataset("points", {"batch": data.Split(x, y)}, names)


@cache  # the report asks again
def explained(config: Config, loss: str) -> tuple[bh.Training, Params, Explanation]:
    """The net that ends in this loss, its weights, and its graph for the batch, in float64."""
    x, y = load(config)["batch"]
    net = perceptron(config.hidden, config.classes, config.activation)
    with jax.enable_x64(True):
        params = net.init(jax.random.key(config.seed), x)
        params = jax.tree.map(lambda p: jnp.asarray(np.asarray(p).round(2)), params)  # to be copied
        if loss == "cross_entropy":
            net, params = bh.serial(*net.parts, bh.softmax), (*params, ())
        training = bh.Training(net, getattr(bh, loss), optax.sgd(1.0))
        return training, params, bh.explain(training, params, x, y)


def train(config: Config, run: runs.Run, batch: data.Dataset) -> None:
    """Explain the net with each loss, and take steps downhill with one."""
    progress = Progress(1, parts=3)
    for part, loss in enumerate(LOSSES):
        progress.begin(part, f"the net and {loss}")
        explained(config, loss)
    progress.begin(2, "steps downhill")
    training, params, explanation = explained(config, config.loss)
    arrays: dict[str, Any] = {}
    for node in explanation.nodes:
        arrays[f"value {node.name}"] = node.value
        arrays[f"by hand {node.name}"] = node.gradient.by_hand
        arrays[f"autodiff {node.name}"] = node.gradient.autodiff
    run.keep("net", params, steps=downhill(config, training, params, *batch["batch"]), **arrays)
    progress.clear()


def downhill(
    config: Config, training: bh.Training, params: Params, x: np.ndarray, y: np.ndarray
) -> list[tuple[float, ...]]:
    """Of each step downhill: η, the loss after it, how far it fell, η ‖g‖², and their ratio."""
    by_hand, rows = bh.manual(training.net, training.loss), list[tuple[float, ...]]()
    gradient = jax.jit(lambda params: by_hand(params, x, y, jax.random.key(0)))
    with jax.enable_x64(True):
        before, g = gradient(params)
        squares = float(optax.tree.norm(g, squared=True))
        for rate in np.multiply(STEPS, config.learning_rate):
            after = float(gradient(optax.tree.add_scale(params, -rate, g))[0])
            fell, promised = float(before) - after, rate * squares
            rows.append((rate, after, fell, promised, fell / (promised or np.nan)))
    return rows


RIGHT = (
    "One way back through the net says how the loss depends on every parameter: each gradient here "
    "is made by the layers' own backward passes, and is autodiff's but for rounding."
)
WRONG = "A gradient by hand is not autodiff's: a backward pass of the net is wrong."
READING = """
Every box is a node: the batch x, the parameters w and b, the values made of them, and at the end
the loss L, a single number. Follow the solid arrows down: the forward pass computes each value
from those that point to it. Each box has its formula, its shape, and its norm, √Σ v².

Follow the dashed arrows up: the backward pass goes the same ways back. For each value v it finds
dv, short for ∂L/∂v: an array like v, whose every entry says by how much L would grow, per unit,
if that entry of v grew. It is made from the gradients of what v went into, and from what was kept
there; one way back is enough for all. The labels y get no gradient: they are what was so.

In the formulas two matrices side by side are multiplied, and ᵀ swaps rows and columns; ⊙
multiplies entry by entry, as quotients and squares are taken. Σₙ is a sum over the N examples, Σₖ
one along a row. y(n) is the label of example n; row n of the one-hot Y is 1 there, else 0."""
FORWARD = """
A row is an example, n; a column a unit. Points and weights have few decimals, to be checked by
hand; all else is computed in float64, and rounded for the eye."""
CHAIN = """
Let v = f(u) be one step, and dv, how L depends on v, be known. Nudge u by δu: v moves by J δu,
where J is the derivative of every entry of v by every entry of u; and L moves by dv · J δu = (Jᵀ
dv) · δu. So du = Jᵀ dv. A layer's backward is Jᵀ, worked out for its forward. With a parameter in
place of u it gives the parameter's gradient. If u is used in several places, L depends on it
through each, and what they send back is summed. We start at the end, where dL = 1, since L is L."""
ENTRY = """
The weight at [0, 0] takes the first number of every example to the first unit z. That unit is
x[n, 0] times the weight, plus what does not depend on it; so its derivative by the weight is x[n,
0], and the gradient is the sum of the products. The 1/N of the mean loss entered once, in the
loss's backward, and no layer divides by it."""
FUSED = """
Softmax can be a layer of its own, with cross-entropy of its probabilities p after it. Now put in
what dp is: −1/(N p) at the true class, 0 elsewhere. Then Σₖ p ⊙ dp is −1/N in every row, and p
cancels: with the one-hot Y, dz = (p − Y)/N: what was predicted, less what was so.

Together they are safer, too. dp grows without bound as p nears 0, and no entry of (p − Y)/N is
larger in size than 1/N. If p is so small that it is 0 to the last digit, the gradient is lost
apart, and right together, as make losses shows."""
DOWNHILL = """
What the gradient is for: subtract η times it from every parameter. To first order L then falls by
η ‖g‖², with g all parameters' gradients; the ratio of the two nears 1 as the step gets small."""


def report(config: Config, run: runs.Run, batch: data.Dataset) -> Report:
    """The page: the graph, every step both ways, and what the gradient promises."""
    (*_, explanation), y = explained(config, config.loss), batch["batch"].y
    nodes, net = explanation.nodes, perceptron_name(config.inputs, config.hidden, config.classes)
    whole = details("What print(bh.explain(training, params, x, y)) says", code(str(explanation)))
    taken = [tuple(map(number, row)) for row in run.kept["net"].facts["steps"]]
    steps = Table(("η", "L after", "fell by", "η ‖g‖²", "ratio"), taken)
    header = ("gradient", "norm by hand", "by autodiff", "difference")
    rows = [(node.chain, *norms(node)) for node in reversed(nodes)]
    return Report(
        "Back-propagation, step by step",
        RIGHT if explanation.ok else WRONG,
        figures(run.figure("graph", graph(nodes, net)), f"<div>{words(READING)}</div>"),
        [
            *(heading("Forward"), words(FORWARD), *forward(nodes, y)),
            *(heading("The chain rule"), words(CHAIN)),
            *(heading("Backward"), *backward(nodes)),
            *(heading("Softmax and cross-entropy, apart and together"), *fused(config, y)),
            *(heading("One entry, digit by digit"), words(ENTRY), one_entry(nodes).html()),
            *(heading("A step downhill"), words(DOWNHILL), steps.html(), whole),
        ],
        Table(header, rows, f"the net {net}: from the loss back"),
    )


def words(text: str) -> str:
    """Paragraphs."""
    return "\n".join(map(paragraph, text.split("\n\n")))


def graph(nodes: tuple[Node, ...], net: str) -> plots.Drawing:
    """The computational graph, with norms."""
    boxes = [plots.GraphNode("y", (), True, "y", "labels")]
    for node in nodes:
        inputs = (*node.inputs, "y") if node.kind == "loss" else node.inputs
        size = number(norm(node.value))
        size = f"{form(node.value.shape)}, norm {size}" if node.value.shape else size
        back = (node.chain, f"norm {norms(node)[0]}") if node.shares else ("", "")
        beside = node.kind == "parameter"
        boxes.append(plots.GraphNode(node.name, inputs, beside, node.formula, size, *back))
    return plots.computational_graph(boxes, f"The net {net}")


def norms(node: Node) -> tuple[str, str, str]:
    """Its gradient's norms by hand and by autodiff, and the largest difference between entries."""
    by_hand, autodiff = (number(norm(g)) for g in node.gradient[:2])
    return by_hand, autodiff, number(node.gradient.difference, 2)


def forward(nodes: tuple[Node, ...], y: np.ndarray) -> list[str]:
    """Each value in the order of computing, with its numbers, and what is kept."""
    value = {node.name: node.value for node in nodes}
    parameters = {node.name for node in nodes if node.kind == "parameter"}
    labels = matrices(matrix("x", value["x"]), matrix("y", y[:, None]))
    pieces = [step("x, the batch, and y, its labels", labels)]
    for node in nodes:
        if node.kind in ("value", "loss"):
            shown = [*(name for name in node.inputs if name in parameters), node.name]
            said = paragraph(f"{node.layer}: {node.words}.")
            numbers = matrices(*(matrix(name, value[name]) for name in shown))
            kept = paragraph(f"Kept: {', '.join(node.kept) or 'nothing'}.")
            pieces.append(step(node.formula, said, numbers, kept))
    return pieces


def backward(nodes: tuple[Node, ...]) -> list[str]:
    """Each step back in symbols, in words and in numbers, and autodiff's norms beside ours."""
    pieces, header = [], ("norm of", "by hand", "autodiff", "difference")
    for source in reversed(nodes):
        sent = [node for node in nodes if source.name in (share.source for share in node.shares)]
        sent.sort(key=lambda node: node.kind != "parameter")
        if sent:
            said = [paragraph(f"{node.chain}: {node.chain_in_words}.") for node in sent]
            numbers = matrices(*(matrix(f"d{node.name}", node.gradient.by_hand) for node in sent))
            table = Table(header, [(f"d{node.name}", *norms(node)) for node in sent]).html()
            title = f"back through {source.formula}"
            pieces.append(step(title, *said, numbers, table, backward=True))
    return pieces


def fused(config: Config, y: np.ndarray) -> list[str]:
    """What happens to the gradient when softmax and cross-entropy are put together."""
    *_, apart = explained(config, "cross_entropy")
    *_, together = explained(config, "softmax_cross_entropy")
    z, p = apart["p"].inputs[0], apart["p"].value
    dp, *dz = (n.gradient.by_hand for n in (apart["p"], apart[z], together[z]))
    shown = {"p": p, "Y": np.eye(config.classes)[y], "dp = −Y / (N p)": dp}
    shown |= zip(("dz, apart", "dz = (p − Y) / N"), dz, strict=True)
    first, safer = FUSED.split("\n\n")
    return [words(first), matrices(*(matrix(name, a) for name, a in shown.items())), words(safer)]


def one_entry(nodes: tuple[Node, ...]) -> Table:
    """The first entry of the first weights' gradient, as a sum over the batch."""
    w = next(node for node in nodes if node.kind == "parameter")
    z = next(node for node in nodes if w.name in node.inputs)
    x, dz = nodes[0].value[:, 0], z.gradient.by_hand[:, 0]
    rows = [(str(n), *map(number, term)) for n, term in enumerate(zip(x, dz, x * dz, strict=True))]
    rows.append(("sum", "", "", number(x @ dz)))
    rows.append(("autodiff", "", "", number(w.gradient.autodiff[0, 0])))
    return Table(("n", "x[n, 0]", f"d{z.name}[n, 0]", f"d{w.name}[0, 0]"), rows)


def number(value: float, digits: int = 5) -> str:
    """A number for a reader; adding 0 makes 0 of −0."""
    return written(value + 0.0, f".{digits}g").replace("e−0", "e−").replace("NaN", "–")


def matrix(name: str, a: np.ndarray) -> str:
    """A matrix with its shape; its largest entry has four digits, or fewer if they are exact."""
    rows = np.atleast_2d(a)
    largest = float(np.abs(rows).max())
    most = int(np.clip(3 - np.floor(np.log10(largest)), 0, 12)) if largest > 0 else 0
    decimals = next((d for d in range(most) if np.array_equal(rows.round(d), rows)), most)
    cells = [[written(v + 0.0, f".{decimals}f") for v in row] for row in rows.round(decimals)]
    return bordered(f"{name}, {form(a.shape)}" if a.ndim else name, cells)


if __name__ == "__main__":
    runs.main(Config, train, report, load=load, description="Back-propagation, step by step.")

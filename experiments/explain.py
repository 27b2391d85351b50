"""Back-propagation step by step: a small net, one batch, every value going forward and every gradient back.

The page it leaves is to be read with pencil and paper: all numbers are on it, the chain rule stands beside
them in symbols and words, and autodiff's figure beside every gradient. `make explain` runs it.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import backhand as bh
from backhand import data, plots, runs
from backhand.checks import positive_integer, positive_number, seed_in_range
from backhand.inspection.nodes import form, norm
from backhand.models.perceptron import Activation, perceptron, perceptron_name
from backhand.reporting import page as report

WIDEST = 8  # columns of a matrix, and hidden layers: more numbers than that nobody reads
STEPS = (1.0, 0.1, 0.01)  # sizes of the step downhill, as parts of the learning rate
NUDGES = (1e-1, 1e-3, 1e-5, 1e-7, 1e-9)  # of one weight, in finite differences


@dataclass(frozen=True)
class Config:
    """The net that is explained, and the batch it is explained on."""

    hidden: tuple[int, ...] = (3,)
    """Hidden widths, each at most 8."""
    activation: Activation = "tanh"
    """What stands between linear layers."""
    loss: Literal["cross_entropy", "softmax_cross_entropy"] = "cross_entropy"
    """The lesson's, of probabilities, after a softmax layer; or of logits, the two in one."""
    inputs: int = 2
    """How many numbers an example is."""
    classes: int = 3
    """How many classes there are."""
    examples: int = 4
    """How many examples the batch holds."""
    learning_rate: float = 1.0
    """The step downhill, and a tenth and a hundredth of it."""
    seed: int = 0
    """Seeds the points and the weights."""
    out: Path = Path("runs/explain")
    """Folder in which the run makes a folder of its own."""

    def __post_init__(self) -> None:
        sizes = {"inputs": self.inputs, "classes": self.classes, "examples": self.examples}
        for field, size in [*(("hidden", width) for width in self.hidden), *sizes.items()]:
            positive_integer("config", field, size, least=2 if field == "classes" else 1)
            if size > WIDEST:
                raise ValueError(
                    f"config: {field} should be at most {WIDEST}, as every number is printed, got {size}"
                )
        if len(self.hidden) > WIDEST:
            raise ValueError(f"config: hidden should be at most {WIDEST} layers, got {len(self.hidden)}")
        positive_number("config", "learning_rate", self.learning_rate)
        if not 1e-6 <= self.learning_rate <= 1e6:
            raise ValueError(
                f"config: learning_rate should be from 1e-6 to 1e6, a step whose effect can be seen, got "
                f"{self.learning_rate}"
            )
        seed_in_range("config", self.seed)


def run(config: Config, run: runs.Run) -> None:
    """Explain the net, print the table, leave every number in files and the report."""
    with jax.enable_x64(True):
        batch = points(config)
        run.data(batch.sha256)
        (x, y), body = batch["batch"], perceptron(config.hidden, config.classes, config.activation)
        # Two decimals, so that the weights can be copied by hand.
        params = jax.tree.map(
            lambda p: jnp.asarray(np.asarray(p).round(2)), body.init(jax.random.key(config.seed), x)
        )
        nets = {
            "cross_entropy": (bh.serial(*body.parts, bh.softmax), bh.cross_entropy, (*params, ())),
            "softmax_cross_entropy": (body, bh.softmax_cross_entropy, params),
        }
        explanations = {name: bh.explain(net, loss, p, x, y) for name, (net, loss, p) in nets.items()}
        explanation = explanations[config.loss]
        run.save_params(params)
        run.save_arrays("arrays.safetensors", arrays_of(explanation) | {"y": y})
        run.save_arrays("apart.safetensors", arrays_of(explanations["cross_entropy"]))
        run.save_arrays("together.safetensors", arrays_of(explanations["softmax_cross_entropy"]))
        run.write_json("nodes.json", [in_words(node) for node in explanation.nodes])
        run.write_json("results.json", experiments(config, nets["softmax_cross_entropy"], x, y))
    run.write("table.txt", f"{explanation}\n")
    print(explanation)
    path = write_report(config, run)
    print(f"parameters  sha256 {run.receipt['params_sha256']}\nreport      {path}")


def points(config: Config) -> data.Dataset:
    """A few points about a centre each class, to one decimal; the classes take turns."""
    rng = np.random.default_rng(config.seed)
    centres = 1.5 * rng.standard_normal((config.classes, config.inputs))
    y = (np.arange(config.examples) % config.classes).astype(np.int32)
    x = (centres[y] + 0.5 * rng.standard_normal((config.examples, config.inputs))).round(1)
    return data.Dataset("points", {"batch": data.Split(x, y)}, tuple(map(str, range(config.classes))))


def arrays_of(explanation: Any) -> dict[str, np.ndarray]:
    """Each node's value and its gradient by hand and by autodiff, by name."""
    return {
        f"{kind} {node.name}": array
        for node in explanation.nodes
        for kind, array in (
            ("value", node.value),
            ("by hand", node.gradient.by_hand),
            ("autodiff", node.gradient.autodiff),
        )
    }


def in_words(node: Any) -> dict[str, Any]:
    """A node without its arrays."""
    return {
        "name": node.name,
        "kind": node.kind,
        "layer": node.layer,
        "inputs": node.inputs,
        "formula": node.formula,
        "words": node.words,
        "shape": node.value.shape,
        "norm": norm(node.value),
        "kept": [{"symbols": kept.symbols, "text": str(kept)} for kept in node.kept],
        "chain": node.chain,
        "chain_in_words": node.chain_in_words,
        "sources": [share.source for share in node.shares],
        "gradient_norm": norm(node.gradient.by_hand),
        "autodiff_norm": norm(node.gradient.autodiff),
        "difference": node.gradient.difference,
    }


def experiments(config: Config, fused: Any, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """What the gradient foretells, tried: example by example, by steps along it, by nudges of one weight."""
    net, loss, params = fused
    by_hand = bh.manual(net, loss)
    manual = jax.jit(lambda params, x, y: by_hand(params, x, y, jax.random.key(0)))
    value_of = jax.jit(lambda params: loss.forward(net.apply(params, x), jnp.asarray(y))[0])
    value, dparams = manual(params, x, y)
    alone = [manual(params, x[n : n + 1], y[n : n + 1]) for n in range(len(x))]

    def stepped(rate: float) -> float:
        return float(value_of(jax.tree.map(lambda p, dp: p - rate * dp, params, dparams)))

    def nudged(by: float) -> float:
        return float(value_of((params[0]._replace(w=params[0].w.at[0, 0].add(by)), *params[1:])))

    return {
        "loss": float(value),
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
        "examples": [{"loss": float(v), "dw": float(dp[0].w[0, 0])} for v, dp in alone],
        "dw": float(dparams[0].w[0, 0]),
        "squared_norm": sum(float((dp**2).sum()) for dp in jax.tree.leaves(dparams)),
        "steps": [{"rate": r, "loss": stepped(r)} for r in (part * config.learning_rate for part in STEPS)],
        "nudges": [{"by": by, "slope": (nudged(by) - nudged(-by)) / (2 * by)} for by in NUDGES],
        "hopeless": hopeless(),
    }


def hopeless() -> dict[str, Any]:
    """Scores so far off that the true class's probability, e⁻⁸⁰⁰, is 0 in float64, and what each way makes of them."""
    z, y = jnp.array([[0.0, 800.0]]), jnp.array([0])
    p, kept = bh.softmax.forward((), z, jax.random.key(0))
    dp = bh.cross_entropy.backward(bh.cross_entropy.forward(p, y)[1])
    _, apart = bh.softmax.backward((), kept, dp)
    together = bh.softmax_cross_entropy.backward(bh.softmax_cross_entropy.forward(z, y)[1])
    return {"z": np.ravel(z), "apart": np.ravel(apart), "together": np.ravel(together)}


def write_report(config: Config, run: runs.Run) -> Path:
    """The page, from the run's files alone."""
    nodes, results = run.read_json("nodes.json"), run.read_json("results.json")
    arrays = {name: run.arrays(f"{name}.safetensors") for name in ("arrays", "apart", "together")}
    worst = max(node["difference"] for node in nodes)
    net = perceptron_name(config.inputs, config.hidden, config.classes)
    return run.write(
        "report.html",
        report.page(
            "Back-propagation, step by step",
            report.paragraph(
                f"A net with {results['parameters']} parameters ({net}) is shown {config.examples} examples "
                f"of {config.classes} classes, and told by one number, L = {number(results['loss'])}, how "
                "wrong it is. One way back through it says how L depends on every parameter. Each of the "
                f"{len(nodes)} gradients on this page was worked out by the layers' own backward passes, "
                f"and differs from what JAX's autodiff says by {number(worst, 2)} at most.",
                lead=True,
            ),
            *the_graph(run, nodes, net, config.examples),
            *forward(nodes, arrays["arrays"]),
            *chain_rule(nodes),
            *backward(nodes, arrays["arrays"]),
            *digit_by_digit(nodes, arrays["arrays"]),
            *apart_and_together(nodes, arrays, results),
            *one_over_n(nodes, results),
            *downhill(results),
            *nudging(nodes, results),
            report.heading("The whole table"),
            report.paragraph(
                "What print(backhand.explain(net, loss, params, x, y)) says of this net and batch:"
            ),
            report.code((run.folder / "table.txt").read_text(encoding="utf-8")),
            *run.again(),
        ),
    )


def the_graph(run: runs.Run, nodes: list[dict[str, Any]], net: str, examples: int) -> list[str]:
    """The drawing, and how to read it."""
    boxes = [
        plots.GraphNode(
            name=node["name"],
            inputs=(*node["inputs"], "y") if node["kind"] == "loss" else tuple(node["inputs"]),
            beside=node["kind"] == "parameter",
            formula=node["formula"],
            value=f"{form(tuple(node['shape']))}, norm {number(node['norm'])}"
            if node["shape"]
            else number(node["norm"]),
            chain=node["chain"] if node["sources"] else "",
            gradient=f"norm {number(node['gradient_norm'])}" if node["sources"] else "",
        )
        for node in nodes
    ]
    boxes.insert(-1, plots.GraphNode("y", (), True, "y", f"{examples} labels"))
    reading = [
        "A computational graph says what is computed from what. Here every box is a node: the batch x, the "
        "parameters w and b, the values made of them, and at the end the loss L, a single number.",
        "Follow the solid arrows down: the forward pass computes each value from those that point to it. In "
        "each box stand its formula, its shape, and its norm, √Σ v², one number for how large its entries "
        "are.",
        "Follow the dashed arrows up: the backward pass goes the same ways, the other way round. For each "
        "value v it finds dv, short for ∂L/∂v: an array like v, whose every entry says by how much L would "
        "grow, per unit, were that entry of v to grow. It is made from the gradients of what v went into, "
        "and from what was kept there; nothing further on is asked again, so one way back is enough for all "
        "of them.",
        "The labels y get no gradient: they are what was so, and not ours to change.",
        "In the formulas two matrices side by side are multiplied as matrices, and ᵀ swaps a matrix's rows and "
        "columns; ⊙ multiplies entry by entry, as quotients and squares are taken. Σₙ is a sum over the "
        f"N = {examples} examples, Σₖ one along a row. y(n) is the label of example n, and row n of the one-hot Y is "
        "1 at that class, else 0.",
    ]
    drawing = plots.computational_graph(boxes, f"The net {net}")
    words = "\n".join(map(report.paragraph, reading))
    return [report.heading("The graph"), report.figures(run.figure("graph", *drawing), f"<div>{words}</div>")]


def forward(nodes: list[dict[str, Any]], arrays: dict[str, np.ndarray]) -> list[str]:
    """Each value in the order of computing, with its numbers, and what is kept."""
    pieces = [
        report.heading("Forward"),
        report.paragraph(
            "A row is an example, n; a column a unit. Points and weights have few decimals, so that the "
            "numbers can be checked by hand; everything else is rounded for the eye, and computed in "
            "float64."
        ),
        report.step(
            "x, the batch, and y, its labels",
            report.matrices(matrix("x", arrays["value x"]), matrix("y", arrays["y"][:, None])),
        ),
    ]
    for node in nodes:
        if node["kind"] in ("value", "loss"):
            own = [name for name in node["inputs"] if by_name(nodes)[name]["kind"] == "parameter"]
            kept = kept_in_words(node, nodes)
            pieces.append(
                report.step(
                    node["formula"],
                    report.paragraph(f"{node['layer']}: {node['words']}."),
                    report.matrices(
                        *(matrix(name, arrays[f"value {name}"]) for name in [*own, node["name"]])
                    ),
                    report.paragraph(f"Kept for the way back: {kept}."),
                )
            )
    return pieces


def kept_in_words(node: dict[str, Any], nodes: list[dict[str, Any]]) -> str:
    """What a node's layer keeps, and what for: the gradients it sends whose formulas speak of it."""
    reasons = []
    for kept in node["kept"]:
        spoken_of = re.compile(rf"(?<!\w){re.escape(kept['symbols'])}(?![₀-₉a-z])")
        chains = [n["chain"] for n in nodes if node["name"] in n["sources"]]
        needing = [chain for chain in chains if spoken_of.search(chain.partition(" = ")[2])]
        reasons.append(
            f"{kept['text']}, which {' and '.join(needing)} will need" if needing else kept["text"]
        )
    return "; and ".join(reasons) or "nothing"


def chain_rule(nodes: list[dict[str, Any]]) -> list[str]:
    """The one idea."""
    values = [node["name"] for node in nodes if node["kind"] in ("input", "value", "loss")]
    return [
        report.heading("The chain rule"),
        report.paragraph(
            "Let v = f(u) be one step, and dv, how L depends on v, be known. Nudge u by δu: v moves by J "
            "δu, where J holds the derivative of every entry of v by every entry of u; and L moves by dv · "
            "J δu = (Jᵀ dv) · δu. So du = Jᵀ dv. That is all: a layer's backward is Jᵀ, worked out for its "
            "forward, and never written down as a matrix. With a parameter in place of u it gives the "
            "parameter's gradient. Where u is used in several places, L depends on it through each, and "
            "what they send back is summed."
        ),
        report.paragraph(
            f"Here the steps are {' → '.join(values)}. We start at the end, where dL = 1, since L is L, and "
            "take the steps from the last to the first."
        ),
    ]


def backward(nodes: list[dict[str, Any]], arrays: dict[str, np.ndarray]) -> list[str]:
    """Each step back: the factor in symbols and words, the numbers, and autodiff's beside them."""
    pieces = [report.heading("Backward")]
    for source in reversed(nodes):
        sent = [node for node in nodes if source["name"] in node["sources"]]
        sent.sort(key=lambda node: node["kind"] != "parameter")
        if not sent:
            continue
        rows = [
            (
                f"d{node['name']}",
                number(node["gradient_norm"], 6),
                number(node["autodiff_norm"], 6),
                number(node["difference"], 2),
            )
            for node in sent
        ]
        pieces.append(
            report.step(
                f"back through {source['formula']}",
                *(report.paragraph(f"{node['chain']}: {node['chain_in_words']}.") for node in sent),
                report.matrices(
                    *(matrix(f"d{node['name']}", arrays[f"by hand {node['name']}"]) for node in sent)
                ),
                report.table(["norm of", "by hand", "autodiff", "difference"], rows),
                backward=True,
            )
        )
    return pieces


def digit_by_digit(nodes: list[dict[str, Any]], arrays: dict[str, np.ndarray]) -> list[str]:
    """One entry of the first weights' gradient, as a sum over the batch."""
    w = first_weight(nodes)
    z = next(node for node in nodes if w in node["inputs"])
    x, dz = arrays[f"value {z['inputs'][0]}"][:, 0], arrays[f"by hand {z['name']}"][:, 0]
    rows = [
        (f"n = {n}", number(a), number(b, 5), number(a * b, 5))
        for n, (a, b) in enumerate(zip(x, dz, strict=True))
    ]
    total = (x * dz).sum()
    return [
        report.heading("One entry, digit by digit"),
        report.paragraph(
            f"{w}[0, 0] takes the first number of every example to the first unit: {z['name']}[n, 0] = x[n, "
            f"0] {w}[0, 0] + what does not depend on it. Its derivative by {w}[0, 0] is x[n, 0], so d{w}[0, "
            f"0] = Σₙ x[n, 0] d{z['name']}[n, 0]:"
        ),
        report.table(
            ["example", "x[n, 0]", f"d{z['name']}[n, 0]", "product"],
            [*rows, ("sum", "", "", number(total, 5))],
        ),
        report.paragraph(f"By autodiff d{w}[0, 0] is {number(arrays[f'autodiff {w}'][0, 0], 5)}."),
    ]


def apart_and_together(
    nodes: list[dict[str, Any]], arrays: dict[str, dict[str, np.ndarray]], results: dict[str, Any]
) -> list[str]:
    """Softmax's Jacobian on one row, and what becomes of it when the cross-entropy is put with it."""
    z = next(
        node["name"] for node in reversed(nodes) if node["layer"].startswith("linear") and node["inputs"]
    )
    p, dp, y = arrays["apart"]["value p"], arrays["apart"]["by hand p"], arrays["arrays"]["y"]
    dz, fused = (arrays[way][f"by hand {z}"] for way in ("apart", "together"))
    count, classes = p.shape
    jacobian = np.diag(p[0]) - np.outer(p[0], p[0])
    true = p[np.arange(count), y]
    off = results["hopeless"]
    together = nodes[-1]["inputs"] == [z]
    return [
        report.heading("Softmax and cross-entropy, apart and together"),
        report.paragraph(
            f"This loss has softmax in it. Were that a layer of its own, p = softmax({z}), and cross-entropy "
            "the loss after it, dp would be −Y / (N p), and the way back would go through softmax."
            if together
            else f"The way back has just gone through softmax by itself, from dp to d{z}."
        ),
        report.paragraph(
            f"In softmax every probability of a row depends on every score of it: ∂pᵢ/∂{z}ⱼ = pᵢ (δᵢⱼ − "
            "pⱼ), with δᵢⱼ = 1 where i = j, else 0. For the first example that is the matrix J below: J[0, "
            f"0] = {number(p[0, 0])} × (1 − {number(p[0, 0])}) = {number(jacobian[0, 0])}, J[0, 1] = "
            f"−{number(p[0, 0])} × {number(p[0, 1])} = {number(jacobian[0, 1])}. Only dp[0, {y[0]}] = "
            f"{number(dp[0, y[0]])} is not 0, so Jᵀ dp[0] is that times row {y[0]} of J. The backward pass "
            "gets the same from p ⊙ (dp − Σₖ p ⊙ dp), without any J."
        ),
        report.matrices(
            matrix("p[0]", p[0]),
            matrix("J", jacobian),
            matrix("dp[0]", dp[0]),
            matrix("Jᵀ dp[0]", jacobian.T @ dp[0]),
            matrix(f"d{z}[0] by softmax's backward", dz[0]),
        ),
        report.paragraph(
            "Now put in what dp is: −1/(N p) at the true class, 0 elsewhere. Then Σₖ p ⊙ dp is −1/N in "
            f"every row, and p cancels: d{z} = p/N at the other classes and (p − 1)/N at the true one. With "
            f"Y, a row of which is 1 at the true class and else 0, d{z} = (p − Y)/N: what was predicted, "
            f"less what was so. On this batch the two ways differ by {number(np.abs(dz - fused).max(), 2)} "
            "at most:"
        ),
        report.matrices(
            matrix("p", p),
            matrix("Y", np.eye(classes)[y]),
            matrix("dp = −Y / (N p)", dp),
            matrix(f"d{z}, apart", dz),
            matrix(f"d{z} = (p − Y) / N", fused),
        ),
        report.paragraph(
            "Together they are safer, too. An entry of dp is the larger the smaller p is: here the least "
            f"probable true class has p = {number(true.min())}, and the largest entry of dp in size is "
            f"{number(np.abs(dp).max())}. No entry of (p − Y)/N is larger in size than 1/N = {number(1 / count)}; "
            f"here the largest is {number(np.abs(fused).max())}. And at scores of "
            f"{' and '.join(map(number, off['z']))}, where the first class is the true one, p is 0 to "
            "the last digit: apart, the scores get the gradient "
            f"{', '.join(map(number, off['apart']))}; together, "
            f"{', '.join(map(number, off['together']))}. That is why there is softmax_cross_entropy."
        ),
    ]


def one_over_n(nodes: list[dict[str, Any]], results: dict[str, Any]) -> list[str]:
    """The loss is a mean, and so is its gradient."""
    w, examples = first_weight(nodes), results["examples"]
    rows = [(f"{n} alone", number(e["loss"]), number(e["dw"], 5)) for n, e in enumerate(examples)]
    mean = [np.mean([e[key] for e in examples]) for key in ("loss", "dw")]
    return [
        report.heading("Where the 1/N comes from"),
        report.paragraph(
            "L is the mean of the examples' losses, so its gradient is the mean of their gradients. The "
            "1/N enters once, in the loss's backward; from there on the sums over the batch in dw and db "
            "do the rest, and no layer divides by anything. Back-propagated one example at a time, the "
            f"entry d{w}[0, 0] of before is:"
        ),
        report.table(
            ["example", "L", f"d{w}[0, 0]"],
            [
                *rows,
                ("their mean", number(mean[0]), number(mean[1], 5)),
                ("the batch", number(results["loss"]), number(results["dw"], 5)),
            ],
        ),
    ]


def downhill(results: dict[str, Any]) -> list[str]:
    """A step along the negative gradient, and the decrease that the gradient foretold."""
    rows, ratios = [], []
    for step in results["steps"]:
        decrease, foretold = results["loss"] - step["loss"], step["rate"] * results["squared_norm"]
        ratios.append(decrease / foretold if foretold else float("nan"))
        rows.append(
            (
                number(step["rate"]),
                number(step["loss"]),
                number(decrease),
                number(foretold),
                number(ratios[-1], 3),
            )
        )
    return [
        report.heading("A step downhill"),
        report.paragraph(
            "What the gradient is for: take η times it from every parameter. To first order L then falls "
            "by η ‖g‖², with g all parameters' gradients together and ‖g‖² = "
            f"{number(results['squared_norm'])}. Before the step, L = {number(results['loss'], 5)}; after "
            "it:"
        ),
        report.table(["η", "L after", "fell by", "η ‖g‖²", "ratio"], rows),
        report.paragraph(
            f"With the smallest step the ratio is {number(ratios[-1], 3)}; with the largest, "
            f"{number(ratios[0], 3)}: the gradient is the slope where we stand, and along a long step the "
            "slope changes."
        ),
    ]


def nudging(nodes: list[dict[str, Any]], results: dict[str, Any]) -> list[str]:
    """The same derivative asked of the loss itself."""
    w, dw = first_weight(nodes), results["dw"]
    errors = [abs(nudge["slope"] - dw) for nudge in results["nudges"]]
    best = int(np.argmin(errors))
    rows = [
        (number(nudge["by"]), number(nudge["slope"], 12), number(error, 2))
        for nudge, error in zip(results["nudges"], errors, strict=True)
    ]
    return [
        report.heading("Asking the loss itself"),
        report.paragraph(
            f"A derivative can be checked without any theory: nudge {w}[0, 0] by ε both ways, and see how L "
            f"changes, (L(w + ε) − L(w − ε)) / 2ε. By back-propagation d{w}[0, 0] = {number(dw, 12)}."
        ),
        report.table(["ε", "slope of L", "difference"], rows),
        report.paragraph(
            (
                f"It comes nearest with ε = {number(results['nudges'][best]['by'])}: a larger nudge sees the "
                "slope change, and a smaller one subtracts two losses that agree in all but their last digits. "
                if any(errors)
                else "No nudge differs from it: around here L does not depend on this weight at all. "
            )
            + f"For all {results['parameters']} parameters this takes {2 * results['parameters']} losses, "
            "where back-propagation took one way forward and one back."
        ),
    ]


def by_name(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The nodes by their names."""
    return {node["name"]: node for node in nodes}


def first_weight(nodes: list[dict[str, Any]]) -> str:
    """What the first layer's weights are called: w₁, or w where there is but one layer."""
    return next(str(node["name"]) for node in nodes if node["kind"] == "parameter")


def number(value: float, digits: int = 4) -> str:
    """A number for a reader."""
    return f"{value + 0.0:.{digits}g}".replace("e-0", "e-").replace("-", "−")  # adding 0 makes 0 of −0


def matrix(name: str, a: np.ndarray) -> str:
    """A matrix with its shape; all entries with as many decimals as give the largest four digits, or fewer if exact."""
    rows = np.atleast_2d(a)
    largest = float(np.abs(rows).max())
    most = int(np.clip(3 - np.floor(np.log10(largest)), 0, 12)) if largest > 0 else 0
    decimals = next((d for d in range(most) if np.array_equal(rows.round(d), rows)), most)
    # Adding 0 makes 0 of −0.
    cells = [
        [f"{value + 0.0:.{decimals}f}".replace("-", "−") for value in row] for row in rows.round(decimals)
    ]
    return report.matrix(f"{name}, {form(a.shape)}" if a.ndim else name, cells)


if __name__ == "__main__":
    runs.main(Config, run, "Back-propagation step by step: every value forward, every gradient back.")

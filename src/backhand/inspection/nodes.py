"""What `explain` returns: the nodes of a graph, and how they look as a table."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

WIDTH = 100  # of the table, in columns
NOTES = (
    "dv is ∂L/∂v; shown is its norm, √Σ dv², by hand and by autodiff, and the largest difference "
    "between their entries. ⊙ multiplies entry by entry, Σₙ sums over the N examples, Σₖ along a "
    "row."
)


class Gradient(NamedTuple):
    """The derivative of the loss by something, by the net's own backward passes and by autodiff."""

    by_hand: np.ndarray
    autodiff: np.ndarray
    came: float  # the norm of the gradient it was made from, whose rounding it inherits

    @property
    def difference(self) -> float:
        """The largest difference between entries of the two.

        inf if shapes differ, or only one of two entries is NaN.
        """
        if self.by_hand.shape != self.autodiff.shape:
            return float("inf")
        a, b = self.by_hand.astype(np.float64), self.autodiff.astype(np.float64)
        with np.errstate(invalid="ignore"):
            difference = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))

    @property
    def ok(self) -> bool:
        """Whether rounding explains the difference."""
        rounding = 4096 * float(jnp.finfo(self.autodiff.dtype).eps)  # 9e-13 in float64
        size = norm(np.where(np.isfinite(self.autodiff), self.autodiff, 0))
        return self.difference <= rounding * (size + 1e-3 * float(np.nan_to_num(self.came)))


class Share(NamedTuple):
    """What a place that used a value sends back to it, made from the gradient of node `source`."""

    source: str
    symbols: str
    words: str
    gradient: Gradient


class Node(NamedTuple):
    """One node of the graph."""

    name: str  # what it is called, such as z₁; its gradient, the derivative of L by it, is dz₁
    kind: Literal["input", "parameter", "value", "loss"]
    formula: str  # how it is computed, in symbols, such as h = tanh(z₁)
    words: str  # and in words
    value: np.ndarray
    gradient: Gradient  # the sum of its shares
    shares: tuple[Share, ...] = ()  # what is sent back to it from each place that used it
    layer: str = ""  # what computed it, or has it as a parameter, by name
    path: tuple[int, ...] = ()  # where in the net that is
    inputs: tuple[str, ...] = ()  # the names of the nodes it is computed from
    kept: tuple[
        str, ...
    ] = ()  # for the backward pass where it is computed, with the bytes it takes

    @property
    def place(self) -> str:
        """Where in the net its layer is, in parentheses; empty if that is the net."""
        return f" (net{''.join(f'.parts[{i}]' for i in self.path)})" if self.path else ""

    @property
    def chain(self) -> str:
        """The chain rule in symbols, such as dh = dz₂ w₂ᵀ."""
        return f"d{self.name} = {' + '.join(share.symbols for share in self.shares) or '1'}"

    @property
    def chain_in_words(self) -> str:
        """The chain rule in words."""
        words = list(dict.fromkeys(share.words for share in self.shares))
        if len(self.shares) > 1:
            sizes = ", ".join(f"{s.symbols} of {norm(s.gradient.by_hand):.4g}" for s in self.shares)
            places = f"{self.name} was copied to {len(self.shares)} places"
            words.append(f"{places}, so what comes back is summed: {sizes}")
        return "; ".join(words) or "the loss by itself: where the chain starts"


@dataclass(frozen=True, eq=False)
class Explanation:
    """A net's computational graph for one batch: nodes in the order of computing, the loss last.

    `explanation["h"]` is the node of that name; `str(explanation)` a table of all, forward and back
    again.
    """

    nodes: tuple[Node, ...]

    def __getitem__(self, name: str) -> Node:
        """The node of that name; KeyError names those there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise KeyError(f"the nodes are {names}; there is no {name!r}")

    @property
    def difference(self) -> float:
        """The largest difference of any gradient's entry by hand from autodiff's."""
        return max(node.gradient.difference for node in self.nodes)

    @property
    def ok(self) -> bool:
        """Whether every gradient by hand is autodiff's but for rounding."""
        return all(node.gradient.ok for node in self.nodes)

    @property
    def faults(self) -> tuple[str, ...]:
        """Which backward passes are wrong: what came to them was right, and what went out wrong."""
        return tuple(
            f"the backward of {source.layer}{source.place} is wrong: d{source.name} came to it "
            f"right, and its share of d{node.name}, {share.symbols}, is not what autodiff says"
            for node in reversed(self.nodes)
            for share in node.shares
            if (source := self[share.source]).gradient.ok and not share.gradient.ok
        )

    def __str__(self) -> str:
        forward = [("forward", "shape", "norm", "kept for the way back")]
        for node in self.nodes:
            formula = f"  {node.formula}{f', of {node.layer}' * (node.kind == 'parameter')}"
            kept = ", ".join(node.kept) if len(node.kept) < 3 else f"{len(node.kept)} arrays"
            forward.append((formula, form(node.value.shape), f"{norm(node.value):.6g}", kept))
        backward, words = [("backward", "by hand", "autodiff", "difference")], []
        for node in reversed(self.nodes):
            by_hand, autodiff = (f"{norm(g):.6g}" for g in node.gradient[:2])
            difference = f"{node.gradient.difference:.1e} {'✓' if node.gradient.ok else '✗'}"
            backward.append((f"  {node.chain}", by_hand, autodiff, difference))
            words.append(_paragraph(node.chain_in_words, 6))
        head, *rows = _rows(backward, "<>>>")
        explained = [line for both in zip(rows, words, strict=True) for line in both]
        count, wrong = len(self.nodes), sum(not node.gradient.ok for node in self.nodes)
        verdict = f"✗ {wrong} of {count} gradients are not autodiff's."
        if not wrong:
            most = f"no entry differs by more than {self.difference:.1e}"
            verdict = f"✓ All {count} gradients are autodiff's: {most}."
        faults = [_paragraph(f"→ {fault}", 0) for fault in self.faults]
        notes = [_paragraph(NOTES, 0), verdict, *faults]
        return "\n".join([*_rows(forward, "<<><"), "", head, *explained, "", *notes])


def norm(a: np.ndarray) -> float:
    """The Euclidean norm of an array's entries."""
    return float(np.linalg.norm(np.asarray(a, np.float64).ravel()))


def form(shape: tuple[int, ...]) -> str:
    """A shape for a reader: 4×3."""
    return "×".join(map(str, shape)) or "scalar"


def _paragraph(text: str, indent: int) -> str:
    first, next_ = " " * indent, " " * (indent or 2)
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=next_)


def _rows(cells: Sequence[Sequence[str]], align: str) -> list[str]:
    """Rows of a table; a first cell that has no room in WIDTH continues in lines below."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(align))]
    widths[0] = min(widths[0], WIDTH - sum(width + 2 for width in widths[1:]))
    rows = []
    for first, *rest in cells:
        start, *more = textwrap.wrap(first, widths[0], subsequent_indent=" " * 6)
        columns = zip([start, *rest], align, widths, strict=True)
        line = "  ".join(f"{cell:{a}{width}}" for cell, a, width in columns)
        rows.append("\n".join([line.rstrip(), *more]))
    return rows

"""What `explain` returns: the nodes of a graph, and how they look as a table."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

WIDTH = 100  # of the table, in columns


class Gradient(NamedTuple):
    """The derivative of the loss by something, by the net's own backward passes and by JAX's autodiff."""

    by_hand: np.ndarray
    autodiff: np.ndarray
    came: float  # the norm of the gradient it was made from, whose rounding it inherits

    @property
    def difference(self) -> float:
        """The largest difference between entries of the two; inf where shapes differ, or only one is NaN."""
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


class Kept(NamedTuple):
    """An array kept for the backward pass.

    `symbols` say what it is, "" where nothing does; `shared` is whether it is a node's value or y, kept anyway.
    """

    symbols: str
    shared: bool
    shape: tuple[int, ...]
    dtype: str
    bytes: int

    def __str__(self) -> str:
        return (
            self.symbols
            if self.shared
            else f"{self.symbols or f'{self.dtype} {form(self.shape)}'} ({self.bytes:,} B)"
        )


class Share(NamedTuple):
    """What one place that used a value sends back to it, made from the gradient of the node `source`."""

    source: str
    symbols: str
    words: str
    gradient: Gradient


class Node(NamedTuple):
    """One node of the graph.

    Attributes:
      name: what it is called, such as z₁. Its gradient, the derivative of the loss by it, is called dz₁.
      kind: input, parameter, value or loss.
      layer: what computed it, or has it as a parameter, by name; `path`, where in the net that is.
      inputs: the names of the nodes it is computed from.
      formula: how it is computed, in symbols, such as h = tanh(z₁); and `words`.
      value: the array.
      kept: what is kept for the backward pass where it is computed.
      shares: what is sent back to it from each place that used it.
      gradient: their sum.
    """

    name: str
    kind: Literal["input", "parameter", "value", "loss"]
    layer: str
    path: tuple[int, ...]
    inputs: tuple[str, ...]
    formula: str
    words: str
    value: np.ndarray
    kept: tuple[Kept, ...]
    shares: tuple[Share, ...]
    gradient: Gradient

    @property
    def chain(self) -> str:
        """The chain rule in symbols, such as dh = dz₂ w₂ᵀ."""
        return f"d{self.name} = {' + '.join(share.symbols for share in self.shares) or '1'}"

    @property
    def chain_in_words(self) -> str:
        """The chain rule in words."""
        words = list(dict.fromkeys(share.words for share in self.shares))
        if len(self.shares) > 1:
            sizes = ", ".join(
                f"{share.symbols} of {norm(share.gradient.by_hand):.4g}" for share in self.shares
            )
            words.append(
                f"{self.name} was copied to {len(self.shares)} places, so what comes back is summed: {sizes}"
            )
        return "; ".join(words) or "the loss by itself: where the chain starts"


@dataclass(frozen=True, eq=False)
class Explanation:
    """A net's computational graph for one batch: its nodes in the order of computing, the loss last.

    `explanation["h"]` is the node of that name; `str(explanation)` a table of all, forward and back again.
    """

    nodes: tuple[Node, ...]

    def __getitem__(self, name: str) -> Node:
        """The node of that name; KeyError names those there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"the nodes are {', '.join(node.name for node in self.nodes)}; there is no {name!r}")

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
        """Which backward passes are wrong: a right gradient came to them, and a wrong one went out."""
        return tuple(
            f"the backward of {source.layer}{_place(source)} is wrong: d{source.name} came to it right, and its "
            f"share of d{node.name}, {share.symbols}, is not what autodiff says"
            for node in reversed(self.nodes)
            for share in node.shares
            if (source := self[share.source]).gradient.ok and not share.gradient.ok
        )

    def __str__(self) -> str:
        back = self.nodes[::-1]
        marks = ["✓" if node.gradient.ok else "✗" for node in back]
        forward = [("forward", "shape", "norm", "kept for the way back")] + [
            (
                f"  {node.formula}{f', of {node.layer}' * (node.kind == 'parameter')}",
                form(node.value.shape),
                f"{norm(node.value):.6g}",
                _kept(node),
            )
            for node in self.nodes
        ]
        backward = [("backward", "by hand", "autodiff", "difference")] + [
            (
                f"  {node.chain}",
                *(f"{norm(g):.6g}" for g in node.gradient[:2]),
                f"{node.gradient.difference:.1e} {mark}",
            )
            for node, mark in zip(back, marks, strict=True)
        ]
        head, *rows = _rows(backward, "<>>>")
        explained = [
            line
            for node, row in zip(back, rows, strict=True)
            for line in (row, _paragraph(node.chain_in_words, 6))
        ]
        count, wrong = len(back), marks.count("✗")
        verdict = (
            f"✗ {wrong} of {count} gradients are not autodiff's."
            if wrong
            else f"✓ All {count} gradients are autodiff's: no entry differs by more than {self.difference:.1e}."
        )
        notes = (
            "dv is ∂L/∂v; shown is its norm, √Σ dv², by hand and by autodiff, and the largest difference between "
            "their entries. ⊙ multiplies entry by entry, Σₙ sums over the N examples, Σₖ along a row."
        )
        faults = [_paragraph(f"→ {fault}", 0) for fault in self.faults]
        return "\n".join(
            [*_rows(forward, "<<><"), "", head, *explained, "", _paragraph(notes, 0), verdict, *faults]
        )


def norm(a: Any) -> float:
    """The Euclidean norm of an array's entries."""
    return float(np.linalg.norm(np.asarray(a, np.float64).ravel()))


def form(shape: tuple[int, ...]) -> str:
    """A shape for a reader: 4×3."""
    return "×".join(map(str, shape)) or "scalar"


def _place(node: Node) -> str:
    return f" (net{''.join(f'.parts[{i}]' for i in node.path)})" if node.kind != "loss" and node.path else ""


def _kept(node: Node) -> str:
    if len(node.kept) > 2:
        return f"{len(node.kept)} arrays ({sum(kept.bytes for kept in node.kept):,} B)"
    return ", ".join(map(str, node.kept))


def _paragraph(text: str, indent: int) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent or 2))


def _rows(cells: Sequence[Sequence[str]], align: str) -> list[str]:
    """Rows of a table, a first cell that has no room in WIDTH going on in lines below."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(align))]
    widths[0] = min(widths[0], WIDTH - sum(width + 2 for width in widths[1:]))
    rows = []
    for first, *rest in cells:
        start, *more = textwrap.wrap(first, widths[0], subsequent_indent=" " * 6)
        line = "  ".join(
            f"{cell:{a}{width}}" for cell, a, width in zip([start, *rest], align, widths, strict=True)
        )
        rows.append("\n".join([line.rstrip(), *more]))
    return rows

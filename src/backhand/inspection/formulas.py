"""What each layer and loss computes, and what its chain rule says, in symbols and in words.

In a formula {x} stands for the input, {y} for the output, {w} and {b} for parameters by their
names, {dy} for the gradient that arrives, {arg} for what the layer was made with. ⊙ is a product
entry by entry, [·] is 1 if what it says is so and 0 otherwise, n counts the N examples, k the
classes.
"""

import re
from typing import NamedTuple

from backhand.layer import Layer
from backhand.losses import Loss


class Words(NamedTuple):
    """One thing in symbols and in words."""

    symbols: str
    words: str

    def named(self, names: dict[str, str]) -> "Words":
        """With names for what both leave open."""
        return Words(fill(self.symbols, names), fill(self.words, names))


class Rule(NamedTuple):
    """What a layer or a loss computes, and what it sends back to its input x and each parameter."""

    forward: Words
    back: dict[str, Words]
    letter: str  # what people call its output
    keeps: tuple[str, ...] = ()  # for its backward


def read(text: str) -> dict[str, Rule]:
    """Rules by name, an entry each: what is kept and computed, and each gradient sent back."""
    rules = {}
    for entry in re.sub(r"\n +", " ", text.strip()).split("\n\n"):
        head, *lines = entry.split("\n")
        title, computed = head.split(": ", 1)
        name, *keeps = re.split(", keeping |; ", title)
        letter, forward = computed.split(" = ", 1)
        sent = (line.split(" = ", 1) for line in lines)
        back = {left.removeprefix("d"): Words(*right.split(" — ")) for left, right in sent}
        rules[name] = Rule(Words(*forward.split(" — ")), back, letter, tuple(keeps))
    return rules


LAYERS = read("""
linear, keeping {x}: z = {x} {w} + {b} — each row of {x} times each column of {w}, plus {b}
dx = {dy} {w}ᵀ — the weights walked backwards: an entry of {x} gets what each unit of {y} got, times
    the weight between the two, summed over the units
dw = {x}ᵀ {dy} — for each weight, what went in at one end times what came back at the other, summed
    over the examples, which all used it
db = Σₙ {dy} — {b} was copied to every example, so what comes back from all of them is summed

tanh, keeping {y}: h = tanh({x}) — each entry squeezed into −1 … 1
dx = {dy} ⊙ (1 − {y}²) — each entry times tanh's slope there: 1 at 0, almost 0 where {y} is near ±1,
    so a saturated unit hardly learns

sigmoid, keeping {y}: h = σ({x}) — each entry squeezed into 0 … 1
dx = {dy} ⊙ {y} ⊙ (1 − {y}) — each entry times the sigmoid's slope there, which is ¼ at most

relu, keeping {x} > 0: h = max({x}, 0) — each entry where it is positive, else 0
dx = {dy} ⊙ [{x} > 0] — a gate: the gradient passes where {x} was positive, and stops elsewhere

leaky_relu, keeping {x} ≥ 0: h = {x} where {x} ≥ 0, else {arg} {x} — each entry, held back below 0
dx = {dy} ⊙ (1 where {x} ≥ 0, else {arg}) — all of the gradient, or {arg} of it below 0

elu, keeping {x}: h = {x} where {x} > 0, else {arg} (e^{x} − 1) — each entry, never below −{arg}
dx = {dy} ⊙ (1 where {x} > 0, else {arg} e^{x}) — the gradient passes where {x} was positive; the
    further below 0, the less of it does

softplus, keeping {x}: h = log(1 + e^{x}) — a smooth max(·, 0) of each entry
dx = {dy} ⊙ σ({x}) — each entry times the softplus's slope there, a sigmoid

gelu, keeping {x}: h = {x} ⊙ Φ({x}) — each entry, weighed by the standard normal's share Φ below it
dx = {dy} ⊙ (Φ({x}) + {x} ⊙ φ({x})) — each entry times gelu's slope there, by the product rule, with
    φ the derivative of Φ

silu, keeping {x}: h = {x} ⊙ σ({x}) — each entry, weighed by its own sigmoid
dx = {dy} ⊙ σ({x}) ⊙ (1 + {x} ⊙ (1 − σ({x}))) — times silu's slope there, by the product rule

softmax, keeping {y}: p = softmax({x}) — each row's exponentials over their sum, so rows sum to 1
dx = {y} ⊙ ({dy} − Σₖ {y} ⊙ {dy}) — each score moves all of its row's probabilities; what counts is
    how far its own {dy} is above the row's mean of {dy}, weighed by {y}

dropout, keeping m: h = {x} ⊙ m / (1 − {arg}) — a share of {arg} of the entries dropped, different
    ones every time: m is 0 there and 1 elsewhere; the rest is enlarged, so that the mean stays
dx = {dy} ⊙ m / (1 − {arg}) — what was dropped had no effect, and gets nothing back

distort, keeping where: h = Σ w {x} — each pixel read where a random map sends it, w weighing the
    four pixels around there
dx = Σ w {dy} — each pixel's gradient goes back to the pixels it was read from, by the same weights

scale_pixels: h = {x} — numbers as they are; a picture's bytes would be divided by 255
dx = {dy} — what leaves {x} as it is leaves its gradient as it is
""")

LOSSES = read("""
squared_error, keeping {x} − y: L = 1/N Σₙ ‖{x} − y‖² — the mean squared distance from the target
dx = 2 ({x} − y) / N — twice the error, so the farther off, the stronger; 1/N is the mean's share

absolute_error, keeping sign({x} − y): L = 1/N Σₙ ‖{x} − y‖₁ — each example's absolute errors,
    averaged over the batch
dx = sign({x} − y) / N — the error's sign: all count alike, large or small; 1/N is the mean's share

huber, keeping clip({x} − y, ±δ): L = 1/N Σₙ huber({x} − y) — squares of small errors, sizes of
    large ones, averaged over the batch
dx = clip({x} − y, ±δ) / N — the error itself, but never more than δ; 1/N is the mean's share

logistic, keeping {x}; 1 − 2y: L = −1/N Σₙ log(σ({x}) if y else 1 − σ({x})) — minus the log of the
    chance given to what was so
dx = (σ({x}) − y) / N — what was predicted, less what was so; 1/N is the mean's share

cross_entropy, keeping {x}; y: L = −1/N Σₙ log {x}[n, y(n)] — minus the log of the probability given
    to the true class, averaged over the batch
dx = −Y / (N {x}) — only the true class of each example, where the one-hot Y is 1, has an effect,
    and the less probable it was the stronger; 1/N is the mean's share

softmax_cross_entropy, keeping softmax({x}); y: L = −1/N Σₙ log softmax({x})[n, y(n)] — minus the
    log of the probability that softmax gives to the true class, averaged over the batch
dx = (softmax({x}) − Y) / N — what was predicted, less what was so, the one-hot Y; 1/N is the mean's
    share
""")

SUM = Rule(
    Words("{x}", "the sum of what the branches give"),
    {"x": Words("{dy}", "a sum hands its gradient to each of its terms as it is")},
    "s",
)


def fill(template: str, names: dict[str, str]) -> str:
    """The template with names for what it leaves open."""
    for name, written in names.items():
        template = template.replace(f"{{{name}}}", written)
    return template


def rule_of(made: Layer | Loss, parameters: tuple[str, ...] = ()) -> Rule:
    """The rule of a layer or a loss, by its name.

    What is not known, or has other parameters, gets what is true of any.
    """
    if isinstance(made, Loss):
        name = made.forward.__qualname__.split(".")[0].lstrip("_")  # that of its constructor
        if made.forward.__module__ == Loss.__module__ and name in LOSSES:
            return LOSSES[name]
        forward = Words("loss({x}, y)", "what the loss's forward says")
        return Rule(forward, {"x": Words("∂L/∂{x}", "as the loss's backward says")}, "L")
    known = LAYERS.get(made.name.partition("(")[0])
    if known is not None and set(known.back) == {"x", *parameters}:
        return known
    listed = "".join(f", {{{name}}}" for name in parameters)
    forward = Words(f"{made.name}({{x}}{listed})", f"what the forward of {made.name} says")
    says = f"J the Jacobian of {{y}} by {{BY}}: as the backward of {made.name} says"
    by = ("x", *parameters)
    return Rule(forward, {k: Words("Jᵀ {dy}", says.replace("BY", k)) for k in by}, "v")

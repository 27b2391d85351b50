"""What each layer and loss computes, and what its chain rule says, in symbols and in words.

Templates: {x} stands for the input, {y} for the output, {w} and {b} for parameters by their names, {dy} for
the gradient that arrives, {arg} for what the layer was made with. ⊙ is a product entry by entry, [·] is 1
where what it says is so and else 0, n counts the N examples, k the classes.
"""

from typing import NamedTuple

from backhand.layer import Layer
from backhand.losses import Loss


class Words(NamedTuple):
    """One thing said twice: in symbols and in words."""

    symbols: str
    words: str


class Rule(NamedTuple):
    """A layer or a loss: what it computes, and what it sends back to its input x and to each parameter.

    `letter` is what people call its output, and `keeps` says what it keeps for its backward.
    """

    forward: Words
    back: dict[str, Words]
    letter: str = "h"
    keeps: tuple[str, ...] = ()


def fill(template: str, names: dict[str, str]) -> str:
    """The template with names for what it leaves open."""
    for name, said in names.items():
        template = template.replace(f"{{{name}}}", said)
    return template


def activation(symbols: str, words: str, slope: str, back_words: str, keeps: str) -> Rule:
    """The rule of a function that acts entry by entry: dx = dy ⊙ its slope."""
    return Rule(Words(symbols, words), {"x": Words(f"{{dy}} ⊙ {slope}", back_words)}, keeps=(keeps,))


LAYERS = {
    "linear": Rule(
        Words("{x} {w} + {b}", "each row of {x} times each column of {w}, and {b} added to every row"),
        {
            "x": Words(
                "{dy} {w}ᵀ",
                "the weights walked backwards: an entry of {x} gets what each unit of {y} got, times the weight "
                "between the two, summed over the units",
            ),
            "w": Words(
                "{x}ᵀ {dy}",
                "for each weight, what went in at one end times what came back at the other, summed over the "
                "examples, which all used it",
            ),
            "b": Words(
                "Σₙ {dy}", "{b} was copied to every example, so what comes back from all of them is summed"
            ),
        },
        "z",
        ("{x}",),
    ),
    "tanh": activation(
        "tanh({x})",
        "each entry squeezed into −1 … 1",
        "(1 − {y}²)",
        "each entry times tanh's slope there: 1 at 0, almost 0 where {y} is near ±1, so a saturated unit hardly learns",
        "{y}",
    ),
    "sigmoid": activation(
        "σ({x})",
        "each entry squeezed into 0 … 1",
        "{y} ⊙ (1 − {y})",
        "each entry times the sigmoid's slope there, which is ¼ at most",
        "{y}",
    ),
    "relu": activation(
        "max({x}, 0)",
        "each entry where it is positive, else 0",
        "[{x} > 0]",
        "a gate: the gradient passes where {x} was positive, and stops elsewhere",
        "{x} > 0",
    ),
    "leaky_relu": activation(
        "{x} where {x} ≥ 0, else {arg} {x}",
        "each entry, held back where it is negative",
        "(1 where {x} ≥ 0, else {arg})",
        "the gradient passes where {x} was not negative; elsewhere {arg} of it does",
        "{x} ≥ 0",
    ),
    "elu": activation(
        "{x} where {x} > 0, else {arg} (e^{x} − 1)",
        "each entry, bent towards −{arg} where it is negative",
        "(1 where {x} > 0, else {arg} e^{x})",
        "the gradient passes where {x} was positive; the further below 0, the less of it does",
        "{x}",
    ),
    "softplus": activation(
        "log(1 + e^{x})",
        "a smooth max(·, 0) of each entry",
        "σ({x})",
        "each entry times the softplus's slope there, a sigmoid",
        "{x}",
    ),
    "gelu": activation(
        "{x} ⊙ Φ({x})",
        "each entry, weighed by the share Φ of a standard normal below it",
        "(Φ({x}) + {x} ⊙ φ({x}))",
        "each entry times gelu's slope there, by the product rule, with φ the derivative of Φ",
        "{x}",
    ),
    "silu": activation(
        "{x} ⊙ σ({x})",
        "each entry, weighed by its own sigmoid",
        "σ({x}) ⊙ (1 + {x} ⊙ (1 − σ({x})))",
        "each entry times silu's slope there, by the product rule",
        "{x}",
    ),
    "softmax": Rule(
        Words("softmax({x})", "each row's exponentials over their sum: positive, and every row adds up to 1"),
        {
            "x": Words(
                "{y} ⊙ ({dy} − Σₖ {y} ⊙ {dy})",
                "each score moves all of its row's probabilities; what counts is how far its own {dy} stands "
                "above the row's mean of {dy}, weighed by {y}",
            )
        },
        "p",
        ("{y}",),
    ),
    "dropout": Rule(
        Words(
            "{x} ⊙ m / (1 − {arg})",
            "a share of {arg} of the entries dropped, others every time: m is 0 there and 1 elsewhere; the rest is "
            "enlarged, so that the mean stays",
        ),
        {"x": Words("{dy} ⊙ m / (1 − {arg})", "what was dropped had no effect, and gets nothing back")},
        keeps=("m",),
    ),
    "distort": Rule(
        Words(
            "Σ w {x}", "each pixel read where a random map sends it, w weighing the four pixels around there"
        ),
        {
            "x": Words(
                "Σ w {dy}",
                "each pixel's gradient goes back to the pixels it was read from, by the same weights",
            )
        },
        keeps=("where",),
    ),
}

SUM = Rule(
    Words("{x}", "the sum of what the branches give"),
    {"x": Words("{dy}", "a sum hands its gradient to each of its terms as it is")},
    "s",
)
LOSSES = {
    "squared_error": Rule(
        Words(
            "1/N Σₙ ‖{x} − y‖²", "each example's squared distance from its target, averaged over the batch"
        ),
        {
            "x": Words(
                "2 ({x} − y) / N",
                "twice the error, so the farther off, the stronger; 1/N is the mean's share",
            )
        },
        keeps=("{x} − y",),
    ),
    "absolute_error": Rule(
        Words("1/N Σₙ ‖{x} − y‖₁", "each example's absolute errors, averaged over the batch"),
        {
            "x": Words(
                "sign({x} − y) / N",
                "the error's sign: all count alike, large or small; 1/N is the mean's share",
            )
        },
        keeps=("sign({x} − y)",),
    ),
    "huber": Rule(
        Words(
            "1/N Σₙ huber({x} − y)", "squares of small errors, sizes of large ones, averaged over the batch"
        ),
        {
            "x": Words(
                "clip({x} − y, ±δ) / N", "the error itself, but never more than δ; 1/N is the mean's share"
            )
        },
        keeps=("clip({x} − y, ±δ)",),
    ),
    "logistic": Rule(
        Words("−1/N Σₙ log(σ({x}) if y else 1 − σ({x}))", "minus the log of the chance given to what was so"),
        {"x": Words("(σ({x}) − y) / N", "what was predicted, less what was so; 1/N is the mean's share")},
        keeps=("{x}", "1 − 2y"),
    ),
    "cross_entropy": Rule(
        Words(
            "−1/N Σₙ log {x}[n, y(n)]",
            "minus the log of the probability given to the true class, averaged over the batch",
        ),
        {
            "x": Words(
                "−Y / (N {x})",
                "only the true class of each example, where the one-hot Y is 1, has an effect, and the less probable "
                "it was the stronger; 1/N is the mean's share",
            )
        },
        keeps=("{x}", "y"),
    ),
    "softmax_cross_entropy": Rule(
        Words(
            "−1/N Σₙ log softmax({x})[n, y(n)]",
            "minus the log of the probability that softmax gives to the true class, averaged over the batch",
        ),
        {
            "x": Words(
                "(softmax({x}) − Y) / N",
                "what was predicted, less what was so, the one-hot Y; 1/N is the mean's share",
            )
        },
        keeps=("softmax({x})", "y"),
    ),
}


def layer_rule(layer: Layer, parameters: tuple[str, ...]) -> Rule:
    """The layer's rule, by its name; of one that is not known, or has other parameters, what is so of any."""
    known = LAYERS.get(layer.name.partition("(")[0])
    if known is not None and set(known.back) == {"x", *parameters}:
        return known
    listed = "".join(f", {{{name}}}" for name in parameters)
    said = f"as the backward of {layer.name} says"
    return Rule(
        Words(f"{layer.name}({{x}}{listed})", f"what the forward of {layer.name} says"),
        {
            "x": Words("Jᵀ {dy}", f"J the Jacobian of {{y}} by {{x}}: {said}"),
            **{
                name: Words("Jᵀ {dy}", f"J the Jacobian of {{y}} by {{{name}}}: {said}")
                for name in parameters
            },
        },
        "v",
    )


def loss_name(loss: Loss) -> str:
    """The loss's name: that of the function in which its forward was defined, its constructor."""
    return loss.forward.__qualname__.split(".")[0].lstrip("_")


def loss_rule(loss: Loss) -> Rule:
    """The loss's rule; of one that is not of this library, what is so of any."""
    if loss.forward.__module__ == Loss.__module__ and loss_name(loss) in LOSSES:
        return LOSSES[loss_name(loss)]
    return Rule(
        Words("loss({x}, y)", "what the loss's forward says"),
        {"x": Words("∂L/∂{x}", "as the loss's backward says")},
    )

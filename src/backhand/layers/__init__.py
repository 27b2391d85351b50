"""The layers, one family a file, each layer's maths beside its code."""

from backhand.layers.distort import distort
from backhand.layers.dropout import dropout
from backhand.layers.gates import gelu, silu
from backhand.layers.linear import Linear, glorot, he, lecun, linear
from backhand.layers.rectifiers import elu, leaky_relu, relu, softplus
from backhand.layers.sigmoids import sigmoid, tanh
from backhand.layers.softmax import softmax

__all__ = [
    "Linear",
    "distort",
    "dropout",
    "elu",
    "gelu",
    "glorot",
    "he",
    "leaky_relu",
    "lecun",
    "linear",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]

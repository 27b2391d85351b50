"""The layers, one family a file, each layer's maths beside its code; and how weights start."""

from backhand.layers.distort import distort
from backhand.layers.dropout import dropout
from backhand.layers.gates import gelu, silu
from backhand.layers.linear import Linear, glorot, he, linear
from backhand.layers.pixels import scale_pixels
from backhand.layers.rectifiers import elu, leaky_relu, relu, softplus
from backhand.layers.sigmoids import sigmoid, tanh
from backhand.layers.softmax import softmax

__all__ = [
    "Linear", "distort", "dropout", "elu", "gelu", "glorot", "he", "leaky_relu", "linear",
    "relu", "scale_pixels", "sigmoid", "silu", "softmax", "softplus", "tanh",
]  # fmt: skip

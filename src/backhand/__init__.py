"""Neural networks in JAX, backprop by hand."""

from backhand.combinators import parallel, residual, serial
from backhand.gradients import autodiff, manual
from backhand.inspection import explain
from backhand.inspection.summary import summary
from backhand.interop import as_custom_vjp
from backhand.layer import Layer, deterministic
from backhand.layers import (
    Linear,
    distort,
    dropout,
    elu,
    gelu,
    glorot,
    he,
    leaky_relu,
    linear,
    relu,
    scale_pixels,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from backhand.losses import (
    Loss,
    absolute_error,
    cross_entropy,
    huber,
    logistic,
    softmax_cross_entropy,
    squared_error,
)
from backhand.metrics import accuracy, mean_absolute_error, r2, zero_one
from backhand.storage import Checkpoints, MismatchError, load, save
from backhand.training import (
    NonFiniteError,
    Training,
    TrainState,
    evaluate,
    fit,
    init_state,
    make_epoch,
    make_step,
)
from backhand.verify import (
    BackwardError,
    Report,
    assert_backward,
    assert_no_autodiff,
    check_backward,
)

__all__ = [
    "BackwardError", "Checkpoints", "Layer", "Linear", "Loss", "MismatchError", "NonFiniteError",
    "Report", "TrainState", "Training", "absolute_error", "accuracy", "as_custom_vjp",
    "assert_backward", "assert_no_autodiff", "autodiff", "check_backward", "cross_entropy",
    "deterministic", "distort", "dropout", "elu", "evaluate", "explain", "fit", "gelu", "glorot",
    "he", "huber", "init_state", "leaky_relu", "linear", "load", "logistic", "make_epoch",
    "make_step", "manual", "mean_absolute_error", "parallel", "r2", "relu", "residual", "save",
    "scale_pixels", "serial", "sigmoid", "silu", "softmax", "softmax_cross_entropy", "softplus",
    "squared_error", "summary", "tanh", "zero_one",
]  # fmt: skip

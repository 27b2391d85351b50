"""Training: what is trained, one step of it, an epoch, and `fit`, which does all of it."""

from backhand.training.evaluate import evaluate
from backhand.training.fit import fit
from backhand.training.nonfinite import NonFiniteError
from backhand.training.optimizers import OPTIMIZERS, Optimizer
from backhand.training.progress import Progress
from backhand.training.step import TrainState, init_state, make_epoch, make_step
from backhand.training.training import Training

__all__ = [
    "OPTIMIZERS", "NonFiniteError", "Optimizer", "Progress", "TrainState", "Training", "evaluate",
    "fit", "init_state", "make_epoch", "make_step",
]  # fmt: skip

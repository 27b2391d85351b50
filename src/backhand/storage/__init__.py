"""What is kept on disk: parameters, checkpoints, and digests that show any damage."""

from backhand.storage.checkpoints import Checkpoint, Checkpoints, MismatchError
from backhand.storage.parameters import load, save

__all__ = ["Checkpoint", "Checkpoints", "MismatchError", "load", "save"]

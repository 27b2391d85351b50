"""The gradient checker: is a backward pass right, and if not, what is wrong with it?

One file a concern: what can be checked (`subjects`), who says what the gradient is (`oracles`), how far off
it is (`comparisons`), why (`diagnosis`), what is asked (`check`), and what is said (`report`).
"""

from backhand.verify.check import assert_backward, check_backward
from backhand.verify.report import BackwardError, Check, Report

__all__ = ["BackwardError", "Check", "Report", "assert_backward", "check_backward"]

"""The gradient checker: is a backward pass right, and if not, what is wrong with it?

One file a concern: what can be checked (`subjects`), with which gradients (`cases`), how far off
they are (`comparisons`, `edges`) and why (`diagnosis`), all that is asked (`check`) and the answer
(`report`); what it is asked about (`catalogue`), and what it must catch (`mutants`).
`purity` shows that a step uses no autodiff at all.
"""

from backhand.verify.check import assert_backward, check_backward
from backhand.verify.purity import assert_no_autodiff
from backhand.verify.report import BackwardError, Check, Report

__all__ = [
    "BackwardError", "Check", "Report", "assert_backward", "assert_no_autodiff", "check_backward",
]  # fmt: skip

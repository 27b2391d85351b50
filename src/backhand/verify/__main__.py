"""`check_backward` from the command line: python -m backhand.verify MODULE:NAME --shape 8,16."""

import argparse
import pkgutil
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from backhand.checks import positive_integer
from backhand.losses import Loss
from backhand.verify.check import check_backward

EPILOG = """\
NAME is a Layer, a Loss, a (forward, backward) pair, or a function with a jax.custom_vjp rule, which
needs --reference. Modules in the current folder can be imported. Examples:

  python -m backhand.verify backhand:tanh --shape 8,16
  python -m backhand.verify backhand:squared_error --shape 8,3 --shape 8,3
  python -m backhand.verify backhand:softmax_cross_entropy --shape 8,10 --labels 10
  python -m backhand.verify my_kernels:attention --reference my_kernels:plain --shape 8,4 --shape 8,4

The exit status is 0 if the backward is right, 1 if it is wrong, 2 if nothing could be checked.
"""  # noqa: E501


class Parser(argparse.ArgumentParser):
    """argparse's parser, with errors of one line."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and exit with status 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what the command line names, print the report, return the exit status."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        subject = pkgutil.resolve_name(options.subject)
        reference = options.reference and pkgutil.resolve_name(options.reference)
        inputs = make_inputs(subject, options.shape, options.labels, options.seed)
        dtypes = options.dtype or ["float32"]
        report = check_backward(
            subject, *inputs, reference=reference, dtypes=dtypes, seed=options.seed
        )
    except Exception as error:  # whatever importing or calling the user's functions raises
        says = (str(error).splitlines() or [""])[0]
        parser.error(f"{options.subject} can't be checked: {type(error).__name__}: {says}")
    print(report)
    return 0 if report.ok else 1


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(
        prog="python -m backhand.verify",
        description="Check a hand-written backward pass against jax.vjp, and say what is wrong.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    name, add = "PACKAGE.MODULE:NAME", parser.add_argument
    add("subject", metavar=name, help="what to check")
    says = "of an argument, random numbers; once for each"
    add("--shape", type=shape, action="append", required=True, metavar="8,16", help=says)
    says = "a last argument: random labels below CLASSES, one for each row of the first shape"
    add("--labels", type=int, metavar="CLASSES", help=says)
    says = "the plain function that a custom_vjp function should agree with"
    add("--reference", metavar=name, help=says)
    says = "in which to check precision; may be repeated (default float32)"
    add("--dtype", action="append", choices=["float32", "bfloat16", "float16"], help=says)
    add("--seed", type=int, default=0, help="of everything random (default 0)")
    return parser


def shape(text: str) -> tuple[int, ...]:
    """8,16 as (8, 16)."""
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        wanted = f"whole numbers from 1 with commas between, such as 8,16, got {text!r}"
        raise argparse.ArgumentTypeError(f"a shape is {wanted}")
    return tuple(map(int, text.split(",")))


def make_inputs(
    subject: object, shapes: list[tuple[int, ...]], classes: int | None, seed: int
) -> list[np.ndarray]:
    """Random arguments: standard normal ones, then labels.

    A Loss that refuses them is given probabilities.
    """
    rng = np.random.default_rng(seed)
    inputs = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    if classes is not None:
        positive_integer("verify", "--labels", classes)
        inputs.append(rng.integers(0, classes, shapes[0][0]).astype(np.int32))
    if isinstance(subject, Loss) and len(inputs) == 2:
        try:
            subject.check(*inputs)
        except (TypeError, ValueError):  # perhaps of probabilities; else check_backward says why
            odds = np.exp(inputs[0])
            inputs[0] = odds / odds.sum(-1, keepdims=True)
    return inputs


if __name__ == "__main__":
    sys.exit(main())

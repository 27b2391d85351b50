"""`check_backward` from the command line: python -m backhand.verify MODULE:NAME --shape 8,16."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

from backhand.layer import Layer, Tree
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


class CommandError(Exception):
    """A command that can't be carried out, in one line."""


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
        subject = named(options.subject)
        reference = None if options.reference is None else named(options.reference)
        explain_functions(options.subject, subject, reference)
        inputs = make_inputs(subject, options.shape, options.labels, options.seed)
    except CommandError as error:
        parser.error(str(error))
    settings = {"dtypes": options.dtype or ["float32"], "seed": options.seed}
    try:
        report = check_backward(subject, *inputs, reference=reference, **settings)
    except Exception as error:  # whatever the user's functions raise if they can't even be called
        parser.error(f"{options.subject} can't be checked: {first_line(error)}")
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
    add("--labels", type=count, metavar="CLASSES", help=says)
    says = "the plain function that a custom_vjp function should agree with"
    add("--reference", metavar=name, help=says)
    says = "in which to check precision; may be repeated (default float32)"
    add("--dtype", action="append", choices=["float32", "bfloat16", "float16"], help=says)
    add("--seed", type=int, default=0, help="of everything random (default 0)")
    return parser


def shape(text: str) -> tuple[int, ...]:
    """8,16 as (8, 16)."""
    try:
        return tuple(count(size) for size in text.split(","))
    except ValueError:
        wanted = f"whole numbers from 1 with commas between, such as 8,16, got {text!r}"
        raise argparse.ArgumentTypeError(f"a shape is {wanted}") from None


def count(text: str) -> int:
    """A whole number from 1."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def named(path: str) -> Any:
    """What PACKAGE.MODULE:NAME stands for; CommandError if it is nothing."""
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        wanted = "PACKAGE.MODULE:NAME, with a colon before the name, such as backhand:tanh"
        raise CommandError(f"{path} should be {wanted}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever importing it may raise
        raise CommandError(f"{module_name} can't be imported: {first_line(error)}") from error
    if not hasattr(module, name):
        raise CommandError(f"{module_name} has no {name}")
    return getattr(module, name)


def explain_functions(path: str, subject: object, reference: Callable[..., Tree] | None) -> None:
    """Raise CommandError for a function alone: a constructor, or a rule without its reference."""
    if isinstance(subject, Layer | Loss) or not callable(subject) or reference is not None:
        return
    if isinstance(subject, jax.custom_vjp):
        agree = "say what it should agree with, --reference PACKAGE.MODULE:NAME"
        raise CommandError(f"{path} has a custom_vjp rule: {agree}")
    layer = f"e.g. my_module:layer with layer = {path.partition(':')[2]}(10)"
    raise CommandError(
        f"{path} is a function: did you mean to name a layer it makes, {layer}? If it has a "
        f"custom_vjp rule, add --reference PACKAGE.MODULE:NAME"
    )


def make_inputs(
    subject: object, shapes: list[tuple[int, ...]], classes: int | None, seed: int
) -> list[np.ndarray]:
    """Random arguments: standard normal ones, then labels.

    A Loss that refuses them is given probabilities.
    """
    rng = np.random.default_rng(seed)
    inputs = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    if classes is not None:
        inputs.append(rng.integers(0, classes, shapes[0][0]).astype(np.int32))
    if isinstance(subject, Loss):
        if len(inputs) != 2:
            wanted = "--shape twice, or --shape once and --labels CLASSES"
            got = f"got {len(inputs)} arguments"
            raise CommandError(f"a loss takes a prediction and a target: {wanted}, {got}")
        try:
            subject.check(*inputs)
        except (
            TypeError,
            ValueError,
        ):  # of probabilities, perhaps; if not, check_backward says why
            odds = np.exp(inputs[0])
            inputs[0] = odds / odds.sum(-1, keepdims=True)
    return inputs


def first_line(error: Exception) -> str:
    """An exception in a line."""
    says = str(error).splitlines()
    return f"{type(error).__name__}: {says[0]}" if says else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())

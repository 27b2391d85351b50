"""Being asked to stop, at a moment that suits."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TypeAlias

ASKING = (signal.SIGINT, signal.SIGTERM)
Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | signal.Handlers | None


class Deferred:
    """While entered, the first Ctrl-C or SIGTERM only sets `asked`; `heed` then obeys it.

    A second one is not deferred. In a thread other than the main one, which no signal reaches, this
    does nothing.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Handler] = {}

    def __enter__(self) -> "Deferred":
        if threading.current_thread() is threading.main_thread():
            for number in ASKING:
                # None is a handler that was not set from Python, and can't be set again from here.
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()
        if error is None:
            self.heed()

    def heed(self) -> None:
        """Do what the signal, if one came, does outside: Ctrl-C raises KeyboardInterrupt."""
        if self.asked is not None:
            number, self.asked = self.asked, None
            self._restore()
            signal.raise_signal(number)

    def _ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.asked = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

"""Being asked to stop, at a moment that suits."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

ASKING = (signal.SIGINT, signal.SIGTERM)


class Deferred:
    """While it is entered, the first Ctrl-C or SIGTERM only sets `asked`; what it would have done is done by `heed`.

    A second is not held back. In another thread than the main one, which no signal reaches, this does nothing.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Deferred":
        if threading.current_thread() is threading.main_thread():
            for number in ASKING:
                # None is a handler that was not set from Python, and can't be set again from here.
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()
        if error is None:
            self.heed()

    def heed(self) -> None:
        """Do what the signal that came, if one did, does outside: Ctrl-C raises KeyboardInterrupt."""
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

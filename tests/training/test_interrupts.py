"""Signals that wait, and are then heard as if nothing had held them up."""

import signal
import threading
from contextlib import contextmanager

import pytest

from backhand.training.interrupts import ASKING, Deferred


@contextmanager
def heard(number=signal.SIGINT):
    numbers = []
    handler = signal.signal(number, lambda number, frame: numbers.append(number))
    try:
        yield numbers
    finally:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ASKING)
def test_a_signal_waits_until_it_is_heeded(number):
    with heard(number) as numbers, Deferred() as signals:
        assert signals.asked is None
        signals.heed()
        signal.raise_signal(number)
        assert (signals.asked, numbers) == (number, [])
        signals.heed()
        assert (signals.asked, numbers) == (None, [number])
        signals.heed()
        assert numbers == [number]


def test_a_signal_is_heeded_at_the_end():
    with heard() as numbers:
        with Deferred():
            signal.raise_signal(signal.SIGINT)
            assert numbers == []
        assert numbers == [signal.SIGINT]


def test_a_second_signal_does_not_wait():
    with heard() as numbers, heard(signal.SIGTERM) as others, Deferred():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert (numbers, others) == ([signal.SIGINT], [signal.SIGTERM])


def test_an_error_is_not_replaced_by_the_signal():
    before = signal.getsignal(signal.SIGINT)

    def fail():
        with Deferred():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("mine")

    with heard() as numbers:
        with pytest.raises(ValueError, match="mine"):
            fail()
        assert numbers == []
    assert signal.getsignal(signal.SIGINT) is before


def test_handlers_come_back():
    before = [signal.getsignal(number) for number in ASKING]
    with Deferred():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in ASKING] == before


def test_what_is_ignored_stays_so():
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Deferred() as signals:
            signal.raise_signal(signal.SIGINT)
            assert signals.asked is None
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)


def test_in_a_thread_it_does_nothing():
    before, inside = signal.getsignal(signal.SIGINT), []

    def run():
        with Deferred():
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert inside == [before]

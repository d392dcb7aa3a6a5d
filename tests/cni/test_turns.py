"""cni.md 3.5, 3.12: who may work at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from multinet.cni.errors import CNIError
from multinet.cni.turns import Turns


class Worker:
    """A thread that takes a turn, and keeps it until it is told to finish."""

    def __init__(self, turn: Callable[[], AbstractContextManager[None]]) -> None:
        self.has_turn = threading.Event()
        self._finish = threading.Event()
        self._turn = turn
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        with self._turn():
            self.has_turn.set()
            assert self._finish.wait(10)

    def works(self) -> bool:
        return self.has_turn.wait(10)

    def waits(self) -> bool:
        return not self.has_turn.wait(0.1)

    def finish(self) -> None:
        self._finish.set()
        self._thread.join(10)


def test_one_container_takes_turns_and_others_dont_wait() -> None:
    turns = Turns()
    first, second, other = (Worker(lambda c=c: turns.of(c)) for c in ("a", "a", "b"))  # type: ignore[misc]
    assert other.works()
    assert first.has_turn.wait(10) or second.has_turn.wait(10)
    running, waiting = (first, second) if first.has_turn.is_set() else (second, first)
    assert waiting.waits()
    running.finish()
    assert waiting.works()
    waiting.finish()
    other.finish()


def test_alone_excludes_all_and_goes_first() -> None:
    turns = Turns()
    running = Worker(lambda: turns.of("a"))
    assert running.works()
    alone = Worker(turns.alone)
    assert alone.waits()
    later = Worker(lambda: turns.of("b"))
    assert later.waits()
    running.finish()
    assert alone.works()
    assert later.waits()
    alone.finish()
    assert later.works()
    later.finish()


def test_no_turn_by_the_deadline() -> None:
    turns = Turns()
    with turns.of("a"):
        for turn in (lambda d: turns.of("a", d), turns.alone):
            with pytest.raises(CNIError, match="still running") as caught, turn(time.monotonic() + 0.05):
                pass
            assert caught.value.code == 11
        with turns.of("b", time.monotonic() - 1):  # who need not wait is not late
            pass


def test_a_failure_gives_the_turn_back() -> None:
    turns = Turns()
    for turn in (lambda: turns.of("a"), turns.alone):
        with pytest.raises(KeyError), turn():
            raise KeyError
    with turns.of("a"), turns.of("b"):
        pass
    with turns.alone():
        pass

"""Who waits for whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from multinet.cni.errors import CNIError, Code
from multinet.daemon.gate import Gate


def soon(seconds: float = 20.0) -> float:
    return time.monotonic() + seconds


def started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


class TestGate:
    def test_many_pass(self) -> None:
        gate = Gate()
        with gate.passing(soon()), gate.passing(soon(0.01)):
            pass

    def test_closed_is_alone(self) -> None:
        gate, order = Gate(), []

        def close() -> None:
            with gate.closed(soon()):
                order.append("closed")
                time.sleep(0.05)
                order.append("open")

        def work() -> None:
            with gate.passing(soon()):
                order.append("passed")

        with gate.passing(soon()):
            closing = started(close)
            time.sleep(0.05)
            started(work).join()  # who waits to close holds nobody up
            assert order == ["passed"]
        while "closed" not in order:
            time.sleep(0.001)
        passing = started(work)
        passing.join()
        closing.join()
        assert order == ["passed", "closed", "open", "passed"]

    def test_two_do_not_close_it_together(self) -> None:
        gate = Gate()
        with gate.closed(soon()), pytest.raises(CNIError) as caught, gate.closed(soon(0.02)):
            pass
        assert caught.value.code == Code.TRY_AGAIN

    def test_deadlines(self) -> None:
        gate = Gate()
        with gate.closed(soon()), pytest.raises(CNIError), gate.passing(soon(0.02)):
            pass
        with gate.passing(soon()), pytest.raises(CNIError), gate.closed(soon(0.02)):
            pass
        with gate.closed(soon(0.02)):
            pass

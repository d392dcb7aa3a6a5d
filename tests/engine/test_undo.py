"""The stack of undoings."""

from __future__ import annotations

import pytest

from multinet.cni.errors import CNIError
from multinet.engine.undo import Undo


def test_last_in_first_out_when_the_body_fails() -> None:
    done: list[int] = []
    with pytest.raises(ZeroDivisionError), Undo() as undo:
        for n in range(3):
            undo.push(str(n), lambda n=n: done.append(n))
        raise ZeroDivisionError
    assert done == [2, 1, 0]


def test_nothing_is_undone_when_all_went_well() -> None:
    done: list[int] = []
    with Undo() as undo:
        undo.push("x", lambda: done.append(1))
    assert done == []


def test_dismiss_and_drop_last() -> None:
    done: list[int] = []
    undo = Undo()
    undo.push("one", lambda: done.append(1))
    undo.push("two", lambda: done.append(2))
    undo.drop_last()
    undo.run()
    assert done == [1]
    undo.push("three", lambda: done.append(3))
    undo.dismiss()
    undo.run()
    assert done == [1]


def test_handing_over_keeps_the_order() -> None:
    done: list[int] = []
    outer = Undo()
    outer.push("one", lambda: done.append(1))
    with Undo() as inner:
        inner.push("two", lambda: done.append(2))
        inner.push("three", lambda: done.append(3))
        inner.hand_over(outer)
    inner.run()
    assert done == []
    outer.run()
    outer.run()
    assert done == [3, 2, 1]


def test_every_undoing_is_tried_and_failures_are_told() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("stuck")

    with pytest.raises(CNIError) as caught, Undo() as undo:
        undo.push("first", lambda: done.append(1))
        undo.push("link eth0", fail)
        undo.push("last", lambda: done.append(3))
        raise CNIError(100, "no", "because")
    assert done == [3, 1]
    assert caught.value.details == "because; undo failed for link eth0: stuck"
    assert undo.errors == ["link eth0: stuck"]

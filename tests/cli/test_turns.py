from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from multinet.cli.turns import container_turn, node_turn
from multinet.cni.errors import CNIError, Code


def soon() -> float:
    return time.monotonic() + 0.05


def test_one_container_at_a_time(tmp_path) -> None:
    state = str(tmp_path)
    with container_turn(state, "c1", soon()):
        still = pytest.raises(CNIError, match="another call for container c1 is still running")
        with still as raised, container_turn(state, "c1", soon()):
            raise AssertionError("both have it")
        assert raised.value.code == Code.TRY_AGAIN
        with container_turn(state, "c2", soon()):
            pass
    with container_turn(state, "c1", soon()):
        pass
    assert os.listdir(tmp_path / "turns") == ["node"]


def test_a_gc_runs_beside_no_other_call(tmp_path) -> None:
    state = str(tmp_path)
    refused = pytest.raises(CNIError, match="another call")
    with container_turn(state, "c1", soon()), refused, node_turn(state, soon()):
        raise AssertionError("both run")
    refused = pytest.raises(CNIError, match="a GC is still running")
    with node_turn(state, soon()), refused, container_turn(state, "c1", soon()):
        raise AssertionError("both run")


def _count(state: str, times: int) -> None:
    for _ in range(times):
        with container_turn(state, "c1", time.monotonic() + 60):
            with open(f"{state}/number") as file:
                number = int(file.read())
            with open(f"{state}/number", "w") as file:
                file.write(str(number + 1))


def test_no_step_of_several_processes_is_lost(tmp_path) -> None:
    """The lock file is removed by each holder: who waited for the old one must not work beside the next."""
    (tmp_path / "number").write_text("0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(str(tmp_path), 100)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "number").read_text() == "400"


def test_a_folder_that_cannot_be_made_is_an_io_failure(tmp_path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(CNIError) as raised, container_turn(str(tmp_path / "state"), "c1", soon()):
        raise AssertionError("no lock was taken")
    assert raised.value.code == Code.IO_FAILURE

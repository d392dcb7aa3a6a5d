"""A machine that fails is an error that says so, never an empty success."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.debian.turns import alone
from tests.vm.guest import Guest, GuestFailed
from tests.vm.kernel import DebianKernel


def test_a_machine_that_does_not_boot(tmp_path):
    (tmp_path / "exit").write_text("0\n")  # of an earlier run
    machine = Guest(DebianKernel("6.1.0-none", tmp_path / "vmlinuz-6.1.0-none"))
    with pytest.raises(GuestFailed, match=r"ended early; what it said is in .*/console\.log"):
        machine.run(["true"], tmp_path, 300)
    assert (tmp_path / "console.log").stat().st_size > 0


def test_a_second_run_waits_for_the_first(tmp_path):
    lock = tmp_path / "lock"
    script = "import sys, pathlib; from tests.debian.turns import alone"
    script += "\nwith alone(pathlib.Path(sys.argv[1]), 'waits'): print('in')"
    with alone(lock, ""):
        other = subprocess.Popen(
            [sys.executable, "-c", script, str(lock)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        assert other.stderr is not None and other.stderr.readline() == "waits\n"
        assert other.poll() is None
    assert other.communicate()[0] == "in\n"

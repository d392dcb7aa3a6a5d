"""Every test once: on this machine's kernel what that can run, in a virtual machine the rest.

``python -m tests.vm both|guest [pytest's arguments]``; ``guest`` leaves out the first half.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.debian.turns import alone
from tests.vm.guest import Guest, GuestFailed, guest
from tests.vm.kernel import Unavailable
from tests.vm.report import Lane, read_lane, table

_REPORTS = Path(__file__).resolve().parents[2] / "build" / "reports"
_OWN = "this kernel"
_GUEST = "virtual machine"
_SECONDS = 3600.0
"""A few hundred tests take minutes; a machine busy with other things, several times that."""
_FINE = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class _Collected:
    """Listens for what pytest would run."""

    def __init__(self) -> None:
        self.tests: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.tests = [item.nodeid for item in session.items]


def main() -> int:
    """0 if all that ran passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__, allow_abbrev=False)
    parser.add_argument("lanes", choices=("both", "guest"))
    parser.add_argument("--workers", default="auto", help="processes on this kernel (pytest -n)")
    asked, arguments = parser.parse_known_args()
    _REPORTS.mkdir(parents=True, exist_ok=True)
    beyond = tests_beyond_this_kernel(arguments)
    machine: Guest | None = None
    lack = ""
    if beyond:
        try:
            machine = guest()
        except Unavailable as unavailable:
            lack = str(unavailable)
    lanes: list[Lane] = []
    if asked.lanes == "both":
        lanes.append(run_here(arguments, asked.workers, "omit" if machine else "skip"))
    if machine:
        lanes.append(run_in(machine, beyond))
    elif beyond:
        lanes.append(Lane(_GUEST, problem=f"there is none ({lack}), so {len(beyond)} tests didn't run"))
    elif asked.lanes == "guest":
        lanes.append(Lane(_GUEST, problem="not booted: this kernel can run all of these tests"))
    print(f"\n{table(lanes)}")
    return int(any(lane.failed or lane.broken for lane in lanes))


def tests_beyond_this_kernel(arguments: list[str]) -> list[str]:
    """Node ids of the tests that need what this kernel lacks; exits if pytest can't collect."""
    collected = _Collected()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = pytest.main(["--collect-only", "--lacking=only", *arguments], plugins=[collected])
    if code not in _FINE:
        sys.exit(f"{said.getvalue()}\npytest can't collect the tests")
    return collected.tests


def run_here(arguments: list[str], workers: str, lacking: str) -> Lane:
    """The tests this kernel can run, side by side; the others are omitted or skipped."""
    junit = _REPORTS / "own.xml"
    junit.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-n", workers, "--dist", "worksteal", "-rs"]
    started = time.monotonic()
    code = subprocess.run([*command, f"--lacking={lacking}", f"--junitxml={junit}", *arguments]).returncode
    return read_lane(_OWN, junit, code, time.monotonic() - started)


def run_in(machine: Guest, tests: list[str]) -> Lane:
    """Those tests in the virtual machine."""
    out = _REPORTS / "vm"
    out.mkdir(exist_ok=True)
    junit = out / "guest.xml"
    with alone(_REPORTS / "vm.lock", "waiting for another run's virtual machine"):
        return _boot(machine, tests, out, junit)


def _boot(machine: Guest, tests: list[str], out: Path, junit: Path) -> Lane:
    junit.unlink(missing_ok=True)
    (out / "tests").write_text("".join(f"{test}\n" for test in tests))
    print(f"\nbooting Linux {machine.kernel.release} for {len(tests)} tests", flush=True)
    started = time.monotonic()
    # A worker takes as long to start as a few tests to run.
    workers = "2" if len(tests) > 4 else "0"
    command = ["env", f"PYTEST_ADDOPTS={os.environ.get('PYTEST_ADDOPTS', '')}"]
    command += [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-n", workers]
    command += ["--dist", "worksteal", "-rs", "--lacking=run", f"--junitxml={junit}", f"@{out}/tests"]
    try:
        code = machine.run(command, out, _SECONDS)
    except GuestFailed as failure:
        return Lane(_GUEST, seconds=time.monotonic() - started, problem=str(failure), broken=True)
    return read_lane(_GUEST, junit, code, time.monotonic() - started)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the machine is ended too
    sys.exit(main())

"""Jobs for the C driver: what to start, and what came of it. Both sides of a comparison go through it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from multinet.adapters.netns import Netns
from multinet.bench.failure import BenchError

__all__ = ["Driver", "Job", "Outcome", "Run", "Step", "compile_driver", "compile_static"]
__all__ += ["parse_report", "reason", "render_plan"]

_SOURCE = Path(__file__).with_name("driver.c")
_RUN_LIMIT = 600.0
"""Seconds after which a run counts as hung."""


class Step(msgspec.Struct, frozen=True):
    """One process."""

    arguments: tuple[str, ...]
    """The program's path first."""
    env: dict[str, str] = {}
    """All of its environment."""
    stdin: str = "/dev/null"
    stdout: str = "/dev/null"
    netns: str = ""
    """Path of the network namespace to start it in; empty: the driver's."""


class Job(msgspec.Struct, frozen=True):
    """Processes one after the other; the first that fails ends the job."""

    label: str
    """For messages: ``ours ADD pod 7``."""
    steps: tuple[Step, ...]


class Outcome(msgspec.Struct, frozen=True):
    """What one job took."""

    wall_ms: float
    """From before the first process was forked until the last one's exit was seen."""
    cpu_ms: float
    """User and system time of its processes and of the children that they waited for."""
    failed_step: int | None = None
    wait_status: int = 0


class Run(msgspec.Struct, frozen=True):
    """What one run of the driver took."""

    outcomes: tuple[Outcome, ...]
    """In the order of the jobs."""
    elapsed_s: float
    driver_cpu_s: float
    """The driver's own, forks included: it weighs on both sides alike."""
    errors: str
    """What the processes wrote to standard error."""


class Driver:
    """Run once for each phase of the benchmark."""

    def __init__(self, program: Path, directory: Path, host: Netns) -> None:
        """``program``, by ``compile_driver``, runs on ``host``; plans and errors are files in ``directory``."""
        self._program = program
        self._directory = directory
        self._host = host

    def run(self, jobs: Sequence[Job], concurrency: int = 1) -> Run:
        """Run the jobs, ``concurrency`` of them at once, started in their order.

        Jobs that fail are outcomes. Raises BenchError when the driver itself fails.
        """
        plan, errors = self._directory / "plan", self._directory / "errors"
        plan.write_text(render_plan(jobs), "utf-8", "surrogateescape")
        with self._host.entered():
            driver = subprocess.Popen(
                [self._program, plan, str(concurrency), errors],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        try:
            report, complaint = driver.communicate(timeout=_RUN_LIMIT)
        except BaseException as error:
            driver.send_signal(signal.SIGTERM)  # it takes its children with it
            driver.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise BenchError(f"{jobs[0].label} and what follows hang: {_tail(errors)}") from None
            raise
        if driver.returncode != 0:
            raise BenchError(f"the driver failed ({driver.returncode}): {complaint.strip()}")
        return parse_report(report, _tail(errors))


def render_plan(jobs: Sequence[Job]) -> str:
    """The plan as ``driver.c`` reads it. Raises ValueError for a line break in a value."""
    lines: list[str] = []
    for job in jobs:
        lines.append("J")
        for step in job.steps:
            lines += ["S", f"I {step.stdin}", f"O {step.stdout}"]
            lines += [f"A {argument}" for argument in step.arguments]
            lines += [f"E {key}={value}" for key, value in step.env.items()]
            lines += [f"N {step.netns}"] if step.netns else []
    for line in lines:
        if "\n" in line:
            raise ValueError(f"a line break in {line!r}")
    return "\n".join(lines) + "\n"


def parse_report(report: str, errors: str = "") -> Run:
    """What ``driver.c`` printed."""
    *rows, last = [[int(word) for word in line.split()] for line in report.splitlines()]
    outcomes = tuple(
        Outcome(wall / 1e6, cpu / 1e6, None if failed < 0 else failed, status)
        for wall, cpu, failed, status in rows
    )
    return Run(outcomes, last[0] / 1e9, last[1] / 1e9, errors)


def reason(job: Job, outcome: Outcome, errors: str) -> str:
    """Why a job failed: what its failing process printed, as a CNI error where it is one."""
    step = job.steps[outcome.failed_step or 0]
    signalled, code = outcome.wait_status & 0x7F, outcome.wait_status >> 8
    ended = f"signal {signalled}" if signalled else f"exit {code}"
    text = _printed(Path(step.stdout)) or errors or "it printed nothing"
    return f"{job.label}: {Path(step.arguments[0]).name}: {ended}: {text}"


def _printed(output: Path) -> str:
    try:
        text = output.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
    try:
        error = json.loads(text)
        return ": ".join(filter(None, (str(error["msg"]), str(error.get("details", "")))))
    except (ValueError, TypeError, KeyError, AttributeError):
        return text


def compile_driver(output: Path) -> Path:
    """The driver's program. Raises BenchError when there is no C compiler."""
    return compile_static(_SOURCE.read_text(), output)


def compile_static(source: str, output: Path) -> Path:
    """Compile a small C program, statically where that works. Raises BenchError."""
    complaint = "install one (Debian: musl-tools)"
    for compiler in (["musl-gcc", "-static"], ["cc", "-static"], ["cc"]):
        if shutil.which(compiler[0]) is None:
            continue
        done = subprocess.run(
            [*compiler, "-std=c11", "-O2", "-s", "-o", os.fspath(output), "-x", "c", "-"],
            input=source,
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return output
        complaint = done.stderr.strip()
    raise BenchError(f"no C compiler could build the benchmark's driver: {complaint}")


def _tail(path: Path, limit: int = 2000) -> str:
    try:
        return path.read_text("utf-8", "replace")[-limit:].strip()
    except FileNotFoundError:
        return ""

"""``multinet bench``: multinet against the bare kernel and the reference plugins, side by side in one run."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from multinet.cli.failure import FAILED, OK, Failure, UsageError

SUMMARY = "Measure multinet against the bare kernel and the reference plugins, in throw-away namespaces."
EXAMPLE = """\
multinet bench --quick --json figures.json
multinet bench --profile add.prof --pods 200"""

_PROFILED_PODS = 100
_MOST_PODS = 1000
"""The profile has them all alive together, and a bridge of the kernel has 1023 ports."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Size and outputs."""
    parser.add_argument("--quick", action="store_true", help="end within 40 seconds instead of some minutes")
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE, too")
    parser.add_argument(
        "--pods",
        metavar="N",
        type=int,
        help="how many pods of each contender are taken one at a time (with --quick: as many as there is time for)",
    )
    parser.add_argument(
        "--profile",
        metavar="FILE",
        help="instead: run the daemon's handler in this process under the profiler, statistics to FILE",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and report; 1 when a pod failed."""
    pods = arguments.pods
    if pods is not None and not 1 <= pods <= _MOST_PODS:
        raise UsageError(f"--pods: {pods} is outside 1..{_MOST_PODS}")
    if arguments.profile and (arguments.quick or arguments.json):
        raise UsageError("--profile measures something else: it goes neither with --quick nor with --json")
    for target in filter(None, (arguments.json, arguments.profile)):
        _require_folder(target)
    from multinet.bench.failure import BenchError

    try:
        with _breakable():
            if arguments.profile:
                return _profile(arguments.profile, pods or _PROFILED_PODS)
            return _bench(arguments.quick, pods, arguments.json)
    except BenchError as error:
        raise Failure(str(error)) from None
    except KeyboardInterrupt:
        raise Failure("broken off; everything that was set up is gone again") from None


def _bench(quick: bool, pods: int | None, json_file: str | None) -> int:
    import json
    import sys

    import msgspec

    from multinet.bench.figures import failures, figures, machine_facts
    from multinet.bench.report import table
    from multinet.bench.run import FULL, QUICK, measure

    size = QUICK if quick else FULL
    if pods is not None:
        size = msgspec.structs.replace(size, pods=pods)
    machine = machine_facts()  # before the benchmark is itself the load
    findings = measure(size)
    found = figures(findings, machine)
    print(table(found))
    if json_file:
        with open(json_file, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=2)
            file.write("\n")
    failed = failures(findings)
    if failed:
        sys.stderr.write(f"multinet: {len(failed)} pods failed, the first: {failed[0]}\n")
    return FAILED if failed else OK


def _profile(output: str, pods: int) -> int:
    from pathlib import Path

    from multinet.bench.profiling import profile

    print(profile(pods, Path(output)))
    return OK


def _require_folder(target: str) -> None:
    """A missing directory should be found out before minutes of measuring, not after them."""
    folder = os.path.dirname(os.path.abspath(target))
    if not os.path.isdir(folder):
        raise Failure(f"cannot write {target}: {folder} is not a directory")


@contextmanager
def _breakable() -> Iterator[None]:
    """SIGTERM and SIGHUP end the run as Ctrl-C does: everything is put back on the way out."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

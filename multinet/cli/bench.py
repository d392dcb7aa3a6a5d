"""``multinet bench``: multinet against the bare kernel and the reference plugins, side by side in one run."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from multinet.cli.failure import FAILED, OK, Failure, UsageError

if TYPE_CHECKING:
    from multinet.bench.figure import Part
    from multinet.bench.run import Measured
    from multinet.bench.size import Size

SUMMARY = "Measure multinet against the bare kernel and the reference plugins, in throw-away namespaces."
EXAMPLE = """\
multinet bench --json build/bench.json --chart build/bench.svg
multinet bench --quick --compare build/bench.json --fail-worse 20
multinet bench --only memory --churn 2000
multinet bench --profile add.prof --pods 200"""

PART_NAMES = (
    "turns",
    "load",
    "shim",
    "standalone",
    "api",
    "start",
    "growth",
    "pods",
    "concurrency",
    "memory",
)
"""Said here as well: the help needs none of the benchmark's modules."""
_PROFILED_PODS = 100
_MOST_PODS = 1000
"""The profile has them all alive together, and a bridge of the kernel has 1023 ports."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Size and outputs."""
    add = parser.add_argument
    add("--quick", action="store_true", help="end within 40 seconds, without the parts that take long")
    add(
        "--only",
        metavar="PART[,PART]",
        default="",
        help=f"measure these parts alone: {', '.join(PART_NAMES)}",
    )
    add("--json", metavar="FILE", help="write all figures to FILE, too")
    add(
        "--chart", metavar="FILE", help="draw latency and throughput (parts pods, concurrency) as SVG to FILE"
    )
    add("--compare", metavar="FILE", help="show beside it what an earlier run wrote with --json")
    add(
        "--fail-worse",
        metavar="PERCENT",
        type=float,
        help="with --compare: exit with 1 when a figure is worse by more than this, beyond the noise",
    )
    add(
        "--pods",
        metavar="N",
        type=int,
        help="how many pods of each contender are taken one at a time (with --quick: as many as there is time for)",
    )
    add("--churn", metavar="N", type=int, help="how many pods come and go while memory is watched")
    add(
        "--profile",
        metavar="FILE",
        help="instead: run the daemon's handler in this process under the profiler, statistics to FILE",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and report; 1 when a pod failed, or a figure is worse than ``--fail-worse`` allows."""
    _require_sense(arguments)
    for target in filter(None, (arguments.json, arguments.chart, arguments.profile)):
        _require_folder(target)
    from multinet.bench.failure import BenchError

    try:
        with _breakable():
            if arguments.profile:
                return _profile(arguments.profile, arguments.pods or _PROFILED_PODS)
            return _bench(arguments)
    except BenchError as error:
        raise Failure(str(error)) from None
    except KeyboardInterrupt:
        raise Failure("broken off; everything that was set up is gone again") from None


def _require_sense(arguments: argparse.Namespace) -> None:
    """Raises UsageError for options that don't go together."""
    if arguments.pods is not None and not 1 <= arguments.pods <= _MOST_PODS:
        raise UsageError(f"--pods: {arguments.pods} is outside 1..{_MOST_PODS}")
    if arguments.churn is not None and arguments.churn < 1:
        raise UsageError(f"--churn: {arguments.churn} is no number of pods")
    measuring = ("quick", "only", "json", "chart", "compare", "churn")
    if arguments.profile and any(getattr(arguments, name) for name in measuring):
        raise UsageError("--profile measures something else: of the other options only --pods goes with it")
    if arguments.fail_worse is not None:
        if not arguments.compare:
            raise UsageError("--fail-worse needs --compare FILE")
        if not arguments.fail_worse >= 0:
            raise UsageError(f"--fail-worse: {arguments.fail_worse} is no percentage")


def _bench(arguments: argparse.Namespace) -> int:
    import json
    import sys

    from multinet.bench.compare import changes, load_earlier, worse_than
    from multinet.bench.document import document, machine_facts
    from multinet.bench.report import report
    from multinet.bench.run import measure

    parts, size = _chosen(arguments), _size(arguments)
    earlier = load_earlier(arguments.compare) if arguments.compare else None
    machine = machine_facts()  # before the benchmark is itself the load
    measured: list[Measured] = []
    for one in measure(parts, size):
        measured.append(one)
        if sys.stderr.isatty():
            sys.stderr.write(f"{one.part.title}: done\n")
    compared = None if earlier is None else changes([f for one in measured for f in one.found], earlier)
    print(report(measured, machine, compared))
    if arguments.json:
        _write(arguments.json, json.dumps(document(measured, machine, size, compared), indent=2) + "\n")
    if arguments.chart:
        from multinet.bench.charts import chart
        from multinet.bench.panels import panels

        _write(arguments.chart, chart(panels(measured)))
    failed = [text for one in measured for text in one.failures]
    if failed:
        sys.stderr.write(f"multinet: {len(failed)} pods failed, the first: {failed[0]}\n")
    worse = [] if arguments.fail_worse is None else worse_than(compared or {}, arguments.fail_worse)
    for change in worse:
        sys.stderr.write(
            f"multinet: {change.name} is worse: {change.before:.4g} before, {change.now:.4g} now\n"
        )
    return FAILED if failed or worse else OK


def _chosen(arguments: argparse.Namespace) -> list[Part[Any]]:
    """The parts to measure, in their order. Raises UsageError."""
    from multinet.bench.panels import DRAWN
    from multinet.bench.parts import PARTS, QUICK_PARTS

    names = [name.strip() for name in arguments.only.split(",") if name.strip()]
    if unknown := set(names) - set(PART_NAMES):
        raise UsageError(f'--only: no part "{min(unknown)}"; there are {", ".join(PART_NAMES)}')
    usual = QUICK_PARTS if arguments.quick else PARTS
    chosen = [one for one in PARTS if one.name in names] if names else list(usual)
    if arguments.chart and not any(one.name in DRAWN for one in chosen):
        raise UsageError(f"--chart draws the parts {' and '.join(DRAWN)}: measure one of them")
    return chosen


def _size(arguments: argparse.Namespace) -> Size:
    import msgspec

    from multinet.bench import size

    base = size.QUICK if arguments.quick else size.FULL
    given = {name: getattr(arguments, name) for name in ("pods", "churn") if getattr(arguments, name)}
    return msgspec.structs.replace(base, **given)


def _profile(output: str, pods: int) -> int:
    from pathlib import Path

    from multinet.bench.profiling import profile

    print(profile(pods, Path(output)))
    return OK


def _write(target: str, text: str) -> None:
    try:
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Failure(f"cannot write {target}: {error.strerror}") from None


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

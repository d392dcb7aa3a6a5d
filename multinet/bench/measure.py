"""The measuring: contenders take turns pod by pod, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from multinet.bench.contenders import Contender, Pod
from multinet.bench.driver import Job, Run, Step, reason
from multinet.bench.failure import BenchError
from multinet.bench.stage import Stage

__all__ = ["VERBS", "Series", "Taken", "bursts", "start_costs", "take_turns"]

VERBS = ("ADD", "DEL")


class Series(msgspec.Struct):
    """What one contender took for one verb, pod after pod."""

    times: list[float] = []
    """ms a pod, from the start of its first process to the end of its last."""
    cpu: float = 0.0
    """ms of all pods together: their processes' user and system time, and for ours the daemon's."""
    daemon_cpu: float = 0.0
    """ms, the daemon's share of ``cpu``."""
    elapsed: float = 0.0
    """s, of all pods together, where only they were running."""
    driver_cpu: float = 0.0
    """ms that starting the processes took the driver itself, where only they were running."""
    failures: list[str] = []
    """Why, one text a failed pod."""

    @property
    def rate(self) -> float:
        """Pods a second, the failed ones not counted."""
        return (len(self.times) - len(self.failures)) / self.elapsed


Taken = dict[str, dict[str, Series]]
"""By the contender's name and the verb."""


def take_turns(stage: Stage, pods: int, block: int, until: float) -> Taken:
    """``pods`` pods of each contender, one at a time: A B C, A B C …

    ``block`` of each are alive together: they are added in turns, then deleted in turns. The next block has
    the contenders in the opposite order, so that none always comes after the same one. There are fewer pods
    when the last block would not end before ``until``. Raises BenchError for a pod that fails.
    """
    order = list(stage.contenders)
    taken = _nothing_yet(order)
    for first in _while_time(range(0, pods, block), until):
        size = min(block, pods - first)
        turns = [(one, stage.pod(slot)) for slot, one in enumerate(order * size)]
        for verb in VERBS:
            _turns(stage, verb, turns, taken)
        order.reverse()
    return taken


def bursts(stage: Stage, pods: int, concurrency: int, rounds: int, until: float) -> Taken:
    """Ours and the reference plugins: ``pods`` pods, ``concurrency`` of them at any time.

    The contenders alternate, and begin alternately in the ``rounds``, of which there are fewer when the last
    would not end before ``until``. Pods that fail are counted.
    """
    order: list[Contender] = [stage.ours, *stage.rivals]
    taken = _nothing_yet(order)
    for _ in _while_time(range(rounds), until):
        for one in order:
            at_once = [stage.pod(slot) for slot in range(pods)]
            for verb in VERBS:
                _burst(stage, one, verb, at_once, concurrency, taken[one.name][verb])
        order.reverse()
    return taken


def start_costs(stage: Stage, count: int) -> tuple[list[float], list[float]]:
    """ms from exec to exit: the shim answering VERSION, and a static program that does nothing; in turns."""
    version = Job("shim VERSION", (Step((str(stage.shim),), {"CNI_COMMAND": "VERSION"}),))
    nothing = Job("true", (Step((str(stage.true),)),))
    jobs = [version, nothing] * count
    run = stage.driver.run(jobs)
    _require_success(jobs, run)
    times = [outcome.wall_ms for outcome in run.outcomes]
    return times[0::2], times[1::2]


def _while_time(numbers: Iterable[int], until: float) -> Iterator[int]:
    """The first number, and further ones as long as another step of the last one's length ends in time."""
    last = 0.0
    for number in numbers:
        started = time.monotonic()
        if last and started + last > until:
            return
        yield number
        last = time.monotonic() - started


def _nothing_yet(contenders: Sequence[Contender]) -> Taken:
    return {one.name: {verb: Series() for verb in VERBS} for one in contenders}


def _turns(stage: Stage, verb: str, turns: Sequence[tuple[Contender, Pod]], taken: Taken) -> None:
    jobs = [_job(one, verb, pod) for one, pod in turns]
    run, daemon_cpu = _measured(stage, jobs, 1)
    _require_success(jobs, run)
    for (one, _), outcome in zip(turns, run.outcomes, strict=True):
        series = taken[one.name][verb]
        series.times.append(outcome.wall_ms)
        series.cpu += outcome.cpu_ms
    ours = taken[stage.ours.name][verb]
    ours.cpu += daemon_cpu
    ours.daemon_cpu += daemon_cpu


def _burst(
    stage: Stage, contender: Contender, verb: str, pods: Sequence[Pod], concurrency: int, into: Series
) -> None:
    jobs = [_job(contender, verb, pod) for pod in pods]
    run, daemon_cpu = _measured(stage, jobs, concurrency)
    into.times += [outcome.wall_ms for outcome in run.outcomes]
    into.cpu += sum(outcome.cpu_ms for outcome in run.outcomes)
    if contender is stage.ours:
        into.cpu += daemon_cpu
        into.daemon_cpu += daemon_cpu
    into.elapsed += run.elapsed_s
    into.driver_cpu += run.driver_cpu_s * 1000
    into.failures += _failures(jobs, run)


def _job(contender: Contender, verb: str, pod: Pod) -> Job:
    return contender.add(pod) if verb == "ADD" else contender.delete(pod)


def _measured(stage: Stage, jobs: Sequence[Job], concurrency: int) -> tuple[Run, float]:
    """The run, and the daemon's processor time in it, ms."""
    before = stage.daemon.cpu_ms()
    run = stage.driver.run(jobs, concurrency)
    return run, stage.daemon.cpu_ms() - before


def _failures(jobs: Sequence[Job], run: Run) -> list[str]:
    return [
        reason(job, outcome, run.errors)
        for job, outcome in zip(jobs, run.outcomes, strict=True)
        if outcome.failed_step is not None
    ]


def _require_success(jobs: Sequence[Job], run: Run) -> None:
    failures = _failures(jobs, run)
    if failures:
        raise BenchError(failures[0])

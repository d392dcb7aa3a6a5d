"""The measuring: contenders take turns pod by pod, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from multinet.bench.contenders import Contender, Pod
from multinet.bench.driver import Job, Run, reason
from multinet.bench.failure import BenchError
from multinet.bench.ground import Ground
from multinet.bench.ours import Ours
from multinet.bench.samples import Reading, ratio, spread

__all__ = ["VERBS", "Series", "Stretch", "Taken", "burst", "bursts", "nothing_yet", "one_by_one"]
__all__ += ["ratio_of_rates", "require_success", "take_turns", "while_time"]

VERBS = ("ADD", "DEL")


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Pods that were measured together."""

    pods: int
    failed: int = 0
    cpu: float = 0.0
    """ms of all of them: their processes' user and system time, and for ours the daemon's."""
    daemon_cpu: float = 0.0
    """ms, the daemon's share of ``cpu``."""
    driver_cpu: float = 0.0
    """ms that starting the processes took the driver itself; 0 where others were running, too."""
    elapsed: float = 0.0
    """s; 0 where others were running, too."""

    @property
    def rate(self) -> float:
        """Pods a second, the failed ones not counted."""
        return (self.pods - self.failed) / self.elapsed

    @property
    def cpu_each(self) -> float:
        """ms a pod."""
        return self.cpu / self.pods


class Series(msgspec.Struct):
    """What one contender took for one verb, pod after pod."""

    times: list[float] = []
    """ms a pod, from the start of its first process to the end of its last."""
    stretches: list[Stretch] = []
    failures: list[str] = []
    """Why, one text a failed pod."""

    @property
    def whole(self) -> Stretch:
        """All stretches as one."""
        sums = {name: sum(getattr(one, name) for one in self.stretches) for name in Stretch.__struct_fields__}
        return Stretch(**sums)


def ratio_of_rates(ours: Series, theirs: Series) -> Reading | None:
    """Pods a second, ours over theirs; the noise comes from stretches that were measured side by side."""
    value = ratio(ours.whole.rate, theirs.whole.rate)
    pairs = zip(ours.stretches, theirs.stretches, strict=True)
    repeats = [one for mine, other in pairs if (one := ratio(mine.rate, other.rate)) is not None]
    return None if value is None else Reading(value, spread(repeats))


Taken = dict[str, dict[str, Series]]
"""By the contender's name and the verb."""


def take_turns(ground: Ground, contenders: Sequence[Contender], pods: int, block: int, until: float) -> Taken:
    """``pods`` pods of each contender, one at a time: A B C, A B C …

    ``block`` of each are alive together: they are added in turns, then deleted in turns. The next block has
    the contenders in the opposite order, so that none always comes after the same one. There are fewer pods
    when the last block would not end before ``until``. Raises BenchError for a pod that fails.
    """
    order = list(contenders)
    taken = nothing_yet(order)
    for first in while_time(range(0, pods, block), until):
        size = min(block, pods - first)
        turns = [(one, ground.pod(slot)) for slot, one in enumerate(order * size)]
        for verb in VERBS:
            one_by_one(ground, verb, turns, taken)
        order.reverse()
    return taken


def one_by_one(ground: Ground, verb: str, turns: Sequence[tuple[Contender, Pod]], taken: Taken) -> None:
    """One pod after the other, into ``taken``. Raises BenchError for one that fails."""
    jobs = [_job(one, verb, pod) for one, pod in turns]
    run, daemon_cpu = _measured(ground, jobs, 1)
    require_success(jobs, run)
    for name in dict.fromkeys(one.name for one, _ in turns):
        outcomes = [
            outcome for (one, _), outcome in zip(turns, run.outcomes, strict=True) if one.name == name
        ]
        daemons = daemon_cpu if name == Ours.name else 0.0
        cpu = sum(outcome.cpu_ms for outcome in outcomes) + daemons
        series = taken[name][verb]
        series.times += [outcome.wall_ms for outcome in outcomes]
        series.stretches.append(Stretch(pods=len(outcomes), cpu=cpu, daemon_cpu=daemons))


def bursts(
    ground: Ground, contenders: Sequence[Contender], pods: int, concurrency: int, rounds: int, until: float
) -> Taken:
    """``pods`` pods of each contender, ``concurrency`` of them at any time.

    The contenders alternate, and begin alternately in the ``rounds``, of which there are fewer when the last
    would not end before ``until``. Pods that fail are counted.
    """
    order = list(contenders)
    taken = nothing_yet(order)
    for _ in while_time(range(rounds), until):
        for one in order:
            at_once = [ground.pod(slot) for slot in range(pods)]
            for verb in VERBS:
                burst(ground, one, verb, at_once, concurrency, taken[one.name][verb])
        order.reverse()
    return taken


def burst(
    ground: Ground, contender: Contender, verb: str, pods: Sequence[Pod], concurrency: int, into: Series
) -> None:
    """One verb for all the pods, ``concurrency`` of them at any time."""
    jobs = [_job(contender, verb, pod) for pod in pods]
    run, daemon_cpu = _measured(ground, jobs, concurrency)
    daemons = daemon_cpu if contender.name == Ours.name else 0.0
    failures = _failures(jobs, run)
    into.times += [outcome.wall_ms for outcome in run.outcomes]
    into.failures += failures
    into.stretches.append(
        Stretch(
            pods=len(pods),
            failed=len(failures),
            cpu=sum(outcome.cpu_ms for outcome in run.outcomes) + daemons,
            daemon_cpu=daemons,
            driver_cpu=run.driver_cpu_s * 1000,
            elapsed=run.elapsed_s,
        )
    )


def while_time(numbers: Iterable[int], until: float) -> Iterator[int]:
    """The first number, and further ones as long as another step of the last one's length ends in time."""
    last = 0.0
    for number in numbers:
        started = time.monotonic()
        if last and started + last > until:
            return
        yield number
        last = time.monotonic() - started


def nothing_yet(contenders: Sequence[Contender]) -> Taken:
    """A series for each, with nothing in it."""
    return {one.name: {verb: Series() for verb in VERBS} for one in contenders}


def require_success(jobs: Sequence[Job], run: Run) -> None:
    """Raises BenchError for the first job that failed."""
    failures = _failures(jobs, run)
    if failures:
        raise BenchError(failures[0])


def _job(contender: Contender, verb: str, pod: Pod) -> Job:
    return contender.add(pod) if verb == "ADD" else contender.delete(pod)


def _measured(ground: Ground, jobs: Sequence[Job], concurrency: int) -> tuple[Run, float]:
    """The run, and the daemon's processor time in it, ms."""
    before = ground.daemon_cpu_ms()
    run = ground.driver.run(jobs, concurrency)
    return run, ground.daemon_cpu_ms() - before


def _failures(jobs: Sequence[Job], run: Run) -> list[str]:
    return [
        reason(job, outcome, run.errors)
        for job, outcome in zip(jobs, run.outcomes, strict=True)
        if outcome.failed_step is not None
    ]

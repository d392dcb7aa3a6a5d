"""Many pods at once: ours, and the reference plugins, in turns of whole bursts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from multinet.bench.contenders import GoPlugins
from multinet.bench.figure import Figure, Part, at_least, at_most
from multinet.bench.measure import VERBS, Taken, bursts, ratio_of_rates
from multinet.bench.node_daemon import Memory
from multinet.bench.ours import Ours
from multinet.bench.parts.turns import tail, warm
from multinet.bench.rows import ABSENT, LABELS, by_contender, row, shown
from multinet.bench.samples import Reading, ratio, spread, summary
from multinet.bench.size import Size
from multinet.bench.stage import Stage
from multinet.bench.tools import Tools

__all__ = ["LOAD", "Load", "measure"]

_WARM_SLOTS = 12


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What the bursts took."""

    concurrency: int
    taken: Taken
    memory_before: Memory
    """The daemon's, before the first pod."""
    memory_after: Memory


def measure(size: Size, tools: Tools) -> Load:
    """Raises BenchError."""
    with Stage(tools, max(size.pods_at_once, _WARM_SLOTS)) as stage:
        before = stage.daemon.memory()
        warm(stage)
        until = time.monotonic() + size.load_limit
        contenders = (stage.ours, *stage.rivals)
        taken = bursts(stage, contenders, size.pods_at_once, size.concurrency, size.rounds, until)
        return Load(
            concurrency=size.concurrency,
            taken=taken,
            memory_before=before,
            memory_after=stage.daemon.memory(),
        )


def _rates(verb: str, load: Load) -> Reading | None:
    theirs = load.taken.get(GoPlugins.name)
    return ratio_of_rates(load.taken[Ours.name][verb], theirs[verb]) if theirs else None


def _tail(load: Load) -> Reading | None:
    """p99 over p50 of all; the noise is that from burst to burst."""
    series = load.taken[Ours.name]["ADD"]
    pods = series.stretches[0].pods
    each = [tail(series.times[first : first + pods]) for first in range(0, len(series.times), pods)]
    whole = tail(series.times)
    return None if whole is None else Reading(whole, spread([one for one in each if one is not None]))


def _failed(load: Load) -> Reading:
    return Reading(float(sum(1 for _ in _own_failures(load))), 0.0)


def _own_failures(load: Load) -> Iterator[str]:
    for verb in VERBS:
        yield from load.taken[Ours.name][verb].failures


def _failures(load: Load) -> Iterator[str]:
    for verbs in load.taken.values():
        for series in verbs.values():
            yield from series.failures


def _details(load: Load) -> dict[str, Any]:
    memory = {"before": load.memory_before, "after": load.memory_after}
    return {
        "concurrency": load.concurrency,
        **by_contender(load.taken),
        "daemon_mib": {
            when: {"now": round(one.now, 2), "peak": round(one.peak, 2)} for when, one in memory.items()
        },
    }


def _lines(load: Load) -> Iterator[str]:
    for verb in VERBS:
        ours = load.taken[Ours.name][verb]
        yield ""
        what = f"{verb}, {load.concurrency} at once, {len(ours.times)} pods"
        yield row(what, "pods/s", "min ms", "p50 ms", "p99 ms", "p99/p50", "failed", "ours/it")
        for name in (Ours.name, GoPlugins.name):
            if name not in load.taken:
                yield row(LABELS[name], ABSENT)
                continue
            series = load.taken[name][verb]
            found, rate = summary(series.times), series.whole.rate
            against = None if name == Ours.name else ratio(ours.whole.rate, rate)
            times = [f"{value:.1f}" for value in (rate, found.min, found.p50, found.p99)]
            tail = shown(ratio(found.p99, found.p50))
            yield row(LABELS[name], *times, tail, str(len(series.failures)), shown(against))
    before, after = load.memory_before, load.memory_after
    yield ""
    yield (
        f"the daemon's memory, over a directory of manifests: {before.now:.1f} MiB before the first pod, "
        f"{after.now:.1f} after the last, peak {after.peak:.1f}"
    )


LOAD: Part[Load] = Part(
    name="load",
    title="many pods at once",
    measure=measure,
    figures=(
        Figure(
            name="add_rate_50_vs_go",
            title="ADDs a second, 50 at once, over Go's",
            target=at_least(2.0),
            read=partial(_rates, "ADD"),
        ),
        Figure(
            name="del_rate_50_vs_go",
            title="DELs a second, 50 at once, over Go's",
            target=at_least(2.0),
            read=partial(_rates, "DEL"),
        ),
        Figure(
            name="add_p99_over_p50",
            title="ADD, p99 over p50, 50 at once",
            target=at_most(2.0),
            grain=0.5,
            read=_tail,
        ),
        Figure(
            name="failed_pods",
            title="our pods that failed, 50 at once",
            unit="pods",
            target=at_most(0),
            read=_failed,
        ),
    ),
    details=_details,
    lines=_lines,
    failures=_failures,
)

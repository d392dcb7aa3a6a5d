"""One pod at a time: ours, the bare kernel, and the reference plugins, in turns."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

from multinet.bench.contenders import GoPlugins
from multinet.bench.figure import Figure, Part, at_most
from multinet.bench.floor import Floor, GroupFloor
from multinet.bench.measure import VERBS, Taken, take_turns
from multinet.bench.ours import Ours
from multinet.bench.rows import ABSENT, LABELS, by_contender, median_row, row, shown, times_of
from multinet.bench.samples import Reading, percentile, ratio, ratio_of_medians, reading
from multinet.bench.size import Size
from multinet.bench.stage import Stage
from multinet.bench.tools import Tools

__all__ = ["TURNS", "measure", "tail", "warm"]

_WARM_UP = 3
_CONTENDERS = (Ours.name, Floor.name, GroupFloor.name, GoPlugins.name)


def measure(size: Size, tools: Tools) -> Taken:
    """Raises BenchError."""
    slots = len(_CONTENDERS) * max(min(size.block, size.pods), _WARM_UP)
    with Stage(tools, slots) as stage:
        warm(stage)
        until = time.monotonic() + size.turns_limit
        return take_turns(stage, stage.contenders, size.pods, size.block, until)


def warm(stage: Stage) -> None:
    """Bridges are made, caches filled and modules loaded by pods that don't count."""
    take_turns(stage, stage.contenders, _WARM_UP, _WARM_UP, time.monotonic())


def tail(times: Sequence[float]) -> float | None:
    """p99 over p50."""
    return ratio(percentile(times, 99), percentile(times, 50))


def _against(verb: str, other: str, taken: Taken) -> Reading | None:
    return reading(ratio_of_medians, times_of(taken, Ours.name, verb), times_of(taken, other, verb))


def _processor(taken: Taken) -> Reading | None:
    if GoPlugins.name not in taken:
        return None
    each = [[one.cpu_each for one in taken[name]["ADD"].stretches] for name in (Ours.name, GoPlugins.name)]
    return reading(lambda ours, theirs: ratio(sum(ours), sum(theirs)), *each)


def _lines(taken: Taken) -> Iterator[str]:
    for verb in VERBS:
        ours = taken[Ours.name][verb]
        yield ""
        what = f"{verb}, one at a time, {len(ours.times)} pods, ms"
        yield row(what, "min", "p50", "p90", "p99", "max", "ours/it")
        for name in _CONTENDERS:
            if name in taken or name == GoPlugins.name:
                yield median_row(name, taken[name][verb] if name in taken else None, ours)
    yield ""
    yield row("processor time a pod, ms", "ADD", "DEL", "daemon's", "ours/it")
    for name in _CONTENDERS:
        if name not in taken:
            if name == GoPlugins.name:
                yield row(LABELS[name], ABSENT)
            continue
        add, delete = (taken[name][verb].whole for verb in VERBS)
        own = taken[Ours.name]["ADD"].whole
        daemon = f"{add.daemon_cpu / add.pods:.2f}" if name == Ours.name else ""
        against = None if name == Ours.name else ratio(own.cpu_each, add.cpu_each)
        yield row(LABELS[name], f"{add.cpu_each:.2f}", f"{delete.cpu_each:.2f}", daemon, shown(against))


TURNS: Part[Taken] = Part(
    name="turns",
    title="one pod at a time",
    measure=measure,
    figures=(
        Figure(
            name="add_vs_floor",
            title="ADD, p50, over the bare kernel's",
            target=at_most(2.0),
            read=partial(_against, "ADD", Floor.name),
        ),
        Figure(
            name="del_vs_floor",
            title="DEL, p50, over the bare kernel's, link by link",
            target=at_most(0.5),
            read=partial(_against, "DEL", Floor.name),
        ),
        Figure(
            name="del_vs_floor_by_group",
            title="DEL, p50, over the bare kernel's by one request",
            target=at_most(1.5),
            read=partial(_against, "DEL", GroupFloor.name),
        ),
        Figure(
            name="add_vs_go",
            title="ADD, p50, over three Go plugins' in turn",
            target=at_most(0.5),
            read=partial(_against, "ADD", GoPlugins.name),
        ),
        Figure(
            name="del_vs_go",
            title="DEL, p50, over three Go plugins' in turn",
            target=at_most(0.5),
            read=partial(_against, "DEL", GoPlugins.name),
        ),
        Figure(
            name="add_alone_p99_over_p50",
            title="ADD, p99 over p50, one at a time",
            target=at_most(2.0),
            grain=0.5,
            read=lambda taken: reading(tail, times_of(taken, Ours.name, "ADD")),
        ),
        Figure(
            name="cpu_per_add_vs_go",
            title="processor time of an ADD (shim and daemon) over Go's",
            target=at_most(0.5),
            read=_processor,
        ),
    ),
    details=by_contender,
    lines=_lines,
)

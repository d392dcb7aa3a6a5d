"""A delegate as an executable with no daemon: Python is started for the call. Beside it the Go plugin."""

from __future__ import annotations

import time
from collections.abc import Iterator

from multinet.adapters.installation import InstallationError, write_standalone
from multinet.bench.contenders import Executables, GoPlugins
from multinet.bench.failure import BenchError
from multinet.bench.figure import Figure, Part, at_most
from multinet.bench.ground import Ground
from multinet.bench.measure import VERBS, Taken, take_turns
from multinet.bench.networks import pod_networks
from multinet.bench.ours import Ours
from multinet.bench.rows import by_contender, median_row, row, times_of
from multinet.bench.samples import Reading, ratio_of_medians, reading
from multinet.bench.size import Size
from multinet.bench.tools import Tools

__all__ = ["STANDALONE", "measure"]

_BLOCK = 4


def measure(size: Size, tools: Tools) -> Taken:
    """Raises BenchError."""
    with Ground(tools, 2 * _BLOCK) as ground:
        plugins = ground.lab.folder("bin")
        try:
            for name in ("bridge", "host-local"):
                write_standalone(plugins / name, name)
        except (InstallationError, ValueError) as error:
            raise BenchError(str(error)) from None
        contenders = [Executables(Ours.name, ground.lab, plugins, pod_networks(5)[:1])]
        if GoPlugins.present():
            contenders.append(GoPlugins(ground.lab, pod_networks(6)[:1]))
        take_turns(ground, contenders, 1, 1, time.monotonic())  # bridges are made, bytecode is written
        until = time.monotonic() + size.standalone_limit
        return take_turns(ground, contenders, size.standalone, _BLOCK, until)


def _against(taken: Taken) -> Reading | None:
    return reading(
        ratio_of_medians, times_of(taken, Ours.name, "ADD"), times_of(taken, GoPlugins.name, "ADD")
    )


def _lines(taken: Taken) -> Iterator[str]:
    for verb in VERBS:
        ours = taken[Ours.name][verb]
        yield ""
        what = f"{verb}, bridge without daemon, {len(ours.times)}, ms"
        yield row(what, "min", "p50", "p90", "p99", "max", "ours/it")
        for name in (Ours.name, GoPlugins.name):
            yield median_row(name, taken[name][verb] if name in taken else None, ours)


STANDALONE: Part[Taken] = Part(
    name="standalone",
    title="without a daemon",
    measure=measure,
    figures=(
        Figure(
            name="standalone_add_vs_go",
            title="ADD by the standalone executable, p50, over the Go plugin's",
            target=at_most(10),
            read=_against,
        ),
    ),
    details=by_contender,
    lines=_lines,
)

"""Whether a pod costs more on a full node: three nodes take turns, one with nothing on it, one with all its pods,
and one whose cluster has many networks and whose networks have many addresses taken.

On the first two the bare kernel takes its turns as well, with as many pods of its own: a bridge with many ports
costs the kernel more, whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

import msgspec

from multinet.bench.contenders import Contender
from multinet.bench.failure import BenchError
from multinet.bench.figure import Figure, Part, at_most
from multinet.bench.floor import Floor
from multinet.bench.measure import VERBS, Series, Taken, burst, nothing_yet, one_by_one
from multinet.bench.node import Node
from multinet.bench.ours import Ours, spare_definitions
from multinet.bench.rows import by_contender, times_of
from multinet.bench.samples import Reading, percentile, ratio, ratio_of_medians, reading
from multinet.bench.size import Size
from multinet.bench.stage import Stage
from multinet.bench.tools import Tools

__all__ = ["GROWTH", "Grown", "fill", "measure", "take_addresses"]

_FILL_CONCURRENCY = 8
_HOLDER = "f" * 64
"""Container of the addresses that are taken."""

Grown = dict[str, Taken]
"""By node: ``empty``, ``crowded``, ``filled``."""


class _Turn(msgspec.Struct):
    """One node, who is measured there, and the sandboxes' slots for that."""

    node: Node
    contenders: dict[int, Contender]


def measure(size: Size, tools: Tools) -> Grown:
    """Raises BenchError."""
    last = size.node_pods - 1
    with ExitStack() as held:
        empty = held.enter_context(Stage(tools, 2))
        crowded = held.enter_context(Stage(tools, 2 * size.node_pods))
        filled = held.enter_context(Node(tools, 1, spare_definitions(size.definitions)))
        fill(crowded, crowded.ours, range(last))
        fill(crowded, crowded.floors[0], range(size.node_pods, size.node_pods + last))
        take_addresses(filled, size.addresses)
        turns = {
            "empty": _Turn(empty, {0: empty.ours, 1: empty.floors[0]}),
            "crowded": _Turn(crowded, {last: crowded.ours, size.node_pods + last: crowded.floors[0]}),
            "filled": _Turn(filled, {0: filled.ours}),
        }
        _rounds(turns, 2)  # bridges are made, manifests are read
        return _rounds(turns, size.growth_rounds)


def fill(node: Node, contender: Contender, slots: Iterable[int]) -> None:
    """Have a pod on the node in each of the slots. Raises BenchError."""
    into = Series()
    burst(node, contender, "ADD", [node.pod(slot) for slot in slots], _FILL_CONCURRENCY, into)
    if into.failures:
        raise BenchError(into.failures[0])


def take_addresses(node: Node, count: int) -> None:
    """Take the first ``count`` addresses of each of the node's networks, as host-local writes that down."""
    for name, prefix in node.ours.networks.items():
        folder = node.ours.addresses / name
        folder.mkdir(parents=True, exist_ok=True)
        address = ""
        for number in range(2, count + 2):
            high, low = divmod(number, 256)
            address = f"{prefix}.{high}.{low}"
            (folder / address).write_text(f"{_HOLDER}\r\neth0")
        if address:
            (folder / "last_reserved_ip.0").write_text(address)


def _rounds(turns: dict[str, _Turn], count: int) -> Grown:
    """One pod of each contender on each node, added in turns and deleted in turns, ``count`` times."""
    grown = {name: nothing_yet(list(turn.contenders.values())) for name, turn in turns.items()}
    order = list(turns)
    for _ in range(count):
        pods = {
            name: [(one, turns[name].node.pod(slot)) for slot, one in turns[name].contenders.items()]
            for name in order
        }
        for verb in VERBS:
            for name in order:
                one_by_one(turns[name].node, verb, pods[name], grown[name])
        order = [*order[1:], order[0]]
    return grown


def _against_empty(name: str, verb: str, grown: Grown) -> Reading | None:
    full, empty = (times_of(grown[node], Ours.name, verb) for node in (name, "empty"))
    return reading(ratio_of_medians, full, empty)


def _beyond_the_kernel(verb: str, grown: Grown) -> Reading | None:
    series = [
        times_of(grown[node], contender, verb)
        for contender in (Ours.name, Floor.name)
        for node in ("crowded", "empty")
    ]
    return reading(_growths, *series)


def _growths(
    full: list[float], empty: list[float], floor_full: list[float], floor_empty: list[float]
) -> float | None:
    ours, floor = (
        ratio(percentile(after, 50), percentile(before, 50))
        for after, before in ((full, empty), (floor_full, floor_empty))
    )
    return ratio(ours, floor)


def _details(grown: Grown) -> dict[str, Any]:
    return {name: by_contender(taken) for name, taken in grown.items()}


def _figure(name: str, title: str, limit: float, node: str, verb: str) -> Figure[Grown]:
    return Figure(name=name, title=title, target=at_most(limit), read=partial(_against_empty, node, verb))


GROWTH: Part[Grown] = Part(
    name="growth",
    title="full nodes",
    measure=measure,
    figures=(
        _figure(
            "add_last_vs_first", "ADD of a full node's last pod over an empty node's", 2.0, "crowded", "ADD"
        ),
        Figure(
            name="add_last_vs_first_vs_floor",
            title="the same, over the bare kernel's growth",
            target=at_most(1.2),
            read=partial(_beyond_the_kernel, "ADD"),
        ),
        _figure(
            "del_last_vs_first", "DEL of a full node's last pod over an empty node's", 1.5, "crowded", "DEL"
        ),
        _figure(
            "add_filled_vs_empty", "ADD, many networks and addresses taken, over none", 1.2, "filled", "ADD"
        ),
        _figure(
            "del_filled_vs_empty", "DEL, many networks and addresses taken, over none", 1.2, "filled", "DEL"
        ),
    ),
    details=_details,
)

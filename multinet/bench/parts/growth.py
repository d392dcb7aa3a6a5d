"""Whether a pod costs more on a full node: three nodes take turns, one with nothing on it, one with all its pods,
and one whose cluster has many networks and whose networks have many addresses taken."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

from multinet.bench.failure import BenchError
from multinet.bench.figure import Figure, Part, at_most
from multinet.bench.measure import VERBS, Series, burst, require_success
from multinet.bench.node import Node
from multinet.bench.ours import spare_definitions
from multinet.bench.rows import summed
from multinet.bench.samples import Reading, ratio_of_medians, reading
from multinet.bench.size import Size
from multinet.bench.tools import Tools

__all__ = ["GROWTH", "Grown", "fill", "measure", "take_addresses"]

_FILL_CONCURRENCY = 8
_HOLDER = "f" * 64
"""Container of the addresses that are taken."""

Grown = dict[str, dict[str, list[float]]]
"""ms by node (``empty``, ``crowded``, ``filled``) and verb."""


def measure(size: Size, tools: Tools) -> Grown:
    """Raises BenchError."""
    with ExitStack() as held:
        nodes = {
            "empty": held.enter_context(Node(tools, 1)),
            "crowded": held.enter_context(Node(tools, size.node_pods)),
            "filled": held.enter_context(Node(tools, 1, spare_definitions(size.definitions))),
        }
        fill(nodes["crowded"], size.node_pods - 1)
        take_addresses(nodes["filled"], size.addresses)
        slots = {name: size.node_pods - 1 if name == "crowded" else 0 for name in nodes}
        _rounds(nodes, slots, 2)  # bridges are made, manifests are read
        return _rounds(nodes, slots, size.growth_rounds)


def fill(node: Node, pods: int) -> None:
    """Have that many pods on the node, in the slots from 0. Raises BenchError."""
    into = Series()
    burst(node, node.ours, "ADD", [node.pod(slot) for slot in range(pods)], _FILL_CONCURRENCY, into)
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


def _rounds(nodes: dict[str, Node], slots: dict[str, int], count: int) -> Grown:
    """One pod on each node, added in turns and deleted in turns, ``count`` times."""
    times: Grown = {name: {verb: [] for verb in VERBS} for name in nodes}
    order = list(nodes)
    driver = nodes[order[0]].driver
    for _ in range(count):
        pods = {name: nodes[name].pod(slots[name]) for name in order}
        for verb in VERBS:
            calls = [(name, nodes[name].ours) for name in order]
            jobs = [one.add(pods[name]) if verb == "ADD" else one.delete(pods[name]) for name, one in calls]
            run = driver.run(jobs)
            require_success(jobs, run)
            for name, outcome in zip(order, run.outcomes, strict=True):
                times[name][verb].append(outcome.wall_ms)
        order = [*order[1:], order[0]]
    return times


def _against_empty(name: str, verb: str, grown: Grown) -> Reading | None:
    return reading(ratio_of_medians, grown[name][verb], grown["empty"][verb])


def _details(grown: Grown) -> dict[str, Any]:
    return {name: {verb: summed(times) for verb, times in verbs.items()} for name, verbs in grown.items()}


def _figure(name: str, title: str, node: str, verb: str) -> Figure[Grown]:
    return Figure(name=name, title=title, target=at_most(1.2), read=partial(_against_empty, node, verb))


GROWTH: Part[Grown] = Part(
    name="growth",
    title="full nodes",
    measure=measure,
    figures=(
        _figure("add_last_vs_first", "ADD of a full node's last pod over an empty node's", "crowded", "ADD"),
        _figure("del_last_vs_first", "DEL of a full node's last pod over an empty node's", "crowded", "DEL"),
        _figure("add_filled_vs_empty", "ADD, many networks and addresses taken, over none", "filled", "ADD"),
        _figure("del_filled_vs_empty", "DEL, many networks and addresses taken, over none", "filled", "DEL"),
    ),
    details=_details,
)

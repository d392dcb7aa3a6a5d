"""The daemon's memory on a node of a big cluster: before any pod, at the peak of a burst, and pod after pod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from multinet.bench.figure import Figure, Part, at_most
from multinet.bench.measure import VERBS, Series, burst
from multinet.bench.node import KubernetesNode, Node
from multinet.bench.node_daemon import Memory
from multinet.bench.ours import spare_definitions
from multinet.bench.rows import row
from multinet.bench.samples import Reading, slope
from multinet.bench.size import Size
from multinet.bench.tools import Tools

__all__ = ["MEMORY", "Burst", "Kept", "measure"]

_CHURN_CONCURRENCY = 8
_SETTLED = 3000
"""Pods after which the memory has found its level; of fewer pods the second half is looked at."""


class Burst(msgspec.Struct, frozen=True, kw_only=True):
    """One daemon's memory, MiB."""

    idle: float
    """The cluster's objects in memory, no pod added yet."""
    peak: float
    """The most, while all pods of a node were added at once."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    pods: int
    definitions: int
    kubernetes: Burst
    directory: Burst
    churn: list[tuple[int, float]]
    """Pods that have come and gone, and the daemon's memory then, MiB; with Kubernetes."""
    failures: list[str]


def measure(size: Size, tools: Tools) -> Kept:
    """Raises BenchError."""
    failures: list[str] = []
    spare = spare_definitions(size.cached_definitions)
    with Node(tools, size.node_pods, spare) as node:
        _come_and_go(node, 1, 1, failures)  # the directory is read by the first call
        directory = _burst(node, size.node_pods, failures)
    with KubernetesNode(tools, size.node_pods, spare) as node:
        kubernetes = _burst(node, size.node_pods, failures)
        churn = _churn(node, size, failures)
    return Kept(
        pods=size.node_pods,
        definitions=size.cached_definitions,
        kubernetes=kubernetes,
        directory=directory,
        churn=churn,
        failures=failures,
    )


def _burst(node: Node, pods: int, failures: list[str]) -> Burst:
    idle = node.daemon.memory().now
    return Burst(idle=idle, peak=_come_and_go(node, pods, pods, failures).peak)


def _churn(node: Node, size: Size, failures: list[str]) -> list[tuple[int, float]]:
    points = []
    gone = 0
    while gone < size.churn:
        some = min(size.node_pods, size.churn - gone)
        memory = _come_and_go(node, some, _CHURN_CONCURRENCY, failures)
        gone += some
        points.append((gone, memory.now))
    return points


def _come_and_go(node: Node, pods: int, concurrency: int, failures: list[str]) -> Memory:
    """The daemon's memory when they have gone."""
    at_once = [node.pod(slot) for slot in range(pods)]
    for verb in VERBS:
        into = Series()
        burst(node, node.ours, verb, at_once, concurrency, into)
        failures += into.failures
    return node.daemon.memory()


def _growth(kept: Kept) -> Reading | None:
    last = kept.churn[-1][0] if kept.churn else 0
    settled = min(_SETTLED, last / 2)
    return slope([(pods / 1000, mib * 1024) for pods, mib in kept.churn if pods >= settled])


def _details(kept: Kept) -> dict[str, Any]:
    return {
        "pods": kept.pods,
        "definitions": kept.definitions,
        "kubernetes_mib": msgspec.to_builtins(kept.kubernetes),
        "directory_mib": msgspec.to_builtins(kept.directory),
        "churn": [[pods, round(mib, 3)] for pods, mib in kept.churn],
        "failures": len(kept.failures),
    }


def _lines(kept: Kept) -> Iterator[str]:
    yield ""
    what = f"the daemon's memory, MiB, {kept.definitions:,} networks"
    yield row(what, "idle", f"{kept.pods} pods")
    for name, one in (("Kubernetes", kept.kubernetes), ("a directory", kept.directory)):
        yield row(f"cluster: {name}", f"{one.idle:.1f}", f"{one.peak:.1f}")
    if kept.churn:
        pods, mib = kept.churn[-1]
        yield row(f"after {pods:,} pods that came and went", f"{mib:.1f}", "")


def _figure(name: str, title: str, limit: float, of: Any) -> Figure[Kept]:
    return Figure(
        name=name,
        title=title,
        unit="MiB",
        target=at_most(limit),
        grain=1.0,
        doubt=0.05,
        read=lambda kept: Reading(of(kept)),
    )


MEMORY: Part[Kept] = Part(
    name="memory",
    title="the daemon's memory",
    measure=measure,
    figures=(
        _figure(
            "rss_idle_mib",
            "idle, a full node's pods and 1,000 networks known (Kubernetes)",
            80,
            lambda kept: kept.kubernetes.idle,
        ),
        _figure(
            "rss_peak_mib",
            "peak, all of a node's pods at once (Kubernetes)",
            96,
            lambda kept: kept.kubernetes.peak,
        ),
        _figure(
            "rss_idle_directory_mib",
            "idle, the same with a directory of manifests",
            48,
            lambda kept: kept.directory.idle,
        ),
        _figure(
            "rss_peak_directory_mib",
            "peak, the same with a directory of manifests",
            64,
            lambda kept: kept.directory.peak,
        ),
        Figure(
            name="rss_growth",
            title="growth while pods come and go",
            unit="KiB per 1,000 pods",
            target=at_most(16),
            grain=8.0,
            read=_growth,
        ),
    ),
    details=_details,
    lines=_lines,
    failures=lambda kept: kept.failures,
)

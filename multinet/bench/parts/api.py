"""What a pod costs the apiserver, once the daemon has the cluster's objects in memory.

Counted by the benchmark's own apiserver, so that nothing the daemon asks is missed.
"""

from __future__ import annotations

import time
from functools import partial

import msgspec

from multinet.bench.figure import Figure, Part, at_most
from multinet.bench.measure import VERBS, nothing_yet, one_by_one
from multinet.bench.node import KubernetesNode
from multinet.bench.samples import Reading
from multinet.bench.size import Size
from multinet.bench.tools import Tools

__all__ = ["API", "Asked", "measure"]

_AFTERWARDS = 0.5
"""Seconds in which what isn't done while the caller waits reaches the apiserver."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of all pods together, by verb and kind (``read``, ``write``); watches aren't counted."""

    pods: int
    requests: dict[str, dict[str, int]]


def measure(size: Size, tools: Tools) -> Asked:
    """Raises BenchError."""
    with KubernetesNode(tools, size.api_pods) as node:
        pods = [(node.ours, node.pod(slot)) for slot in range(size.api_pods)]
        requests = {}
        for verb in VERBS:
            before = node.api.requests.copy()
            one_by_one(node, verb, pods, nothing_yet([node.ours]))
            time.sleep(_AFTERWARDS)
            asked = node.api.requests - before
            requests[verb] = {kind: asked[kind] for kind in ("read", "write")}
        return Asked(pods=size.api_pods, requests=requests)


def _each(verb: str, kind: str, asked: Asked) -> Reading:
    return Reading(asked.requests[verb][kind] / asked.pods, 0.0)


def _figure(verb: str, kind: str, limit: float) -> Figure[Asked]:
    return Figure(
        name=f"api_{kind}s_per_{verb.lower()}",
        title=f"{kind}s of the Kubernetes API per {verb}",
        unit="requests",
        target=at_most(limit),
        read=partial(_each, verb, kind),
    )


API: Part[Asked] = Part(
    name="api",
    title="requests to the Kubernetes API",
    measure=measure,
    figures=(
        _figure("ADD", "read", 0),
        _figure("ADD", "write", 1),
        _figure("DEL", "read", 0),
        _figure("DEL", "write", 0),
    ),
    details=msgspec.to_builtins,
)

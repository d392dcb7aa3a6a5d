"""What the daemon knows of its node anyway, read when somebody asks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from multinet import __version__
from multinet.cni.errors import CNIError
from multinet.daemon.application import Application
from multinet.daemon.safety import Safety
from multinet.daemon.server import Server
from multinet.dhcp.client_values import State
from multinet.dhcp.keeper import Keeper

__all__ = ["NodeFacts"]

_log = logging.getLogger(__name__)


class NodeFacts(NamedTuple):
    """Where the facts are."""

    application: Application
    server: Server
    safety: Safety
    leases: Keeper

    def collector(self) -> Collector:
        """For a registry."""
        return _Collector(self)


class _Collector(Collector):
    def __init__(self, facts: NodeFacts) -> None:
        self._facts = facts
        self._sources: list[Callable[[], Iterator[Metric]]] = [
            self._node,
            self._waiting,
            self._attachments,
            self._leases,
            self._spool,
            *([] if facts.application.options.manifests else [self._kubernetes]),
        ]

    def collect(self) -> Iterator[Metric]:
        """What one source can't tell now is left out: the others are of use without it."""
        for source in self._sources:
            try:
                yield from source()
            except (CNIError, OSError) as error:
                _log.warning("metrics: %s", error)

    def _node(self) -> Iterator[Metric]:
        yield InfoMetricFamily("multinet_build", "The daemon's version", {"version": __version__})
        safety = self._facts.safety
        yield _gauge(
            "multinet_node_ready", "1 while a pod that came now would get its networks", safety.is_ready()
        )
        slot, unserved = safety.report.slot, safety.report.unserved
        if slot is not None:
            yield _gauge(
                "multinet_slot_in_place", "1 while the runtime's configuration is ours", slot.in_place
            )
            yield CounterMetricFamily(
                "multinet_slot_lost",
                "How often others removed, renamed or overwrote the runtime's configuration",
                slot.lost,
            )
        if unserved is not None:
            yield _gauge(
                "multinet_pods_without_networks",
                "Pods that run without networks that they ask for",
                len(unserved),
            )

    def _waiting(self) -> Iterator[Metric]:
        yield _gauges(
            "multinet_calls_waiting",
            "Calls that wait for a worker; a removal waits in two queues",
            "queue",
            self._facts.server.waiting(),
        )

    def _attachments(self) -> Iterator[Metric]:
        yield _gauges(
            "multinet_attachments",
            "Attachments in the journal; those in phase deleting could not be removed yet",
            "phase",
            self._facts.application.journal.phases(),
        )

    def _leases(self) -> Iterator[Metric]:
        states = self._facts.leases.states()
        yield _gauges(
            "multinet_dhcp_leases",
            "DHCP leases by state (RFC 2131); one that is rebinding ends unless a server answers",
            "state",
            {state.name.lower(): states[state] for state in State},
        )

    def _spool(self) -> Iterator[Metric]:
        yield _gauge(
            "multinet_spooled_removals",
            "DELs that shims left while no daemon ran, and that could not be carried out yet",
            len(self._facts.application.spool.pending()),
        )

    def _kubernetes(self) -> Iterator[Metric]:
        from multinet.adapters.cluster_kubernetes import KubernetesCluster  # is loaded where it is in use
        from multinet.adapters.kubernetes_events import KubernetesEvents

        access = self._facts.application.access
        if isinstance(access.cluster, KubernetesCluster):
            yield _gauge(
                "multinet_kubernetes_watches_healthy",
                "1 while pods and definitions are known and followed, short interruptions aside",
                access.cluster.healthy,
            )
            requests = CounterMetricFamily(
                "multinet_kubernetes_requests", "Requests to the Kubernetes API", labels=("verb", "resource")
            )
            for labels, count in sorted(access.cluster.requests.copy().items()):
                requests.add_metric(labels, count)
            yield requests
        if isinstance(access.events, KubernetesEvents):
            dropped = CounterMetricFamily(
                "multinet_events_dropped", "Events that were not delivered, by why", labels=("reason",)
            )
            for reason in ("api", "closed", "queue", "rate"):
                dropped.add_metric((reason,), access.events.dropped[reason])
            yield dropped


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, float(value))


def _gauges(name: str, text: str, label: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family

"""Finds out why a pod has, or lacks, each of its interfaces: plans its ADD anew, and compares with what was made."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from msgspec.structs import replace

from multinet.cni.errors import CNIError
from multinet.core.explanation import Asked, PodExplanation, asked_for, findings
from multinet.core.record import AttachmentRecord
from multinet.core.selection import select_networks
from multinet.core.settings import Settings
from multinet.daemon.attachments import invocation_of
from multinet.daemon.call import Call
from multinet.daemon.collection import sandbox_is_gone
from multinet.daemon.executables import require_executables
from multinet.daemon.networks import auxiliary_chain, load_network
from multinet.daemon.node_report import NodeReport
from multinet.daemon.shared import Shared
from multinet.npwg.selection import DEFAULT_NETWORK, NETWORKS
from multinet.ports import ClusterUnavailable, NotFound, Pod, UIDMismatch

__all__ = ["Explainer"]

_PATIENCE = 5.0
"""Seconds for the cluster, and for a call of the same container that is being served."""
_NEVER_ASKED = (
    "no ADD for it has come to multinet on this node: the pod isn't scheduled here, uses the host's network, or "
    "was started while the runtime used another network configuration"
)


class Explainer:
    """Answers for one node. It reads only; what it compares, it compares in the container's turn."""

    def __init__(
        self,
        shared: Shared,
        configuration: Callable[[], dict[str, Any]],
        defaults: Mapping[str, Any],
        path: Sequence[str],
        node: Callable[[], NodeReport],
    ) -> None:
        """``configuration`` is the meta-plugin's own, as an ADD would bring it; ``defaults`` count where it is silent.

        ``path``: folders of executables; ``node``: what the daemon found out about its node.
        """
        self._shared = shared
        self._configuration = configuration
        self._defaults = defaults
        self._path = tuple(path)
        self._node = node

    def explain(self, namespace: str, name: str) -> PodExplanation:
        """What the node knows of the pod; a pod that the cluster doesn't know may still have attachments."""
        records = self._records(namespace, name)
        failure = self._shared.failures.last(namespace, name)
        node = self._node()
        pod, problem = self._pod(namespace, name)
        asked: tuple[Asked, ...] = ()
        if pod is not None:
            try:
                asked = self._asked(pod)
            except CNIError as error:
                problem = str(error)
        otherwise = f"the last ADD failed: {failure.message}" if failure else _NEVER_ASKED
        return PodExplanation(
            namespace=namespace,
            name=name,
            uid=pod.uid if pod else next((record.pod_uid for record in records), ""),
            annotations=_choosing(pod),
            problem=problem,
            interfaces=findings(asked, records, self._differences(records), otherwise),
            last_failure=failure,
            node_problem=node.slot.problem if node.slot else "",
        )

    def _records(self, namespace: str, name: str) -> list[AttachmentRecord]:
        """The pod's attachments, those of the newest sandbox first."""
        mine = [one for one in self._shared.journal.all() if one.pod == f"{namespace}/{name}"]
        age = {one.container_id: one.created for one in mine}
        return sorted(mine, key=lambda one: (-age[one.container_id], one.container_id, one.position))

    def _pod(self, namespace: str, name: str) -> tuple[Pod | None, str]:
        try:
            return self._shared.cluster.pod(namespace, name, timeout=_PATIENCE), ""
        except NotFound as error:
            return None, str(error)
        except (ClusterUnavailable, UIDMismatch) as error:
            return None, f"the pod can't be looked up: {error}"

    def _asked(self, pod: Pod) -> tuple[Asked, ...]:
        """Raises CNIError when the pod's annotations, or the node's configuration, allow no plan at all."""
        settings = Settings.of_call(self._configuration(), self._defaults)
        last = auxiliary_chain(settings)
        plan = select_networks(pod.annotations, pod.namespace, settings, "eth0", last)
        found = []
        for planned in plan:
            name, fault = "", ""
            try:
                loaded = load_network(planned, settings, self._shared.cluster, lambda: _PATIENCE)
                name = loaded.name
                require_executables([loaded.network], self._path)
            except CNIError as error:
                fault = str(error)
            found.append(asked_for(planned, name, fault))
        return tuple(found)

    def _differences(self, records: Sequence[AttachmentRecord]) -> dict[tuple[str, str], str]:
        return {
            (record.container_id, record.ifname): self._difference(record)
            for record in records
            if record.phase == "ready"
        }

    def _difference(self, record: AttachmentRecord) -> str:
        """How the attachment differs from what ADD made; empty when it doesn't."""
        if sandbox_is_gone(record):
            return "its sandbox is gone; what it holds is given back when the runtime deletes it, or by GC"
        try:
            with (
                closing(self._check_of(record)) as call,
                self._shared.turns.of(record.container_id, time.monotonic() + _PATIENCE),
            ):
                self._shared.attachments.check(record, call)
        except CNIError as error:
            return str(error)
        return ""

    def _check_of(self, record: AttachmentRecord) -> Call:
        """The CHECK that a runtime would ask for. Raises CNIError when the sandbox can't be opened."""
        invocation = replace(invocation_of(record, "CHECK"), path=record.path or self._path)
        conf = {"cniVersion": "1.0.0", "name": record.network_name, "type": "multinet"}
        return Call.of_our_own(invocation, conf)


def _choosing(pod: Pod | None) -> dict[str, str]:
    """The annotations that choose networks."""
    given = pod.annotations if pod else {}
    return {key: given[key] for key in (DEFAULT_NETWORK, NETWORKS) if given.get(key)}

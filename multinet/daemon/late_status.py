"""Network-status of static pods that run before the API has their mirror pods: written once it has."""

from __future__ import annotations

import logging
from contextlib import suppress

from multinet.ports import Cluster, ClusterUnavailable, NotFound, Pod, UIDMismatch

__all__ = ["LateStatus"]

_log = logging.getLogger(__name__)


class LateStatus:
    """What waits to be written, by container. Any other pod that the API doesn't have was deleted: it needs none."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Pod, str]] = {}

    def keep(self, container_id: str, pod: Pod, status: str) -> None:
        """Keep the status of a pod that wasn't there, if it is one that is still to come."""
        if pod.static:
            self._waiting[container_id] = (pod, status)

    def forget(self, container_id: str) -> None:
        """The container is gone."""
        self._waiting.pop(container_id, None)

    def publish(self, cluster: Cluster) -> None:
        """Write those whose mirror pod has appeared; those that can't be written now wait on."""
        if not self._waiting:
            return
        with suppress(ClusterUnavailable):
            there = {(pod.namespace, pod.name) for pod in cluster.pods() if pod.static}
            for container_id, (pod, status) in list(self._waiting.items()):
                if (pod.namespace, pod.name) in there:
                    self._write(cluster, container_id, pod, status)

    def _write(self, cluster: Cluster, container_id: str, pod: Pod, status: str) -> None:
        try:
            cluster.publish_status(pod, status)
        except NotFound:  # deleted since; kubelet makes another one
            return
        except UIDMismatch as error:
            _log.warning("network-status of static pod %s/%s: %s", pod.namespace, pod.name, error)
        self.forget(container_id)

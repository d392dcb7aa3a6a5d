"""Where a pod's devices come from on this node: kubelet, or its checkpoint, and DRA."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from multinet.adapters.device_checkpoint import CHECKPOINT, DeviceCheckpoint
from multinet.adapters.pod_resources import SOCKET, NotOffered, PodResources
from multinet.ports import Devices, DevicesUnavailable, Pod

__all__ = ["NodeDevices"]

_KUBELET_LIMIT = 10.0
"""Seconds."""


class NodeDevices:
    """Implements the port Devices over all that there is; DRA's devices come after kubelet's."""

    def __init__(
        self, socket: str = SOCKET, checkpoint: str = CHECKPOINT, claims: Devices | None = None
    ) -> None:
        """``socket`` of kubelet's PodResources, its ``checkpoint`` file, ``claims`` of DRA where there is any."""
        self._socket = socket
        self._kubelet = PodResources(socket)
        self._checkpoint = DeviceCheckpoint(checkpoint)
        self._claims = claims

    def allocated(self, pod: Pod, timeout: float = 10.0) -> Mapping[str, Sequence[str]]:
        """See Devices.allocated."""
        deadline = time.monotonic() + timeout
        found = self._of_kubelet(pod, min(timeout, _KUBELET_LIMIT))
        if self._claims is None:
            return found
        try:
            more = self._claims.allocated(pod, deadline - time.monotonic())
        except DevicesUnavailable as error:
            raise _failed("failed to get resourceMap from DRA client", error) from None
        joined = {
            resource: [*found.get(resource, ()), *more.get(resource, ())] for resource in {**found, **more}
        }
        return {resource: list(dict.fromkeys(ids)) for resource, ids in joined.items()}

    def _of_kubelet(self, pod: Pod, timeout: float) -> Mapping[str, Sequence[str]]:
        try:
            if not os.path.exists(self._socket):
                return self._of_checkpoint(pod, f"no socket {self._socket}")
            try:
                return self._kubelet.allocated(pod, timeout)
            except NotOffered as error:
                return self._of_checkpoint(pod, str(error))
        except DevicesUnavailable as error:
            raise _failed("failed to get a ResourceClient instance", error) from None

    def _of_checkpoint(self, pod: Pod, why: str) -> Mapping[str, Sequence[str]]:
        try:
            return self._checkpoint.allocated(pod)
        except DevicesUnavailable as error:
            raise DevicesUnavailable(f"{error} (looked at since: {why})") from None


def _failed(what: str, error: DevicesUnavailable) -> DevicesUnavailable:
    return DevicesUnavailable(f"getKubernetesDelegate: {what}: {error}")

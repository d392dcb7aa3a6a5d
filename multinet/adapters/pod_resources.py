"""kubelet's PodResources API: which devices of device plugins the containers of a pod were given.

Source: ``k8s.io/kubelet/pkg/apis/podresources/v1/api.proto``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from multinet.adapters.grpc_unix import Channel, RpcError, Status
from multinet.adapters.protobuf import MalformedMessage, Number, decode, encode
from multinet.core.devices import by_resource
from multinet.ports import DevicesUnavailable, Pod

__all__ = ["SOCKET", "NotOffered", "PodResources"]

SOCKET = "/var/lib/kubelet/pod-resources/kubelet.sock"

_LIST = "/v1.PodResourcesLister/List"
_GET = "/v1.PodResourcesLister/Get"
_LIST_ONLY = 300.0
"""Seconds for which ``Get`` isn't tried after it wasn't there; kubelet may be upgraded, or get the feature gate."""
_TOO_MANY = "rate limit"
"""In what kubelet says to more than 100 calls a second: it has no status of its own for that."""
_CALM = 0.05


class NotOffered(DevicesUnavailable):
    """This kubelet has no such API, so its checkpoint file may be asked."""


class _Devices(msgspec.Struct, frozen=True):
    resource_name: Annotated[str, Number(1)] = ""
    device_ids: Annotated[tuple[str, ...], Number(2)] = ()


class _Container(msgspec.Struct, frozen=True):
    devices: Annotated[tuple[_Devices, ...], Number(2)] = ()


class _PodResources(msgspec.Struct, frozen=True):
    name: Annotated[str, Number(1)] = ""
    namespace: Annotated[str, Number(2)] = ""
    containers: Annotated[tuple[_Container, ...], Number(3)] = ()


class _ListResponse(msgspec.Struct, frozen=True):
    pod_resources: Annotated[tuple[_PodResources, ...], Number(1)] = ()


class _GetRequest(msgspec.Struct, frozen=True):
    pod_name: Annotated[str, Number(1)] = ""
    pod_namespace: Annotated[str, Number(2)] = ""


class _GetResponse(msgspec.Struct, frozen=True):
    pod_resources: Annotated[_PodResources | None, Number(1)] = None


class PodResources:
    """Asks the kubelet that serves ``socket``. Implements the port Devices."""

    def __init__(self, socket: str = SOCKET) -> None:
        self._socket = socket
        self._channel = Channel(socket)
        self._list_until = 0.0

    def allocated(self, pod: Pod, timeout: float = 10.0) -> Mapping[str, Sequence[str]]:
        """See Devices.allocated; a pod that kubelet doesn't list has none. Raises NotOffered, too."""
        if not pod.name or not pod.namespace:
            raise DevicesUnavailable("GetPodResourceMap: Pod name or namespace cannot be empty")
        deadline = time.monotonic() + timeout
        try:
            mine = self._mine(pod, deadline)
        except RpcError as error:
            kind = NotOffered if error.code == Status.UNIMPLEMENTED else DevicesUnavailable
            raise kind(f"PodResources of kubelet: {error}") from None
        except MalformedMessage as error:
            raise DevicesUnavailable(
                f"PodResources of kubelet at {self._socket}: unreadable: {error}"
            ) from None
        containers = [container for one in mine for container in one.containers]
        return by_resource(
            [(devices.resource_name, devices.device_ids) for devices in container.devices]
            for container in containers
        )

    def _mine(self, pod: Pod, deadline: float) -> Sequence[_PodResources]:
        """``Get`` brings one pod where ``List`` brings the node's: newer kubelets, behind a feature gate, have it."""
        if time.monotonic() >= self._list_until:
            try:
                request = encode(_GetRequest(pod.name, pod.namespace))
                answer = decode(self._call(_GET, request, deadline), _GetResponse).pod_resources
                return (answer,) if answer is not None else ()
            except RpcError as error:
                if error.code == Status.NOT_FOUND:
                    return ()
                if error.code not in (Status.UNIMPLEMENTED, Status.UNKNOWN):
                    raise
                # UNKNOWN: what a switched off feature gate says, and older kubelets for a pod that isn't there.
                self._list_until = time.monotonic() + _LIST_ONLY
        answers = decode(self._call(_LIST, b"", deadline), _ListResponse).pod_resources
        return [one for one in answers if (one.namespace, one.name) == (pod.namespace, pod.name)]

    def _call(self, method: str, request: bytes, deadline: float) -> bytes:
        while True:
            left = deadline - time.monotonic()
            try:
                return self._channel.call(method, request, max(left, 0.0))
            except RpcError as error:
                if _TOO_MANY not in error.message or left < _CALM:
                    raise
            time.sleep(_CALM)

"""A kubelet as far as its PodResources go: a real gRPC server with kubelet's own messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.adapters.grpc_server import grpc_server

A, B = "intel.com/sriov_net_A", "intel.com/sriov_net_B"
LIST, GET = "/v1.PodResourcesLister/List", "/v1.PodResourcesLister/Get"

Containers = list[Mapping[str, list[str]]]
"""Of each container the ids by resource."""


def _messages() -> Mapping[str, Any]:
    """kubelet's ``v1`` messages as Google's library has them, with a field that we don't read."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="api.proto", package="v1", syntax="proto3")

    def message(name: str, /, **fields: tuple[int, str, bool]) -> None:
        declared = file.message_type.add(name=name)
        for field, (number, of, repeated) in fields.items():
            label = kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            types = {"string": kind.TYPE_STRING, "int64": kind.TYPE_INT64}
            new = declared.field.add(name=field, number=number, label=label)
            new.type = types.get(of, kind.TYPE_MESSAGE)
            if of not in types:
                new.type_name = f".v1.{of}"

    message("NUMANode", ID=(1, "int64", False))
    message("NUMATopology", nodes=(1, "NUMANode", True))
    message(
        "ContainerDevices",
        resource_name=(1, "string", False),
        device_ids=(2, "string", True),
        topology=(3, "NUMATopology", False),
    )
    message(
        "ContainerResources",
        name=(1, "string", False),
        devices=(2, "ContainerDevices", True),
        cpu_ids=(3, "int64", True),
    )
    message(
        "PodResources",
        name=(1, "string", False),
        namespace=(2, "string", False),
        containers=(3, "ContainerResources", True),
    )
    message("ListPodResourcesResponse", pod_resources=(1, "PodResources", True))
    message("GetPodResourcesRequest", pod_name=(1, "string", False), pod_namespace=(2, "string", False))
    message("GetPodResourcesResponse", pod_resources=(1, "PodResources", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {m.name: pool.FindMessageTypeByName(f"v1.{m.name}") for m in file.message_type}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


MESSAGES = _messages()


def fill(entry: Any, namespace: str, name: str, containers: Containers) -> None:
    entry.namespace, entry.name = namespace, name
    for number, devices in enumerate(containers):
        container = entry.containers.add(name=f"c{number}")
        container.cpu_ids.extend([1, 2, 3])
        for resource, ids in devices.items():
            for one in ids:  # as kubelet does it: an entry for each device, with its NUMA node
                added = container.devices.add(resource_name=resource, device_ids=[one])
                added.topology.nodes.add(ID=1)


class Kubelet:
    """kubelet's PodResources service: which pods it has, and how it is today."""

    def __init__(self, pods: Mapping[tuple[str, str], Containers]) -> None:
        self.pods = dict(pods)
        self.calls: list[str] = []
        self.failing: dict[str, tuple[grpc.StatusCode, str]] = {}
        self.busy = 0
        """How many calls are still too many."""
        self._lock = threading.Lock()

    @property
    def methods(self) -> dict[str, Callable[[bytes, Any], bytes]]:
        return {LIST: self.list, GET: self.get}

    def list(self, request: bytes, context: Any) -> bytes:
        self._begin("List", context)
        answer = MESSAGES["ListPodResourcesResponse"]()
        for (namespace, name), containers in self.pods.items():
            fill(answer.pod_resources.add(), namespace, name, containers)
        return bytes(answer.SerializeToString())

    def get(self, request: bytes, context: Any) -> bytes:
        self._begin("Get", context)
        asked = MESSAGES["GetPodResourcesRequest"].FromString(request)
        key = (asked.pod_namespace, asked.pod_name)
        if key not in self.pods:
            context.abort(grpc.StatusCode.NOT_FOUND, f"pod {asked.pod_name} not found")
        answer = MESSAGES["GetPodResourcesResponse"]()
        fill(answer.pod_resources, *key, self.pods[key])
        return bytes(answer.SerializeToString())

    def _begin(self, method: str, context: Any) -> None:
        with self._lock:
            self.calls.append(method)
            self.busy, crowded = max(0, self.busy - 1), self.busy > 0
        if crowded:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected by rate limit")
        if method in self.failing:
            context.abort(*self.failing[method])


@contextmanager
def kubelet(path: Path, pods: Mapping[tuple[str, str], Containers], get: bool = True) -> Iterator[Kubelet]:
    serving = Kubelet(pods)
    methods = {name: method for name, method in serving.methods.items() if get or name == LIST}
    with grpc_server(path, methods):
        yield serving

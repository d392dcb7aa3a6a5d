"""The container runtime's client, as kubelet is one: gRPC by ``grpcio``, messages by ``runtime.proto``."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

sys.path.append(str(Path(__file__).parent))  # where protoc looks for the file
try:
    messages, services = grpc.protos_and_services("runtime.proto")
finally:
    sys.path.pop()

LIMIT = 60.0
"""Seconds for a call. kubelet's own limit is 120."""


@dataclass
class PodSpec:
    """What kubelet tells the runtime of a pod."""

    name: str
    namespace: str = "default"
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    annotations: Mapping[str, str] = field(default_factory=dict)
    ports: Iterable[Mapping[str, Any]] = ()
    """``host_port``, ``container_port``, ``protocol``, ``host_ip``."""
    attempt: int = 0
    host_network: bool = False


@dataclass
class SandboxView:
    """What the runtime says of a sandbox."""

    id: str
    name: str
    namespace: str
    uid: str
    ready: bool
    ips: list[str]
    netns: str
    pid: int


class Refused(Exception):
    """The runtime's refusal: its text is what kubelet writes into the pod's event."""

    def __init__(self, error: grpc.RpcError) -> None:
        self.code = error.code()
        super().__init__(error.details())


class Cri:
    """Use as a context manager."""

    def __init__(self, socket: Path, cgroup: str) -> None:
        self._cgroup = cgroup
        # A proxy's variables must not lead it away, and each client has a connection of its own.
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(f"unix://{socket}", options)
        self._stub = services.RuntimeServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def wait_until_ready(self, until: float) -> None:
        """Until it serves: it listens a moment before it has recovered its state. Monotonic time."""
        while True:
            try:
                self.network_ready()
                return
            except Refused:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def network_ready(self) -> str:
        """Empty if the runtime's network is; else what it says."""
        status = self._call("Status", messages.StatusRequest()).status
        (found,) = (one for one in status.conditions if one.type == "NetworkReady")
        return "" if found.status else f"{found.reason}: {found.message}"

    def cni_config(self) -> str:
        """The CNI configuration that containerd has loaded, as it shows it."""
        return str(self._call("Status", messages.StatusRequest(verbose=True)).info.get("cniconfig", ""))

    def run(self, pod: PodSpec) -> str:
        """RunPodSandbox; the sandbox's id."""
        request = messages.RunPodSandboxRequest(config=self._config(pod))
        return str(self._call("RunPodSandbox", request).pod_sandbox_id)

    def stop(self, sandbox: str) -> None:
        self._call("StopPodSandbox", messages.StopPodSandboxRequest(pod_sandbox_id=sandbox))

    def remove(self, sandbox: str) -> None:
        self._call("RemovePodSandbox", messages.RemovePodSandboxRequest(pod_sandbox_id=sandbox))

    def ids(self) -> list[str]:
        """Every sandbox that the runtime knows."""
        listed = self._call("ListPodSandbox", messages.ListPodSandboxRequest())
        return [one.id for one in listed.items]

    def view(self, sandbox: str) -> SandboxView:
        request = messages.PodSandboxStatusRequest(pod_sandbox_id=sandbox, verbose=True)
        answer = self._call("PodSandboxStatus", request)
        status, info = answer.status, json.loads(answer.info["info"])
        network = status.network
        ips = [network.ip, *(one.ip for one in network.additional_ips)] if network.ip else []
        namespaces = info["runtimeSpec"]["linux"]["namespaces"]
        netns = next((one["path"] for one in namespaces if one["type"] == "network"), "")
        meta = status.metadata
        ready = status.state == messages.SANDBOX_READY
        return SandboxView(sandbox, meta.name, meta.namespace, meta.uid, ready, ips, netns, int(info["pid"]))

    def _config(self, pod: PodSpec) -> Any:
        mode = messages.NODE if pod.host_network else messages.POD
        options = messages.NamespaceOption(network=mode, pid=messages.POD)
        ports = [
            {**port, "protocol": messages.Protocol.Value(port.get("protocol", "TCP"))} for port in pod.ports
        ]
        return messages.PodSandboxConfig(
            metadata={
                "name": pod.name, "namespace": pod.namespace, "uid": pod.uid, "attempt": pod.attempt,
            },
            hostname="" if pod.host_network else pod.name,
            port_mappings=[messages.PortMapping(**port) for port in ports],
            annotations=pod.annotations,
            linux={
                "cgroup_parent": f"/{self._cgroup}",
                "security_context": {"namespace_options": options},
            },
        )  # fmt: skip

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=LIMIT)
        except grpc.RpcError as error:
            raise Refused(error) from error

"""multinet as a contender, and the cluster's objects that its pods need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from multinet.bench.contenders import NAMESPACE, Pod, environment, label, pod_name, written
from multinet.bench.driver import Job, Step
from multinet.bench.lab import Lab
from multinet.bench.networks import CNI_VERSION, Network, pod_networks, with_previous

__all__ = ["NODE", "Objects", "Ours", "spare_definitions"]

NODE = "bench-node"
"""The node's name in Kubernetes."""

Objects = list[dict[str, Any]]
"""Kubernetes objects as JSON values."""


class Ours:
    """multinet: one call of the installed shim; the daemon does the rest."""

    name = "ours"

    def __init__(self, lab: Lab, shim: Path, pods: int) -> None:
        """With ``definitions`` and ``pods``, the objects that the daemon has to find in its cluster."""
        self._shim = shim
        self._folder = lab.memory_folder("ours")
        self.addresses = self._folder / "ipam"
        """Where host-local keeps its files, a directory a network."""
        default, *further = pod_networks(1)
        network = self._folder / "default-network.conflist"
        conf = default.configuration("pods", self.addresses)
        written(network, {"cniVersion": CNI_VERSION, "name": "pods", "plugins": [_without_name(conf)]})
        self.configuration = {
            "cniVersion": CNI_VERSION,
            "name": "pods",
            "type": "multinet",
            "clusterNetwork": str(network),
        }
        self._conf_file = written(self._folder / "conf", self.configuration)
        self.networks = {"pods": default.prefix} | {_network_name(one): one.prefix for one in further}
        """Name of each network, and the first two numbers of its addresses."""
        self.definitions: Objects = [_definition(one, self.addresses) for one in further]
        names = ", ".join(one["metadata"]["name"] for one in self.definitions)
        self.pods: Objects = [_pod_manifest(slot, names) for slot in range(pods)]

    def environment(self, verb: str, pod: Pod) -> dict[str, str]:
        """The variables of one call."""
        args = {
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": NAMESPACE,
            "K8S_POD_NAME": pod_name(pod.slot),
            "K8S_POD_INFRA_CONTAINER_ID": pod.container_id,
            "K8S_POD_UID": _pod_uid(pod.slot),
        }
        return environment(verb, pod, "eth0", self._shim.parent, args)

    def add(self, pod: Pod) -> Job:
        """See Contender."""
        return self._job("ADD", pod, self._conf_file)

    def delete(self, pod: Pod) -> Job:
        """See Contender."""
        conf = with_previous(self.configuration, self._result(pod))
        return self._job("DEL", pod, written(self._folder / f"{pod.slot}.del", conf))

    def status(self) -> Job:
        """One STATUS call, which the daemon answers as soon as it serves."""
        conf = written(self._folder / "status", {**self.configuration, "cniVersion": "1.1.0"})
        env = {"CNI_COMMAND": "STATUS", "CNI_PATH": str(self._shim.parent)}
        output = str(self._folder / "status.result")
        return Job("ours: STATUS", (Step((str(self._shim),), env, str(conf), output),))

    def _job(self, verb: str, pod: Pod, conf: Path) -> Job:
        result = self._result(pod) if verb == "ADD" else self._result(pod).with_suffix(".deleted")
        step = Step(
            arguments=(str(self._shim),),
            env=self.environment(verb, pod),
            stdin=str(conf),
            stdout=str(result),
        )
        return Job(label(self, verb, pod), (step,))

    def _result(self, pod: Pod) -> Path:
        return self._folder / f"{pod.slot}.result"


def spare_definitions(count: int) -> Objects:
    """NetworkAttachmentDefinitions that no pod asks for, of the usual length."""
    network = pod_networks(9)[1]
    return [_definition(network, Path("/var/lib/cni/networks"), f"spare-{number}") for number in range(count)]


def _network_name(network: Network) -> str:
    return f"{network.plugin}-network"


def _pod_uid(slot: int) -> str:
    return f"00000000-0000-4000-8000-{slot:012x}"


def _pod_manifest(slot: int, networks: str) -> dict[str, Any]:
    metadata = {
        "namespace": NAMESPACE,
        "name": pod_name(slot),
        "uid": _pod_uid(slot),
        "annotations": {"k8s.v1.cni.cncf.io/networks": networks},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": NODE}}


def _definition(network: Network, data_dir: Path, name: str = "") -> dict[str, Any]:
    name = name or _network_name(network)
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {"config": json.dumps(network.configuration(name, data_dir))},
    }


def _without_name(conf: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in conf.items() if key not in ("cniVersion", "name")}

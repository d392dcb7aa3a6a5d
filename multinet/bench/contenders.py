"""Who is compared: each says which processes add a pod to its networks, and which take it off again.

All of them make the same kernel state on the same host, for sandboxes of their own. The bare kernel is in
``multinet.bench.floor``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import msgspec

from multinet.bench.driver import Job, Step
from multinet.bench.lab import Lab
from multinet.bench.networks import CNI_VERSION, Network, pod_networks, with_previous

__all__ = ["Contender", "GoPlugins", "Ours", "Pod", "label"]

GO_PLUGINS = Path("/usr/lib/cni")
"""Where Debian's containernetworking-plugins are."""
_NAMESPACE = "bench"


class Pod(msgspec.Struct, frozen=True):
    """One pod to add and delete."""

    slot: int
    """Its name; used again after it has been deleted."""
    serial: int
    """Never used again: container IDs are made of it."""
    netns: str
    """Path of its sandbox."""

    @property
    def container_id(self) -> str:
        """As long as those of container runtimes."""
        return f"{self.serial:064x}"


class Contender(Protocol):
    """One way to give pods their networks."""

    name: str

    def add(self, pod: Pod) -> Job:
        """What adds the pod."""
        ...

    def delete(self, pod: Pod) -> Job:
        """What deletes it; asked for after its ``add`` has run."""
        ...


class Ours:
    """multinet: one call of the installed shim; the daemon does the rest."""

    name = "ours"

    def __init__(self, lab: Lab, shim: Path, manifests: Path, pods: int) -> None:
        """Write manifests of the networks, and of ``pods`` pods that ask for them."""
        self._shim = shim
        self._folder = lab.memory_folder("ours")
        default, *further = pod_networks(1)
        network = self._folder / "default-network.conflist"
        conf = default.configuration("pods", self._folder / "ipam")
        network.write_text(
            json.dumps({"cniVersion": CNI_VERSION, "name": "pods", "plugins": [_without_name(conf)]})
        )
        self.configuration = {
            "cniVersion": CNI_VERSION,
            "name": "pods",
            "type": "multinet",
            "clusterNetwork": str(network),
        }
        self._conf_file = _write(self._folder / "conf", self.configuration)
        definitions = [_definition(one, self._folder / "ipam") for one in further]
        names = ", ".join(one["metadata"]["name"] for one in definitions)
        # One file for all pods: the daemon looks at each file of the directory in every call.
        _write(manifests / "networks.json", _list(definitions))
        _write(manifests / "pods.json", _list([_pod_manifest(slot, names) for slot in range(pods)]))

    def environment(self, verb: str, pod: Pod) -> dict[str, str]:
        """The variables of one call."""
        args = {
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": _NAMESPACE,
            "K8S_POD_NAME": _pod_name(pod.slot),
            "K8S_POD_INFRA_CONTAINER_ID": pod.container_id,
            "K8S_POD_UID": _pod_uid(pod.slot),
        }
        return _environment(verb, pod, "eth0", self._shim.parent, args)

    def add(self, pod: Pod) -> Job:
        """See Contender."""
        return self._job("ADD", pod, self._conf_file)

    def delete(self, pod: Pod) -> Job:
        """See Contender."""
        conf = with_previous(self.configuration, self._result(pod))
        return self._job("DEL", pod, _write(self._folder / f"{pod.slot}.del", conf))

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


class GoPlugins:
    """The reference plugins alone, one after the other as a runtime would, with no meta-plugin above."""

    name = "go"

    def __init__(self, lab: Lab, plugins: Path = GO_PLUGINS) -> None:
        self._plugins = plugins
        self._folder = lab.memory_folder("go")
        self._networks = [
            (one, one.configuration(one.ifname, self._folder / "ipam")) for one in pod_networks(2)
        ]
        self._conf_files = [_write(self._folder / one.ifname, conf) for one, conf in self._networks]

    @staticmethod
    def present(plugins: Path = GO_PLUGINS) -> bool:
        """Whether all that are needed are installed."""
        return all((plugins / name).exists() for name in ("bridge", "macvlan", "host-local"))

    def add(self, pod: Pod) -> Job:
        """See Contender."""
        steps = [
            self._step("ADD", pod, network, conf_file, self._result(pod, network))
            for (network, _), conf_file in zip(self._networks, self._conf_files, strict=True)
        ]
        return Job(label(self, "ADD", pod), tuple(steps))

    def delete(self, pod: Pod) -> Job:
        """See Contender."""
        steps = []
        for network, conf in reversed(self._networks):
            result = self._result(pod, network)
            conf_file = _write(result.with_suffix(".del"), with_previous(conf, result))
            steps.append(self._step("DEL", pod, network, conf_file, result.with_suffix(".deleted")))
        return Job(label(self, "DEL", pod), tuple(steps))

    def _step(self, verb: str, pod: Pod, network: Network, conf: Path, output: Path) -> Step:
        args = {"IgnoreUnknown": "1", "K8S_POD_NAMESPACE": _NAMESPACE, "K8S_POD_NAME": _pod_name(pod.slot)}
        return Step(
            arguments=(str(self._plugins / network.plugin),),
            env=_environment(verb, pod, network.ifname, self._plugins, args),
            stdin=str(conf),
            stdout=str(output),
        )

    def _result(self, pod: Pod, network: Network) -> Path:
        return self._folder / f"{pod.slot}-{network.ifname}.result"


def label(contender: Contender, verb: str, pod: Pod) -> str:
    """What messages call one job."""
    return f"{contender.name}: {verb} of pod {pod.slot}"


def _environment(verb: str, pod: Pod, ifname: str, path: Path, args: dict[str, str]) -> dict[str, str]:
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": pod.container_id,
        "CNI_NETNS": pod.netns,
        "CNI_IFNAME": ifname,
        "CNI_PATH": str(path),
        "CNI_ARGS": ";".join(f"{key}={value}" for key, value in args.items()),
    }


def _pod_name(slot: int) -> str:
    return f"pod-{slot}"


def _pod_uid(slot: int) -> str:
    return f"00000000-0000-4000-8000-{slot:012x}"


def _pod_manifest(slot: int, networks: str) -> dict[str, Any]:
    metadata = {
        "namespace": _NAMESPACE,
        "name": _pod_name(slot),
        "uid": _pod_uid(slot),
        "annotations": {"k8s.v1.cni.cncf.io/networks": networks},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def _definition(network: Network, data_dir: Path) -> dict[str, Any]:
    name = f"{network.plugin}-network"
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": _NAMESPACE, "name": name},
        "spec": {"config": json.dumps(network.configuration(name, data_dir))},
    }


def _list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _without_name(conf: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in conf.items() if key not in ("cniVersion", "name")}


def _write(path: Path, value: dict[str, Any]) -> Path:
    path.write_text(json.dumps(value))
    return path

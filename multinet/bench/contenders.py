"""Who is compared: each says which processes add a pod to its networks, and which take it off again.

All of them make the same kernel state on the same host, for sandboxes of their own. multinet with its daemon is
in ``multinet.bench.ours``, the bare kernel in ``multinet.bench.floor``; here are plugins that are executed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from multinet.bench.driver import Job, Step
from multinet.bench.lab import Lab
from multinet.bench.networks import Network, pod_networks, with_previous

__all__ = ["NAMESPACE", "Contender", "Executables", "GoPlugins", "Pod", "environment", "label"]
__all__ += ["pod_name", "written"]

GO_PLUGINS = Path("/usr/lib/cni")
"""Where Debian's containernetworking-plugins are."""
NAMESPACE = "bench"


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


class Executables:
    """Plugins alone, executed one after the other as a runtime would, with no meta-plugin above."""

    def __init__(self, name: str, lab: Lab, plugins: Path, networks: Sequence[Network]) -> None:
        """``plugins``: the directory of the executables."""
        self.name = name
        self._plugins = plugins
        self._folder = lab.memory_folder(name)
        self._networks = [(one, one.configuration(one.ifname, self._folder / "ipam")) for one in networks]
        self._conf_files = [written(self._folder / one.ifname, conf) for one, conf in self._networks]

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
            conf_file = written(result.with_suffix(".del"), with_previous(conf, result))
            steps.append(self._step("DEL", pod, network, conf_file, result.with_suffix(".deleted")))
        return Job(label(self, "DEL", pod), tuple(steps))

    def _step(self, verb: str, pod: Pod, network: Network, conf: Path, output: Path) -> Step:
        args = {"IgnoreUnknown": "1", "K8S_POD_NAMESPACE": NAMESPACE, "K8S_POD_NAME": pod_name(pod.slot)}
        return Step(
            arguments=(str(self._plugins / network.plugin),),
            env=environment(verb, pod, network.ifname, self._plugins, args),
            stdin=str(conf),
            stdout=str(output),
        )

    def _result(self, pod: Pod, network: Network) -> Path:
        return self._folder / f"{pod.slot}-{network.ifname}.result"


class GoPlugins(Executables):
    """The reference plugins."""

    name = "go"

    def __init__(self, lab: Lab, networks: Sequence[Network] = pod_networks(2)) -> None:
        super().__init__(self.name, lab, GO_PLUGINS, networks)

    @staticmethod
    def present() -> bool:
        """Whether all that are needed are installed."""
        return all((GO_PLUGINS / name).exists() for name in ("bridge", "macvlan", "host-local"))


def label(contender: Contender, verb: str, pod: Pod) -> str:
    """What messages call one job."""
    return f"{contender.name}: {verb} of pod {pod.slot}"


def environment(verb: str, pod: Pod, ifname: str, path: Path, args: dict[str, str]) -> dict[str, str]:
    """The variables of one CNI call."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": pod.container_id,
        "CNI_NETNS": pod.netns,
        "CNI_IFNAME": ifname,
        "CNI_PATH": str(path),
        "CNI_ARGS": ";".join(f"{key}={value}" for key, value in args.items()),
    }


def pod_name(slot: int) -> str:
    """Of the pod in Kubernetes."""
    return f"pod-{slot}"


def written(path: Path, value: dict[str, Any]) -> Path:
    """The file, with ``value`` as JSON in it."""
    path.write_text(json.dumps(value))
    return path

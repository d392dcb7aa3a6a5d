"""A node with multinet on it: the installed shim and a serving daemon, over a directory or over Kubernetes."""

from __future__ import annotations

import time
from pathlib import Path

from multinet.adapters.installation import InstallationError, install
from multinet.bench.apiserver import ApiServer
from multinet.bench.contenders import written
from multinet.bench.failure import BenchError
from multinet.bench.ground import Ground
from multinet.bench.lab import Lab
from multinet.bench.node_daemon import NodeDaemon
from multinet.bench.ours import NODE, Objects, Ours
from multinet.bench.tools import Tools

__all__ = ["KubernetesNode", "Node", "write_manifests"]

_FILES = 10
"""Files that many definitions are spread over."""
_SYNC_LIMIT = 30.0


class Node(Ground):
    """The cluster is a directory of manifests."""

    def __init__(self, tools: Tools, pods: int, definitions: Objects | None = None) -> None:
        """``definitions``: of the cluster, beside the pods' own. Raises BenchError."""
        self._definitions = definitions or []
        super().__init__(tools, pods)

    def _set_up(self, tools: Tools, pods: int) -> None:
        super()._set_up(tools, pods)
        lab = self.lab
        self._socket, self._state = lab.memory / "multinet.sock", lab.folder("state")
        self.shim = install_shim(lab, tools.shim, self._socket, self._state / "spool")
        self.ours = Ours(lab, self.shim, pods)
        self._cluster = self._make_cluster()
        self.daemon = self.start_daemon()
        self._held.callback(lambda: self.daemon.close())

    def start_daemon(self) -> NodeDaemon:
        """Start one on this node's state; the one before must have ended."""
        self.daemon = NodeDaemon(self.lab, self._socket, self._state, self._cluster)
        return self.daemon

    def daemon_cpu_ms(self) -> float:
        """See Ground."""
        return self.daemon.cpu_ms()

    def _make_cluster(self) -> tuple[str, ...]:
        """The options that name the cluster."""
        manifests = self.manifests = self.lab.memory_folder("manifests")
        write_manifests(manifests, self.ours)
        for number in range(_FILES if self._definitions else 0):
            _write_list(manifests / f"spare-{number}.json", self._definitions[number::_FILES])
        return ("--manifests", str(manifests))


class KubernetesNode(Node):
    """The cluster is an apiserver, which counts what it is asked."""

    def _make_cluster(self) -> tuple[str, ...]:
        objects = [*self.ours.definitions, *self._definitions, *self.ours.pods]
        self.api = self._held.enter_context(ApiServer(self.lab.host, objects))
        kubeconfig = written(self.lab.directory / "kubeconfig", _kubeconfig(self.api.url))
        return ("--kubeconfig", str(kubeconfig), "--node-name", NODE)

    def start_daemon(self) -> NodeDaemon:
        """Returns when it has the cluster's objects in memory."""
        watches = self.api.watches
        daemon = super().start_daemon()
        give_up = time.monotonic() + _SYNC_LIMIT
        while self.api.watches < watches + 2:  # each begins after a whole list
            if time.monotonic() > give_up:
                daemon.close()
                raise BenchError(f"the daemon doesn't follow the cluster: {daemon.log_tail()}")
            time.sleep(0.01)
        return daemon


def install_shim(lab: Lab, compiled: Path, socket: Path, spool: Path) -> Path:
    """Install the shim into the lab; the executable. Raises BenchError."""
    plugins = lab.folder("bin")
    try:
        install(["multinet"], plugins, compiled, str(socket), str(spool))
    except InstallationError as error:
        raise BenchError(str(error)) from None
    return plugins / "multinet"


def write_manifests(folder: Path, ours: Ours) -> None:
    """What ours has to find, in few files: the daemon looks at each file of the directory in every call."""
    _write_list(folder / "networks.json", ours.definitions)
    _write_list(folder / "pods.json", ours.pods)


def _write_list(path: Path, items: Objects) -> None:
    written(path, {"apiVersion": "v1", "kind": "List", "items": items})


def _kubeconfig(url: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": {"server": url}}],
        "users": [{"name": "bench", "user": {}}],
    }

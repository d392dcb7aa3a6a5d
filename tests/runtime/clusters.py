"""Where the pods and networks of a throw-away node come from: a folder of manifests, or an apiserver."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from multinet.npwg.selection import NETWORK_STATUS
from tests.adapters.apiserver import NADS, PODS, APIServer
from tests.runtime.node import Node

Json = dict[str, Any]
NODE_NAME = "n1"


def pod_manifest(name: str, namespace: str, uid: str, annotations: Mapping[str, str]) -> Json:
    metadata = {"name": name, "namespace": namespace, "annotations": dict(annotations)}
    if uid:
        metadata["uid"] = uid
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": NODE_NAME}}


def nad_manifest(name: str, namespace: str, conf: Any) -> Json:
    spec = {} if conf is None else {"config": conf if isinstance(conf, str) else json.dumps(conf)}
    kind = "NetworkAttachmentDefinition"
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "k8s.cni.cncf.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


class Cluster(Protocol):
    """What its users do, and what they see."""

    def prepare(self, node: Node) -> list[str]:
        """Make it known to the node; the daemon's options for it."""

    def pod(
        self, name: str, annotations: Mapping[str, str], uid: str = "", namespace: str = "default"
    ) -> None:
        """Create the pod, or change it."""

    def nad(self, name: str, conf: Any, namespace: str = "default") -> None:
        """Create the NetworkAttachmentDefinition, or change it."""

    def forget_pod(self, name: str, namespace: str = "default") -> None: ...

    def forget_nad(self, name: str, namespace: str = "default") -> None: ...

    def status(self, name: str, namespace: str = "default") -> list[Json]:
        """The network-status; [] if there is none."""


class Folder:
    """A folder of manifests, which several nodes may share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def prepare(self, node: Node) -> list[str]:
        return [f"--manifests={self._folder}"]

    def pod(
        self, name: str, annotations: Mapping[str, str], uid: str = "", namespace: str = "default"
    ) -> None:
        self._write(f"pod-{namespace}-{name}", pod_manifest(name, namespace, uid, annotations))

    def nad(self, name: str, conf: Any, namespace: str = "default") -> None:
        self._write(f"nad-{namespace}-{name}", nad_manifest(name, namespace, conf))

    def forget_pod(self, name: str, namespace: str = "default") -> None:
        (self._folder / f"pod-{namespace}-{name}.json").unlink()

    def forget_nad(self, name: str, namespace: str = "default") -> None:
        (self._folder / f"nad-{namespace}-{name}.json").unlink()

    def status(self, name: str, namespace: str = "default") -> list[Json]:
        file = self._folder / ".status" / namespace / f"{name}.json"
        if not file.exists():
            return []
        found: list[Json] = json.loads(
            json.loads(file.read_text())["metadata"]["annotations"][NETWORK_STATUS]
        )
        return found

    def _write(self, name: str, manifest: Json) -> None:
        beside = self._folder / f".{name}.new"
        beside.write_text(json.dumps(manifest))
        beside.rename(self._folder / f"{name}.json")


class Api:
    """An apiserver over HTTP, which the node reaches at its own loopback."""

    def __init__(self, node: Node) -> None:
        with node.netns.entered():
            self.server = APIServer()
        self.server.__enter__()

    def prepare(self, node: Node) -> list[str]:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.server.url}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        node.write("/etc/multinet/kubeconfig", json.dumps(config))
        return ["--kubeconfig=/etc/multinet/kubeconfig", f"--node-name={NODE_NAME}"]

    def pod(
        self, name: str, annotations: Mapping[str, str], uid: str = "", namespace: str = "default"
    ) -> None:
        self.server.put(PODS, pod_manifest(name, namespace, uid, annotations))

    def nad(self, name: str, conf: Any, namespace: str = "default") -> None:
        self.server.put(NADS, nad_manifest(name, namespace, conf))

    def forget_pod(self, name: str, namespace: str = "default") -> None:
        self.server.delete(PODS, namespace, name)

    def forget_nad(self, name: str, namespace: str = "default") -> None:
        self.server.delete(NADS, namespace, name)

    def status(self, name: str, namespace: str = "default") -> list[Json]:
        annotations = self.server.get(PODS, namespace, name)["metadata"].get("annotations") or {}
        found: list[Json] = json.loads(annotations.get(NETWORK_STATUS, "[]"))
        return found

    def close(self) -> None:
        self.server.stop()

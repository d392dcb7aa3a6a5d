"""Kubernetes objects as tests make them, and the way to an apiserver."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NETWORKS = "k8s.v1.cni.cncf.io/networks"
CONFIG = '{"cniVersion": "1.0.0", "name": "net1", "type": "macvlan", "master": "eth1"}'


def pod(name: str, uid: str | None = None, namespace: str = "default", **annotations: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {"app": "web"}}
    if uid is not None:
        meta["uid"] = uid
    if annotations:
        meta["annotations"] = annotations
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "busybox"}]}
    status = {"phase": "Pending", "resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "gpu-x1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}


def definition(
    name: str, spec: dict[str, Any] | None, namespace: str = "default", resource: str = ""
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {"k8s.v1.cni.cncf.io/resourceName": resource} if resource else {"team": "net"},
        },
    }
    return manifest if spec is None else manifest | {"spec": spec}


def write_kubeconfig(path: Path, url: str, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(content))
    return path


def eventually(check: Callable[[], bool], seconds: float = 5.0) -> None:
    """Watches bring changes a moment later; a directory shows them at once."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)

"""What the boot safety does to the node and its pods in the Kubernetes API.

Source: Kubernetes API reference, Node v1 and Eviction (policy/v1); "API-initiated Eviction".
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import msgspec

from multinet.adapters.cluster_objects import require_names
from multinet.adapters.kubernetes_backoff import Backoff
from multinet.adapters.kubernetes_call import Call, Refused
from multinet.adapters.kubernetes_objects import PODS
from multinet.adapters.kubernetes_session import Session
from multinet.ports import ClusterUnavailable, NotFound, Pod, UIDMismatch

__all__ = ["KubernetesNode"]

_OWNER = (("fieldManager", "multinet"),)


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str


class _Spec(msgspec.Struct, frozen=True):
    taints: list[dict[str, Any]] | None = None


class _Node(msgspec.Struct, frozen=True):
    metadata: _Metadata
    spec: _Spec = _Spec()


_NODE = msgspec.json.Decoder(_Node)


class KubernetesNode:
    """Implements ``ports.NodeControl`` for one node.

    Needs the RBAC roles ``taint`` and ``eviction``, each only where it is asked to do that.
    """

    def __init__(self, session: Session, node: str) -> None:
        self._session = session
        self._node = node

    def remove_taint(self, key: str, timeout: float = 10.0) -> bool:
        """See NodeControl.remove_taint: taints of that key go whatever their value and effect; others stay.

        The write is bound to the version that was read, so no taint that came meanwhile is lost.
        """
        deadline = time.monotonic() + timeout
        backoff = Backoff(base=0.05, cap=1.0)
        while True:
            try:
                node = _NODE.decode(self._session.persist(self._call("get"), deadline))
                taints = node.spec.taints or []
                kept = [taint for taint in taints if taint.get("key") != key]
                if len(kept) == len(taints):
                    return False
                version = {"resourceVersion": node.metadata.resource_version}
                body = {"metadata": version, "spec": {"taints": kept}}
                self._session.persist(self._call("patch", body), deadline)
                return True
            except Refused as error:
                wait = backoff.next()
                if error.status != 409 or time.monotonic() + wait >= deadline:
                    raise self._failure(error) from error
            except msgspec.DecodeError as error:
                raise ClusterUnavailable(f"Kubernetes API: node {self._node}: {error}") from error
            time.sleep(wait)

    def evict(self, pod: Pod, timeout: float = 10.0) -> None:
        """See NodeControl.evict; a budget that forbids it now is told at once, for the caller to come back."""
        what = require_names("pod", pod.namespace, pod.name)
        name = {"namespace": pod.namespace, "name": pod.name}
        body: dict[str, Any] = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": name}
        if pod.uid:
            body["deleteOptions"] = {"preconditions": {"uid": pod.uid}}
        path = PODS.path(pod.namespace, pod.name, "eviction")
        call = Call(verb="create", resource="pods/eviction", path=path, body=body)
        try:
            self._session.persist(call, time.monotonic() + timeout, final=(429,))
        except Refused as error:
            if error.status == 404:
                raise NotFound(what) from error
            if error.status == 409:
                raise UIDMismatch(f"{pod.namespace}/{pod.name}", pod.uid, "another") from error
            raise self._failure(error) from error

    def _call(self, verb: str, body: dict[str, Any] | None = None) -> Call:
        path = f"/api/v1/nodes/{quote(self._node, '')}"
        return Call(verb=verb, resource="nodes", path=path, query=_OWNER if body else (), body=body)

    def _failure(self, error: Refused) -> ClusterUnavailable:
        hint = "; the role for it has not been granted" if error.status == 403 else ""
        return ClusterUnavailable(f"Kubernetes API: {error}{hint}")

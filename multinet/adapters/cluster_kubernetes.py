"""The cluster behind a Kubernetes API: reads from memory, one small write an ADD."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any, TypeVar

import msgspec

from multinet.adapters.cluster_objects import belongs, require_names, require_same_pod
from multinet.adapters.kubernetes_backoff import Backoff
from multinet.adapters.kubernetes_call import Call, Refused
from multinet.adapters.kubernetes_config import KubernetesConfig, require_way_in
from multinet.adapters.kubernetes_informer import Informer
from multinet.adapters.kubernetes_objects import DEFINITIONS, METADATA, PODS, Resource
from multinet.adapters.kubernetes_session import Session
from multinet.cni.errors import InvalidConfig
from multinet.npwg.attachment_definition import NetworkAttachmentDefinition
from multinet.npwg.selection import NETWORK_STATUS
from multinet.ports import ClusterUnavailable, NotFound, Pod

__all__ = ["KubernetesCluster", "KubernetesConfig"]

V = TypeVar("V")

_TOLERATED = 30.0
"""A watch may be interrupted this long (seconds) before the cluster counts as unhealthy."""
_PATCH_AGAIN = 300.0
"""After a 403 for the patch the longer way is taken for this long (seconds); RBAC may be mended meanwhile."""
_OWNER = (("fieldManager", "multinet"),)
_STATIC_UID = re.compile(r"[0-9a-f]{32}|")
"""The UID of a static pod as kubelet makes it, a hash; others are UUIDs with hyphens. "": a runtime that tells none."""
_ALIVE = "status.phase!=Succeeded,status.phase!=Failed"


class KubernetesCluster:
    """Pods of this node and all NetworkAttachmentDefinitions, followed by one watch each.

    A look-up is answered from memory. A pod that isn't there, or has another UID, is awaited for a moment: its
    watch is seldom further behind. Then, and for a definition at once, it costs a GET. Pods that have ended
    aren't kept.
    The network-status is one JSON merge patch of ``pods/status``. Nothing here waits for the apiserver at
    construction: it may come up later. ``requests`` counts the requests made, by (verb, resource).

    Needs RBAC: get, list, watch of pods and of network-attachment-definitions; patch of pods/status (with
    update and get instead, it takes two requests).
    """

    def __init__(self, config: KubernetesConfig) -> None:
        """Raises InvalidConfig when ``config`` and the environment give no way to an API at all."""
        if not config.node:
            raise InvalidConfig("$.node", "must name this node, as its Node object is called")
        require_way_in(config)
        self._config = config
        self._session = Session(config)
        self._pods = Informer(self._session, config, PODS, f"spec.nodeName={config.node},{_ALIVE}")
        self._definitions = Informer(self._session, config, DEFINITIONS)
        self._replace_until = 0.0
        self._pods.start()
        self._definitions.start()

    @property
    def session(self) -> Session:
        """The way to the apiserver, for what else goes on there; it ends with the cluster."""
        return self._session

    @property
    def requests(self) -> Counter[tuple[str, str]]:
        """Requests so far, repeated ones included, by verb and resource as RBAC names them."""
        return self._session.requests

    def synced(self, timeout: float) -> bool:
        """Whether both lists are in memory, after at most ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        return self._pods.synced(timeout) and self._definitions.synced(max(deadline - time.monotonic(), 0))

    @property
    def healthy(self) -> bool:
        """Whether both lists are in memory and followed, short interruptions aside."""
        lag = max(self._pods.failing_for(), self._definitions.failing_for())
        return self.synced(0) and lag < _TOLERATED

    @property
    def problem(self) -> str:
        """What is wrong at the moment, for a readiness message; "" for nothing."""
        return "; ".join(filter(None, (self._pods.problem, self._definitions.problem)))

    def pod(self, namespace: str, name: str, uid: str = "", timeout: float = 10.0) -> Pod:
        """See Cluster.pod."""
        cached = self._pods.get(namespace, name)
        if cached is not None and belongs(cached, uid):
            return cached
        what = require_names("pod", namespace, name)
        deadline = time.monotonic() + timeout
        config = self._config
        patience = config.mirror_patience if _STATIC_UID.fullmatch(uid) else config.pod_patience
        seen = self._pods.awaited(namespace, name, lambda pod: belongs(pod, uid), min(patience, timeout / 2))
        return seen or require_same_pod(self._fetch(PODS, namespace, name, what, deadline), uid)

    def attachment_definition(
        self, namespace: str, name: str, timeout: float = 10.0
    ) -> NetworkAttachmentDefinition:
        """See Cluster.attachment_definition. InvalidConfig: an object that no CRD has checked."""
        cached = self._definitions.get(namespace, name)
        if cached is not None:
            return cached
        what = require_names("network-attachment-definition", namespace, name)
        return self._fetch(DEFINITIONS, namespace, name, what, time.monotonic() + timeout)

    def publish_status(self, pod: Pod, status: str, timeout: float = 10.0) -> None:
        """See Cluster.publish_status."""
        what = require_names("pod", pod.namespace, pod.name)
        deadline = time.monotonic() + timeout
        backoff = Backoff(base=0.02, cap=0.5)
        while True:
            try:
                self._write_status(pod, status, deadline)
                return
            except Refused as error:
                if error.status not in (409, 422):
                    raise _failure(error, what) from error
                # Either the UID in the request isn't the pod's any more, or someone else wrote meanwhile.
                try:
                    live = self._fetch(PODS, pod.namespace, pod.name, what, deadline)
                except ClusterUnavailable:  # no time left: then the conflict is what there is to tell
                    raise _failure(error, what) from error
                require_same_pod(live, pod.uid)
                if error.status == 422 and live.uid == pod.uid:  # no question of UIDs: repeating is no use
                    raise _failure(error, what) from error
                pod = live  # of a static pod the caller may know only the UID that the API doesn't
                wait = backoff.next()
                if time.monotonic() + wait >= deadline:
                    raise _failure(error, what) from error
            time.sleep(wait)

    def pods(self) -> list[Pod]:
        """See Cluster.pods."""
        if not self._pods.synced(0):
            raise ClusterUnavailable(f"the pods of this node aren't known yet: {self._pods.problem}")
        return self._pods.all()

    def close(self) -> None:
        """See Cluster.close; may be repeated."""
        for informer in (self._pods, self._definitions):
            informer.stop()
        self._session.close()
        for informer in (self._pods, self._definitions):
            informer.join(timeout=1.0)

    def _fetch(self, resource: Resource[V], namespace: str, name: str, what: str, deadline: float) -> V:
        try:
            return resource.value(self._session.persist(_get(resource, namespace, name), deadline))
        except Refused as error:
            raise _failure(error, what) from error
        except msgspec.ValidationError as error:
            problem, _, path = str(error).partition(" - at `")
            raise InvalidConfig(path.rstrip("`") or "$", f"{what}: {problem.replace('`', '')}") from error
        except msgspec.DecodeError as error:
            raise ClusterUnavailable(f"Kubernetes API: {what}: the answer is no JSON: {error}") from error

    def _write_status(self, pod: Pod, status: str, deadline: float) -> None:
        """One try. Raises Refused."""
        if time.monotonic() >= self._replace_until:
            try:
                self._session.persist(_patch(pod, status), deadline)
                return
            except Refused as error:
                if error.status != 403:
                    raise
                self._replace_until = time.monotonic() + _PATCH_AGAIN
        get = msgspec.structs.replace(_get(PODS, pod.namespace, pod.name), accept="application/json")
        current = msgspec.json.decode(self._session.persist(get, deadline), type=dict[str, Any])
        require_same_pod(PODS.value(msgspec.json.encode(current)), pod.uid)
        metadata = current["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), NETWORK_STATUS: status}
        try:
            self._session.persist(_status_call("update", pod, current), deadline)
        except Refused as error:
            if error.status == 403:  # no better than the patch, which may be allowed by the next time
                self._replace_until = 0.0
            raise


def _get(resource: Resource[V], namespace: str, name: str) -> Call:
    path = resource.path(namespace, name)
    return Call(verb="get", resource=resource.name, path=path, accept=resource.accept)


def _patch(pod: Pod, status: str) -> Call:
    """JSON merge patch (RFC 7386): only the annotation changes, and a pod of another UID is a conflict."""
    metadata: dict[str, Any] = {"annotations": {NETWORK_STATUS: status}}
    if pod.uid:
        metadata["uid"] = pod.uid
    return _status_call("patch", pod, {"metadata": metadata})


def _status_call(verb: str, pod: Pod, body: dict[str, Any]) -> Call:
    path = PODS.path(pod.namespace, pod.name, "status")
    return Call(verb=verb, resource="pods/status", path=path, query=_OWNER, body=body, accept=METADATA)


def _failure(error: Refused, what: str) -> NotFound | ClusterUnavailable:
    if error.status == 404:
        return NotFound(what)
    hint = {
        401: "; the credentials were read afresh and are refused as well",
        403: "; see the manual's RBAC rules for multinet",
    }.get(error.status, "")
    return ClusterUnavailable(f"Kubernetes API: {error}{hint}")

"""A cluster that is a directory of manifests: for a node without an apiserver, demonstrations, tests."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import Any

import msgspec

from multinet.adapters.cluster_manifests import Key, Manifests, Rejected, Snapshot
from multinet.adapters.cluster_objects import (
    Metadata,
    pod_of,
    require_names,
    require_same_pod,
)
from multinet.cni.errors import InvalidConfig
from multinet.npwg.attachment_definition import KIND as DEFINITION
from multinet.npwg.attachment_definition import NetworkAttachmentDefinition
from multinet.npwg.selection import NETWORK_STATUS
from multinet.ports import ClusterUnavailable, NotFound, Pod

__all__ = ["DirectoryCluster"]

log = logging.getLogger(__name__)

_STATUS_AREA = ".status"
_Object = Pod | NetworkAttachmentDefinition


class DirectoryCluster:
    """Pods and NetworkAttachmentDefinitions from the manifests in ``path``, as for ``kubectl apply``.

    Files are ``.yaml``, ``.yml`` or ``.json``, with several documents or ``List`` objects in them; other
    kinds are ignored; an object without namespace is in ``default``. A pod without ``metadata.uid`` has the
    UID "" and answers to any. Changes are seen at the next call; nothing is watched.

    The manifests are their author's, with comments and order that a rewrite would lose. So the network-status
    goes beside them, to ``.status/{namespace}/{pod}.json``: a Pod object with name, UID and that one
    annotation, replaced atomically (written beside, then renamed). ``pod()`` lays it over the manifest's own
    annotations. A status that another UID left behind is ignored until it is overwritten, and removed once
    its pod's manifest is gone.

    A manifest that can't be read hides no other: it is mentioned only when the wanted object isn't found.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._manifests: Manifests[_Object] = Manifests(self._path, _interpret)

    def pod(self, namespace: str, name: str, uid: str = "", timeout: float = 10.0) -> Pod:
        """See Cluster.pod; files are read at once, so ``timeout`` isn't used."""
        what = require_names("pod", namespace, name)
        snapshot = self._snapshot()
        found = snapshot.objects.get(("Pod", namespace, name))
        if not isinstance(found, Pod):
            if not snapshot.faults:  # else the manifest may be there and merely be broken
                self._forget_status(namespace, name)
            raise _not_found(what, snapshot)
        return self._with_status(require_same_pod(found, uid))

    def attachment_definition(
        self, namespace: str, name: str, timeout: float = 10.0
    ) -> NetworkAttachmentDefinition:
        """See Cluster.attachment_definition; files are read at once, so ``timeout`` isn't used."""
        what = require_names("network-attachment-definition", namespace, name)
        snapshot = self._snapshot()
        found = snapshot.objects.get((DEFINITION, namespace, name))
        if not isinstance(found, NetworkAttachmentDefinition):
            raise _not_found(what, snapshot)
        return found

    def publish_status(self, pod: Pod, status: str, timeout: float = 10.0) -> None:
        """See Cluster.publish_status; files are written at once, so ``timeout`` isn't used."""
        what = require_names("pod", pod.namespace, pod.name)
        snapshot = self._snapshot()
        current = snapshot.objects.get(("Pod", pod.namespace, pod.name))
        if not isinstance(current, Pod):
            raise _not_found(what, snapshot)
        require_same_pod(current, pod.uid)
        metadata = {"namespace": pod.namespace, "name": pod.name}
        if current.uid:
            metadata["uid"] = current.uid
        annotated = {**metadata, "annotations": {NETWORK_STATUS: status}}
        data = msgspec.json.encode({"apiVersion": "v1", "kind": "Pod", "metadata": annotated})
        try:
            _replace(self._status_file(pod.namespace, pod.name), msgspec.json.format(data, indent=2) + b"\n")
        except OSError as error:
            raise ClusterUnavailable(f"cannot write the network-status of {what}: {error}") from error

    def pods(self) -> list[Pod]:
        """See Cluster.pods: every pod of the manifests is this node's."""
        found = self._snapshot().objects.values()
        return [self._with_status(value) for value in found if isinstance(value, Pod)]

    def close(self) -> None:
        """Nothing is held open."""

    def _snapshot(self) -> Snapshot[_Object]:
        try:
            return self._manifests.snapshot()
        except OSError as error:
            raise ClusterUnavailable(
                f"cannot read the manifests in {self._path}: {error.strerror}"
            ) from error

    def _status_file(self, namespace: str, name: str) -> str:
        return os.path.join(self._path, _STATUS_AREA, namespace, f"{name}.json")

    def _with_status(self, pod: Pod) -> Pod:
        path = self._status_file(pod.namespace, pod.name)
        try:
            with open(path, "rb") as file:
                saved = _STATUS_DECODER.decode(file.read()).metadata
        except FileNotFoundError:
            return pod
        except (OSError, msgspec.DecodeError) as error:  # no reason to fail the pod: the next one replaces it
            log.warning("the network-status in %s is left out: %s", path, error)
            return pod
        status = (saved.annotations or {}).get(NETWORK_STATUS)
        if status is None or saved.uid != pod.uid:
            return pod
        return msgspec.structs.replace(pod, annotations={**pod.annotations, NETWORK_STATUS: status})

    def _forget_status(self, namespace: str, name: str) -> None:
        with contextlib.suppress(OSError):  # most often there is none; a read-only directory is no fault
            os.unlink(self._status_file(namespace, name))


class _PodObject(msgspec.Struct, frozen=True):
    metadata: Metadata


_STATUS_DECODER = msgspec.json.Decoder(_PodObject)


def _interpret(manifest: dict[str, Any]) -> tuple[Key, _Object] | None:
    kind = manifest.get("kind")
    if kind == "Pod" and manifest.get("apiVersion") == "v1":
        try:
            pod = pod_of(msgspec.convert(manifest, _PodObject).metadata)  # worked out by the decoder above
        except msgspec.ValidationError as error:
            raise Rejected(_path_first(str(error))) from None
        return _keyed("Pod", pod)
    if kind == DEFINITION:
        try:
            definition = NetworkAttachmentDefinition.from_object(manifest)
        except InvalidConfig as error:
            raise Rejected(error.msg) from None
        return _keyed(DEFINITION, definition)
    return None


def _keyed(kind: str, value: _Object) -> tuple[Key, _Object]:
    try:
        require_names(kind, value.namespace, value.name)
    except NotFound:
        raise Rejected(
            f'$.metadata.name: "{value.name}" in namespace "{value.namespace}" is no name'
        ) from None
    return (kind, value.namespace, value.name), value


def _path_first(message: str) -> str:
    problem, _, path = message.partition(" - at `")
    return f"{path.rstrip('`') or '$'}: {problem.replace('`', '')}"


def _not_found(what: str, snapshot: Snapshot[_Object]) -> NotFound:
    error = NotFound(what)
    if snapshot.faults:
        count = len(snapshot.faults)
        faults = "; ".join(map(str, snapshot.faults))
        error.args = (f"{error} ({count} unreadable manifest{'s' if count > 1 else ''}: {faults})",)
    return error


def _replace(path: str, data: bytes) -> None:
    """Write the file so that a reader sees the old one or the new one. Nothing is synced: a node that lost
    its power has lost the pod as well."""
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.{threading.get_native_id()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise

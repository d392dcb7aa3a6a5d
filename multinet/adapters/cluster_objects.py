"""What both clusters read out of a pod object, and how a pod is known to be the one that is meant."""

from __future__ import annotations

import re

import msgspec

from multinet.npwg.selection import CONFIG_SOURCE
from multinet.ports import NotFound, Pod, UIDMismatch

__all__ = ["Metadata", "belongs", "pod_of", "require_names", "require_same_pod"]

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""A second copy of the whole object, written by ``kubectl apply``: never read here, so never kept."""

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
"""RFC 1123 subdomain, as Kubernetes has it for the names of pods and of custom resources."""


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """The part of ``ObjectMeta`` that networking needs."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None

    def kept_annotations(self) -> dict[str, str]:
        """The annotations without the one that only repeats the object."""
        return {key: value for key, value in (self.annotations or {}).items() if key != _LAST_APPLIED}


def pod_of(metadata: Metadata) -> Pod:
    """The pod that ``metadata`` describes; no namespace means ``default``, as ``kubectl`` has it."""
    annotations = metadata.kept_annotations()
    return Pod(
        namespace=metadata.namespace or "default",
        name=metadata.name,
        uid=metadata.uid,
        annotations=annotations,
        static=annotations.get(CONFIG_SOURCE, "api") != "api",
        deleting=bool(metadata.deletion_timestamp),
    )


def belongs(pod: Pod, uid: str) -> bool:
    """Whether ``pod`` may be the one the runtime calls ``uid``.

    The API knows a static pod as a mirror pod with a UID of its own, so there the two can't be compared; nor
    can they where one side gives none: old runtimes don't, nor do manifests that no apiserver has seen.
    """
    return not uid or not pod.uid or pod.static or pod.uid == uid


def require_same_pod(pod: Pod, uid: str) -> Pod:
    """``pod`` itself. Raises UIDMismatch when it isn't the one the runtime calls ``uid``."""
    if not belongs(pod, uid):
        raise UIDMismatch(f"{pod.namespace}/{pod.name}", uid, pod.uid)
    return pod


def require_names(kind: str, namespace: str, name: str) -> str:
    """The object as messages name it (``pod default/web``).

    Raises NotFound for names that no object can have: they come from outside, and go into paths.
    """
    what = f"{kind} {namespace}/{name}"
    if _NAME.fullmatch(namespace) is None or _NAME.fullmatch(name) is None:
        raise NotFound(what)
    return what

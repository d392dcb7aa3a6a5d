"""Pods, and whatever describes them: the annotations by which they ask for networks."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from multinet.cli.validation.findings import Subject
from multinet.cni.errors import CNIError
from multinet.core.planned import DefinitionRef, PlannedAttachment
from multinet.core.selection import select_networks, selection_warnings
from multinet.core.settings import Settings
from multinet.npwg.selection import DEFAULT_NETWORK, DEFAULT_NETWORKS, NETWORK_STATUS, NETWORKS

__all__ = ["NO_POLICY", "TEMPLATES", "Wanted", "member", "networks_of_pods"]

NO_POLICY = Settings(cluster_network="/")
"""The rules that hold on every node: isolation and the like are the node's own configuration."""
TEMPLATES = {
    "Pod": "$",
    "PodTemplate": "$.template",
    "CronJob": "$.spec.jobTemplate.spec.template",
    "DaemonSet": "$.spec.template",
    "Deployment": "$.spec.template",
    "Job": "$.spec.template",
    "ReplicaSet": "$.spec.template",
    "ReplicationController": "$.spec.template",
    "StatefulSet": "$.spec.template",
}
"""Kind → where its pods are described."""
_READ = (DEFAULT_NETWORK, NETWORKS, DEFAULT_NETWORKS)
_OTHERS = tuple(f"k8s.v1.cni.cncf.io/{key}" for key in ("networks-status", "policy-for", "service-network"))
"""Keys of other programs, or of earlier ones."""
_OURS = (
    "k8s.v1.cni.cncf.io",
    "kubernetes.v1.cni.cncf.io",
    "kubernetes.cni.cncf.io",
    "v1.multus-cni.io",
    "multinet.dev",
)
"""Prefixes of the keys by which networks are asked for, two of them from before the standard."""

Wanted = tuple[PlannedAttachment, DefinitionRef, str]
"""A network that a pod asks for, the definition it is, and the JSON path of the annotation that says so."""


def networks_of_pods(raw: Mapping[str, Any], subject: Subject) -> Iterator[Wanted]:
    """What the pods that the object describes ask for; faults of their annotations are found on the way."""
    template = TEMPLATES[str(raw.get("kind"))]
    base = f"{template}.metadata.annotations"
    annotations = member(raw, base)
    if not isinstance(annotations, Mapping):
        return
    _warn_of_strange_keys(annotations, base, subject)
    asked = {key: annotations[key] for key in _READ if key in annotations}
    for key, value in asked.items():
        if not isinstance(value, str):
            subject.error(f'{base}["{key}"]', f"expected str, got {type(value).__name__}")
            return
    if asked and member(raw, f"{template}.spec.hostNetwork") is True:
        subject.warning(
            f"{template}.spec.hostNetwork", "is true: the pod gets no networks, whatever it asks for"
        )
    for text in selection_warnings(asked):
        key, _, problem = text.partition(": ")
        subject.warning(f'{base}["{key}"]', problem)
    namespace = str(member(raw, "$.metadata.namespace") or "default")
    yield from _selected(asked, namespace, base, subject)


def _selected(asked: Mapping[str, str], namespace: str, base: str, subject: Subject) -> Iterator[Wanted]:
    """The annotations one by one, so that a fault in one hides none in another; then all together."""
    faulty = False
    for key, value in asked.items():
        path = f'{base}["{key}"]'
        try:
            planned = select_networks({key: value}, namespace, NO_POLICY)
        except CNIError as error:
            subject.error(path, str(error))
            faulty = True
            continue
        for attachment in planned:
            if isinstance(attachment.source, DefinitionRef):
                yield attachment, attachment.source, path
    if not faulty:
        try:
            select_networks(asked, namespace, NO_POLICY)
        except CNIError as error:
            subject.error(base, str(error))


def _warn_of_strange_keys(annotations: Mapping[str, Any], base: str, subject: Subject) -> None:
    known = (*_READ, NETWORK_STATUS, *_OTHERS)
    for key in annotations:
        if str(key).partition("/")[0] in _OURS and key not in known:
            near = next(iter(difflib.get_close_matches(str(key), known, 1, 0.75)), None)
            hint = f', did you mean "{near}"?' if near else ""
            subject.warning(f'{base}["{key}"]', f"nobody reads this annotation{hint}")


def member(raw: object, path: str) -> Any:
    """What the object has at ``$.a.b``; None where it ends before."""
    for name in path.split(".")[1:]:
        raw = raw.get(name) if isinstance(raw, Mapping) else None
    return raw

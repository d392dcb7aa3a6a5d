"""Kubernetes objects: NetworkAttachmentDefinitions, and whatever makes pods that ask for networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from multinet.cli.validation.findings import Subject
from multinet.cli.validation.networks import check_network
from multinet.cli.validation.pools import Pools
from multinet.cni import jsontext
from multinet.cni.errors import CNIError
from multinet.core.planned import DefinitionRef, PlannedAttachment
from multinet.core.selection import capability_warnings, select_networks, selection_warnings
from multinet.core.settings import Settings
from multinet.npwg.attachment_definition import KIND, NetworkAttachmentDefinition
from multinet.npwg.network_object import check_network_object
from multinet.npwg.selection import DEFAULT_NETWORK, NETWORKS

__all__ = ["Objects", "object_name"]

_NO_POLICY = Settings(cluster_network="/")
"""The rules that hold on every node: isolation and the like are the node's own configuration."""
_TEMPLATES = {
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


class Objects:
    """The Kubernetes objects of everything that is validated together."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._defined: dict[str, Mapping[str, Any]] = {}
        self._wanted: list[tuple[str, PlannedAttachment, str, Subject]] = []

    def check(self, raw: Mapping[str, Any], subject: Subject) -> None:
        """One object; kinds that have nothing to do with networks pass."""
        kind = str(raw.get("kind"))
        if kind == KIND:
            self._check_definition(raw, subject)
        elif kind in _TEMPLATES:
            self._check_pods(raw, _TEMPLATES[kind], subject)

    def warn_of_missing(self) -> None:
        """A warning for each network that is asked for and not defined in any of the files, and for each request that
        no plugin of its network takes.
        """
        for name, planned, path, subject in self._wanted:
            network = self._defined.get(name)
            if network is None:
                subject.warning(path, f"network-attachment-definition {name} is in none of these files")
            elif network:
                for text in capability_warnings(planned, network, _NO_POLICY):
                    subject.warning(path, text)

    def _check_definition(self, raw: Mapping[str, Any], subject: Subject) -> None:
        try:
            definition = NetworkAttachmentDefinition.from_object(raw)
        except CNIError as error:
            subject.faults(error)
            return
        self._defined[definition.display_name] = {}
        if not definition.config:
            return  # it is in a file on the nodes
        text = definition.config
        inside = subject.embedded("$.spec.config", text)
        network = _parsed(text, inside)
        if network is None:
            return
        try:
            check_network_object(network)
        except CNIError as error:
            inside.faults(error)
            return
        self._defined[definition.display_name] = network
        check_network({**network, "name": network.get("name") or definition.name}, inside, self._pools)

    def _check_pods(self, raw: Mapping[str, Any], template: str, subject: Subject) -> None:
        base = f"{template}.metadata.annotations"
        annotations = _member(raw, base)
        if not isinstance(annotations, Mapping):
            return
        asked = {key: annotations[key] for key in (DEFAULT_NETWORK, NETWORKS) if key in annotations}
        for key, value in asked.items():
            if not isinstance(value, str):
                subject.error(f'{base}["{key}"]', f"expected str, got {type(value).__name__}")
                return
        namespace = str(_member(raw, "$.metadata.namespace") or "default")
        for text in selection_warnings(asked):
            key, _, problem = text.partition(": ")
            subject.warning(f'{base}["{key}"]', problem)
        for key in asked:  # one by one, so that a fault in one hides none in the other
            self._select({key: asked[key]}, namespace, f'{base}["{key}"]', subject)

    def _select(self, annotations: Mapping[str, str], namespace: str, path: str, subject: Subject) -> None:
        try:
            planned = select_networks(annotations, namespace, _NO_POLICY)
        except CNIError as error:
            subject.error(path, str(error))
            return
        for attachment in planned:
            if isinstance(attachment.source, DefinitionRef):
                source = attachment.source
                self._wanted.append((f"{source.namespace}/{source.name}", attachment, path, subject))


def object_name(raw: Mapping[str, Any]) -> str:
    """``Kind namespace/name``, as findings call the object."""
    names = (_member(raw, "$.metadata.name"), _member(raw, "$.metadata.generateName"), "(no name)")
    name = next(name for name in names if name and isinstance(name, str))
    return f"{raw.get('kind')} {_member(raw, '$.metadata.namespace') or 'default'}/{name}"


def _parsed(text: str, subject: Subject) -> dict[str, Any] | None:
    """The object in ``text``; None when there is none, which has been noted."""
    import json  # its errors say where; it is needed for broken text only

    try:
        value = jsontext.decode(text)
    except jsontext.MalformedJSON as error:
        try:
            json.loads(text)
        except json.JSONDecodeError as fault:
            subject.malformed(fault.lineno, 0, f"$.spec.config: {error}")
        else:
            subject.error("$", str(error))
        return None
    if not isinstance(value, dict):
        subject.error("$", f"expected an object, got {type(value).__name__}")
        return None
    return value


def _member(raw: object, path: str) -> Any:
    for name in _names(path):
        raw = raw.get(name) if isinstance(raw, Mapping) else None
    return raw


def _names(path: str) -> Iterable[str]:
    return [name for name in path.split(".")[1:] if name]

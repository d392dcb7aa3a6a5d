"""Kubernetes objects: NetworkAttachmentDefinitions, and whatever makes pods that ask for networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multinet.cli.validation.findings import Subject
from multinet.cli.validation.networks import check_network
from multinet.cli.validation.pods import NO_POLICY, TEMPLATES, member, networks_of_pods
from multinet.cli.validation.pools import Pools
from multinet.cni import jsontext
from multinet.cni.errors import CNIError
from multinet.core.planned import PlannedAttachment
from multinet.core.selection import capability_warnings
from multinet.daemon.networks import META_TYPES
from multinet.npwg.attachment_definition import KIND, NetworkAttachmentDefinition
from multinet.npwg.network_object import check_network_object, plugins_of

__all__ = ["Objects", "object_name"]


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
        elif kind in TEMPLATES:
            for planned, wanted, path in networks_of_pods(raw, subject):
                self._wanted.append((f"{wanted.namespace}/{wanted.name}", planned, path, subject))

    def warn_of_missing(self) -> None:
        """A warning for each network that is asked for and not defined in any of the files, and for each request that
        no plugin of its network takes.
        """
        for name, planned, path, subject in self._wanted:
            network = self._defined.get(name)
            if network is None:
                subject.warning(path, f"network-attachment-definition {name} is in none of these files")
            elif network:
                for text in capability_warnings(planned, network, NO_POLICY):
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
        if any(plugin.get("type") in META_TYPES for plugin in plugins_of(network)):
            inside.error("$", "is the meta-plugin itself: it cannot be its own delegate")
            return
        self._defined[definition.display_name] = network
        check_network({**network, "name": network.get("name") or definition.name}, inside, self._pools)


def object_name(raw: Mapping[str, Any]) -> str:
    """``Kind namespace/name``, as findings call the object."""
    names = (member(raw, "$.metadata.name"), member(raw, "$.metadata.generateName"), "(no name)")
    name = next(name for name in names if name and isinstance(name, str))
    return f"{raw.get('kind')} {member(raw, '$.metadata.namespace') or 'default'}/{name}"


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

"""Kubernetes objects: NetworkAttachmentDefinitions, and whatever makes pods that ask for networks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from multinet.cli.validation.findings import Subject
from multinet.cli.validation.networks import check_network
from multinet.cli.validation.pods import NO_POLICY, TEMPLATES, member, networks_of_pods
from multinet.cli.validation.pools import Pools
from multinet.cni import jsontext
from multinet.cni.errors import CNIError
from multinet.core.permission import require_permission
from multinet.core.planned import PlannedAttachment
from multinet.core.selection import capability_warnings
from multinet.core.settings import Settings
from multinet.daemon.networks import META_TYPES
from multinet.npwg.attachment_definition import ALLOWED_NAMESPACES, KIND, NetworkAttachmentDefinition
from multinet.npwg.network_object import check_network_object, plugins_of

__all__ = ["Objects", "object_name"]

_ISOLATED = Settings(cluster_network="/", namespace_isolation=True)
_OURS = "multinet.dev/"
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?|\*")


class Objects:
    """The Kubernetes objects of everything that is validated together."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._defined: dict[str, Mapping[str, Any]] = {}
        self._definitions: dict[str, NetworkAttachmentDefinition] = {}
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
        no plugin of its network takes; and what permissions say.
        """
        for name, planned, path, subject in self._wanted:
            _check_permission(planned, self._definitions.get(name), path, subject)
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
        _check_users(definition, subject)
        self._definitions[definition.display_name] = definition
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


def _check_users(definition: NetworkAttachmentDefinition, subject: Subject) -> None:
    """The annotation that says whose pods may use it; misspelt it would leave the network open."""
    for key in definition.annotations:
        if key.startswith(_OURS) and key != ALLOWED_NAMESPACES:
            near = difflib.get_close_matches(key, [ALLOWED_NAMESPACES], 1, 0.75)
            hint = f', did you mean "{near[0]}"?' if near else ""
            subject.warning(f'$.metadata.annotations["{key}"]', f"nobody reads this annotation{hint}")
    for name in sorted(definition.allowed_namespaces or ()):
        if not _NAMESPACE.fullmatch(name):
            subject.error(
                f'$.metadata.annotations["{ALLOWED_NAMESPACES}"]',
                f'expected names of namespaces with commas between, or *, got "{name}"',
            )


def _check_permission(
    planned: PlannedAttachment, definition: NetworkAttachmentDefinition | None, path: str, subject: Subject
) -> None:
    """An error where the definition itself forbids it, a warning where nodes with isolation would."""
    name = planned.name
    try:
        require_permission(planned, definition, _ISOLATED)
    except CNIError as error:
        if definition is not None and definition.allowed_namespaces is not None:
            subject.error(path, str(error))
            return
        namespace = name.partition("/")[0]
        subject.warning(
            path,
            f"network {name} is in another namespace than the pod: refused wherever namespaceIsolation is on, as it "
            f"is by default, and globalNamespaces hasn't {namespace}",
        )


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

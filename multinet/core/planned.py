"""A pod's attachments as planned: what is to be attached under which name, before anything is loaded."""

from __future__ import annotations

from typing import Any

import msgspec

from multinet.npwg.selection import NetworkSelection

__all__ = [
    "DefinitionRef",
    "InlineNetwork",
    "NamedNetwork",
    "NetworkSource",
    "PathNetwork",
    "PlannedAttachment",
]


class DefinitionRef(msgspec.Struct, frozen=True, tag="definition"):
    """The NetworkAttachmentDefinition ``namespace/name``."""

    namespace: str
    name: str


class NamedNetwork(msgspec.Struct, frozen=True, tag="named"):
    """The NetworkAttachmentDefinition ``namespace/name``, else the configuration ``name`` in ``confDir``."""

    namespace: str
    name: str


class PathNetwork(msgspec.Struct, frozen=True, tag="path"):
    """A configuration file, or a directory whose first valid configuration counts."""

    path: str


class InlineNetwork(msgspec.Struct, frozen=True, tag="inline"):
    """A configuration that the meta-plugin's own configuration holds."""

    conf: dict[str, Any]


NetworkSource = DefinitionRef | NamedNetwork | PathNetwork | InlineNetwork


class PlannedAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """One attachment; its place in the plan is ``position``, the default network's is 0."""

    position: int
    name: str
    """What messages call it until it is loaded; afterwards ``delegate_request.display_name`` counts."""
    ifname: str
    source: NetworkSource
    selection: NetworkSelection | None = None
    """What the pod's annotation asks for; None for networks of the configuration."""
    asked_from: str = ""
    """Namespace of the pod whose annotation asks for it; empty for networks of the configuration."""

    @property
    def is_default(self) -> bool:
        """Whether this is the pod's default network, whose result the runtime gets."""
        return self.position == 0

    @property
    def default_route(self) -> tuple[str, ...] | None:
        """The gateways that the pod asks for here; () keeps the attachment's own; None asks for nothing."""
        return self.selection.default_route if self.selection else None

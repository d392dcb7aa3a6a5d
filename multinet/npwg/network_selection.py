"""One element of a network selection annotation, as a value that serialises to the standard's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cni.errors import CNIError
from multinet.cni.names import validate_ifname

__all__ = ["IFNAME_RULE", "Bandwidth", "NetworkSelection", "PortMapping", "is_ifname"]

IFNAME_RULE = "at most 15 bytes, no white space, '/' or ':', not '.' or '..'"


def is_ifname(text: str) -> bool:
    """Whether CNI and the kernel take ``text`` as an interface's name."""
    try:
        validate_ifname(text)
    except (CNIError, UnicodeEncodeError):
        return False
    return True


class PortMapping(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A host port that leads to a port of the pod; as the ``portMappings`` capability has it."""

    host_port: int = msgspec.field(name="hostPort")
    container_port: int = msgspec.field(name="containerPort")
    protocol: str = ""
    """TCP, UDP or SCTP in any case; "" is TCP."""
    host_ip: str = msgspec.field(name="hostIP", default="")


class Bandwidth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Limits as seen from the pod: rates in bits a second, bursts in bits; 0 is no limit."""

    ingress_rate: int = 0
    ingress_burst: int = 0
    egress_rate: int = 0
    egress_burst: int = 0


class NetworkSelection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request for one attachment to the NetworkAttachmentDefinition ``namespace/name``."""

    name: str
    namespace: str = ""
    interface: str = ""
    """Name in the pod; "" for the next ``net{n}``."""
    ips: tuple[str, ...] = ()
    mac: str = ""
    infiniband_guid: str = msgspec.field(name="infiniband-guid", default="")
    port_mappings: tuple[PortMapping, ...] = msgspec.field(name="portMappings", default=())
    bandwidth: Bandwidth | None = None
    default_route: tuple[str, ...] | None = msgspec.field(name="default-route", default=None)
    """Gateways; () keeps the attachment's own default routes; None asks for nothing."""
    cni_args: Mapping[str, Any] = msgspec.field(name="cni-args", default={})
    device_id: str = msgspec.field(name="deviceID", default="")
    ipam_claim_reference: str = msgspec.field(name="ipam-claim-reference", default="")

    @property
    def network(self) -> str:
        """``namespace/name``: how status, events and messages call the network."""
        return f"{self.namespace}/{self.name}"

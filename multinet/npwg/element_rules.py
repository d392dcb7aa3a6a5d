"""What an element of the JSON form must satisfy beyond the types of its keys.

Source: NPWG multi-network specification 1.3, 4.1.2; stricter than Multus where it lets through what the
plugin would refuse later, when other attachments have been made already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from multinet.cni.addresses import canonical_address, canonical_cidr
from multinet.npwg.network_selection import (
    IFNAME_RULE,
    Bandwidth,
    NetworkSelection,
    PortMapping,
    is_ifname,
)

__all__ = ["faults", "parse_hardware_address"]

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_MAC_FORMS = (
    re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2})+"),
    re.compile(r"[0-9a-f]{2}(-[0-9a-f]{2})+"),
    re.compile(r"[0-9a-f]{4}(\.[0-9a-f]{4})+"),
)
_PROTOCOLS = ("", "tcp", "udp", "sctp")


def faults(element: NetworkSelection, path: str) -> Iterator[str]:
    """Each rule that the element breaks: key phrase, JSON path, what was expected."""
    yield from _names(element, path)
    for index, ip in enumerate(element.ips):
        yield from _address(ip, f"{path}.ips[{index}]")
    if element.mac and parse_hardware_address(element.mac) is None:
        yield f"failed to mac: {path}.mac: expected 6, 8 or 20 bytes such as 02:00:00:00:00:01, " + _got(
            element.mac
        )
    guid = element.infiniband_guid
    if guid and len(parse_hardware_address(guid) or b"") != 8:
        yield f"failed to validate infiniband GUID: {path}.infiniband-guid: expected 8 bytes such as " + (
            f"c2:11:22:33:44:55:66:77, {_got(guid)}"
        )
    for index, mapping in enumerate(element.port_mappings):
        yield from _port_mapping(mapping, f"{path}.portMappings[{index}]")
    if element.bandwidth is not None:
        yield from _bandwidth(element.bandwidth, f"{path}.bandwidth")
    for index, gateway in enumerate(element.default_route or ()):
        if not _is_ip(gateway):
            yield f"{path}.default-route[{index}]: expected the IP address of a gateway, {_got(gateway)}"
    if element.ipam_claim_reference and element.ips:
        yield f'{path}.ipam-claim-reference: must not be set together with "ips"'


def parse_hardware_address(text: str) -> bytes | None:
    """A hardware address of 6, 8 or 20 bytes in one of the forms ``:``, ``-`` and ``.``; else None."""
    lower = text.lower()
    if not any(form.fullmatch(lower) for form in _MAC_FORMS):
        return None
    octets = bytes.fromhex(re.sub("[:.-]", "", lower))
    return octets if len(octets) in (6, 8, 20) else None


def _names(element: NetworkSelection, path: str) -> Iterator[str]:
    name, namespace, interface = element.name, element.namespace, element.interface
    if len(name) > 253 or not _NAME.fullmatch(name):
        yield f"{path}.name: expected the name of a network-attachment-definition, {_got(name)}" + (
            ' (its namespace goes into the key "namespace")' if "/" in name else ""
        )
    if namespace and not _NAMESPACE.fullmatch(namespace):
        yield f"{path}.namespace: expected the name of a namespace, {_got(namespace)}"
    if interface and not is_ifname(interface):
        yield f"{path}.interface: expected {IFNAME_RULE}, {_got(interface)}"


def _address(text: str, path: str) -> Iterator[str]:
    try:
        canonical_cidr(text) if "/" in text else canonical_address(text)
    except ValueError as problem:
        phrase = "failed to parse CIDR" if "/" in text else "failed to parse IP address"
        yield f'{phrase} "{text}": {path}: {problem}; expected an address, with or without prefix length'


def _is_ip(text: str) -> bool:
    try:
        canonical_address(text)
    except ValueError:
        return False
    return True


def _port_mapping(mapping: PortMapping, path: str) -> Iterator[str]:
    for key, port in (("hostPort", mapping.host_port), ("containerPort", mapping.container_port)):
        if not 1 <= port <= 65535:
            yield f"{path}.{key}: expected 1 to 65535, got {port}"
    if mapping.protocol.lower() not in _PROTOCOLS:
        yield f"{path}.protocol: expected TCP, UDP or SCTP, {_got(mapping.protocol)}"
    if mapping.host_ip and not _is_ip(mapping.host_ip):
        yield f"{path}.hostIP: expected an IP address, {_got(mapping.host_ip)}"


def _bandwidth(limits: Bandwidth, path: str) -> Iterator[str]:
    for direction, rate, burst in (
        ("ingress", limits.ingress_rate, limits.ingress_burst),
        ("egress", limits.egress_rate, limits.egress_burst),
    ):
        for key, value in ((f"{direction}Rate", rate), (f"{direction}Burst", burst)):
            if value < 0:
                yield f"{path}.{key}: must not be negative, got {value}"
        if burst > 0 and rate == 0:
            yield f"{path}.{direction}Burst: needs {direction}Rate"


def _got(text: str) -> str:
    return f'got "{text}"'

"""The network-status annotation: what a pod has been given, for people and controllers to read.

Source: NPWG multi-network specification 1.3, section 6; text layout as Multus writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from multinet.cni.result import DNS, Interface, IPConfig, Result
from multinet.npwg.default_routes import default_gateways

__all__ = ["StatusEntry", "network_status", "status_entries"]


class StatusEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One interface of the pod; fields in the order in which they are written."""

    name: str
    """Display name of the network: ``namespace/name`` of a definition, else the configuration's name."""
    interface: str = ""
    ips: tuple[str, ...] = ()
    """Addresses without prefix length."""
    mac: str = ""
    mtu: int = 0
    default: bool = False
    dns: Mapping[str, Any]
    device_info: Mapping[str, Any] | None = msgspec.field(name="device-info", default=None)
    gateway: tuple[str, ...] = ()


def network_status(entries: Iterable[StatusEntry]) -> str:
    """The annotation's text: a JSON array, elements indented by four blanks and joined by ``},{``."""
    return "[" + ",".join(_indented(entry) for entry in entries) + "]"


def status_entries(
    name: str,
    result: Result,
    is_default: bool = False,
    device_info: Mapping[str, Any] | None = None,
    gateways: Sequence[str] | None = None,
) -> list[StatusEntry]:
    """The entries of one attachment, in the result's order.

    Each interface in the pod has one; host ends of pairs have none. A result without interfaces (from
    before CNI 0.3.0), or with host interfaces only, has one entry if it brings addresses.
    ``gateways`` are those in force once all attachments are made; None takes them from the result.
    """
    if gateways is None:
        gateways = default_gateways(result)
    common = StatusEntry(
        name=name, dns=_dns(result.dns), device_info=device_info or None, gateway=tuple(gateways)
    )
    inside = [index for index, interface in enumerate(result.interfaces) if interface.sandbox]
    if len(result.interfaces) == 1 or (result.ips and not inside):
        single = result.interfaces[0] if inside else Interface(name="")
        return [_entry(common, single, result.ips, is_default)]
    owned = _by_interface(result, inside)
    default = _default_index(result, inside) if is_default and inside else None
    return [_entry(common, result.interfaces[index], owned[index], index == default) for index in inside]


def _entry(common: StatusEntry, interface: Interface, ips: Sequence[IPConfig], default: bool) -> StatusEntry:
    return msgspec.structs.replace(
        common,
        interface=interface.name,
        ips=tuple(ip.address.partition("/")[0] for ip in ips),
        mac=interface.mac,
        mtu=interface.mtu,
        default=default,
    )


def _by_interface(result: Result, inside: Sequence[int]) -> dict[int, list[IPConfig]]:
    """Addresses by interface: those without an index belong to the last one, those of host ends to none."""
    owned: dict[int, list[IPConfig]] = {index: [] for index in inside}
    for ip in result.ips:
        index = inside[-1] if ip.interface is None else ip.interface
        if index in owned:
            owned[index].append(ip)
    return owned


def _default_index(result: Result, inside: Sequence[int]) -> int:
    """The interface of the first address that has a gateway, else the first in the pod: exactly one."""
    for ip in result.ips:
        if ip.gateway and ip.interface is not None and ip.interface in inside:
            return ip.interface
    return inside[0]


def _dns(dns: DNS) -> dict[str, Any]:
    """The object, without what is empty; unlike in results it is there even when it says nothing."""
    parts = {name: getattr(dns, name) for name in DNS.__struct_fields__}
    return {name: part for name, part in parts.items() if part}


def _indented(entry: StatusEntry) -> str:
    return msgspec.json.format(msgspec.json.encode(entry), indent=4).decode()

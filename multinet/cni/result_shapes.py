"""The JSON that a result is in each version: the writing half of ``multinet.cni.result``.

Keys come in the order in which the Go library prints them; what is empty is left out.
Source: CNI specification, "Result types", versions 0.2.0, 0.4.0, 1.0.0 and 1.1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multinet.cni.addresses import is_ipv6
from multinet.cni.errors import CNIError, Code

if TYPE_CHECKING:
    from multinet.cni.result import DNS, Interface, IPConfig, Result, Route

__all__ = ["before_1_0", "by_family", "from_1_0"]


def from_1_0(result: Result, version: str) -> dict[str, Any]:
    """1.0.0 and later; the fields of 1.1.0 are written under 1.0.0 too, as the Go library does."""
    body: dict[str, Any] = {"cniVersion": version}
    if result.interfaces:
        body["interfaces"] = [_interface(link) for link in result.interfaces]
    if result.ips:
        body["ips"] = [_ip(ip) for ip in result.ips]
    if result.routes:
        body["routes"] = [_route(route) for route in result.routes]
    if result.dns:
        body["dns"] = _dns(result.dns)
    return body


def before_1_0(result: Result, version: str) -> dict[str, Any]:
    """0.3.0 … 0.4.0: fewer fields, addresses name their family, ``dns`` is always there."""
    body: dict[str, Any] = {"cniVersion": version}
    if result.interfaces:
        body["interfaces"] = [_old_interface(link) for link in result.interfaces]
    if result.ips:
        body["ips"] = [{"version": "6" if is_ipv6(ip.address) else "4", **_ip(ip)} for ip in result.ips]
    if result.routes:
        body["routes"] = [_old_route(route) for route in result.routes]
    body["dns"] = _dns(result.dns)
    return body


def by_family(result: Result, version: str) -> dict[str, Any]:
    """0.1.0 and 0.2.0: the first address of each family, with the routes of that family.

    Raises CNIError code 6 when there is no address at all.
    """
    body: dict[str, Any] = {"cniVersion": version}
    for key, ipv6 in (("ip4", False), ("ip6", True)):
        ip = next((ip for ip in result.ips if is_ipv6(ip.address) is ipv6), None)
        if ip is None:
            continue
        family: dict[str, Any] = {"ip": ip.address}
        if ip.gateway:
            family["gateway"] = ip.gateway
        routes = [_old_route(route) for route in result.routes if is_ipv6(route.dst) is ipv6]
        if routes:
            family["routes"] = routes
        body[key] = family
    if len(body) == 1:
        raise CNIError(
            Code.DECODING_FAILURE,
            "cannot convert: no valid IP addresses",
            f"a result of version {version} consists of addresses, and this one has none",
        )
    body["dns"] = _dns(result.dns)
    return body


def _old_interface(link: Interface) -> dict[str, Any]:
    body: dict[str, Any] = {"name": link.name}
    if link.mac:
        body["mac"] = link.mac
    if link.sandbox:
        body["sandbox"] = link.sandbox
    return body


def _interface(link: Interface) -> dict[str, Any]:
    body: dict[str, Any] = {"name": link.name}
    if link.mac:
        body["mac"] = link.mac
    if link.mtu:
        body["mtu"] = link.mtu
    if link.sandbox:
        body["sandbox"] = link.sandbox
    if link.socket_path:
        body["socketPath"] = link.socket_path
    if link.pci_id:
        body["pciID"] = link.pci_id
    return body


def _ip(ip: IPConfig) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if ip.interface is not None:
        body["interface"] = ip.interface
    body["address"] = ip.address
    if ip.gateway:
        body["gateway"] = ip.gateway
    return body


def _old_route(route: Route) -> dict[str, Any]:
    return {"dst": route.dst, "gw": route.gw} if route.gw else {"dst": route.dst}


def _route(route: Route) -> dict[str, Any]:
    body = _old_route(route)
    if route.mtu:
        body["mtu"] = route.mtu
    if route.advmss:
        body["advmss"] = route.advmss
    if route.priority:
        body["priority"] = route.priority
    if route.table is not None:
        body["table"] = route.table
    if route.scope is not None:
        body["scope"] = route.scope
    return body


def _dns(dns: DNS) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if dns.nameservers:
        body["nameservers"] = list(dns.nameservers)
    if dns.domain:
        body["domain"] = dns.domain
    if dns.search:
        body["search"] = list(dns.search)
    if dns.options:
        body["options"] = list(dns.options)
    return body

"""Everything that an attachment could leave behind, as a value that compares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import LinkInfo
from multinet.adapters.netns import Netns
from multinet.core.desired import MADE_BY_KERNEL, SCOPE_LINK
from multinet.testkit.namespaces import Lab

__all__ = ["FORWARDING", "changes", "namespace_state", "sysctls"]

FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
_SYSCTL_ROOTS = ("net/ipv4/conf", "net/ipv6/conf")
_WATCHED = (
    "arp_notify",
    "ndisc_notify",
    "accept_ra",
    "accept_dad",
    "enhanced_dad",
    "disable_ipv6",
    "keep_addr_on_down",
    "forwarding",
    "route_localnet",
)
_DERIVED = ("operstate", "port_state", "permanent_mac", "device", "bus")
"""Of a link: what isn't configured."""


def namespace_state(lab: Lab, netns: Netns | None) -> dict[str, Any]:
    """What is configured in a namespace (None: the host); what the kernel derives in its own time (carrier,
    duplicate detection, its own routes) is left out.

    Read in one process: tests take many of these, and under emulation a process costs a quarter of a second.
    """
    with NetworkStack(netns or lab.host) as stack:
        found = stack.links()
        names = {link.index: link.name for link in found}
        addresses: dict[str, list[str]] = {link.name: [] for link in found}
        for address in stack.addresses():
            if address.scope != SCOPE_LINK and address.index in names:
                addresses[names[address.index]].append(address.cidr)
        return {
            "links": {link.name: _configured(link) for link in found},
            "addresses": {name: sorted(cidrs) for name, cidrs in addresses.items()},
            "routes": sorted(map(str, (r for r in stack.routes() if r.protocol != MADE_BY_KERNEL))),
            "policy": sorted(map(str, stack.rules())),
            "queueing": sorted(str(one) for link in found for one in stack.qdiscs(link.index)),
            "sysctls": sysctls(netns or lab.host),
        }


def _configured(link: LinkInfo) -> dict[str, Any]:
    return {key: value for key, value in asdict(link).items() if key not in _DERIVED}


def sysctls(netns: Netns) -> dict[str, str]:
    """Settings of a namespace and its links that delegates change."""
    found = {}
    with netns.entered():
        keys = list(FORWARDING)
        for root in _SYSCTL_ROOTS:
            if os.path.isdir(f"/proc/sys/{root}"):
                keys += [
                    f"{root}/{name}/{key}" for name in os.listdir(f"/proc/sys/{root}") for key in _WATCHED
                ]
        for key in keys:
            try:
                found[key] = Path("/proc/sys", key).read_text().strip()
            except FileNotFoundError:
                continue
    return found


def changes(before: Any, after: Any, at: str = "") -> list[str]:
    """Where two snapshots differ, path by path: for messages."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after})
        return [line for key in keys for line in changes(before.get(key), after.get(key), f"{at}.{key}")]
    return [f"{at}: {before!r} → {after!r}"]

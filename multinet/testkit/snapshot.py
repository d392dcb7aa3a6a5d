"""Everything that an attachment could leave behind, as a value that compares."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from multinet.adapters.netns import Netns
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
_LINK = (
    "ifindex",
    "mtu",
    "address",
    "master",
    "link",
    "link_index",
    "group",
    "ifalias",
    "promiscuity",
    "txqlen",
)
_FLAGS = {"UP", "PROMISC", "NOARP", "ALLMULTI"}


def namespace_state(lab: Lab, netns: Netns | None) -> dict[str, Any]:
    """What is configured in a namespace (None: the host); what the kernel derives in its own time (carrier,
    duplicate detection, its own routes) is left out.
    """

    def ip(*arguments: str) -> Any:
        return json.loads(lab.run("ip", "-j", *arguments, netns=netns) or "[]")

    def tc(*arguments: str) -> Any:
        return json.loads(lab.run("tc", "-j", *arguments, netns=netns) or "[]")

    links = {}
    for link in ip("-d", "link"):
        flags = sorted(_FLAGS.intersection(link["flags"]))
        kind = link.get("linkinfo", {}).get("info_kind", "")
        links[link["ifname"]] = {key: link.get(key) for key in _LINK} | {"flags": flags, "kind": kind}
    addresses = {
        link["ifname"]: sorted(
            f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] != "link"
        )
        for link in ip("addr")
    }
    routes = []
    policy = []
    for family in ("-4", "-6"):
        found = ip(family, "route", "show", "table", "all")
        routes += sorted(json.dumps(r, sort_keys=True) for r in found if r.get("protocol") != "kernel")
        policy += sorted(json.dumps(r, sort_keys=True) for r in ip(family, "rule"))
    queueing = sorted(
        json.dumps({key: one[key] for key in ("dev", "kind", "handle", "options")}, sort_keys=True)
        for one in tc("qdisc")
        if one["kind"] not in ("noqueue", "pfifo_fast", "fq_codel")
    )
    return {
        "links": links,
        "addresses": addresses,
        "routes": routes,
        "policy": policy,
        "queueing": queueing,
        "sysctls": sysctls(netns or lab.host),
    }


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

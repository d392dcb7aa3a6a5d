"""What CHECK takes from the result of the ADD: this attachment's part of it, and whether it fits the call."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from multinet.cni.addresses import interface_of, prefix_of
from multinet.cni.result import Result
from multinet.core.desired import MAIN_TABLE, AnyItem, Difference, Route
from multinet.engine.facts import Facts
from multinet.engine.scene import Scene
from multinet.sdk.delegate import Sandbox


def own_part(previous: Result, ifname: str) -> Result:
    """Addresses and routes of the result that belong to the interface ``ifname``."""
    ips = tuple(ip for ip in previous.ips if (at := previous.interface_of(ip)) is None or at.name == ifname)
    return Result(ips=ips, routes=previous.routes, dns=previous.dns)


def is_reported(difference: Difference, pod: Sandbox) -> bool:
    """Whether the result has the MAC or MTU that the link has: a later plugin of the chain changed it."""
    link = pod.made_interface
    if link is None or difference.subject != link.name:
        return False
    return (difference.field, difference.have) in (("mac", link.mac), ("mtu", str(link.mtu)))


def where_reported(items: Iterable[AnyItem], pod: Sandbox) -> list[AnyItem]:
    """The items, routes in the table that the result names: a later plugin of the chain (sbr, vrf) moves them."""
    named = {str(prefix_of(r.dst)): r.table or MAIN_TABLE for r in (pod.made.routes if pod.made else ())}
    return [
        replace(item, table=named[item.dst])
        if isinstance(item, Route)
        and item.place == "sandbox"
        and item.table == MAIN_TABLE
        and item.dst in named
        else item
        for item in items
    ]


def where_moved(items: Iterable[AnyItem], pod: Sandbox, host: Facts) -> tuple[AnyItem, ...]:
    """The items, each route that is in the main table no more in the one where the interface has it now: that of its
    addresses' rules (sbr) or of its VRF. For routes that no result tells of.
    """
    link = host.link(pod.ifname, "sandbox")
    if link is None:
        return tuple(items)
    own = [interface_of(ip.address) for ip in (pod.ipam.ips if pod.ipam else ())]
    sources = {f"{address.ip}/{address.max_prefixlen}" for address in own}
    master = host.link_at(link.master, "sandbox") if link.master else None
    tables = {rule.table for rule in host.rules("sandbox") if rule.source in sources}
    tables.update([master.table] if master and master.table else [])
    present: dict[str, set[int]] = {}
    for route in host.routes("sandbox"):
        if any(at == link.index for _, at in route.hops):
            present.setdefault(route.dst, set()).add(route.table)
    return tuple(_moved(item, present, tables) for item in items)


def _moved(item: AnyItem, present: Mapping[str, set[int]], tables: Collection[int]) -> AnyItem:
    if not isinstance(item, Route) or item.place != "sandbox" or item.table != MAIN_TABLE:
        return item
    there = present.get(item.dst, set())
    elsewhere = there.intersection(tables)
    return replace(item, table=min(elsewhere)) if elsewhere and MAIN_TABLE not in there else item


def interface_differences(pod: Sandbox, previous: Result, scene: Scene) -> list[Difference]:
    """The previous result must name the interface in the very namespace that CHECK was called for."""
    named = [i for i in previous.interfaces if i.name == pod.ifname and i.sandbox]
    if not previous.interfaces or any(_is_sandbox(i.sandbox, pod, scene) for i in named):
        return []
    have = named[0].sandbox if named else ""
    words = f"Sandbox in prevResult {have} doesn't match configured netns: {pod.netns}"
    return [Difference(pod.ifname, "sandbox", pod.netns, have, words)]


def _is_sandbox(path: str, pod: Sandbox, scene: Scene) -> bool:
    """Whether ``path`` leads to the sandbox, which may have been given another one."""
    if path == pod.netns:
        return True
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return False
    return (status.st_dev, status.st_ino) == scene.stack("sandbox").netns.identity

"""Compare desired state with the kernel, field by field: what CHECK reports, and repair and diagnosis later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import LinkInfo, RouteInfo
from multinet.core.desired import (
    Address,
    AnyItem,
    Bridge,
    Difference,
    LinkUp,
    MacGuard,
    Macvlan,
    Masquerade,
    NoAddress,
    Place,
    Route,
    Sysctl,
    Veth,
)
from multinet.engine.scene import Scene


def compare(items: Sequence[AnyItem], scene: Scene) -> list[Difference]:
    """Every difference between ``items`` and the kernel; what others added is none."""
    views: dict[Place, _View] = {"host": _View(scene.host)}
    if scene.sandbox is not None:
        views["sandbox"] = _View(scene.sandbox)
    found = [difference for item in items for difference in _differences(item, views)]
    rules = [item for item in items if isinstance(item, Masquerade | MacGuard)]
    return found + (scene.firewall.compare(rules) if rules else [])


class _View:
    """What one namespace holds, each table read once and only when asked for."""

    def __init__(self, stack: NetworkStack) -> None:
        self.stack = stack
        self._links: dict[str, LinkInfo | None] = {}
        self._routes: list[RouteInfo] | None = None

    def link(self, name: str) -> LinkInfo | None:
        if name not in self._links:
            self._links[name] = self.stack.link(name)
        return self._links[name]

    def routes(self) -> list[RouteInfo]:
        if self._routes is None:
            self._routes = self.stack.routes()
        return self._routes


def _differences(item: AnyItem, views: dict[Place, _View]) -> Iterator[Difference]:
    place: Place = "sandbox" if isinstance(item, Veth | Macvlan) else item.place
    if place not in views:
        yield Difference(f"{item.place} of {type(item).__name__.lower()}", "namespace", "present", "")
        return
    view = views[place]
    match item:
        case Bridge():
            yield from _bridge(item, view)
        case Veth():
            yield from _veth(item, view, views["host"])
        case Macvlan():
            yield from _macvlan(item, view, views)
        case LinkUp():
            link = view.link(item.name)
            if link is None or not link.up:
                words = "loopback interface is down" if item.name == "lo" else ""
                yield Difference(item.name, "state", "up", "down" if link else "", words)
        case Address():
            yield from _address(item, view)
        case NoAddress():
            pass  # a step on the way, nothing that lasts
        case Route():
            yield from _route(item, view)
        case Sysctl():
            value = view.stack.read_sysctl(item.key)
            if value != item.value and not (item.tolerant and value is None):
                yield Difference(f"{item.place} sysctl {item.key}", "value", item.value, value or "")


def _bridge(item: Bridge, view: _View) -> Iterator[Difference]:
    link = view.link(item.name)
    if link is None:
        yield Difference(f"bridge {item.name}", "link", "present", "")
        return
    if link.kind != "bridge":
        yield Difference(f"bridge {item.name}", "kind", "bridge", link.kind or "device")
    if not link.up:
        yield Difference(f"bridge {item.name}", "state", "up", "down")
    if item.mac and link.mac != item.mac:
        words = f"Bridge interface {item.name} Mac doesn't match: {link.mac} (expected {item.mac})"
        yield Difference(f"bridge {item.name}", "mac", item.mac, link.mac, words)
    if item.promisc and not link.promisc:
        words = (
            f"Bridge interface {item.name} configured Promisc Mode {item.promisc} "
            f"doesn't match current state: {link.promisc} "
        )
        yield Difference(f"bridge {item.name}", "promisc", "true", "false", words)


def _sandbox_link(item: Veth | Macvlan, link: LinkInfo | None, kind: str) -> Iterator[Difference]:
    """What all links in a sandbox have in common: presence, kind, MAC, MTU, state."""
    if link is None:
        yield Difference(item.name, "link", "present", "", f"Cannot find container link {item.name}")
        return
    if link.kind != kind:
        words = f"Error: Container interface {item.name} not of type {kind} (is {link.kind or 'device'})"
        yield Difference(item.name, "kind", kind, link.kind or "device", words)
        return
    if item.mac and link.mac != item.mac:
        words = f"Interface {item.name} Mac {item.mac} doesn't match container Mac: {link.mac}"
        yield Difference(item.name, "mac", item.mac, link.mac, words)
    if item.mtu and link.mtu != item.mtu:
        yield Difference(item.name, "mtu", str(item.mtu), str(link.mtu))
    if item.up and not link.up:
        yield Difference(item.name, "state", "up", "down")


def _veth(item: Veth, sandbox: _View, host: _View) -> Iterator[Difference]:
    end = sandbox.link(item.name)
    yield from _sandbox_link(item, end, "veth")
    peer = host.link(item.host_name)
    if peer is None or (end is not None and (peer.parent != end.index or end.parent != peer.index)):
        words = f"CNI veth created for bridge {item.master} was not found" if item.master else ""
        yield Difference(item.host_name, "link", f"other end of {item.name}", "", words)
        return
    if item.host_mac and peer.mac != item.host_mac:
        yield Difference(item.host_name, "mac", item.host_mac, peer.mac)
    if item.mtu and peer.mtu != item.mtu:
        yield Difference(item.host_name, "mtu", str(item.mtu), str(peer.mtu))
    if not peer.up:
        yield Difference(item.host_name, "state", "up", "down")
    if item.master:
        master = host.link(item.master)
        if master is None or peer.master != master.index:
            yield Difference(item.host_name, "master", item.master, "another" if peer.master else "")
    if peer.hairpin != item.hairpin:
        yield Difference(item.host_name, "hairpin", str(item.hairpin), str(peer.hairpin))
    if peer.isolated != item.isolated:
        yield Difference(item.host_name, "isolated", str(item.isolated), str(peer.isolated))


def _macvlan(item: Macvlan, sandbox: _View, views: dict[Place, _View]) -> Iterator[Difference]:
    link = sandbox.link(item.name)
    yield from _sandbox_link(item, link, "macvlan")
    parent = views[item.parent_place].link(item.parent) if item.parent else None
    if parent is None and item.parent:
        yield Difference(item.name, "master", item.parent, "")
    if link is None or link.kind != "macvlan":
        return
    if parent is not None and link.parent != parent.index:
        yield Difference(item.name, "master", item.parent, f"link {link.parent}")
    if link.mode != item.mode:
        words = f"container macvlan mode {link.mode} does not match expected value: {item.mode}"
        yield Difference(item.name, "mode", item.mode, link.mode, words)


def _address(item: Address, view: _View) -> Iterator[Difference]:
    link = view.link(item.link)
    present = {address.cidr: address for address in view.stack.addresses(link.index)} if link else {}
    if item.cidr in present and present[item.cidr].dad_failed:
        words = f"link {item.link} has address {item.cidr} in DADFAILED state"
        yield Difference(item.link, "address", item.cidr, "a duplicate of another host's", words)
    if item.cidr not in present:
        words = f"Failed to match addr {item.cidr} on interface {item.link}"
        yield Difference(item.link, "address", item.cidr, ", ".join(sorted(present)), words)


def _route(item: Route, view: _View) -> Iterator[Difference]:
    link = view.link(item.link)
    index = link.index if link else 0
    wanted = {(gateway, index) for gateway in item.gateways} or {("", index)}
    near = []
    for route in view.routes():
        if route.dst != item.dst or route.table != item.table:
            continue
        # The kernel gives IPv6 routes without a metric 1024, and merges routes by one gateway into a multipath.
        metric_fits = route.metric == item.metric or (not item.metric and ":" in item.dst)
        if metric_fits and wanted <= set(route.hops):
            yield from _metrics(item, route)
            return
        near.append(route)
    via = "".join(f" via {gateway}" for gateway in item.gateways)
    words = f"Expected Route {item.dst}{via} dev {item.link} not found in routing table"
    have = "; ".join(
        f"{r.dst} via {','.join(g or 'link' for g, _ in r.hops)} metric {r.metric}" for r in near
    )
    yield Difference(f"route {item.dst}", "route", f"{item.dst}{via} dev {item.link}", have, words)


def _metrics(item: Route, route: RouteInfo) -> Iterator[Difference]:
    if item.mtu and route.mtu != item.mtu:
        yield Difference(f"route {item.dst}", "mtu", str(item.mtu), str(route.mtu))
    if item.advmss and route.advmss != item.advmss:
        yield Difference(f"route {item.dst}", "advmss", str(item.advmss), str(route.advmss))
    if item.scope and ":" not in item.dst and route.scope != item.scope:
        yield Difference(f"route {item.dst}", "scope", str(item.scope), str(route.scope))

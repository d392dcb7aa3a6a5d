"""Addresses, routes and neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import RouteInfo
from multinet.cni.addresses import address_of, interface_of, prefix_of
from multinet.core.desired import Address, Difference, Neighbour, NoAddress, Route
from multinet.engine.kinds.base import Kind, Placed, Rank
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import EXISTS, GONE, Step, perform
from multinet.engine.undo import Undo
from multinet.engine.views import Views


class AddressKind(Kind[Address]):
    """Addresses."""

    def configure(self, item: Address, stage: Stage) -> Iterable[Placed]:
        """All but the host's shared ones."""
        if not _is_shared(item):
            yield self._placed(item, stage)

    def share(self, item: Address, stage: Stage) -> Iterable[Placed]:
        """A gateway's address on a bridge that others use too."""
        if _is_shared(item):
            yield self._placed(item, stage)

    def _placed(self, item: Address, stage: Stage) -> Placed:
        stack, index = stage.scene.stack(item.place), stage.indexes[item.place, item.link]
        words = f'failed to add IP addr {item.cidr} to "{item.link}"'
        if _is_shared(item):
            words = f'failed to set bridge addr: could not add IP address {item.cidr} to "{item.link}"'
        fine = EXISTS if item.whose == "shared" else ()
        back = partial(stack.send, [messages.delete_address(item, index)])
        step = Step(messages.address(item, index), words, fine, undo=back)
        return Placed(item.place, Rank.ADDRESS, step)

    def compare(self, item: Address, views: Views) -> Iterator[Difference]:
        """On the link, and no duplicate of another host's."""
        view = views[item.place]
        link = view.link(item.link)
        present = view.addresses(link) if link else {}
        if item.cidr in present and present[item.cidr].dad_failed:
            words = f"link {item.link} has address {item.cidr} in DADFAILED state"
            yield Difference(item.link, "address", item.cidr, "a duplicate of another host's", words)
        elif item.cidr in present and present[item.cidr].prefix_route and not item.prefix_route:
            network = str(interface_of(item.cidr).network)
            yield Difference(item.link, f"route to {network} by address {item.cidr}", "none", "present")
        elif item.cidr not in present:
            words = f"Failed to match addr {item.cidr} on interface {item.link}"
            yield Difference(item.link, "address", item.cidr, ", ".join(sorted(present)), words)

    def remove(self, item: Address, scene: Scene) -> None:
        """Own ones on the host; those in a sandbox go with their link."""
        if item.place == "host" and item.whose == "owned":
            link = scene.host.link(item.link)
            if link is not None:
                message = messages.delete_address(item, link.index)
                perform(
                    [Step(message, f"failed to remove address from {item.link}", GONE)], scene.host, Undo()
                )


class NoAddressKind(Kind[NoAddress]):
    """Addresses that make room: a step on the way, nothing that lasts."""

    def share(self, item: NoAddress, stage: Stage) -> Iterable[Placed]:
        """Away, before the one that it makes room for."""
        stack, index = stage.scene.stack(item.place), stage.indexes[item.place, item.link]
        words = f'failed to remove {item.cidr} from "{item.link}"'
        back = partial(stack.send, [messages.address(item, index)])
        step = Step(messages.delete_address(item, index), words, GONE, undo=back)
        yield Placed(item.place, Rank.SETTING, step)


class RouteKind(Kind[Route]):
    """Routes."""

    def configure(self, item: Route, stage: Stage) -> Iterable[Placed]:
        """Beside others to the same destination; one that is there already is fine."""
        index = stage.indexes[item.place, item.link]
        back = _put_back(item, stage) if item.replaces else None
        if item.whose == "borrowed":
            if is_there(item, index, stage.scene.facts.routes(item.place)):
                return
            back = partial(stage.scene.stack(item.place).send, [messages.delete_route(item, index)])
        step = Step(messages.route(item, index), f"failed to add route '{_text(item)}'", EXISTS, undo=back)
        yield Placed(item.place, Rank.ROUTE, step)

    def compare(self, item: Route, views: Views) -> Iterator[Difference]:
        """Destination, gateways, table, metric, scope, source."""
        view = views[item.place]
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

    def remove(self, item: Route, scene: Scene) -> None:
        """Own ones on the host, borrowed ones anywhere; others in a sandbox go with their link."""
        if item.whose != ("owned" if item.place == "host" else "borrowed"):
            return
        if item.place == "sandbox" and scene.sandbox is None:
            return
        stack = scene.stack(item.place)
        link = stack.link(item.link)
        if link is not None:
            message = messages.delete_route(item, link.index)
            perform([Step(message, f"failed to remove route from {item.link}", GONE)], stack, Undo())


class NeighbourKind(Kind[Neighbour]):
    """Permanent neighbour entries; they go with their link."""

    def configure(self, item: Neighbour, stage: Stage) -> Iterable[Placed]:
        """In place of what the kernel has learnt."""
        index = stage.indexes[item.place, item.link]
        words = f'failed to add neighbour {item.address} ({item.mac}) on "{item.link}"'
        yield Placed(item.place, Rank.NEIGHBOUR, Step(messages.neighbour(item, index), words))

    def compare(self, item: Neighbour, views: Views) -> Iterator[Difference]:
        """Permanent, with that MAC."""
        view = views[item.place]
        link = view.link(item.link)
        if link is None:
            yield Difference(item.link, "link", "present", "")
            return
        present = view.once(("neighbours", link.index), lambda: view.stack.neighbours(link.index))
        wanted = str(address_of(item.address))
        have = [f"{n.mac} {'permanent' if n.permanent else 'learnt'}" for n in present if n.address == wanted]
        if have != [f"{item.mac} permanent"]:
            yield Difference(item.link, f"neighbour {item.address}", f"{item.mac} permanent", ", ".join(have))


def is_there(item: Route, index: int, routes: Iterable[RouteInfo]) -> bool:
    """Whether the route is among ``routes`` in all that it says; ``index`` is its link's."""
    hops = {(gateway, index) for gateway in item.gateways} or {("", index)}
    return any(
        (route.dst, route.table, set(route.hops)) == (item.dst, item.table, hops)
        and (route.metric == item.metric or (not item.metric and ":" in item.dst))
        and (route.scope == item.scope or ":" in item.dst)
        and item.source in ("", route.source)
        for route in routes
    )


def _put_back(item: Route, stage: Stage) -> Callable[[], object] | None:
    """What takes back the replacement of a route to the same destination: the kernel forgets it."""
    stack = stage.scene.stack(item.place)
    former = stack.route_to(prefix_of(item.dst).network_address)
    if former is None or (former.dst, former.table, former.metric) != (
        item.dst,
        item.table,
        item.metric or former.metric,
    ):
        return None
    route = Route(
        place=item.place,
        link="",
        dst=former.dst,
        gateways=tuple(gateway for gateway, _ in former.hops if gateway),
        metric=former.metric,
        table=former.table,
        scope=former.scope,
        mtu=former.mtu,
        advmss=former.advmss,
        onlink=any(gateway for gateway, _ in former.hops),
        source=former.source,
    )
    return partial(stack.send, [messages.replace_route(route, former.hops[0][1])])


def _is_shared(item: Address) -> bool:
    return item.place == "host" and item.whose == "shared"


def _text(route: Route) -> str:
    via = "".join(f" via {gateway}" for gateway in route.gateways)
    return f"{route.dst}{via} dev {route.link} metric {route.metric} (Scope: {route.scope}, Table: {route.table})"


def _metrics(item: Route, route: RouteInfo) -> Iterator[Difference]:
    if item.mtu and route.mtu != item.mtu:
        yield Difference(f"route {item.dst}", "mtu", str(item.mtu), str(route.mtu))
    if item.advmss and route.advmss != item.advmss:
        yield Difference(f"route {item.dst}", "advmss", str(item.advmss), str(route.advmss))
    if item.source and route.source != item.source:
        yield Difference(f"route {item.dst}", "source", item.source, route.source)
    if item.scope and ":" not in item.dst and route.scope != item.scope:
        yield Difference(f"route {item.dst}", "scope", str(item.scope), str(route.scope))

"""Addresses and routes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import RouteInfo
from multinet.core.desired import Address, Difference, NoAddress, Route
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
        if item.cidr not in present:
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
        step = Step(messages.route(item, index), f"failed to add route '{_text(item)}'", EXISTS)
        yield Placed(item.place, Rank.ROUTE, step)

    def compare(self, item: Route, views: Views) -> Iterator[Difference]:
        """Destination, gateways, table, metric, scope."""
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
        """Own ones on the host; those in a sandbox go with their link."""
        if item.place == "host" and item.whose == "owned":
            link = scene.host.link(item.link)
            if link is not None:
                message = messages.delete_route(item, link.index)
                perform([Step(message, f"failed to remove route from {item.link}", GONE)], scene.host, Undo())


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
    if item.scope and ":" not in item.dst and route.scope != item.scope:
        yield Difference(f"route {item.dst}", "scope", str(item.scope), str(route.scope))

"""A changed lease on a pod's interface: the old address and its routes go, the new ones come.

Routes that others made by the old gateway (a main plugin's default route, say) go by the new one.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from msgspec.structs import replace

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import RouteInfo
from multinet.adapters.netns import Netns
from multinet.cni.addresses import address_of, interface_of
from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Result
from multinet.core.desired import SCOPE_LINK, Address, Route
from multinet.dhcp.place import Place
from multinet.dhcp.record import Remains
from multinet.sdk.addressing import routes_of

__all__ = ["PodInterfaces"]

_GONE = (errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL)


class PodInterfaces:
    """Implements ``multinet.dhcp.holding.Interfaces``."""

    def withdraw(self, netns: Netns, place: Place, old: Result) -> Remains:
        """Take the lease's address and routes away; gone already is fine. Raises CNIError."""
        own = routes_of(place.ifname, old)
        gateway = old.ips[0].gateway
        cidr = old.ips[0].address
        with NetworkStack(netns) as stack:
            others = _others(stack.routes(), place, own, cidr)
            batch = [messages.delete_route(route, place.index) for route in own]
            batch.append(messages.delete_address(Address(link=place.ifname, cidr=cidr), place.index))
            _perform(stack, batch, _GONE, f"failed to remove {cidr}")
        return Remains(gateway, others)

    def configure(self, netns: Netns, place: Place, new: Result, remains: Remains) -> None:
        """Set the lease's address and routes. Raises CNIError."""
        cidr = new.ips[0].address
        routes = routes_of(place.ifname, new)
        keys = {_key(route) for route in routes}
        moved = [_moved(route, remains.gateway, new) for route in remains.routes]
        routes += [route for route in moved if _key(route) not in keys]
        batch = [messages.address(Address(link=place.ifname, cidr=cidr), place.index)]
        batch += [messages.replace_route(route, place.index) for route in routes]
        with NetworkStack(netns) as stack:
            _perform(stack, batch, (errno.EEXIST,), f"failed to set {cidr} and its routes")


def _others(found: Sequence[RouteInfo], place: Place, own: Sequence[Route], cidr: str) -> tuple[Route, ...]:
    """IPv4 routes by the interface that are neither the lease's nor the kernel's for its address."""
    keys = {_key(route) for route in own}
    prefix = str(interface_of(cidr).network)
    routes = []
    for info in found:
        if ":" in info.dst or any(index != place.index for _, index in info.hops):
            continue
        gateways = tuple(gateway for gateway, _ in info.hops if gateway)
        route = Route(
            link=place.ifname,
            dst=info.dst,
            gateways=gateways,
            metric=info.metric,
            table=info.table,
            scope=info.scope,
            mtu=info.mtu,
            advmss=info.advmss,
        )
        kernels = info.dst == prefix and not gateways and info.scope == SCOPE_LINK
        if not kernels and _key(route) not in keys:
            routes.append(route)
    return tuple(sorted(routes, key=lambda route: bool(route.gateways)))


def _key(route: Route) -> tuple[str, int, int]:
    return route.dst, route.metric, route.table


def _moved(route: Route, before: str, new: Result) -> Route:
    """The route by the new gateway, if it went by the old one."""
    now = new.ips[0].gateway
    gateways = tuple(now if gateway == before and now else gateway for gateway in route.gateways)
    network = interface_of(new.ips[0].address).network
    far = any(address_of(gateway) not in network for gateway in gateways)
    return replace(route, gateways=gateways, onlink=far)


def _perform(stack: NetworkStack, batch: list[bytes], fine: Sequence[int], words: str) -> None:
    """Send all; raises CNIError for the first that failed otherwise than is ``fine``."""
    for error in stack.send(batch):
        if error is not None and error.errno not in fine:
            raise CNIError(Code.KERNEL, f"{words}: {error}")

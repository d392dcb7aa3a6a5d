"""vrf: the pod's interface joins a virtual routing domain, which is made if need be."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.cni.names import validate_ifname
from multinet.cni.result import Result
from multinet.core.desired import MADE_BY_KERNEL, MAIN_TABLE, AnyItem, Member, Vrf
from multinet.sdk import DelegateConf, Desired, Facts, LinkInfo, RouteInfo, Sandbox, chained_delegate
from multinet.sdk.tables import (
    first_free,
    in_table,
    of_link,
    out_of_main,
    reported_routes,
    tables_in_use,
    with_tables,
)

_FIRST_TABLE = 1


class VrfConf(DelegateConf, frozen=True, kw_only=True):
    """Options of vrf."""

    vrf_name: str = msgspec.field(name="vrfname", default="")
    """Name of the VRF in the pod; required."""
    table: int = 0
    """Routing table of the VRF; 0: that of a VRF that is there, or the smallest one that nobody uses."""


@chained_delegate(VrfConf, missing="missing prevResult from earlier plugin")
def vrf(conf: VrfConf, pod: Sandbox, host: Facts) -> Desired:
    """The VRF, the interface as its member, and the interface's routes in the VRF's table."""
    _validate(conf)
    previous = pod.previous or Result()
    there = host.link(conf.vrf_name, "sandbox")
    link = host.link(pod.ifname, "sandbox")
    if pod.made is None:
        _require_fit(conf, pod, there, link, host)
    table = there.table if there and there.kind == "vrf" and not (pod.made and conf.table) else conf.table
    table = table or first_free(tables_in_use(host), _FIRST_TABLE)
    domain = Vrf(name=conf.vrf_name, table=table, whose="shared")
    member = Member(link=pod.ifname, master=domain.name, whose="borrowed")
    if link is None:
        return Desired((domain, member), previous)
    if pod.made is not None:
        routes = reported_routes(previous, link.index, (table,))
        return Desired((domain, member, *(in_table(pod.ifname, route, table) for route in routes)))
    routes = _moving(link, there, host)
    made = [in_table(pod.ifname, route, table) for route in sorted(routes, key=_by_gateway)]
    items: tuple[AnyItem, ...] = (domain, *out_of_main(pod.ifname, routes), member, *made)
    return Desired(items, with_tables(previous, made))


@vrf.leftovers
def _leftovers(conf: VrfConf | None, pod: Sandbox, host: Facts) -> Iterable[AnyItem]:
    """The interface's membership, and the VRF, as far as it was made for the container. Routes that an ADD hadn't put
    into the VRF yet when it died are known by the previous result only.
    """
    if conf is None or not conf.vrf_name or not host.has_sandbox:
        return []
    there = host.link(conf.vrf_name, "sandbox")
    if there is None or there.kind != "vrf":
        return []
    domain = Vrf(name=there.name, table=there.table, whose="shared")
    link = host.link(pod.ifname, "sandbox")
    if link is None or link.master != there.index:
        return [domain]
    routes = _moving(link, there, host)
    made = [in_table(pod.ifname, route, there.table) for route in sorted(routes, key=_by_gateway)]
    member = Member(link=pod.ifname, master=there.name, whose="borrowed")
    moved = {(route.dst, route.hops) for route in routes}
    reported = reported_routes(pod.previous or Result(), link.index, (there.table,))
    routes += [route for route in reported if (route.dst, route.hops) not in moved]
    return [domain, *out_of_main(pod.ifname, routes), member, *made]


@vrf.ready
def _ready(conf: VrfConf, host: Facts) -> None:
    _validate(conf)


def _validate(conf: VrfConf) -> None:
    if not conf.vrf_name:
        raise InvalidConfig("$.vrfname", "configuration is expected to have a valid vrf name")
    try:
        validate_ifname(conf.vrf_name)
    except CNIError as error:
        raise InvalidConfig(
            "$.vrfname",
            f'configuration is expected to have a valid vrf name: "{conf.vrf_name}": {error.msg}',
        ) from None
    if not 0 <= conf.table < 1 << 32:
        raise InvalidConfig("$.table", f"{conf.table} is outside 0..4294967295")


def _require_fit(
    conf: VrfConf, pod: Sandbox, there: LinkInfo | None, link: LinkInfo | None, host: Facts
) -> None:
    """ADD: what is there can be used. Raises CNIError."""
    if there is not None and there.kind != "vrf":
        raise InvalidConfig("$.vrfname", f"Netlink {there.name} is not a VRF")
    if there is not None and conf.table not in (0, there.table):
        raise InvalidConfig(
            "$.table", f"VRF {there.name} already exist with different routing table {there.table}"
        )
    if link is None:
        raise CNIError(Code.KERNEL, f"could not get link by name {pod.ifname}")
    if link.master and not (there and there.index == link.master):
        master = host.link_at(link.master, "sandbox")
        name = master.name if master else link.master
        raise CNIError(Code.KERNEL, f"interface {pod.ifname} has already a master set: {name}")


def _moving(link: LinkInfo, there: LinkInfo | None, host: Facts) -> list[RouteInfo]:
    """The interface's routes that don't follow it by themselves: all but those that come with its addresses. Of a
    member they stand in the VRF's table by now.
    """
    is_member = there is not None and link.master == there.index
    table = there.table if there is not None and is_member else MAIN_TABLE
    routes = of_link(host.routes("sandbox"), link.index, (table,))
    return [route for route in routes if route.protocol != MADE_BY_KERNEL]


def _by_gateway(route: RouteInfo) -> bool:
    return any(gateway for gateway, _ in route.hops)

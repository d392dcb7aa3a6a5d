"""sbr: what a pod sends from an address of an interface leaves by that interface (source-based routing)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from multinet.cni.addresses import interface_of, prefix_of
from multinet.cni.errors import CNIError, Code
from multinet.cni.result import IPConfig, Result
from multinet.core.desired import MADE_BY_MULTINET, MAIN_TABLE, AnyItem, Route, Rule
from multinet.delegates.sbr_conf import SbrConf, configured_gateways
from multinet.delegates.sbr_routes import Source, leaving, source_hints, table_routes
from multinet.npwg.default_routes import Family, default_routes
from multinet.sdk import Desired, Facts, LinkInfo, Sandbox, chained_delegate
from multinet.sdk.tables import (
    KERNELS_TABLES,
    first_free,
    in_table,
    of_link,
    reported_routes,
    tables_in_use,
    with_tables,
)

_FIRST_TABLE = 100


@chained_delegate(SbrConf, missing="This plugin must be called as chained plugin")
def sbr(conf: SbrConf, pod: Sandbox, host: Facts) -> Desired:
    """For each address a table with the interface's routes, and a rule that leads there; the routes leave main."""
    gateways = configured_gateways(conf)
    previous = pod.previous or Result()
    own = _addresses(previous, pod.ifname)
    if not own:
        raise CNIError(Code.INVALID_CONFIG, f"No IP addresses supplied on interface: {pod.ifname}")
    if conf.table is not None:
        sources = [Source(ip.address, conf.table) for ip in own]
        return Desired(tuple(_rules(sources)))
    link = host.link(pod.ifname, "sandbox")
    if link is None:
        raise CNIError(Code.KERNEL, f'failed to get "{pod.ifname}": Link not found in the sandbox')
    sources = _sources(own, previous, gateways, host)
    tables = [source.table for source in sources]
    routes = of_link(host.routes("sandbox"), link.index, (MAIN_TABLE, *tables))
    items: list[AnyItem] = [*_rules(sources)]
    if pod.made:
        reported = reported_routes(previous, link.index, tables)
        routes += [r for r in reported if any(s.covers(g) for s in sources for g, _ in r.hops)]
    else:
        items += leaving(pod.ifname, routes, conf.add_source_hints)
    if conf.add_source_hints:
        items += source_hints(pod.ifname, sources, routes)
    made = [one for source in sources for one in table_routes(pod.ifname, source, sources, routes)]
    return Desired((*items, *dict.fromkeys(made)), with_tables(previous, made))


@sbr.leftovers
def _leftovers(conf: SbrConf | None, pod: Sandbox, host: Facts) -> Iterable[AnyItem]:
    """Rules for the interface's addresses, or of ours for addresses that are gone; the routes of their tables go back
    to where they were.
    """
    if not host.has_sandbox:
        return []
    link = host.link(pod.ifname, "sandbox")
    own = {ip.address for ip in _addresses(pod.previous or Result(), pod.ifname)}
    own.update(host.addresses(link, "sandbox") if link else ())
    sources = {Source(cidr, 0).rule_source for cidr in own}
    others = {
        Source(cidr, 0).rule_source
        for one in host.links("sandbox").values()
        for cidr in host.addresses(one, "sandbox")
    }
    asked = conf.table if conf else None
    rules = [
        Rule(source=rule.source, table=rule.table)
        for rule in host.rules("sandbox")
        if (rule.source in sources or (rule.protocol == MADE_BY_MULTINET and rule.source not in others))
        and rule.table not in KERNELS_TABLES
        and asked in (None, rule.table)
    ]
    back = (
        _returning(pod.ifname, link, {rule.table for rule in rules}, host) if link and asked is None else []
    )
    return [*rules, *back]


@sbr.ready
def _ready(conf: SbrConf, host: Facts) -> None:
    configured_gateways(conf)


def _addresses(previous: Result, ifname: str) -> list[IPConfig]:
    """The interface's own, and those that don't say whose they are."""
    return [
        ip for ip in previous.ips if ip.interface is None or previous.interfaces[ip.interface].name == ifname
    ]


def _sources(
    own: Sequence[IPConfig], previous: Result, configured: dict[Family, str], host: Facts
) -> list[Source]:
    """Each address with its table, which is the one of its rule if it has one, and its gateway."""
    ruled = {r.source: r.table for r in host.rules("sandbox") if r.table not in KERNELS_TABLES}
    used = tables_in_use(host)
    fallback = {
        prefix_of(route.dst).version: route.gw for route in reversed(default_routes(previous)) if route.gw
    }
    sources = []
    for ip in own:
        family = interface_of(ip.address).version
        table = ruled.get(Source(ip.address, 0).rule_source) or first_free(used, _FIRST_TABLE)
        used.add(table)
        gateway = configured.get(family) or ip.gateway or fallback.get(family, "")
        sources.append(Source(ip.address, table, gateway, family in configured))
    return sources


def _rules(sources: Iterable[Source]) -> list[Rule]:
    return [Rule(source=source.rule_source, table=source.table) for source in sources]


def _returning(ifname: str, link: LinkInfo, tables: set[int], host: Facts) -> list[AnyItem]:
    """The link's routes in tables of ours, to be taken out, and to be put back into main unless we made them."""
    everywhere = host.routes("sandbox")
    there = [r for r in everywhere if r.table in tables and all(at == link.index for _, at in r.hops)]
    hints = [
        Route(link=ifname, whose="borrowed", dst=r.dst, metric=r.metric, scope=r.scope, protocol=r.protocol)
        for r in everywhere
        if (r.table, r.protocol) == (MAIN_TABLE, MADE_BY_MULTINET) and r.hops == (("", link.index),)
    ]
    out = [in_table(ifname, route, route.table) for route in there]
    return [*leaving(ifname, of_link(there, link.index, tables), keeps_subnets=False), *out, *hints]

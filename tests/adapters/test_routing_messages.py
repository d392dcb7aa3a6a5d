"""Addresses, routes, rules and neighbours sent to the kernel, and read back by ``ip`` and by our own readers."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import NeighbourInfo, RouteInfo, RuleInfo
from multinet.core.desired import MADE_BY_MULTINET, Address, Neighbour, NoAddress, NoRoute, Route, Rule
from tests.adapters.reading import do, ip

MAC = "02:00:00:00:00:07"


@pytest.fixture
def stack(lab: Any) -> Iterator[NetworkStack]:
    """A host with the link ``p``, up, whose other end ``q`` is up too."""
    do(lab, "ip link add p index 7 up type veth peer name q")
    do(lab, "ip link set q up")
    lab.allowed |= {"p", "q"}
    with NetworkStack(lab.host) as opened:
        yield opened


def done(stack: NetworkStack, *batch: bytes) -> None:
    assert stack.send(batch) == [None] * len(batch)


@pytest.mark.parametrize("cidr", ["10.1.2.3/24", "10.1.2.3/31", "10.1.2.3/32", "2001:db8::3/64"])
@pytest.mark.parametrize("detect", [True, False])
@pytest.mark.parametrize("prefix_route", [True, False])
def test_an_address(lab: Any, stack: NetworkStack, cidr: str, detect: bool, prefix_route: bool) -> None:
    item = Address(link="p", cidr=cidr, detect=detect, prefix_route=prefix_route)
    done(stack, messages.address(item, 7))
    local, _, prefix = cidr.partition("/")
    (shown,) = [a for a in ip(lab, "addr", "show", "dev", "p")[0]["addr_info"] if a["local"] == local]
    v6 = ":" in cidr
    assert shown["prefixlen"] == int(prefix)
    assert shown.get("nodad", False) == (v6 and not detect)
    assert shown.get("noprefixroute", False) == (not prefix_route)
    assert shown.get("broadcast") == ("10.1.2.255" if prefix == "24" else None)
    (found,) = [a for a in stack.addresses(7) if a.cidr == cidr]
    assert (found.nodad, found.prefix_route) == (v6 and not detect, prefix_route)
    connected = [route for route in stack.routes() if route.hops == (("", 7),) and route.protocol == 2]
    subnets = {"24": "10.1.2.0/24", "31": "10.1.2.2/31", "64": "2001:db8::/64"}
    assert (subnets.get(prefix) in {route.dst for route in connected}) == (prefix_route and prefix != "32")
    if not detect:
        assert not found.tentative
    done(stack, messages.delete_address(item, 7))
    assert cidr not in {a.cidr for a in stack.addresses(7)}


def test_an_address_that_had_to_go_comes_back(lab: Any, stack: NetworkStack) -> None:
    do(lab, "ip addr add 10.1.2.3/24 brd + dev p")
    before = ip(lab, "addr", "show", "dev", "p")
    item = NoAddress(link="p", cidr="10.1.2.3/24")
    done(stack, messages.delete_address(item, 7), messages.address(item, 7))
    assert ip(lab, "addr", "show", "dev", "p") == before


def main_routes(stack: NetworkStack, dst: str) -> list[RouteInfo]:
    return [route for route in stack.routes() if route.dst == dst]


@pytest.mark.parametrize(
    ("cidr", "dst", "gateway"),
    [("10.1.2.3/24", "10.9.0.0/16", "10.1.2.1"), ("2001:db8::3/64", "2001:db8:9::/48", "2001:db8::1")],
)
def test_a_route_with_a_source(lab: Any, stack: NetworkStack, cidr: str, dst: str, gateway: str) -> None:
    source = cidr.partition("/")[0]
    done(stack, messages.address(Address(link="p", cidr=cidr, detect=False), 7))
    item = Route(link="p", dst=dst, gateways=(gateway,), source=source, metric=77)
    done(stack, messages.route(item, 7))
    family = "-6" if ":" in dst else "-4"
    (shown,) = ip(lab, family, "route", "show", dst)
    assert (shown["gateway"], shown["prefsrc"], shown["metric"]) == (gateway, source, 77)
    (found,) = main_routes(stack, dst)
    assert (found.source, found.hops, found.protocol) == (source, ((gateway, 7),), 3)
    done(stack, messages.delete_route(item, 7))
    assert main_routes(stack, dst) == []


@pytest.mark.parametrize(
    ("cidr", "dst", "old", "new"),
    [
        ("10.1.2.3/24", "10.9.0.0/16", "10.1.2.1", "10.1.2.2"),
        ("2001:db8::3/64", "2001:db8:9::/48", "2001:db8::1", "2001:db8::2"),
    ],
)
def test_a_route_that_replaces_another(
    lab: Any, stack: NetworkStack, cidr: str, dst: str, old: str, new: str
) -> None:
    done(stack, messages.address(Address(link="p", cidr=cidr, detect=False), 7))
    do(lab, f"ip route add {dst} via {old} dev p metric 50 proto static")
    done(stack, messages.route(Route(link="p", dst=dst, gateways=(new,), metric=50, replaces=True), 7))
    assert [(route.hops, route.protocol) for route in main_routes(stack, dst)] == [(((new, 7),), 3)]
    done(stack, messages.route(Route(link="p", dst=dst, gateways=(old,), metric=60, replaces=True), 7))
    assert len(main_routes(stack, dst)) == 2, "another metric is another route"


@pytest.mark.parametrize("cidr", ["10.1.2.3/24", "2001:db8::3/64"])
def test_the_kernels_own_route_must_go(stack: NetworkStack, cidr: str) -> None:
    """ptp and sbr take the connected route away: it is the kernel's, not a program's."""
    done(stack, messages.address(Address(link="p", cidr=cidr, detect=False), 7))
    v4 = "." in cidr
    dst = "10.1.2.0/24" if v4 else "2001:db8::/64"
    (before,) = main_routes(stack, dst)
    assert before.protocol == 2
    item = NoRoute(link="p", dst=dst, scope=before.scope, metric=before.metric)
    done(stack, messages.delete_route(item, 7))
    assert main_routes(stack, dst) == []
    done(stack, messages.route(item, 7))
    (after,) = main_routes(stack, dst)
    assert (after.hops, after.scope, after.metric, after.table) == (
        before.hops,
        before.scope,
        before.metric,
        before.table,
    )


def test_a_route_with_gateway_and_table_must_go(lab: Any, stack: NetworkStack) -> None:
    do(lab, "ip addr add 10.1.2.3/24 dev p")
    do(lab, "ip route add 10.9.0.0/16 via 10.1.2.1 metric 5 table 1000 proto dhcp")
    (before,) = main_routes(stack, "10.9.0.0/16")
    wrong = NoRoute(link="p", dst="10.9.0.0/16", gateways=("10.1.2.2",), metric=5, table=1000)
    (error,) = stack.send([messages.delete_route(wrong, 7)])
    assert error is not None and error.errno == errno.ESRCH
    item = NoRoute(link="p", dst="10.9.0.0/16", gateways=("10.1.2.1",), metric=5, table=1000)
    done(stack, messages.delete_route(item, 7))
    assert main_routes(stack, "10.9.0.0/16") == []
    done(stack, messages.route(item, 7))
    (after,) = main_routes(stack, "10.9.0.0/16")
    assert (after.hops, after.metric, after.table) == (before.hops, before.metric, before.table)
    done(stack, messages.delete_route(item, 7))


def test_what_must_go_comes_back_as_it_was(lab: Any, stack: NetworkStack) -> None:
    do(lab, "ip addr add 10.1.2.3/24 dev p")
    do(lab, "ip route add 10.9.0.0/16 via 10.5.0.1 dev p onlink src 10.1.2.3 mtu 1400 advmss 1300 proto dhcp")
    (before,) = main_routes(stack, "10.9.0.0/16")
    item = NoRoute(
        link="p",
        dst="10.9.0.0/16",
        gateways=("10.5.0.1",),
        mtu=1400,
        advmss=1300,
        onlink=before.onlink,
        source="10.1.2.3",
        protocol=before.protocol,
    )
    assert before.onlink
    done(stack, messages.delete_route(item, 7))
    done(stack, messages.route(item, 7))
    assert main_routes(stack, "10.9.0.0/16") == [before]


@pytest.mark.parametrize(
    "item",
    [
        Rule(source="10.1.2.3/32", table=100),
        Rule(source="10.1.0.0/16", table=70000, priority=55),
        Rule(source="2001:db8::3/128", table=255),
        Rule(source="2001:db8::/48", table=2**32 - 1, priority=2**31),
    ],
)
def test_a_rule(lab: Any, stack: NetworkStack, item: Rule) -> None:
    before = stack.rules()
    done(stack, messages.rule(item))
    (found,) = [rule for rule in stack.rules() if rule not in before]
    family = 6 if ":" in item.source else 4
    assert found == RuleInfo(item.source, item.table, item.priority or 32765, family, MADE_BY_MULTINET)
    source, _, prefix = item.source.partition("/")
    (shown,) = [rule for rule in ip(lab, f"-{family}", "rule") if rule["src"] == source]
    assert shown.get("srclen", 128 if family == 6 else 32) == int(prefix)
    assert shown["priority"] == found.priority and shown["protocol"] == str(MADE_BY_MULTINET)
    assert shown["table"] == {255: "local"}.get(item.table, str(item.table))
    done(stack, messages.delete_rule(item))
    assert stack.rules() == before
    (error,) = stack.send([messages.delete_rule(item)])
    assert error is not None and error.errno == errno.ENOENT


def test_rules_twice(stack: NetworkStack) -> None:
    """With a priority the second is refused; without one the kernel makes it, ahead of all others."""
    fixed = messages.rule(Rule(source="10.1.2.3/32", table=100, priority=7))
    first, second = stack.send([fixed, fixed])
    assert first is None and second is not None and second.errno == errno.EEXIST
    done(stack, messages.rule(Rule(source="10.1.2.3/32", table=100)))
    done(stack, messages.rule(Rule(source="10.1.2.3/32", table=100)))
    assert [rule.priority for rule in stack.rules() if rule.source] == [5, 6, 7]


def test_rules_are_as_ip_shows_them(lab: Any, stack: NetworkStack) -> None:
    do(lab, "ip rule add from 10.1.2.3 table 100 proto static")
    do(lab, "ip rule add to 10.1.2.3 table 101 pref 9")
    do(lab, "ip rule add from 10.1.2.4 blackhole")
    do(lab, "ip -6 rule add from 2001:db8::1 table 5000 pref 3")
    names = {"local": 255, "main": 254, "default": 253}
    for family in (4, 6):
        shown = [rule for rule in ip(lab, f"-{family}", "rule") if "table" in rule]
        expected = [
            RuleInfo(
                "" if rule["src"] == "all" else f"{rule['src']}/{128 if family == 6 else 32}",
                names.get(rule["table"]) or int(rule["table"]),
                rule["priority"],
                family,
                {"unspec": 0, "kernel": 2, "boot": 3, "static": 4}[rule["protocol"]],
            )
            for rule in shown
        ]
        assert [rule for rule in stack.rules() if rule.family == family] == expected
    done(stack, messages.delete_rule(Rule(source="10.1.2.3/32", table=100)))
    assert "10.1.2.3/32" not in [rule.source for rule in stack.rules()], "whoever made it"


@pytest.mark.parametrize("address", ["10.1.2.1", "fe80::1"])
def test_a_neighbour(lab: Any, stack: NetworkStack, address: str) -> None:
    item = Neighbour(link="p", address=address, mac=MAC)
    done(stack, messages.neighbour(item, 7))
    (shown,) = [entry for entry in ip(lab, "neigh", "show", "dev", "p") if entry["dst"] == address]
    assert (shown["lladdr"], shown["state"]) == (MAC, ["PERMANENT"])
    assert NeighbourInfo(7, address, MAC, True) in stack.neighbours(7)
    other = Neighbour(link="p", address=address, mac="02:00:00:00:00:08")
    done(stack, messages.neighbour(other, 7))
    assert [n.mac for n in stack.neighbours(7) if n.address == address] == [other.mac], "in place of it"
    done(stack, messages.delete_neighbour(item, 7))
    assert address not in {n.address for n in stack.neighbours(7)}


def test_a_learnt_neighbour_is_told_from_a_permanent_one(lab: Any, stack: NetworkStack) -> None:
    do(lab, f"ip neigh add 10.1.2.1 lladdr {MAC} dev p nud stale")
    do(lab, f"ip neigh add 10.1.2.2 lladdr {MAC} dev p")
    do(lab, f"ip neigh add 10.1.2.3 lladdr {MAC} dev q")
    v4 = {n for n in stack.neighbours(7) if "." in n.address}
    assert v4 == {NeighbourInfo(7, "10.1.2.1", MAC, False), NeighbourInfo(7, "10.1.2.2", MAC, True)}
    assert stack.neighbours(12345) == []

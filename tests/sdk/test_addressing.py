"""From an IPAM result to addresses and routes: the pure rules, by table and by property."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.result import IPConfig, Result
from multinet.cni.result import Route as ResultRoute
from multinet.core.desired import Address, Route, Sysctl, select
from multinet.sdk.addressing import addressed, routes_of, with_default_routes, with_gateways


def result(*addresses: str, routes: tuple[ResultRoute, ...] = ()) -> Result:
    """Each address as ``cidr`` or ``cidr gateway``."""
    ips = []
    for text in addresses:
        cidr, _, gateway = text.partition(" ")
        ips.append(IPConfig(cidr, gateway))
    return Result(ips=tuple(ips), routes=routes)


@pytest.mark.parametrize(
    ("address", "gateway"),
    [
        ("10.1.2.9/24", "10.1.2.1"),
        ("10.1.2.9/24 10.1.2.254", "10.1.2.254"),
        ("10.1.2.200/25", "10.1.2.129"),
        ("2001:db8::9/64", "2001:db8::1"),
        ("10.1.2.9/32", "10.1.2.10"),
    ],
)
def test_the_first_address_of_the_subnet_is_the_gateway(address: str, gateway: str) -> None:
    assert with_gateways(result(address)).ips[0].gateway == gateway


def test_default_routes_by_the_first_gateway_of_each_family() -> None:
    given_ = result("10.1.2.9/24 10.1.2.1", "10.9.0.9/16 10.9.0.1", "2001:db8::9/64 2001:db8::1")
    assert with_default_routes(given_).routes == (
        ResultRoute("0.0.0.0/0", "10.1.2.1"),
        ResultRoute("::/0", "2001:db8::1"),
    )


@pytest.mark.parametrize("present", [ResultRoute("0.0.0.0/0"), ResultRoute("0.0.0.0/0", "10.1.2.7")])
def test_a_default_route_with_or_without_gateway_counts_as_present(present: ResultRoute) -> None:
    given_ = result("10.1.2.9/24 10.1.2.1", routes=(present,))
    assert with_default_routes(given_).routes == (present,)


def test_no_gateway_no_default_route() -> None:
    assert with_default_routes(result("10.1.2.9/24")).routes == ()


def test_without_addresses_there_is_nothing() -> None:
    assert addressed("eth0", None) == ()


def test_ipv6_is_switched_on_before_its_addresses() -> None:
    items = addressed("eth0", result("10.1.2.9/24", "2001:db8::9/64"))
    keys = [(s.key, s.value, s.tolerant) for s in select(items, Sysctl)]
    assert keys == [
        ("net/ipv6/conf/lo/disable_ipv6", "0", True),
        ("net/ipv6/conf/eth0/disable_ipv6", "0", False),
        ("net/ipv6/conf/eth0/keep_addr_on_down", "1", False),
    ]
    assert [a.cidr for a in select(items, Address)] == ["10.1.2.9/24", "2001:db8::9/64"]
    assert select(addressed("eth0", result("10.1.2.9/24")), Sysctl) == []


def routes(*entries: Any, addresses: tuple[str, ...] = ("10.1.2.9/24 10.1.2.1",)) -> list[Route]:
    return routes_of("eth0", result(*addresses, routes=tuple(ResultRoute(**entry) for entry in entries)))


@pytest.mark.parametrize("scope", [253, 254, 255])
def test_a_scope_from_link_down_inherits_no_gateway(scope: int) -> None:
    (route,) = routes({"dst": "10.5.0.0/16", "scope": scope})
    assert (route.gateways, route.scope, route.onlink) == ((), scope, False)


def test_a_scope_wider_than_link_does() -> None:
    (route,) = routes({"dst": "10.5.0.0/16", "scope": 200})
    assert route.gateways == ("10.1.2.1",)


@pytest.mark.parametrize(
    ("gateway", "onlink"),
    [("10.1.2.77", False), ("10.9.9.9", True), ("169.254.1.1", True)],
)
def test_a_gateway_that_nothing_covers_is_on_the_link(gateway: str, onlink: bool) -> None:
    (route,) = routes({"dst": "0.0.0.0/0", "gw": gateway})
    assert route.onlink is onlink


def test_an_ipv6_link_local_gateway_is_covered() -> None:
    (route,) = routes({"dst": "::/0", "gw": "fe80::1"}, addresses=("2001:db8::9/128",))
    assert not route.onlink


def test_repetitions_merge_and_gateways_add_up() -> None:
    found = routes(
        {"dst": "10.5.0.0/16", "gw": "10.1.2.7"},
        {"dst": "10.5.0.0/16", "gw": "10.1.2.8"},
        {"dst": "10.5.0.0/16", "gw": "10.1.2.7"},
        {"dst": "10.5.0.0/16", "gw": "10.1.2.7", "priority": 5},
        {"dst": "10.5.7.0/16", "gw": "10.1.2.9"},
        {"dst": "10.5.0.0/16", "gw": "10.1.2.7", "table": 254},
    )
    assert [(r.dst, r.gateways, r.metric) for r in found] == [
        ("10.5.0.0/16", ("10.1.2.7", "10.1.2.8", "10.1.2.9"), 0),
        ("10.5.0.0/16", ("10.1.2.7",), 5),
    ]


@given(
    st.lists(
        st.builds(
            ResultRoute,
            dst=st.ip_addresses(v=4).map(lambda a: f"{a}/16"),
            gw=st.one_of(st.just(""), st.ip_addresses(v=4).map(str)),
            priority=st.integers(0, 3),
            table=st.sampled_from([None, 254, 100]),
            scope=st.sampled_from([None, 0, 253]),
        ),
        max_size=12,
    )
)
def test_every_route_comes_once_and_on_link_ones_first(given_routes: list[ResultRoute]) -> None:
    found = routes_of("eth0", result("10.1.2.9/24 10.1.2.1", routes=tuple(given_routes)))
    keys = [(r.dst, r.metric, r.table, r.scope) for r in found]
    assert len(keys) == len(set(keys))
    wanted = {
        (str(ipaddress.ip_network(r.dst, strict=False)), r.priority, r.table or 254, r.scope or 0)
        for r in given_routes
    }
    assert set(keys) == wanted
    assert [bool(r.gateways) for r in found] == sorted(bool(r.gateways) for r in found)
    assert all(len(set(r.gateways)) == len(r.gateways) for r in found)

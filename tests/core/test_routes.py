"""One default-route plan for the pod: spec 5.22 to 5.30, 2.36, 2.37; theme 28; trackers' 9.19, 9.20."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.errors import CNIError, Code
from multinet.cni.result import IPConfig, Result, Route
from multinet.core.routes import (
    Attached,
    DefaultRoutePlan,
    Request,
    effective_gateways,
    plan_default_routes,
    refuse_several_gateways,
)
from multinet.npwg.default_routes import default_family

V4, V6 = "0.0.0.0/0", "::/0"


def bringing(*gateways: str) -> Result:
    """A result with a default route by each gateway."""
    return Result(routes=tuple(Route(V6 if ":" in gateway else V4, gateway) for gateway in gateways))


def attached(ifname: str, *gateways: str, request: Request = None) -> Attached:
    return Attached(ifname, bringing(*gateways), request)


DUAL_ETH0 = attached("eth0", "10.244.1.1", "fd00:244::1")


def test_nothing_asked_for_and_one_default_nothing_to_do() -> None:
    plan = plan_default_routes([DUAL_ETH0, attached("net1")])
    assert plan == DefaultRoutePlan()
    assert not plan


def test_5_26_a_request_for_one_family_leaves_the_other_alone() -> None:
    pod = [DUAL_ETH0, attached("net1", request=("10.1.1.254",))]
    assert plan_default_routes(pod) == DefaultRoutePlan(
        remove=(("eth0", 4), ("net1", 4)), install=(("net1", Route(V4, "10.1.1.254")),)
    )
    assert effective_gateways(pod) == (("fd00:244::1",), ("10.1.1.254",))  # 2.37


def test_5_24_both_families_may_go_to_different_interfaces() -> None:
    pod = [DUAL_ETH0, attached("net1", request=("10.1.1.254",)), attached("net2", request=("fd00:2::1",))]
    plan = plan_default_routes(pod)
    assert plan.install == (("net1", Route(V4, "10.1.1.254")), ("net2", Route(V6, "fd00:2::1")))
    assert set(plan.remove) == {(ifname, family) for ifname in ("eth0", "net1", "net2") for family in (4, 6)}
    assert effective_gateways(pod) == ((), ("10.1.1.254",), ("fd00:2::1",))


def test_5_25_a_gateway_replaces_the_interfaces_own_default() -> None:
    pod = [attached("eth0"), attached("net1", "10.1.1.1", request=("10.1.1.254",))]
    assert plan_default_routes(pod) == DefaultRoutePlan(
        remove=(("eth0", 4), ("net1", 4)), install=(("net1", Route(V4, "10.1.1.254")),)
    )
    assert effective_gateways(pod) == ((), ("10.1.1.254",))


def test_5_25_a_gateway_for_the_default_network_itself() -> None:
    pod = [attached("eth0", "10.244.1.1", request=("10.244.1.2",)), attached("net1", "10.1.1.1")]
    assert plan_default_routes(pod).install == (("eth0", Route(V4, "10.244.1.2")),)
    assert effective_gateways(pod) == (("10.244.1.2",), ())


def test_5_28_an_empty_request_keeps_that_interfaces_own_routes() -> None:
    own = Route(V4, "10.1.1.1", priority=50, mtu=1400)
    net1 = Attached("net1", Result(routes=(Route("10.0.0.0/8", "10.1.1.2"), own)), ())
    pod = [DUAL_ETH0, net1, attached("net2", "10.2.2.1")]
    assert plan_default_routes(pod) == DefaultRoutePlan(
        # net1 brings no IPv6 default: eth0 keeps it
        remove=(("eth0", 4), ("net2", 4), ("net1", 6), ("net2", 6)),
        install=(("net1", own), ("eth0", Route(V6, "fd00:244::1"))),
    )
    assert effective_gateways(pod) == (("fd00:244::1",), ("10.1.1.1",), ())


def test_5_28_an_empty_request_of_an_interface_without_defaults_takes_nothing_away() -> None:
    pod = [DUAL_ETH0, attached("net1", request=())]
    assert plan_default_routes(pod).install == (
        ("eth0", Route(V4, "10.244.1.1")),
        ("eth0", Route(V6, "fd00:244::1")),
    )
    assert effective_gateways(pod) == (("10.244.1.1", "fd00:244::1"), ())


def test_5_28_the_first_of_several_empty_requests_counts() -> None:
    pod = [
        attached("eth0"),
        attached("net1", "10.1.1.1", request=()),
        attached("net2", "10.2.2.1", request=()),
    ]
    assert effective_gateways(pod) == ((), ("10.1.1.1",), ())


def test_5_28_a_gateway_counts_before_an_empty_request() -> None:
    pod = [
        attached("eth0"),
        attached("net1", "10.1.1.1", request=()),
        attached("net2", request=("10.2.2.1",)),
    ]
    assert plan_default_routes(pod).install == (("net2", Route(V4, "10.2.2.1")),)


def test_without_a_request_the_first_keeps_its_default_and_the_others_lose_theirs() -> None:
    pod = [DUAL_ETH0, attached("net1", "10.1.1.1"), attached("net2", "fd00:2::1"), attached("net3")]
    assert plan_default_routes(pod) == DefaultRoutePlan(
        remove=(("net1", 4), ("net2", 6)),
        install=(("eth0", Route(V4, "10.244.1.1")), ("eth0", Route(V6, "fd00:244::1"))),
    )  # installed, since another's plugin may have replaced it
    assert effective_gateways(pod) == (("10.244.1.1", "fd00:244::1"), (), (), ())


def test_without_a_default_on_eth0_the_next_one_holds_it() -> None:
    pod = [attached("eth0"), attached("net1", "10.1.1.1")]
    assert not plan_default_routes(pod)
    assert effective_gateways(pod) == ((), ("10.1.1.1",))


def test_routes_of_another_table_dont_count() -> None:
    policy = Result(routes=(Route(V4, "10.1.1.1", table=100),))
    pod = [attached("eth0", "10.244.1.1"), Attached("net1", policy)]
    assert not plan_default_routes(pod)
    assert effective_gateways(pod) == (("10.244.1.1",), ())


def test_2_36_a_default_route_without_a_gateway() -> None:
    on_link = Attached("eth0", Result(routes=(Route(V4),)))
    by_address = Attached("eth0", Result(ips=(IPConfig("10.0.0.2/24", "10.0.0.1"),), routes=(Route(V4),)), ())
    assert effective_gateways([on_link]) == ((),)
    assert effective_gateways([by_address]) == (("10.0.0.1",),)
    assert plan_default_routes([by_address]).install == (("eth0", Route(V4, "10.0.0.1")),)


@pytest.mark.parametrize(
    "requests",
    [
        [("a", ("10.0.0.1",)), ("b", ("10.0.0.2",))],
        [("a", None), ("b", ("fd00::1", "fd00::2"))],
        [("a", ("10.0.0.1", "fd00::1")), ("b", ("10.0.0.1",))],
    ],
)
def test_5_23_more_than_one_gateway_a_family(requests: list[tuple[str, Request]]) -> None:
    with pytest.raises(CNIError) as caught:
        refuse_several_gateways(requests)
    assert caught.value.msg == "multus does not support ECMP for default-route"
    assert caught.value.code == Code.INVALID_CONFIG
    with pytest.raises(CNIError, match="ECMP"):
        plan_default_routes([Attached(ifname, Result(), request) for ifname, request in requests])


def test_5_23_one_of_each_family_is_fine() -> None:
    refuse_several_gateways([("a", ("10.0.0.1",)), ("b", ("fd00::1",)), ("c", ()), ("d", None)])


# --- the pod as a model: what its route table holds when everybody keeps to the rules ----------------------


def is_main(route: Route) -> bool:
    return route.table in (None, 254)


GATEWAYS = st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"])
ROUTES = st.builds(
    Route,
    st.sampled_from([V4, V6, "10.9.0.0/16", "0.0.0.0/1"]),
    st.sampled_from(["", "g"]),
    table=st.sampled_from([None, 254, 100]),
).map(
    lambda route: Route(
        route.dst, ("fd00::9" if ":" in route.dst else "10.0.0.9") if route.gw else "", table=route.table
    )
)
RESULTS = st.lists(ROUTES, max_size=3, unique_by=lambda route: (route.dst, is_main(route))).map(
    lambda routes: Result(routes=tuple(routes))
)
REQUESTS = st.none() | st.lists(GATEWAYS, max_size=1).map(tuple)
PODS = st.lists(st.tuples(RESULTS, REQUESTS, st.booleans()), min_size=1, max_size=5)

Table = set[tuple[str, Route]]


def defaults_of(table: Table, family: int) -> Table:
    return {(ifname, route) for ifname, route in table if default_family(route) == family}


def add_as_the_kernel_does(table: Table, ifname: str, route: Route, replaces: bool) -> None:
    """One route a destination and table: another is refused, which plugins tolerate, or replaces the first."""
    there = {entry for entry in table if entry[1].dst == route.dst and is_main(entry[1]) == is_main(route)}
    if there and not replaces:
        return
    table -= there
    table.add((ifname, route))


def simulate(pod: list[tuple[Result, Request, bool]]) -> tuple[Table, list[Attached]]:
    """Attach one after the other, some with plugins that replace routes (True); then carry out the plan."""
    table: Table = set()
    made = [Attached(f"if{position}", result, request) for position, (result, request, _) in enumerate(pod)]
    for one, (_, _, replaces) in zip(made, pod, strict=True):
        for route in one.result.routes:
            add_as_the_kernel_does(table, one.ifname, route, replaces)
    plan = plan_default_routes(made)
    for ifname, family in plan.remove:
        table -= {entry for entry in defaults_of(table, family) if entry[0] == ifname}
    for ifname, route in plan.install:
        add_as_the_kernel_does(table, ifname, route, replaces=True)
    return table, made


@given(PODS)
def test_at_most_one_interface_holds_a_familys_default_and_it_is_the_one_asked_for(
    pod: list[tuple[Result, Request, bool]],
) -> None:
    asked = [gateway for _, request, _ in pod for gateway in request or ()]
    if len({":" in gateway for gateway in asked}) < len(asked):
        with pytest.raises(CNIError, match="ECMP"):
            simulate(pod)
        return
    table, made = simulate(pod)
    for family in (4, 6):
        defaults = defaults_of(table, family)
        assert len({ifname for ifname, _ in defaults}) <= 1
        gateways = [gateway for gateway in asked if (":" in gateway) == (family == 6)]
        brought = any(default_family(route) == family for one in made for route in one.result.routes)
        assert bool(defaults) == bool(gateways or brought)  # never none where there could be one
        if gateways:
            assert [route.gw for _, route in defaults] == gateways
    reported = effective_gateways(made)
    for position, gateways_of_one in enumerate(reported):
        held = {route.gw for ifname, route in table if ifname == f"if{position}" and default_family(route)}
        assert set(gateways_of_one) == held - {""}


@given(PODS)
def test_other_routes_are_left_alone(pod: list[tuple[Result, Request, bool]]) -> None:
    try:
        table, made = simulate(pod)
    except CNIError:
        return
    others = {entry for entry in table if not default_family(entry[1])}
    brought = {(one.ifname, route) for one in made for route in one.result.routes}
    assert others == {entry for entry in simulate_without_defaults(pod) if entry in brought}


def simulate_without_defaults(pod: list[tuple[Result, Request, bool]]) -> Table:
    """What is there of other routes when nobody looks after the default ones."""
    table: Table = set()
    for position, (result, _, replaces) in enumerate(pod):
        for route in result.routes:
            if not default_family(route):
                add_as_the_kernel_does(table, f"if{position}", route, replaces)
    return table

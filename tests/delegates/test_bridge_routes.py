"""Routes of an IPAM result in a sandbox, as ``ip`` and the kernel's own route choice see them (bridge carries them)."""

from __future__ import annotations

from typing import Any

import pytest

V4 = {"address": "10.1.2.3/24", "gateway": "10.1.2.1"}
V6 = {"address": "2001:db8:1::3/64", "gateway": "2001:db8:1::1"}


@pytest.fixture
def routed(bench: Any, make: Any) -> Any:
    """``routed(routes, addresses)``: a pod with them, checked; its conf is kept for more."""
    bench.lab.allowed.add("br0")

    def attach(routes: Any, addresses: Any = (V4,)) -> Any:
        pod = bench.pod()
        ipam = {"type": "static", "addresses": list(addresses), "routes": routes}
        pod.conf = make("bridge", bridge="br0", ipam=ipam)
        pod.add(pod.conf)
        pod.check_both(pod.conf)
        return pod

    return attach


def routes_of(pod: Any, dst: str, *more: str) -> list[Any]:
    family = "-6" if ":" in dst else "-4"
    found: list[Any] = pod.ip("-d", family, "route", "show", "exact", dst, *more)
    return found


@pytest.mark.parametrize(
    ("route", "gateway"),
    [
        ({"dst": "10.50.0.0/16"}, "10.1.2.1"),
        ({"dst": "10.50.0.0/16", "gw": "10.1.2.9"}, "10.1.2.9"),
        ({"dst": "0.0.0.0/0"}, "10.1.2.1"),
        ({"dst": "10.50.0.7/32"}, "10.1.2.1"),
    ],
)
def test_by_its_gateway_or_else_the_addresss(routed: Any, route: Any, gateway: str) -> None:
    (found,) = routes_of(routed([route]), route["dst"])
    assert found["gateway"] == gateway and found["protocol"] == "boot" and found["dev"] == "eth0"
    assert found["scope"] == "global" and "onlink" not in found["flags"]


def test_the_first_gateway_of_each_family_counts(routed: Any) -> None:
    addresses = [
        V4,
        {"address": "10.9.0.3/16", "gateway": "10.9.0.1"},
        {"address": "2001:db8:9::3/64"},
        V6,
    ]
    pod = routed([{"dst": "10.50.0.0/16"}, {"dst": "2001:db8:50::/48"}], addresses)
    assert routes_of(pod, "10.50.0.0/16")[0]["gateway"] == "10.1.2.1"
    assert routes_of(pod, "2001:db8:50::/48")[0]["gateway"] == "2001:db8:1::1"


def test_without_any_gateway_on_the_link(routed: Any) -> None:
    pod = routed([{"dst": "10.50.0.0/16"}], [{"address": "10.1.2.3/24"}])
    (found,) = routes_of(pod, "10.50.0.0/16")
    assert "gateway" not in found and found["dev"] == "eth0"


def test_metric_table_mtu_and_advmss(routed: Any) -> None:
    routes = [
        {"dst": "10.50.0.0/16", "priority": 77, "table": 100, "mtu": 1200, "advmss": 1100},
        {"dst": "10.51.0.0/16", "table": 70000},
        {"dst": "2001:db8:50::/48", "priority": 77, "table": 100, "mtu": 1300, "advmss": 1100},
    ]
    pod = routed(routes, [V4, V6])
    for dst in ("10.50.0.0/16", "2001:db8:50::/48"):
        (found,) = routes_of(pod, dst, "table", "100")
        assert found["metric"] == 77
        (metrics,) = found["metrics"]
        assert metrics["advmss"] == 1100 and metrics["mtu"] == (1300 if ":" in dst else 1200)
        assert routes_of(pod, dst) == []
    assert len(routes_of(pod, "10.51.0.0/16", "table", "70000")) == 1


def test_scope_link_has_no_gateway(routed: Any) -> None:
    (found,) = routes_of(routed([{"dst": "10.50.0.0/16", "scope": 253}]), "10.50.0.0/16")
    assert found["scope"] == "link" and "gateway" not in found


@pytest.mark.parametrize(
    ("dst", "gateways"),
    [("10.50.0.0/16", ("10.1.2.8", "10.1.2.9")), ("2001:db8:50::/48", ("2001:db8:1::8", "2001:db8:1::9"))],
)
def test_two_gateways_make_one_multipath_route(routed: Any, dst: str, gateways: tuple[str, str]) -> None:
    pod = routed([{"dst": dst, "gw": gateway} for gateway in gateways], [V4, V6])
    (found,) = routes_of(pod, dst)
    assert [hop["gateway"] for hop in found["nexthops"]] == list(gateways)
    assert {hop["weight"] for hop in found["nexthops"]} == {1}


def test_metrics_of_a_multipath_route(routed: Any) -> None:
    routes = [{"dst": "10.50.0.0/16", "gw": f"10.1.2.{n}", "priority": 5, "mtu": 1300} for n in (8, 9)]
    (found,) = routes_of(routed(routes), "10.50.0.0/16")
    assert (found["metric"], found["metrics"][0]["mtu"], len(found["nexthops"])) == (5, 1300, 2)


@pytest.mark.parametrize("dst", ["10.50.0.0/16", "2001:db8:50::/48", "0.0.0.0/0"])
def test_an_exact_repetition_is_one_route(routed: Any, dst: str) -> None:
    pod = routed([{"dst": dst}, {"dst": dst}, {"dst": dst}], [V4, V6])
    assert len(routes_of(pod, dst)) == 1 and "nexthops" not in routes_of(pod, dst)[0]


def test_one_destination_with_two_metrics_is_two_routes(routed: Any) -> None:
    pod = routed([{"dst": "10.50.0.0/16", "priority": p} for p in (10, 20)])
    assert [found["metric"] for found in routes_of(pod, "10.50.0.0/16")] == [10, 20]


@pytest.mark.parametrize(
    ("address", "gateway", "dst"),
    [
        ({"address": "10.1.2.3/32", "gateway": "10.9.9.1"}, "10.9.9.1", "0.0.0.0/0"),
        ({"address": "10.1.2.3/32", "gateway": "169.254.1.1"}, "169.254.1.1", "0.0.0.0/0"),
        ({"address": "2001:db8:1::3/128", "gateway": "2001:db8:9::1"}, "2001:db8:9::1", "::/0"),
    ],
)
def test_a_gateway_that_no_prefix_covers_is_on_the_link(
    routed: Any, address: Any, gateway: str, dst: str
) -> None:
    (found,) = routes_of(routed([{"dst": dst}], [address]), dst)
    assert found["gateway"] == gateway and "onlink" in found["flags"]


def test_an_ipv6_link_local_gateway(routed: Any) -> None:
    pod = routed([{"dst": "::/0", "gw": "fe80::1"}], [{"address": "2001:db8:1::3/64"}])
    assert routes_of(pod, "::/0")[0]["gateway"] == "fe80::1"


def test_routes_come_in_an_order_that_the_kernel_takes(routed: Any) -> None:
    """The gateway of the first is reached by the second, which is on the link."""
    pod = routed(
        [{"dst": "0.0.0.0/0", "gw": "10.99.0.1"}, {"dst": "10.99.0.1/32", "scope": 253}],
        [{"address": "10.1.2.3/32"}],
    )
    (default,) = routes_of(pod, "0.0.0.0/0")
    assert default["gateway"] == "10.99.0.1" and "onlink" not in default["flags"]


@pytest.mark.parametrize("dst", ["10.50.7.9/16", "2001:db8:50::77/48"])
def test_host_bits_of_a_destination_are_dropped(routed: Any, dst: str) -> None:
    pod = routed([{"dst": dst}], [V4, V6])
    short = {"10.50.7.9/16": "10.50.0.0/16", "2001:db8:50::77/48": "2001:db8:50::/48"}[dst]
    assert len(routes_of(pod, short)) == 1


def test_the_kernel_chooses_as_meant(routed: Any) -> None:
    pod = routed(
        [
            {"dst": "0.0.0.0/0"},
            {"dst": "10.50.0.0/16", "gw": "10.1.2.9"},
            {"dst": "10.50.7.0/24", "scope": 253},
        ]
    )
    chosen = {
        to: pod.ip("route", "get", to)[0].get("gateway") for to in ("8.8.8.8", "10.50.1.1", "10.50.7.1")
    }
    assert chosen == {"8.8.8.8": "10.1.2.1", "10.50.1.1": "10.1.2.9", "10.50.7.1": None}


def test_routes_in_the_result_are_the_ipams(routed: Any) -> None:
    routes = [{"dst": "10.50.0.0/16", "priority": 7, "table": 100, "scope": 253, "mtu": 1200, "advmss": 1100}]
    assert routed(routes).result["routes"] == routes


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_check_knows_routes_whose_attributes_the_version_cannot_say(
    bench: Any, make: Any, refused: Any, version: str
) -> None:
    """Before 1.0.0 a result has destination and gateway only; the kernel's routes are right all the same."""
    bench.lab.allowed.add("br0")
    routes = [
        {"dst": "10.50.0.0/16", "priority": 77},
        {"dst": "10.51.0.0/16", "table": 100, "gw": "10.1.2.9"},
        {"dst": "10.52.0.0/16", "scope": 253},
        {"dst": "10.53.0.0/16", "mtu": 1200},
    ]
    pod, ipam = bench.pod(), {"type": "static", "addresses": [V4], "routes": routes}
    conf = make("bridge", version, bridge="br0", ipam=ipam)
    pod.add(conf)
    pod.check_both(conf)
    for command, dst in (
        ("ip route replace 10.51.0.0/16 via 10.1.2.8 table 100", "10.51.0.0/16"),
        ("ip route del 10.50.0.0/16", "10.50.0.0/16"),
    ):
        bench.lab.run(*command.split(), netns=pod.netns)
        for recorded in (True, False):
            assert dst in str(refused(102, pod.check, conf, recorded=recorded))

"""ipvlan: one MAC for all, known by addresses; alone, and in a chain on what the previous plugin made."""

from __future__ import annotations

from typing import Any

import pytest

from multinet.sdk import registry

pytestmark = pytest.mark.needs_kind("ipvlan")

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
V4, V6 = "10.1.2.0/24", "2001:db8:1::/64"
RESULTS = [
    *(pytest.param(version, (V4,), id=f"v4-{version}") for version in VERSIONS),
    *(pytest.param(version, (V6,), id=f"v6-{version}") for version in ("0.1.0", "1.1.0")),
    *(pytest.param(version, (V4, V6), id=f"dual-{version}") for version in ("0.2.0", "1.0.0", "1.1.0")),
]
ANSWERS = {V4: "10.1.2.1", V6: "2001:db8:1::1"}
MAC = "02:00:00:00:00:99"


@pytest.fixture
def beyond(bench: Any) -> Any:
    """The namespace at the other end of the host's ``up0``, which has addresses of the pods' subnets."""
    netns = bench.uplink("up0")
    bench.lab.ip("addr", "add", "10.1.2.1/24", "dev", "wan0", netns=netns)
    bench.lab.ip("addr", "add", "2001:db8:1::1/64", "dev", "wan0", "nodad", netns=netns)
    return netns


def mode_of(pod: Any) -> Any:
    return pod.link()["linkinfo"]["info_data"]["mode"]


@pytest.mark.parametrize(("version", "subnets"), RESULTS)
def test_the_result_in_every_version(
    bench: Any, beyond: Any, make: Any, version: str, subnets: tuple[str, ...]
) -> None:
    pod = bench.pod(ifname="net1")
    conf = make("ipvlan", version, master="up0", ipam=bench.host_local(*subnets))
    result = pod.add(conf)
    if version not in ("0.1.0", "0.2.0"):
        (interface,) = result["interfaces"]
        assert interface["name"] == "net1" and interface["sandbox"] == pod.netns.path
        assert interface["mac"] == pod.link()["address"] == bench.link("up0")["address"]
        assert [ip["interface"] for ip in result["ips"]] == [0] * len(subnets)
    assert mode_of(pod) == "l2"
    assert all(pod.ping(ANSWERS[subnet]) for subnet in subnets)
    if version >= "0.4.0":
        pod.check_both(conf)
    pod.delete(conf)
    assert set(bench.lab.links(pod.netns)) == {"lo"} and bench.leases() == []


@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
def test_pods_of_one_master(bench: Any, beyond: Any, make: Any, mode: str) -> None:
    conf = make("ipvlan", master="up0", mode=mode, ipam=bench.host_local(V4, V6))
    one, two = bench.pod(), bench.pod()
    one.add(conf)
    two.add(conf)
    assert mode_of(one) == mode_of(two) == mode
    assert one.ping("10.1.2.3") and one.ping("2001:db8:1::3")
    one.check_both(conf)


@pytest.mark.parametrize(("mode", "via"), [("l2", "10.1.2.1"), ("l3", None), ("l3s", None)])
def test_in_the_l3_modes_a_default_route_needs_no_gateway(
    bench: Any, beyond: Any, make: Any, mode: str, via: str | None
) -> None:
    bench.lab.ip("addr", "add", "10.99.0.1/24", "dev", "up0")
    bench.lab.ip("addr", "add", "10.99.0.2/24", "dev", "wan0", netns=beyond)
    bench.lab.ip("addr", "add", "10.77.0.1/32", "dev", "lo", netns=beyond)
    bench.lab.ip("route", "add", "10.77.0.0/16", "via", "10.99.0.2")
    if mode != "l2":  # nobody answers for the pods then: the network must have a route to them
        bench.lab.ip("addr", "del", "10.1.2.1/24", "dev", "wan0", netns=beyond)
        bench.lab.ip("route", "add", "10.1.2.0/24", "via", "10.99.0.1", netns=beyond)
    pod = bench.pod()
    conf = make("ipvlan", master="up0", mode=mode, ipam=bench.host_local(V4, routes=[{"dst": "0.0.0.0/0"}]))
    result = pod.add(conf)
    assert result["ips"][0]["gateway"] == "10.1.2.1"
    (default,) = pod.ip("route", "show", "default")
    assert default.get("gateway") == via and default["dev"] == "eth0"
    assert pod.ping("10.77.0.1")
    pod.check_both(conf)


def test_a_gateway_that_a_route_names_is_used_in_every_mode(bench: Any, beyond: Any, make: Any) -> None:
    routes = [{"dst": "10.77.0.0/16", "gw": "10.1.2.9"}]
    pod = bench.pod()
    conf = make("ipvlan", master="up0", mode="l3", ipam=bench.host_local(V4, routes=routes))
    pod.add(conf)
    assert pod.ip("route", "show", "10.77.0.0/16")[0]["gateway"] == "10.1.2.9"
    pod.check_both(conf)


def test_without_ipam_up_and_nothing_else(bench: Any, beyond: Any, make: Any) -> None:
    for ipam in ({}, {"ipam": {}}, {"ipam": {"type": ""}}):
        pod, conf = bench.pod(), make("ipvlan", master="up0") | ipam
        result = pod.add(conf)
        assert "ips" not in result and "UP" in pod.link()["flags"] and pod.addresses() == []
        pod.check_both(conf)


def test_the_default_routes_interface_is_the_default_master(bench: Any, beyond: Any, make: Any) -> None:
    bench.lab.ip("addr", "add", "10.1.2.77/24", "dev", "up0")
    bench.lab.ip("route", "add", "default", "via", "10.1.2.1")
    pod, conf = bench.pod(), make("ipvlan")
    pod.add(conf)
    assert bench.lab.links(pod.netns)["eth0"].parent == bench.lab.links()["up0"].index
    bench.lab.ip("route", "del", "default")
    pod.check_both(conf)


def test_the_master_may_be_in_the_sandbox(bench: Any, make: Any) -> None:
    pod = bench.pod()
    bench.lab.ip("link", "add", "in0", "type", "veth", "peer", "name", "in1", netns=pod.netns)
    bench.lab.ip("link", "set", "in0", "up", netns=pod.netns)
    conf = make("ipvlan", master="in0", linkInContainer=True)
    pod.add(conf)
    assert pod.link()["link"] == "in0"
    pod.check_both(conf)


@pytest.mark.parametrize(("mtu", "made"), [(0, 1400), (1400, 1400), (1300, 1300)])
def test_mtu(bench: Any, make: Any, mtu: int, made: int) -> None:
    bench.uplink("up0", mtu=1400)
    pod, conf = bench.pod(), make("ipvlan", master="up0", mtu=mtu)
    result = pod.add(conf)
    assert pod.link()["mtu"] == result["interfaces"][0]["mtu"] == made
    pod.check_both(conf)


PREVIOUS: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "interfaces": [{"name": "up0", "mac": "02:00:00:00:00:01"}],
    "ips": [{"address": "10.1.2.44/24", "gateway": "10.1.2.1", "interface": 0}],
    "routes": [{"dst": "10.77.0.0/16"}],
    "dns": {"nameservers": ["10.1.2.1"]},
}


class TestInAChain:
    """Another plugin has made something before."""

    def test_master_addresses_and_routes_are_the_previous_ones(
        self, bench: Any, beyond: Any, make: Any
    ) -> None:
        pod, conf = bench.pod(), make("ipvlan", prevResult=PREVIOUS)
        result = pod.add(conf)
        assert [i["name"] for i in result["interfaces"]] == ["up0", "eth0"]
        assert result["ips"] == [{"address": "10.1.2.44/24", "gateway": "10.1.2.1", "interface": 1}]
        assert result["routes"] == PREVIOUS["routes"] and result["dns"] == PREVIOUS["dns"]
        assert pod.addresses() == ["10.1.2.44/24"]
        assert pod.ip("route", "show", "10.77.0.0/16")[0]["gateway"] == "10.1.2.1"
        assert pod.ping("10.1.2.1")
        pod.check_both(conf)

    def test_check_misses_an_address(self, bench: Any, beyond: Any, make: Any, refused: Any) -> None:
        pod, conf = bench.pod(), make("ipvlan", prevResult=PREVIOUS)
        pod.add(conf)
        bench.lab.ip("addr", "flush", "dev", "eth0", netns=pod.netns)
        for recorded in (True, False):
            assert "10.1.2.44/24" in str(refused(102, pod.check, conf, recorded=recorded))

    def test_with_ipam_the_previous_addresses_stay_where_they_are(
        self, bench: Any, beyond: Any, make: Any
    ) -> None:
        pod, conf = bench.pod(), make("ipvlan", prevResult=PREVIOUS, ipam=bench.host_local(V4))
        result = pod.add(conf)
        assert [(ip["address"], ip["interface"]) for ip in result["ips"]] == [
            ("10.1.2.44/24", 0),
            ("10.1.2.2/24", 1),
        ]
        assert pod.addresses() == ["10.1.2.2/24"]
        pod.check_both(conf)

    def test_without_addresses_it_is_l2(self, bench: Any, beyond: Any, make: Any) -> None:
        before = {"cniVersion": "1.1.0", "interfaces": [{"name": "up0"}], "dns": {"domain": "x.example"}}
        pod, conf = bench.pod(), make("ipvlan", prevResult=before)
        result = pod.add(conf)
        assert "ips" not in result and result["dns"] == {"domain": "x.example"}
        pod.check_both(conf)

    def test_an_interface_in_the_sandbox_is_looked_for_there(self, bench: Any, make: Any) -> None:
        pod = bench.pod()
        bench.lab.ip("link", "add", "in0", "type", "veth", "peer", "name", "in1", netns=pod.netns)
        bench.lab.ip("link", "set", "in0", "up", netns=pod.netns)
        before = {"cniVersion": "1.1.0", "interfaces": [{"name": "in0", "sandbox": pod.netns.path}]}
        conf = make("ipvlan", prevResult=before)
        pod.add(conf)
        assert pod.link()["link"] == "in0"
        pod.check_both(conf)

    @pytest.mark.parametrize(
        "interfaces",
        [[], [{"name": ""}], [{"name": "up0"}, {"name": "up1"}]],
        ids=["none", "nameless", "several"],
    )
    def test_no_single_interface(
        self, bench: Any, beyond: Any, make: Any, refused: Any, interfaces: list[dict[str, str]]
    ) -> None:
        before = {"cniVersion": "1.1.0", "interfaces": interfaces}
        pod, conf = bench.pod(), make("ipvlan", prevResult=before)
        error = refused(7, pod.add, conf)
        assert "chained master failure. PrevResult lacks a single named interface" in error.msg
        pod.delete(conf)
        bench.pod().add(conf | {"master": "up0"})


FAULTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "no master": ({}, 7, "$.master: no default route interface found"),
    "master gone": ({"master": "up9"}, 7, "$.master"),
    "master's type": ({"master": 7}, 7, "$.master"),
    "mode": ({"master": "up0", "mode": "l4"}, 7, '$.mode: unknown ipvlan mode: "l4"'),
    "mode's type": ({"master": "up0", "mode": 2}, 7, "$.mode"),
    "MTU too big": (
        {"master": "up0", "mtu": 1501},
        7,
        "$.mtu: invalid MTU 1501, must be [0, master MTU(1500)]",
    ),
    "MTU too small": ({"master": "up0", "mtu": -1}, 7, "$.mtu: invalid MTU -1"),
    "place's type": ({"master": "up0", "linkInContainer": "x"}, 7, "$.linkInContainer"),
    "a MAC": (
        {"master": "up0", "runtimeConfig": {"mac": MAC}},
        2,
        f"$.runtimeConfig.mac: {MAC} can't be had",
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_bad_input(bench: Any, beyond: Any, make: Any, refused: Any, unchanged: Any, what: str) -> None:
    options, code, words = FAULTS[what]
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    assert words in refused(code, pod.add, make("ipvlan", ipam=bench.host_local(V4), **options)).msg
    unchanged(before, bench.snapshot(pod.netns))


@pytest.mark.parametrize(("first", "second"), [("macvlan", "ipvlan"), ("ipvlan", "macvlan")])
@pytest.mark.needs_kind("macvlan")
def test_macvlan_and_ipvlan_exclude_each_other(
    bench: Any, beyond: Any, make: Any, refused: Any, first: str, second: str
) -> None:
    bench.pod().add(make(first, master="up0"))
    error = refused(100, bench.pod().add, make(second, master="up0"))
    assert "device or resource busy" in error.msg
    assert '"up0" has links of another kind already (macvlan and ipvlan exclude each other' in error.msg


def test_a_bridges_port_is_no_master(bench: Any, beyond: Any, make: Any, refused: Any) -> None:
    bench.lab.ip("link", "add", "br7", "type", "bridge")
    bench.lab.allowed.add("br7")
    bench.lab.ip("link", "set", "up0", "master", "br7")
    error = refused(100, bench.pod().add, make("ipvlan", master="up0"))
    assert '"up0" is a port of "br7", and a port can be no master' in error.msg


CHANGES = {
    "link deleted": ("inside ip link del eth0", "eth0"),
    "link down": ("inside ip link set eth0 down", "Interface eth0 is down"),
    "MAC": (f"host ip link set up0 address {MAC}", MAC),
    "MTU": ("inside ip link set eth0 mtu 1400", "1400"),
    "mode": (
        "inside ip link set eth0 type ipvlan mode l3",
        "Container IPVlan mode l3 does not match expected",
    ),
    "master gone": ("host ip link del up0", "up0"),
    "address": ("inside ip addr del 10.1.2.2/24 dev eth0", "10.1.2.2/24"),
    "kind": ("inside ip link del eth0;inside ip link add eth0 type bridge", "not of type ipvlan"),
    "route": ("inside ip route del 10.50.0.0/16", "10.50.0.0/16"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_check_notices(bench: Any, beyond: Any, make: Any, refused: Any, what: str) -> None:
    pod = bench.pod()
    conf = make("ipvlan", master="up0", ipam=bench.host_local(V4, V6, routes=[{"dst": "10.50.0.0/16"}]))
    pod.add(conf)
    pod.check_both(conf)
    commands, named = CHANGES[what]
    for command in commands.split(";"):
        where, *words = command.split()
        bench.lab.run(*words, netns=pod.netns if where == "inside" else None)
    for recorded in (True, False):
        assert named in str(refused(102, pod.check, conf, recorded=recorded)), recorded


def test_every_field_is_compared(bench: Any, beyond: Any, make: Any, every_field_is_checked: Any) -> None:
    pod, conf = bench.pod(), make("ipvlan", master="up0", ipam=bench.host_local(V4, V6))
    pod.add(conf)
    assert every_field_is_checked(pod, conf) > 10


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("netns", [None, "", "/gone"], ids=["there", "empty", "gone"])
@pytest.mark.parametrize("master", ["there", "gone"])
def test_del_looks_at_the_link_alone(
    bench: Any, beyond: Any, make: Any, recorded: bool, netns: str | None, master: str
) -> None:
    pod, conf = bench.pod(), make("ipvlan", master="up0", ipam=bench.host_local(V4))
    pod.delete(conf)
    pod.add(conf)
    if master == "gone":
        bench.lab.ip("link", "del", "up0")
    several = {"cniVersion": "1.1.0", "interfaces": [{"name": "a"}, {"name": "b"}]}
    terms = {} if netns is None else {"netns": netns}
    for _ in range(2):
        pod.delete(conf | {"master": "", "prevResult": several}, recorded=recorded, **terms)
        assert bench.leases() == []
    if netns is None or master == "gone":
        assert set(bench.lab.links(pod.netns)) == {"lo"}


def test_whichever_step_fails(bench: Any, beyond: Any, make: Any, whichever_step_fails: Any) -> None:
    conf = make("ipvlan", master="up0", ipam=bench.host_local(V4, V6, routes=[{"dst": "10.50.0.0/16"}]))
    assert whichever_step_fails(bench.pod(), conf) > 4


def test_wherever_it_dies(bench: Any, beyond: Any, make: Any, wherever_it_dies: Any) -> None:
    assert wherever_it_dies(bench.pod(), make("ipvlan", master="up0", ipam=bench.host_local(V4))) >= 3


def test_status_and_gc(bench: Any, make: Any, refused: Any) -> None:
    plugin, pod = registry.plugin("ipvlan"), bench.pod()
    assert plugin is not None
    conf = make("ipvlan", master="up0", ipam=bench.host_local(V4))
    assert "up0" in refused(50, plugin.status, pod.call("STATUS", conf, netns=""), bench.node()).msg
    bench.uplink("up0")
    plugin.status(pod.call("STATUS", conf, netns=""), bench.node())
    pod.add(conf)
    listed = {"cni.dev/valid-attachments": [{"containerID": pod.container_id, "ifname": "eth0"}]}
    plugin.gc(pod.call("GC", conf | listed, netns=""), bench.node())
    pod.check_both(conf)
    plugin.gc(pod.call("GC", conf | {"cni.dev/valid-attachments": []}, netns=""), bench.node())
    assert bench.leases() == []

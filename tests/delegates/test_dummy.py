"""dummy: an interface that holds addresses and leads nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from multinet.sdk import registry

pytestmark = pytest.mark.needs_kind("dummy")

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
V4, V6 = "10.1.2.0/24", "2001:db8:1::/64"
RESULTS = [
    *(pytest.param(version, (V4,), id=f"v4-{version}") for version in VERSIONS),
    *(pytest.param(version, (V6,), id=f"v6-{version}") for version in ("0.1.0", "1.1.0")),
    *(pytest.param(version, (V4, V6), id=f"dual-{version}") for version in ("0.2.0", "1.0.0", "1.1.0")),
]
FIRST = {V4: "10.1.2.2", V6: "2001:db8:1::2"}
MAC = "02:00:00:00:00:99"
NO_IPAM = "dummy interface requires an IPAM configuration"


@pytest.mark.parametrize(("version", "subnets"), RESULTS)
def test_the_result_in_every_version(bench: Any, make: Any, version: str, subnets: tuple[str, ...]) -> None:
    pod = bench.pod(ifname="net1")
    routes = [{"dst": "10.50.0.0/16" if subnet == V4 else "2001:db8:50::/48"} for subnet in subnets]
    conf = make("dummy", version, ipam=bench.host_local(*subnets, routes=routes))
    result = pod.add(conf)
    if version not in ("0.1.0", "0.2.0"):
        (interface,) = result["interfaces"]
        assert interface["name"] == "net1" and interface["sandbox"] == pod.netns.path
        assert interface["mac"] == pod.link()["address"]
        assert [ip["interface"] for ip in result["ips"]] == [0] * len(subnets)
        assert result["routes"] == routes
    assert pod.link()["linkinfo"]["info_kind"] == "dummy" and "UP" in pod.link()["flags"]
    assert all(pod.ping(FIRST[subnet]) for subnet in subnets)
    if version >= "0.4.0":
        pod.check_both(conf)
    pod.delete(conf)
    assert set(bench.lab.links(pod.netns)) == {"lo"} and bench.leases() == []


def test_mtu_and_mac(bench: Any, make: Any) -> None:
    pod = bench.pod()
    conf = make("dummy", mtu=9000, mac=MAC, ipam=bench.host_local(V4))
    (interface,) = pod.add(conf)["interfaces"]
    assert pod.link()["mtu"] == interface["mtu"] == 9000
    assert pod.link()["address"] == interface["mac"] == MAC
    pod.check_both(conf)


def test_the_runtimes_mac_wins(bench: Any, make: Any) -> None:
    pod = bench.pod()
    conf = make("dummy", mac="02:00:00:00:00:01", runtimeConfig={"mac": MAC}, ipam=bench.host_local(V4))
    pod.add(conf)
    assert pod.link()["address"] == MAC


def test_dns_is_the_configurations_or_else_ipams(bench: Any, make: Any) -> None:
    ipam = {"type": "static", "addresses": [{"address": "10.1.2.9/24"}], "dns": {"nameservers": ["10.0.0.1"]}}
    conf = make("dummy", ipam=ipam)
    assert bench.pod().add(conf)["dns"] == {"nameservers": ["10.0.0.1"]}
    assert bench.pod().add(conf | {"dns": {"domain": "example"}})["dns"] == {"domain": "example"}


def test_a_link_of_that_name_on_the_host_is_no_obstacle(bench: Any, make: Any) -> None:
    bench.lab.ip("link", "add", "net1", "type", "dummy")
    bench.lab.allowed.add("net1")
    bench.pod(ifname="net1").add(make("dummy", ipam=bench.host_local(V4)))


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no ipam": ({"ipam": {}}, f"$.ipam: {NO_IPAM}"),
    "ipam without type": ({"ipam": {"type": ""}}, f"$.ipam: {NO_IPAM}"),
    "no ipam, and a bad MTU": ({"ipam": {}, "mtu": -1}, NO_IPAM),
    "MTU too small": ({"mtu": -1}, "$.mtu: invalid MTU -1"),
    "MTU too big": ({"mtu": 65536}, "$.mtu: invalid MTU 65536"),
    "MTU's type": ({"mtu": "x"}, "$.mtu"),
    "MAC": ({"mac": "nonsense"}, "$.mac: invalid args nonsense for MAC addr"),
    "MAC's type": ({"mac": 7}, "$.mac"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_bad_input(bench: Any, make: Any, refused: Any, unchanged: Any, what: str) -> None:
    options, words = FAULTS[what]
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    conf = make("dummy") | {"ipam": bench.host_local(V4)} | options
    assert words in refused(7, pod.add, conf).msg
    unchanged(before, bench.snapshot(pod.netns))


def test_check_requires_ipam_and_del_does_not(bench: Any, make: Any, refused: Any) -> None:
    pod, conf = bench.pod(), make("dummy", ipam=bench.host_local(V4))
    pod.add(conf)
    assert NO_IPAM in refused(7, pod.check, make("dummy"), recorded=False).msg
    pod.delete(make("dummy"))
    assert set(bench.lab.links(pod.netns)) == {"lo"}
    pod.delete(conf)


CHANGES = {
    "link deleted": ("ip link del eth0", "eth0"),
    "link down": ("ip link set eth0 down", "Interface eth0 is down"),
    "MAC": (f"ip link set eth0 address {MAC}", MAC),
    "MTU": ("ip link set eth0 mtu 1400", "1400"),
    "address": ("ip addr del 10.1.2.2/24 dev eth0", "10.1.2.2/24"),
    "kind": ("ip link del eth0;ip link add eth0 type bridge", "Container interface eth0 not of type dummy"),
    "route": ("ip route del 10.50.0.0/16", "10.50.0.0/16"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_check_notices(bench: Any, make: Any, refused: Any, what: str) -> None:
    pod, conf = bench.pod(), make("dummy", ipam=bench.host_local(V4, V6, routes=[{"dst": "10.50.0.0/16"}]))
    pod.add(conf)
    commands, named = CHANGES[what]
    for command in commands.split(";"):
        bench.lab.run(*command.split(), netns=pod.netns)
    for recorded in (True, False):
        assert named in str(refused(102, pod.check, conf, recorded=recorded)), recorded


def test_every_field_is_compared(bench: Any, make: Any, every_field_is_checked: Any) -> None:
    pod, conf = bench.pod(), make("dummy", ipam=bench.host_local(V4, V6, routes=[{"dst": "10.50.0.0/16"}]))
    pod.add(conf)
    assert every_field_is_checked(pod, conf) > 8


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("netns", [None, "", "/gone"], ids=["there", "empty", "gone"])
def test_del(bench: Any, make: Any, recorded: bool, netns: str | None) -> None:
    pod, conf = bench.pod(), make("dummy", ipam=bench.host_local(V4))
    pod.delete(conf)
    pod.add(conf)
    terms = {} if netns is None else {"netns": netns}
    for _ in range(2):
        pod.delete(conf | {"mtu": "bad"}, recorded=recorded, **terms)
        assert bench.leases() == []
    assert set(bench.lab.links(pod.netns)) == ({"lo"} if netns is None else {"lo", "eth0"})


def test_whichever_step_fails(bench: Any, make: Any, whichever_step_fails: Any) -> None:
    conf = make("dummy", ipam=bench.host_local(V4, V6, routes=[{"dst": "10.50.0.0/16"}]))
    assert whichever_step_fails(bench.pod(), conf) > 4


def test_wherever_it_dies(bench: Any, make: Any, wherever_it_dies: Any) -> None:
    assert wherever_it_dies(bench.pod(), make("dummy", ipam=bench.host_local(V4, V6))) > 3


def test_a_name_that_is_taken(bench: Any, make: Any, refused: Any, unchanged: Any) -> None:
    pod, conf = bench.pod(), make("dummy", ipam=bench.host_local(V4))
    pod.add(conf)
    before = bench.snapshot(pod.netns)
    assert "eth0 already exists" in refused(100, pod.add, conf).msg
    unchanged(before, bench.snapshot(pod.netns))


def test_status_and_gc(bench: Any, make: Any, refused: Any) -> None:
    plugin, pod = registry.plugin("dummy"), bench.pod()
    assert plugin is not None
    conf = make("dummy", ipam=bench.host_local(V4))
    plugin.status(pod.call("STATUS", conf, netns=""), bench.node())
    assert (
        NO_IPAM in refused(50, plugin.status, pod.call("STATUS", make("dummy"), netns=""), bench.node()).msg
    )
    pod.add(conf)
    plugin.gc(pod.call("GC", conf | {"cni.dev/valid-attachments": []}, netns=""), bench.node())
    assert bench.leases() == []

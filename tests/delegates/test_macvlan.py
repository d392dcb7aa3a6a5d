"""macvlan: what ADD makes of every option, CHECK, DEL and undo, on masters of the lab."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from multinet.cni.errors import CNIError
from multinet.sdk import registry

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
V4, V6 = "10.1.2.0/24", "2001:db8:1::/64"
MAC = "02:00:00:00:00:99"


@pytest.fixture
def beyond(bench: Any) -> Any:
    """The namespace at the other end of the host's ``up0``, which has addresses of the pods' subnets."""
    netns = bench.uplink("up0")
    bench.lab.ip("addr", "add", "10.1.2.1/24", "dev", "wan0", netns=netns)
    bench.lab.ip("addr", "add", "2001:db8:1::1/64", "dev", "wan0", "nodad", netns=netns)
    return netns


def mode_of(pod: Any) -> Any:
    return pod.link()["linkinfo"]["info_data"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("subnets", [(V4,), (V6,), (V4, V6)], ids=["v4", "v6", "dual"])
def test_the_result_in_every_version(
    bench: Any, beyond: Any, make: Any, version: str, subnets: tuple[str, ...]
) -> None:
    pod = bench.pod(ifname="net1")
    routes = [{"dst": "10.50.0.0/16" if subnet == V4 else "2001:db8:50::/48"} for subnet in subnets]
    conf = make("macvlan", version, master="up0", ipam=bench.host_local(*subnets, routes=routes))
    result = pod.add(conf)
    addresses = {V4: ("10.1.2.2/24", "10.1.2.1", "4"), V6: ("2001:db8:1::2/64", "2001:db8:1::1", "6")}
    if version in ("0.1.0", "0.2.0"):
        for subnet, route in zip(subnets, routes, strict=True):
            address, gateway, family = addresses[subnet]
            assert result[f"ip{family}"] == {"ip": address, "gateway": gateway, "routes": [route]}
    else:
        (interface,) = result["interfaces"]
        assert interface["name"] == "net1" and interface["sandbox"] == pod.netns.path
        assert interface["mac"] == pod.link()["address"]
        assert interface.get("mtu") == (1500 if version >= "1.0.0" else None)
        assert [(ip["address"], ip["interface"]) for ip in result["ips"]] == [
            (addresses[s][0], 0) for s in subnets
        ]
        assert result["routes"] == routes
    assert pod.addresses() == [addresses[subnet][0] for subnet in subnets]
    assert mode_of(pod)["mode"] == "bridge"
    assert all(pod.ping(addresses[subnet][1]) for subnet in subnets)
    if version >= "0.4.0":
        pod.check_both(conf)
    pod.delete(conf)
    assert set(bench.lab.links(pod.netns)) == {"lo"} and bench.leases() == []


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru"])
def test_modes(bench: Any, beyond: Any, make: Any, mode: str) -> None:
    pod = bench.pod()
    conf = make("macvlan", master="up0", mode=mode, ipam=bench.host_local(V4))
    pod.add(conf)
    assert mode_of(pod)["mode"] == mode
    assert pod.ping("10.1.2.1")
    pod.check_both(conf)


@pytest.mark.parametrize(("mode", "reach"), [("bridge", True), ("private", False)])
def test_pods_of_one_master(bench: Any, beyond: Any, make: Any, mode: str, reach: bool) -> None:
    conf = make("macvlan", master="up0", mode=mode, ipam=bench.host_local(V4))
    one, two = bench.pod(), bench.pod()
    one.add(conf)
    two.add(conf)
    assert one.ping("10.1.2.3") is reach


def test_passthru_takes_the_masters_mac_and_is_alone(
    bench: Any, beyond: Any, make: Any, refused: Any
) -> None:
    conf = make("macvlan", master="up0", mode="passthru")
    master = bench.link("up0")["address"]
    pod, second = bench.pod(), bench.pod()
    result = pod.add(conf)
    assert pod.link()["address"] == result["interfaces"][0]["mac"] == master
    before = bench.snapshot(second.netns)
    assert '"up0"' in refused(100, second.add, conf).msg
    assert bench.snapshot(second.netns) == before
    pod.check_both(conf)


def test_passthru_with_a_mac_of_its_own(bench: Any, beyond: Any, make: Any) -> None:
    """The master has that MAC as long as the pod is there."""
    pod, conf = (
        bench.pod(),
        make("macvlan", master="up0", mode="passthru", mac=MAC, ipam=bench.host_local(V4)),
    )
    before = bench.link("up0")["address"]
    pod.add(conf)
    assert pod.link()["address"] == bench.link("up0")["address"] == MAC
    assert pod.ping("10.1.2.1")
    pod.check_both(conf)
    pod.delete(conf)
    assert bench.link("up0")["address"] == before


@pytest.mark.parametrize("mode", ["source", "", "Bridge"])
def test_an_unknown_mode(bench: Any, beyond: Any, make: Any, refused: Any, mode: str) -> None:
    error = refused(7, bench.pod().add, make("macvlan", master="up0", mode=mode))
    assert f'unknown macvlan mode: "{mode}"' in error.msg


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_the_master_is_where_the_default_route_leads(bench: Any, beyond: Any, make: Any, family: str) -> None:
    gateway = {"-4": "198.51.100.1", "-6": "fe80::1"}[family]
    bench.lab.ip("addr", "add", "198.51.100.2/24", "dev", "up0")
    bench.lab.ip(family, "route", "add", "default", "via", gateway, "dev", "up0")
    pod, conf = bench.pod(), make("macvlan")
    pod.add(conf)
    assert pod.link()["link_index"] == bench.link("up0")["ifindex"]
    pod.check_both(conf)
    bench.uplink("up1")
    bench.lab.ip(family, "route", "del", "default")
    pod.check_both(conf)
    bench.lab.ip(family, "route", "add", "default", "dev", "up1")
    pod.check_both(conf)


def test_no_master_to_be_found(bench: Any, make: Any, refused: Any) -> None:
    assert "no default route interface found" in refused(7, bench.pod().add, make("macvlan")).msg


def test_a_master_that_is_not_there(bench: Any, beyond: Any, make: Any, refused: Any) -> None:
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    conf = make("macvlan", master="eth7", ipam=bench.host_local(V4))
    error = refused(7, pod.add, conf)
    assert 'failed to lookup master "eth7": Link not found' in error.msg and "up0" in error.msg
    assert bench.snapshot(pod.netns) == before


@pytest.mark.parametrize("master", ["x" * 16, "x" * 300, "a/b"])
def test_a_master_that_no_link_can_be(bench: Any, beyond: Any, make: Any, refused: Any, master: str) -> None:
    assert "Link not found" in refused(7, bench.pod().add, make("macvlan", master=master)).msg


def test_the_master_may_be_in_the_container(bench: Any, make: Any, refused: Any) -> None:
    pod = bench.pod()
    bench.lab.ip("link", "add", "in0", "type", "veth", "peer", "name", "in1", netns=pod.netns)
    bench.lab.ip("link", "set", "in0", "up", netns=pod.netns)
    bench.lab.ip("link", "set", "in1", "up", netns=pod.netns)
    conf = make("macvlan", master="in0", linkInContainer=True, ipam=bench.host_local(V4))
    pod.add(conf)
    assert pod.link()["link"] == "in0" and pod.addresses() == ["10.1.2.2/24"]
    pod.check_both(conf)
    refused(7, bench.pod().add, conf)
    pod.delete(conf)
    assert set(bench.lab.links(pod.netns)) == {"lo", "in0", "in1"}


def test_the_default_route_in_the_container(bench: Any, make: Any) -> None:
    pod = bench.pod()
    bench.lab.ip("link", "add", "in0", "type", "veth", "peer", "name", "in1", netns=pod.netns)
    bench.lab.ip("link", "set", "in0", "up", netns=pod.netns)
    bench.lab.ip("route", "add", "default", "dev", "in0", netns=pod.netns)
    pod.add(make("macvlan", linkInContainer=True))
    assert pod.link()["link"] == "in0"


@pytest.mark.parametrize(("mtu", "made"), [(0, 1400), (1400, 1400), (1300, 1300), (68, 68)])
def test_mtu(bench: Any, make: Any, mtu: int, made: int) -> None:
    bench.uplink("up0", mtu=1400)
    pod, conf = bench.pod(), make("macvlan", master="up0", mtu=mtu)
    result = pod.add(conf)
    assert pod.link()["mtu"] == result["interfaces"][0]["mtu"] == made
    pod.check_both(conf)


@pytest.mark.parametrize("mtu", [-1, 1501, 65536])
def test_an_mtu_out_of_range(bench: Any, beyond: Any, make: Any, refused: Any, mtu: int) -> None:
    error = refused(7, bench.pod().add, make("macvlan", master="up0", mtu=mtu))
    assert f"invalid MTU {mtu}, must be [0, master MTU(1500)]" in error.msg


def test_check_does_not_judge_the_masters_mtu(bench: Any, beyond: Any, make: Any) -> None:
    pod, conf = bench.pod(), make("macvlan", master="up0", mtu=1400)
    pod.add(conf)
    bench.lab.ip("link", "set", "up0", "mtu", "9000")
    pod.check_both(conf)


@pytest.mark.parametrize("length", [0, 1, 500, 2**32 - 1])
def test_length_of_the_broadcast_queue(bench: Any, beyond: Any, make: Any, length: int) -> None:
    pod = bench.pod()
    pod.add(make("macvlan", master="up0", bcqueuelen=length))
    found = json.loads(bench.lab.run("ip", "-j", "-d", "link", "show", "eth0", netns=pod.netns))[0]
    data = found["linkinfo"]["info_data"]
    assert data.get("bcqueuelen", data.get("bc_queue_len")) == (length or 1000)


@pytest.mark.parametrize("length", [-1, 2**32, "many"])
def test_an_impossible_queue(bench: Any, beyond: Any, make: Any, refused: Any, length: Any) -> None:
    assert "$.bcqueuelen" in refused(7, bench.pod().add, make("macvlan", master="up0", bcqueuelen=length)).msg


@pytest.mark.parametrize(
    ("sources", "winner"),
    [
        ("conf", "02:00:00:00:00:0a"),
        ("conf args", "02:00:00:00:00:0b"),
        ("conf args cni", "02:00:00:00:00:0c"),
        ("conf args cni runtime", "02:00:00:00:00:0d"),
        ("conf runtime", "02:00:00:00:00:0d"),
        ("runtime", "02:00:00:00:00:0d"),
    ],
)
def test_whose_mac_wins(bench: Any, beyond: Any, make: Any, sources: str, winner: str) -> None:
    pod, conf = bench.pod(), make("macvlan", master="up0")
    given = sources.split()
    if "conf" in given:
        conf["mac"] = "02:00:00:00:00:0a"
    if "cni" in given:
        conf["args"] = {"cni": {"mac": "02:00:00:00:00:0c"}}
    if "runtime" in given:
        conf["RuntimeConfig"] = {"mac": "02:00:00:00:00:0d"}
    args = "MAC=02:00:00:00:00:0b" if "args" in given else ""
    pod.add(conf, args=args)
    assert pod.link()["address"] == winner
    pod.check_both(conf, args=args)


@pytest.mark.parametrize("mac", ["nonsense", "01:00:5e:00:00:01", "02:00:00:00:00"])
def test_a_mac_that_is_none(bench: Any, beyond: Any, make: Any, refused: Any, mac: str) -> None:
    error = refused(7, bench.pod().add, make("macvlan", master="up0", mac=mac))
    assert f"invalid args {mac} for MAC addr: " in error.msg and "$.mac" in error.msg


def test_without_ipam_up_and_nothing_else(bench: Any, beyond: Any, make: Any) -> None:
    for ipam in ({}, {"ipam": {}}, {"ipam": None}, {"ipam": {"type": ""}}):
        pod, conf = bench.pod(), make("macvlan", master="up0") | ipam
        result = pod.add(conf)
        assert "ips" not in result and "UP" in pod.link()["flags"] and pod.addresses() == []
        pod.check_both(conf)


def test_announcements_are_switched_on(bench: Any, beyond: Any, make: Any) -> None:
    pod = bench.pod()
    pod.add(make("macvlan", master="up0", ipam=bench.host_local(V4, V6)))
    found = bench.snapshot(pod.netns)[pod.netns.path]["sysctls"]
    assert found["net/ipv4/conf/eth0/arp_notify"] == found["net/ipv6/conf/eth0/ndisc_notify"] == "1"


def test_ipams_dns_is_kept_unless_the_configuration_has_its_own(bench: Any, beyond: Any, make: Any) -> None:
    ipam = {"type": "static", "addresses": [{"address": "10.1.2.9/24"}], "dns": {"nameservers": ["10.0.0.1"]}}
    conf = make("macvlan", master="up0", ipam=ipam)
    assert bench.pod().add(conf)["dns"] == {"nameservers": ["10.0.0.1"]}
    assert bench.pod().add(conf | {"dns": {"domain": "example"}})["dns"] == {"domain": "example"}


def test_a_link_of_that_name_on_the_host_is_no_obstacle(bench: Any, beyond: Any, make: Any) -> None:
    pod = bench.pod(ifname="up0")
    pod.add(make("macvlan", master="up0"))
    assert pod.link()["linkinfo"]["info_kind"] == "macvlan"


CHANGES: dict[str, tuple[str, str]] = {
    "link deleted": ("inside ip link del eth0", "eth0"),
    "link down": ("inside ip link set eth0 down", "eth0"),
    "MAC": (f"inside ip link set eth0 address {MAC}", MAC),
    "MTU": ("inside ip link set eth0 mtu 1400", "1400"),
    "mode": ("inside ip link set eth0 type macvlan mode private", "mode private"),
    "master gone": ("host ip link del up0", "up0"),
    "address removed": ("inside ip addr del 10.1.2.2/24 dev eth0", "10.1.2.2/24"),
    "IPv6 address removed": ("inside ip addr del 2001:db8:1::2/64 dev eth0", "2001:db8:1::2/64"),
    "route removed": ("inside ip route del 10.50.0.0/16", "10.50.0.0/16"),
    "route changed": ("inside ip route change 10.50.0.0/16 via 10.1.2.77", "10.50.0.0/16"),
    "arp_notify": ("inside sysctl -qw net.ipv4.conf.eth0.arp_notify=0", "arp_notify"),
    "another kind": ("inside ip link del eth0;inside ip link add eth0 type bridge", "not of type macvlan"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_check_notices(bench: Any, beyond: Any, make: Any, refused: Any, what: str) -> None:
    pod = bench.pod()
    conf = make("macvlan", master="up0", ipam=bench.host_local(V4, V6, routes=[{"dst": "10.50.0.0/16"}]))
    pod.add(conf)
    pod.check_both(conf)
    commands, named = CHANGES[what]
    for command in commands.split(";"):
        where, *words = command.split()
        bench.lab.run(*words, netns=pod.netns if where == "inside" else None)
    for recorded in (True, False):
        assert named in str(refused(102, pod.check, conf, recorded=recorded)), recorded


def test_check_notices_another_master(bench: Any, beyond: Any, make: Any, refused: Any) -> None:
    """A link of the same name, MAC and mode, but on another network."""
    bench.uplink("up1")
    pod, conf = bench.pod(), make("macvlan", master="up0", mac=MAC)
    pod.add(conf)
    bench.lab.ip("link", "del", "eth0", netns=pod.netns)
    link = ("link", "up1", "name", "eth0", "netns", pod.netns.path, "address", MAC)
    bench.lab.ip("link", "add", *link, "type", "macvlan", "mode", "bridge")
    bench.lab.ip("link", "set", "eth0", "up", netns=pod.netns)
    for recorded in (True, False):
        assert "up0" in str(refused(102, pod.check, conf, recorded=recorded))


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("netns", [None, "", "/gone"], ids=["there", "empty", "gone"])
@pytest.mark.parametrize("master", ["there", "gone"])
def test_del(bench: Any, beyond: Any, make: Any, recorded: bool, netns: str | None, master: str) -> None:
    pod = bench.pod()
    conf = make("macvlan", master="up0", ipam=bench.host_local(V4))
    pod.delete(conf)
    pod.add(conf)
    if master == "gone":
        bench.lab.ip("link", "del", "up0")
    terms = {} if netns is None else {"netns": netns}
    for _ in range(2):
        pod.delete(conf | {"mode": 7}, recorded=recorded, **terms)
        assert bench.leases() == []
    if netns is None or master == "gone":
        assert set(bench.lab.links(pod.netns)) == {"lo"}
    else:
        pod.delete(conf)


@pytest.mark.parametrize("recorded", [True, False])
def test_del_of_an_older_container_after_a_newer_ones_add(
    bench: Any, beyond: Any, make: Any, recorded: bool
) -> None:
    conf = make("macvlan", master="up0", ipam=bench.host_local(V4))
    old = bench.pod("old")
    old.add(conf)
    bench.lab.ip("link", "del", "eth0", netns=old.netns)
    new = bench.pod("new", netns=old.netns)
    new.add(conf)
    old.delete(conf, recorded=recorded)
    new.check_both(conf)
    assert bench.leases() == ["net/10.1.2.3"]


def test_a_second_add_fails_and_the_first_stays_whole(
    bench: Any, beyond: Any, make: Any, refused: Any
) -> None:
    pod, conf = bench.pod(), make("macvlan", master="up0", ipam=bench.host_local(V4))
    pod.add(conf)
    before = bench.snapshot(pod.netns)
    assert "eth0 already exists" in refused(100, pod.add, conf).msg
    assert bench.snapshot(pod.netns) == before


def test_whenever_the_caller_hangs_up(bench: Any, beyond: Any, make: Any) -> None:
    pod, conf = bench.pod(), make("macvlan", master="up0", ipam=bench.host_local(V4, V6))
    for steps in itertools.count():
        before = bench.snapshot(pod.netns)
        looks = itertools.count()
        try:
            pod.add(conf, cancelled=lambda looks=looks, steps=steps: next(looks) >= steps)
        except CNIError as error:
            assert error.code == 108
            assert bench.snapshot(pod.netns) == before
        else:
            break
    assert steps > 5, "the wait for duplicate detection can be cut short"


def test_the_deadline_ends_the_wait_for_duplicate_detection(
    bench: Any, beyond: Any, make: Any, refused: Any
) -> None:
    pod, conf = bench.pod(), make("macvlan", master="up0", ipam=bench.host_local(V6))
    before, start = bench.snapshot(pod.netns), time.monotonic()
    refused(11, pod.add, conf, deadline=time.monotonic() + 0.3)
    assert time.monotonic() - start < 1.5
    assert bench.snapshot(pod.netns) == before


def test_a_duplicate_of_an_address_beyond_the_host(bench: Any, beyond: Any, make: Any, refused: Any) -> None:
    pod = bench.pod()
    static = {"type": "static", "addresses": [{"address": "2001:db8:1::1/64"}]}
    before = bench.snapshot(pod.netns)
    error = refused(100, pod.add, make("macvlan", master="up0", ipam=static))
    assert "2001:db8:1::1/64 in DADFAILED state" in error.msg
    assert bench.snapshot(pod.netns) == before


def test_without_carrier_there_is_no_wait(bench: Any, beyond: Any, make: Any) -> None:
    bench.lab.ip("link", "set", "wan0", "down", netns=beyond)
    pod, conf = bench.pod(), make("macvlan", master="up0", ipam=bench.host_local(V6))
    pod.add(conf)
    assert pod.addresses() == ["2001:db8:1::2/64"]


STEPS: dict[str, tuple[int, Callable[[Any, Any], Any]]] = {
    "bad address": (
        100,
        lambda bench, conf: (
            conf
            | {
                "ipam": {
                    "type": "static",
                    "addresses": [{"address": "10.1.2.9/24"}],
                    "routes": [{"dst": "10.9.0.0/16", "gw": "10.1.2.255"}],
                }
            }
        ),
    ),
    "tiny MTU": (100, lambda bench, conf: conf | {"mtu": 67}),
    "no IPv6 below 1280": (100, lambda bench, conf: conf | {"mtu": 1000, "ipam": bench.host_local(V6)}),
    "multicast address": (
        100,
        lambda bench, conf: conf | {"ipam": {"type": "static", "addresses": [{"address": "ff02::9/64"}]}},
    ),
    "no addresses": (
        101,
        lambda bench, conf: conf | {"ipam": bench.host_local("10.1.2.0/30", "10.9.9.0/30")},
    ),
}


@pytest.mark.parametrize("what", STEPS)
def test_a_step_that_fails(bench: Any, beyond: Any, make: Any, refused: Any, what: str) -> None:
    code, change = STEPS[what]
    conf = change(bench, make("macvlan", master="up0"))
    pod = bench.pod()
    if what == "no addresses":
        bench.pod("holder").add(conf)
    before = bench.snapshot(pod.netns)
    refused(code, pod.add, conf)
    assert bench.snapshot(pod.netns) == before


def test_status(bench: Any, make: Any, refused: Any) -> None:
    plugin, pod = registry.plugin("macvlan"), bench.pod()
    assert plugin is not None
    call = pod.call("STATUS", make("macvlan", master="up0"), netns="")
    assert "up0" in refused(50, plugin.status, call, bench.node()).msg
    bench.uplink("up0")
    plugin.status(call, bench.node())
    inside = pod.call("STATUS", make("macvlan", master="in0", linkInContainer=True), netns="")
    plugin.status(inside, bench.node())


def test_addresses_are_announced(bench: Any, beyond: Any, make: Any) -> None:
    with beyond.entered():
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        ear.bind(("wan0", 0x0806))
    ear.settimeout(2)
    with ear:
        pod = bench.pod()
        pod.add(make("macvlan", master="up0", ipam=bench.host_local(V4)))
        wanted = socket.inet_aton("10.1.2.2")
        while True:
            heard = ear.recv(2048)
            if heard[28:32] == wanted == heard[38:42]:
                break

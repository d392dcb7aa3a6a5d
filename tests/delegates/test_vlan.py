"""vlan: an 802.1Q link on a master of the lab; what the wire carries is tagged."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from multinet.cni.errors import CNIError
from multinet.sdk import registry

pytestmark = pytest.mark.needs_kind("vlan")

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
    """The namespace at the other end of the host's ``up0``: it is in VLAN 100, with addresses of the pods' subnets."""
    netns = bench.uplink("up0")
    lab = bench.lab
    lab.ip("link", "add", "link", "wan0", "name", "wan0.100", "type", "vlan", "id", "100", netns=netns)
    lab.ip("addr", "add", "10.1.2.1/24", "dev", "wan0.100", netns=netns)
    lab.ip("addr", "add", "2001:db8:1::1/64", "dev", "wan0.100", "nodad", netns=netns)
    lab.ip("link", "set", "wan0.100", "up", netns=netns)
    return netns


@contextmanager
def a_process_in(netns: Any) -> Iterator[None]:
    """As a pod has at least one: that is how its namespace can be seen."""
    path = f"/proc/{os.getpid()}/fd/{netns.fd}"
    process = subprocess.Popen(["nsenter", f"--net={path}", "sleep", "600"])
    try:
        while os.stat(f"/proc/{process.pid}/ns/net").st_ino != netns.identity[1]:
            time.sleep(0.01)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("version", "subnets"), RESULTS)
def test_the_result_in_every_version(
    bench: Any, beyond: Any, make: Any, version: str, subnets: tuple[str, ...]
) -> None:
    pod = bench.pod(ifname="net1")
    conf = make("vlan", version, master="up0", vlanId=100, ipam=bench.host_local(*subnets))
    result = pod.add(conf)
    if version not in ("0.1.0", "0.2.0"):
        (interface,) = result["interfaces"]
        assert interface["name"] == "net1" and interface["sandbox"] == pod.netns.path
        assert interface["mac"] == pod.link()["address"] == bench.link("up0")["address"]
        assert [ip["interface"] for ip in result["ips"]] == [0] * len(subnets)
    assert pod.link()["linkinfo"]["info_data"]["id"] == 100
    assert all(pod.ping(ANSWERS[subnet]) for subnet in subnets)
    if version >= "0.4.0":
        pod.check_both(conf)
    pod.delete(conf)
    assert set(bench.lab.links(pod.netns)) == {"lo"} and bench.leases() == []


def test_another_vlan_is_another_network(bench: Any, beyond: Any, make: Any) -> None:
    pod = bench.pod()
    pod.add(make("vlan", master="up0", vlanId=101, ipam=bench.host_local(V4)))
    assert "0 received" in bench.lab.run("ping", "-c2", "-W1", "10.1.2.1", netns=pod.netns, check=False)


def test_without_ipam_up_and_nothing_else(bench: Any, beyond: Any, make: Any) -> None:
    for number, ipam in enumerate(({}, {"ipam": {}}, {"ipam": {"type": ""}})):
        pod, conf = bench.pod(), make("vlan", master="up0", vlanId=200 + number) | ipam
        result = pod.add(conf)
        assert "ips" not in result and "UP" in pod.link()["flags"] and pod.addresses() == []
        pod.check_both(conf)


@pytest.mark.parametrize("number", [0, 1, 4094])
def test_ids_that_there_are(bench: Any, beyond: Any, make: Any, number: int) -> None:
    pod, conf = bench.pod(), make("vlan", master="up0", vlanId=number)
    pod.add(conf)
    assert pod.link()["linkinfo"]["info_data"]["id"] == number
    pod.check_both(conf)


def test_the_master_may_be_in_the_sandbox(bench: Any, make: Any, whichever_step_fails: Any) -> None:
    pod = bench.pod()
    bench.lab.ip("link", "add", "in0", "type", "veth", "peer", "name", "in1", netns=pod.netns)
    bench.lab.ip("link", "set", "in0", "up", netns=pod.netns)
    conf = make("vlan", master="in0", vlanId=5, linkInContainer=True, ipam=bench.host_local(V4))
    assert whichever_step_fails(pod, conf) >= 3
    assert pod.link()["link"] == "in0"
    pod.check_both(conf)
    pod.delete(conf, netns="")  # where it was can't be known any more; nothing to look at is no fault
    assert bench.leases() == []


@pytest.mark.parametrize(("mtu", "made"), [(0, 1400), (1400, 1400), (1300, 1300)])
def test_mtu(bench: Any, make: Any, mtu: int, made: int) -> None:
    bench.uplink("up0", mtu=1400)
    pod, conf = bench.pod(), make("vlan", master="up0", vlanId=5, mtu=mtu)
    result = pod.add(conf)
    assert pod.link()["mtu"] == result["interfaces"][0]["mtu"] == made
    pod.check_both(conf)


def test_a_mac_that_the_runtime_asks_for(bench: Any, beyond: Any, make: Any) -> None:
    pod = bench.pod()
    conf = make("vlan", master="up0", vlanId=100, runtimeConfig={"mac": MAC}, ipam=bench.host_local(V4))
    assert pod.add(conf)["interfaces"][0]["mac"] == pod.link()["address"] == MAC
    assert pod.ping("10.1.2.1")
    pod.check_both(conf)


def test_the_mac_stays_when_the_masters_changes(bench: Any, beyond: Any, make: Any) -> None:
    pod, conf = bench.pod(), make("vlan", master="up0", vlanId=100, ipam=bench.host_local(V4))
    pod.add(conf)
    bench.lab.ip("link", "set", "up0", "address", MAC)
    assert pod.ping("10.1.2.1")
    pod.check_both(conf)


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no master": ({}, '$.master: "master" field is required. It specifies the host interface name'),
    "master gone": ({"master": "up9"}, "$.master"),
    "master's type": ({"master": 7}, "$.master"),
    "id too small": ({"master": "up0", "vlanId": -1}, "$.vlanId: invalid VLAN ID -1"),
    "id too big": ({"master": "up0", "vlanId": 4095}, "$.vlanId: invalid VLAN ID 4095"),
    "id's type": ({"master": "up0", "vlanId": "5"}, "$.vlanId"),
    "MTU too big": (
        {"master": "up0", "mtu": 1600},
        "$.mtu: invalid MTU 1600, must be [0, master MTU(1500)]",
    ),
    "MTU too small": (
        {"master": "up0", "mtu": -100},
        "$.mtu: invalid MTU -100, must be [0, master MTU(1500)]",
    ),
    "MTU's type": ({"master": "up0", "mtu": "x"}, "$.mtu"),
    "place's type": ({"master": "up0", "linkInContainer": "x"}, "$.linkInContainer"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_bad_input(bench: Any, beyond: Any, make: Any, refused: Any, unchanged: Any, what: str) -> None:
    options, words = FAULTS[what]
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    error = refused(7, pod.add, make("vlan", ipam=bench.host_local(V4), **options))
    assert words in error.msg
    unchanged(before, bench.snapshot(pod.netns))


def test_who_holds_a_vlan_that_is_taken(
    bench: Any, beyond: Any, make: Any, refused: Any, unchanged: Any
) -> None:
    conf = make("vlan", master="up0", vlanId=100, ipam=bench.host_local(V4))
    holder, other = bench.pod("holder"), bench.pod("other")
    with a_process_in(holder.netns):
        holder.add(conf)
        before = bench.snapshot(other.netns)
        error = refused(100, other.add, conf)
        assert 'VLAN 100 of "up0" is held by attachment net/holder/eth0 ("eth0")' in error.msg
        unchanged(before, bench.snapshot(other.netns))


def test_a_vlan_that_the_host_has_itself(bench: Any, beyond: Any, make: Any, refused: Any) -> None:
    bench.lab.ip("link", "add", "link", "up0", "name", "up0.100", "type", "vlan", "id", "100")
    bench.lab.allowed.add("up0.100")
    error = refused(100, bench.pod().add, make("vlan", master="up0", vlanId=100))
    assert 'VLAN 100 of "up0" is held by "up0.100" in the host' in error.msg


def test_a_holder_that_is_out_of_sight(bench: Any, beyond: Any, make: Any, refused: Any) -> None:
    conf = make("vlan", master="up0", vlanId=100)
    bench.pod("holder").add(conf)
    assert "can't be seen from here" in refused(100, bench.pod("other").add, conf).msg


CHANGES = {
    "link deleted": ("ip link del eth0", "eth0"),
    "link down": ("ip link set eth0 down", "Interface eth0 is down"),
    "MAC": (f"ip link set eth0 address {MAC}", MAC),
    "MTU": ("ip link set eth0 mtu 1400", "1400"),
    "address": ("ip addr del 10.1.2.2/24 dev eth0", "10.1.2.2/24"),
    "kind": ("ip link del eth0;ip link add eth0 type bridge", "not of type vlan"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_check_notices(bench: Any, beyond: Any, make: Any, refused: Any, what: str) -> None:
    pod, conf = bench.pod(), make("vlan", master="up0", vlanId=100, ipam=bench.host_local(V4, V6))
    pod.add(conf)
    commands, named = CHANGES[what]
    for command in commands.split(";"):
        bench.lab.run(*command.split(), netns=pod.netns)
    for recorded in (True, False):
        assert named in str(refused(102, pod.check, conf, recorded=recorded)), recorded


def test_check_notices_another_id(bench: Any, beyond: Any, make: Any, refused: Any) -> None:
    pod, conf = bench.pod(), make("vlan", master="up0", vlanId=100)
    pod.add(conf)
    error = refused(102, pod.check, conf | {"vlanId": 101}, recorded=False)
    assert "VLAN id: want 101, have 100" in str(error)


def test_every_field_is_compared(bench: Any, beyond: Any, make: Any, every_field_is_checked: Any) -> None:
    pod, conf = bench.pod(), make("vlan", master="up0", vlanId=100, ipam=bench.host_local(V4, V6))
    pod.add(conf)
    assert every_field_is_checked(pod, conf) > 10


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("netns", [None, "", "/gone"], ids=["there", "empty", "gone"])
@pytest.mark.parametrize("master", ["there", "gone", "smaller"])
def test_del_looks_at_the_link_alone(
    bench: Any, beyond: Any, make: Any, recorded: bool, netns: str | None, master: str
) -> None:
    pod = bench.pod()
    conf = make("vlan", master="up0", vlanId=100, mtu=1500, ipam=bench.host_local(V4))
    pod.delete(conf)
    pod.add(conf)
    if master == "gone":
        bench.lab.ip("link", "del", "up0")
    elif master == "smaller":
        bench.lab.ip("link", "set", "up0", "mtu", "1300")
    terms = {} if netns is None else {"netns": netns}
    for _ in range(2):
        pod.delete(conf | {"vlanId": "bad"}, recorded=recorded, **terms)
        assert bench.leases() == []
    if netns is None or master == "gone":
        assert set(bench.lab.links(pod.netns)) == {"lo"}


def test_whichever_step_fails(bench: Any, beyond: Any, make: Any, whichever_step_fails: Any) -> None:
    pod, conf = bench.pod(), make("vlan", master="up0", vlanId=100, ipam=bench.host_local(V4, V6))
    assert whichever_step_fails(pod, conf) >= 4
    pod.check_both(conf)


def test_wherever_it_dies(bench: Any, beyond: Any, make: Any, wherever_it_dies: Any) -> None:
    conf = make("vlan", master="up0", vlanId=100, ipam=bench.host_local(V4))
    assert wherever_it_dies(bench.pod(), conf) >= 3


def test_status_and_gc(bench: Any, make: Any, refused: Any) -> None:
    plugin, pod = registry.plugin("vlan"), bench.pod()
    assert plugin is not None
    call = pod.call("STATUS", make("vlan", master="up0", vlanId=100), netns="")
    assert "up0" in refused(50, plugin.status, call, bench.node()).msg
    bench.uplink("up0")
    plugin.status(call, bench.node())
    conf = make("vlan", master="up0", vlanId=100, ipam=bench.host_local(V4))
    pod.add(conf)
    listed = {"cni.dev/valid-attachments": [{"containerID": pod.container_id, "ifname": "eth0"}]}
    plugin.gc(pod.call("GC", conf | listed, netns=""), bench.node())
    pod.check_both(conf)
    plugin.gc(pod.call("GC", conf | {"cni.dev/valid-attachments": []}, netns=""), bench.node())
    assert bench.leases() == []


def test_a_name_that_is_taken(bench: Any, beyond: Any, make: Any, refused: Any) -> None:
    pod = bench.pod()
    bench.lab.ip("link", "add", "eth0", "type", "bridge", netns=pod.netns)
    assert "eth0 already exists" in refused(100, pod.add, make("vlan", master="up0", vlanId=100)).msg
    with pytest.raises(CNIError):
        pod.check(make("vlan", master="up0", vlanId=100))

"""Each kind of link, filter and socket that may need the virtual machine really works where its tests run."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from multinet.adapters.netns import Netns
from tests.vm.kinds import KINDS, lacking

_SCTP = 132


def details(lab: Any, name: str, netns: Netns | None = None) -> Any:
    """What iproute2 reads of a link's kind."""
    return json.loads(lab.ip("-details", "-json", "link", "show", name, netns=netns))[0]["linkinfo"]


def ping(lab: Any, address: str, netns: Netns) -> None:
    """Fails if ``address`` doesn't answer within ten seconds."""
    lab.run("ping", "-q", "-c", "1", "-w", "10", address, netns=netns)


@pytest.fixture
def uplink(lab):
    """A dummy on the host, up; with it goes what stands on it."""
    lab.ip("link", "add", "d0", "type", "dummy")
    lab.ip("link", "set", "d0", "up")
    yield "d0"
    lab.ip("link", "delete", "d0")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.needs_kind(kind)) for kind in sorted(KINDS)]
)
def test_a_test_runs_where_its_kind_is(kind):
    assert lacking([kind]) == {}


@pytest.mark.needs_kind("dummy")
def test_dummy(lab, uplink):
    lab.ip("address", "add", "192.0.2.1/24", "dev", uplink)
    assert lab.links()[uplink].kind == "dummy"
    ping(lab, "192.0.2.1", lab.host)


@pytest.mark.needs_kind("dummy", "ipvlan")
@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
def test_ipvlans_of_one_uplink_reach_each_other(lab, uplink, mode):
    pods = [lab.sandbox(), lab.sandbox()]
    for number, pod in enumerate(pods, 1):
        lab.ip(*f"link add link {uplink} name eth0 netns {pod.path} type ipvlan mode {mode}".split())
        lab.ip("address", "add", f"192.0.2.{number}/24", "dev", "eth0", netns=pod)
        lab.ip("link", "set", "eth0", "up", netns=pod)
        assert details(lab, "eth0", pod)["info_data"]["mode"] == mode
    ping(lab, "192.0.2.2", pods[0])


@pytest.mark.needs_kind("vlan")
def test_vlan_carries_frames_of_its_number_only(lab):
    pod = lab.sandbox()
    lab.ip("link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", pod.path)

    def add_vlan(parent: str, number: int, address: str, netns: Netns) -> None:
        lab.ip("link", "set", parent, "up", netns=netns)
        lab.ip("link", "add", "link", parent, "name", "vlan", "type", "vlan", "id", str(number), netns=netns)
        lab.ip("link", "set", "vlan", "up", netns=netns)
        lab.ip("address", "add", address, "dev", "vlan", netns=netns)

    add_vlan("up0", 5, "192.0.2.1/24", lab.host)
    add_vlan("eth0", 5, "192.0.2.2/24", pod)
    assert details(lab, "vlan")["info_data"]["id"] == 5
    ping(lab, "192.0.2.2", lab.host)
    lab.ip("link", "delete", "vlan", netns=pod)
    add_vlan("eth0", 6, "192.0.2.2/24", pod)
    with pytest.raises(AssertionError, match="100% packet loss"):
        lab.run("ping", "-q", "-c", "1", "-W", "1", "192.0.2.2")
    lab.ip("link", "delete", "up0")


@pytest.mark.needs_kind("dummy", "vrf")
def test_vrf_has_a_table_of_its_own(lab, uplink):
    lab.ip("link", "add", "vrf0", "type", "vrf", "table", "1010")
    lab.ip("link", "set", "vrf0", "up")
    lab.ip("link", "set", uplink, "master", "vrf0")
    lab.ip("address", "add", "192.0.2.1/24", "dev", uplink)
    assert details(lab, "vrf0")["info_data"]["table"] == 1010
    assert "192.0.2.0/24" in lab.ip("route", "show", "table", "1010")
    assert "192.0.2.0/24" not in lab.ip("route", "show", "table", "main")
    lab.ip("link", "delete", "vrf0")


@pytest.mark.needs_kind("bond", "dummy")
def test_bond_goes_over_to_its_other_link(lab):
    lab.ip("link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "20")
    for name in ("d1", "d2"):
        lab.ip("link", "add", name, "type", "dummy")
        lab.ip("link", "set", name, "master", "bond0")
    lab.ip("link", "set", "bond0", "up")
    lab.ip("link", "set", "bond0", "type", "bond", "active_slave", "d1")
    assert details(lab, "bond0")["info_data"]["active_slave"] == "d1"
    lab.ip("link", "set", "d1", "nomaster")
    assert details(lab, "bond0")["info_data"]["active_slave"] == "d2"
    for name in ("bond0", "d1", "d2"):
        lab.ip("link", "delete", name)


@pytest.mark.needs_kind("vlan_filtering")
def test_bridge_keeps_its_vlans_apart(lab):
    lab.ip("link", "add", "br0", "type", "bridge", "vlan_filtering", "1", "vlan_default_pvid", "0")
    lab.ip("link", "set", "br0", "up")
    pods = {vlan: [lab.sandbox(), lab.sandbox()] for vlan in (10, 20)}
    for vlan, members in pods.items():
        for number, pod in enumerate(members, 1):
            port = f"p{vlan}.{number}"
            lab.ip(
                "link",
                "add",
                port,
                "master",
                "br0",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                pod.path,
            )
            lab.run("bridge", "vlan", "add", "dev", port, "vid", str(vlan), "pvid", "untagged")
            lab.ip("link", "set", port, "up")
            lab.ip("address", "add", f"192.0.2.{vlan + number}/24", "dev", "eth0", netns=pod)
            lab.ip("link", "set", "eth0", "up", netns=pod)
    ping(lab, "192.0.2.12", pods[10][0])
    ping(lab, "192.0.2.22", pods[20][0])
    with pytest.raises(AssertionError, match="100% packet loss"):
        lab.run("ping", "-q", "-c", "1", "-W", "1", "192.0.2.21", netns=pods[10][0])
    for name in [name for name in lab.links() if name.startswith(("p", "br"))]:
        lab.ip("link", "delete", name)


@pytest.mark.needs_kind("dummy", "macvlan")
def test_macvlan_passthru_takes_its_uplink_for_itself(lab, uplink):
    pod = lab.sandbox()
    lab.ip(*f"link add link {uplink} name eth0 netns {pod.path} type macvlan mode passthru".split())
    assert details(lab, "eth0", pod)["info_data"]["mode"] == "passthru"
    assert lab.links(pod)["eth0"].mac == lab.links()[uplink].mac
    with pytest.raises(AssertionError, match=r"Invalid argument|busy"):
        lab.ip(*f"link add link {uplink} name eth1 type macvlan mode bridge".split())


@pytest.mark.needs_kind("sctp")
def test_sctp_over_loopback():
    with socket.create_server(("127.0.0.1", 0)) as reserve:
        port = reserve.getsockname()[1]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, _SCTP) as server,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, _SCTP) as client,
    ):
        server.bind(("127.0.0.1", port))
        server.listen()
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"association")
            assert accepted.recv(64) == b"association"

"""Each message about links, sent to the kernel and read back by ``ip`` and by our own reader."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from multinet.adapters import kernel_messages as messages
from multinet.adapters import rtnetlink as rt
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.netns import Netns
from multinet.core.desired import (
    Bridge,
    BridgeLeg,
    Dummy,
    Ifb,
    Ipvlan,
    LinkAttributes,
    Vlan,
    Vrf,
)
from tests.adapters.reading import do, ip, link

GROUP = 0x10007
MAC = "02:00:00:00:00:07"


@pytest.fixture
def host(lab: Any) -> Iterator[NetworkStack]:
    """The host with a parent link for others, ``p``, whose other end is ``q``."""
    do(lab, "ip link add p mtu 1480 type veth peer name q")
    lab.allowed |= {"p", "q"}
    with NetworkStack(lab.host) as stack:
        yield stack


@pytest.fixture
def sandbox(lab: Any) -> Netns:
    netns: Netns = lab.sandbox()
    return netns


@pytest.fixture
def inside(sandbox: Netns) -> Iterator[NetworkStack]:
    with NetworkStack(sandbox) as stack:
        yield stack


def index_of(stack: NetworkStack, name: str) -> int:
    found = stack.link(name)
    assert found is not None
    return found.index


def done(stack: NetworkStack, *batch: bytes) -> None:
    assert stack.send(batch) == [None] * len(batch)


@pytest.mark.needs_kind("ipvlan")
@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
@pytest.mark.parametrize("mtu", [0, 1400])
def test_an_ipvlan(
    lab: Any, host: NetworkStack, inside: NetworkStack, sandbox: Netns, mode: Any, mtu: int
) -> None:
    item = Ipvlan(name="eth0", parent="p", mode=mode, mtu=mtu)
    parent = host.link("p")
    assert parent is not None
    done(host, messages.create_ipvlan(item, 7, parent.index, sandbox.fd, GROUP))
    shown = link(lab, "eth0", sandbox)
    assert shown["linkinfo"]["info_kind"] == "ipvlan" and shown["linkinfo"]["info_data"]["mode"] == mode
    assert (shown["ifindex"], shown["mtu"], shown["address"]) == (7, mtu or 1480, parent.mac)
    found = inside.link("eth0")
    assert found is not None
    assert (found.kind, found.mode, found.index, found.group) == ("ipvlan", mode, 7, GROUP)
    assert (found.parent, found.mtu, found.mac, found.up) == (parent.index, mtu or 1480, parent.mac, False)


@pytest.mark.needs_kind("vlan")
@pytest.mark.parametrize("vlan_id", [0, 1, 4094])
@pytest.mark.parametrize("mac", ["", MAC])
def test_a_vlan(
    lab: Any, host: NetworkStack, inside: NetworkStack, sandbox: Netns, vlan_id: int, mac: str
) -> None:
    parent = host.link("p")
    assert parent is not None
    item = Vlan(name="eth0", vlan_id=vlan_id, parent="p", mac=mac, mtu=1400)
    done(host, messages.create_vlan(item, 7, parent.index, sandbox.fd, GROUP))
    shown = link(lab, "eth0", sandbox)
    assert shown["linkinfo"]["info_kind"] == "vlan"
    assert (shown["linkinfo"]["info_data"]["id"], shown["linkinfo"]["info_data"]["protocol"]) == (
        vlan_id,
        "802.1Q",
    )
    assert (shown["ifindex"], shown["mtu"], shown["address"]) == (7, 1400, mac or parent.mac)
    found = inside.link("eth0")
    assert found is not None
    assert (found.kind, found.vlan_id, found.parent, found.group) == ("vlan", vlan_id, parent.index, GROUP)


@pytest.mark.needs_kind("vlan", "ipvlan")
def test_children_of_a_parent_in_the_sandbox_itself(lab: Any, inside: NetworkStack, sandbox: Netns) -> None:
    do(lab, "ip link add p type veth peer name q", sandbox)
    parent = index_of(inside, "p")
    vlan = messages.create_vlan(Vlan(name="v5", vlan_id=5, parent="p"), 0, parent, -1, 0)
    done(inside, vlan, messages.create_ipvlan(Ipvlan(name="i0", parent="p"), 0, parent, -1, 0))
    assert {"v5", "i0"} <= set(lab.links(sandbox))


@pytest.mark.needs_kind("dummy")
def test_a_dummy(lab: Any, inside: NetworkStack, sandbox: Netns) -> None:
    done(inside, messages.create_dummy(Dummy(name="eth0", mac=MAC, mtu=1234), 7, GROUP))
    shown = link(lab, "eth0", sandbox)
    assert shown["linkinfo"]["info_kind"] == "dummy"
    assert (shown["ifindex"], shown["mtu"], shown["address"]) == (7, 1234, MAC)
    found = inside.link("eth0")
    assert found is not None and (found.kind, found.group, found.up) == ("dummy", GROUP, False)


def test_an_ifb(lab: Any, host: NetworkStack) -> None:
    done(host, messages.create_ifb(Ifb(name="bwp0", mac=MAC, mtu=1234), 77, GROUP))
    lab.allowed.add("bwp0")
    shown = link(lab, "bwp0")
    assert shown["linkinfo"]["info_kind"] == "ifb"
    assert (shown["ifindex"], shown["mtu"], shown["address"]) == (77, 1234, MAC)
    assert shown.get("txqlen", 0) == 0
    found = host.link("bwp0")
    assert found is not None and (found.kind, found.group, found.tx_queue_len) == ("ifb", GROUP, 0)


@pytest.mark.needs_kind("vrf")
@pytest.mark.parametrize("table", [1, 100, 2**31 + 1])
def test_a_vrf_and_a_port_of_it(lab: Any, inside: NetworkStack, sandbox: Netns, table: int) -> None:
    done(inside, messages.create_vrf(Vrf(name="blue", table=table), 7, GROUP))
    shown = link(lab, "blue", sandbox)
    assert (shown["linkinfo"]["info_kind"], shown["linkinfo"]["info_data"]["table"]) == ("vrf", table)
    found = inside.link("blue")
    assert found is not None and (found.kind, found.table, found.index) == ("vrf", table, 7)
    do(lab, "ip link add p type veth peer name q", sandbox)
    port = index_of(inside, "p")
    done(inside, messages.set_link(port, master=7))
    member = inside.link("p")
    assert member is not None and (member.master, member.port_state) == (7, -1), "a port, but of no bridge"
    done(inside, messages.set_link(port, master=0))
    member = inside.link("p")
    assert member is not None and member.master == 0


def test_the_hosts_leg_into_a_bridge(lab: Any, host: NetworkStack) -> None:
    do(lab, "ip link add br0 type bridge")
    bridge = index_of(host, "br0")
    leg = BridgeLeg(place="host", name="br0.5", mac=MAC, port="veth5", bridge="br0", vlan=5, mtu=1400)
    done(host, messages.create_leg(leg, 77, 78, bridge, GROUP))
    lab.allowed |= {"br0", "br0.5", "veth5"}
    outer, port = link(lab, "br0.5"), link(lab, "veth5")
    assert (outer["ifindex"], outer["address"], outer["mtu"], outer["link"]) == (77, MAC, 1400, "veth5")
    assert (port["ifindex"], port["master"], port["mtu"], port["link"]) == (78, "br0", 1400, "br0.5")
    assert port["address"] == "fe" + MAC[2:] and "master" not in outer
    assert {lab.links()[name].group for name in ("br0.5", "veth5")} == {GROUP}
    done(host, messages.delete_link(77))
    assert "veth5" not in lab.links()


@pytest.mark.needs_kind("vlan_filtering")
@pytest.mark.parametrize("wanted", [False, True])
def test_a_bridge_with_vlan_filtering(lab: Any, host: NetworkStack, wanted: bool) -> None:
    bridge = Bridge(place="host", name="br0", mac=MAC, mtu=1400, vlan_filtering=wanted)
    done(host, messages.create_bridge(bridge, 77))
    lab.allowed.add("br0")
    shown, found = link(lab, "br0"), host.link("br0")
    assert shown["linkinfo"]["info_data"]["vlan_filtering"] == wanted
    assert found is not None and found.vlan_filtering == wanted
    done(host, messages.set_vlan_filtering(77))
    shown, found = link(lab, "br0"), host.link("br0")
    assert shown["linkinfo"]["info_data"]["vlan_filtering"] == 1
    assert found is not None and found.vlan_filtering
    assert (shown["mtu"], shown["address"]) == (1400, MAC), "nothing else changed"


def test_vlan_filtering_is_wanted_of_no_bridge_by_itself(lab: Any, host: NetworkStack) -> None:
    done(host, messages.create_bridge(Bridge(place="host", name="br0"), 77))
    lab.allowed.add("br0")
    found = host.link("br0")
    assert found is not None and not found.vlan_filtering
    assert not link(lab, "br0")["linkinfo"]["info_data"].get("vlan_filtering")


def test_attributes_of_a_link(lab: Any, host: NetworkStack) -> None:
    index = index_of(host, "p")
    want = LinkAttributes(mac=MAC, mtu=1300, promisc=True, allmulti=True, tx_queue_len=0)
    done(host, messages.set_attributes(index, want))
    shown, found = link(lab, "p"), host.link("p")
    assert {"PROMISC", "ALLMULTI"} <= set(shown["flags"]) and "UP" not in shown["flags"]
    assert (shown["address"], shown["mtu"], shown.get("txqlen", 0)) == (MAC, 1300, 0)
    assert found is not None and (found.promisc, found.allmulti, found.tx_queue_len) == (True, True, 0)
    done(host, messages.set_attributes(index, LinkAttributes(allmulti=False, tx_queue_len=77)))
    shown, found = link(lab, "p"), host.link("p")
    assert "PROMISC" in shown["flags"] and "ALLMULTI" not in shown["flags"]
    assert (shown["address"], shown["mtu"], shown["txqlen"]) == (MAC, 1300, 77)
    assert found is not None and (found.promisc, found.allmulti, found.tx_queue_len) == (True, False, 77)
    done(host, messages.set_attributes(index, LinkAttributes()))
    assert link(lab, "p") == shown, "nothing wanted, nothing changed"


def test_up_and_promiscuous_in_one_request(lab: Any, host: NetworkStack) -> None:
    index = index_of(host, "p")
    done(host, messages.set_link(index, rt.IFF_UP, rt.IFF_UP, promisc=True))
    assert {"UP", "PROMISC"} <= set(link(lab, "p")["flags"])
    done(host, messages.set_link(index, promisc=False))
    flags = link(lab, "p")["flags"]
    assert "UP" in flags and "PROMISC" not in flags


def test_alias_name_group_and_master(lab: Any, host: NetworkStack) -> None:
    index = index_of(host, "p")
    do(lab, "ip link add br0 type bridge")
    lab.allowed |= {"br0", "renamed"}
    master = index_of(host, "br0")
    done(host, messages.set_link(index, alias="multinet:a/b/c", name="renamed", group=GROUP, master=master))
    shown, found = link(lab, "renamed"), host.link("renamed")
    assert (shown["ifalias"], shown["master"], shown["group"]) == ("multinet:a/b/c", "br0", str(GROUP))
    assert found is not None
    assert (found.alias, found.group, found.master) == ("multinet:a/b/c", GROUP, master)
    done(host, messages.set_link(index, promisc=False))
    assert link(lab, "renamed")["ifalias"] == "multinet:a/b/c", "left alone"
    done(host, messages.set_link(index, alias="", master=0, group=0))
    shown = link(lab, "renamed")
    assert "ifalias" not in shown and "master" not in shown and shown["group"] == "default"


@pytest.mark.parametrize("taken", [False, True], ids=["", "host-name-taken"])
@pytest.mark.parametrize("up", [False, True], ids=["down", "up"])
@pytest.mark.parametrize("new_index", [0, 4711])
def test_a_move_that_renames(
    lab: Any,
    host: NetworkStack,
    inside: NetworkStack,
    sandbox: Netns,
    taken: bool,
    up: bool,
    new_index: int,
) -> None:
    """One request: whether the host's name is free in the sandbox or not, on a link that is up or down."""
    if taken:
        do(lab, "ip link add p type bridge", sandbox)
    before = host.link("p")
    assert before is not None
    if up:
        lab.ip("link", "set", "p", "up")
    done(host, messages.move_link(before.index, sandbox.fd, "eth0", new_index))
    assert host.link("p") is None
    found = inside.link("eth0")
    assert found is not None and (found.mac, found.mtu, found.up) == (before.mac, before.mtu, False)
    assert link(lab, "eth0", sandbox)["address"] == before.mac
    if new_index:
        assert found.index == new_index
    done(inside, messages.move_link(found.index, lab.host.fd, "p", before.index))
    again = host.link("p")
    assert again is not None and (again.index, again.mac) == (before.index, before.mac)


def test_a_move_to_a_name_that_is_taken(
    lab: Any, host: NetworkStack, inside: NetworkStack, sandbox: Netns
) -> None:
    """The kernel moves first and renames then: the link is in the sandbox although the request failed."""
    do(lab, "ip link add eth0 type bridge", sandbox)
    index = index_of(host, "p")
    (error,) = host.send([messages.move_link(index, sandbox.fd, "eth0")])
    assert error is not None and error.errno == errno.EEXIST
    assert host.link("p") is None and inside.link("p") is not None


def test_a_move_when_both_names_are_taken(
    lab: Any, host: NetworkStack, inside: NetworkStack, sandbox: Netns
) -> None:
    for name in ("eth0", "p"):
        do(lab, f"ip link add {name} type bridge", sandbox)
    (error,) = host.send([messages.move_link(index_of(host, "p"), sandbox.fd, "eth0")])
    assert error is not None and error.errno == errno.EEXIST
    assert host.link("p") is not None, "it stayed"


def test_a_move_to_an_index_that_is_taken(
    lab: Any, host: NetworkStack, inside: NetworkStack, sandbox: Netns
) -> None:
    (error,) = host.send([messages.move_link(index_of(host, "p"), sandbox.fd, "eth0", 1)])
    assert error is not None and error.errno in (errno.EBUSY, errno.EEXIST)
    assert host.link("p") is not None, "it stayed"
    assert set(lab.links(sandbox)) == {"lo"}


def test_links_of_every_kind_are_as_ip_shows_them(lab: Any, host: NetworkStack) -> None:
    """Facts that all links have, of those that this kernel makes by itself too."""
    do(lab, "ip tuntap add dev t0 mode tun user 5 pi")
    do(lab, "ip link set p allmulticast on txqueuelen 55")
    lab.allowed.add("t0")
    for shown in ip(lab, "link"):
        found = host.link(shown["ifname"])
        assert found is not None
        assert (found.promisc, found.allmulti) == tuple(
            flag in shown["flags"] for flag in ("PROMISC", "ALLMULTI")
        )
        assert found.tx_queue_len == shown.get("txqlen", 0)
        assert found.permanent_mac == shown.get("permaddr", "")
        assert (found.bus, found.device) == (shown.get("parentbus", ""), shown.get("parentdev", ""))
        assert found.pci_id == ""
    tun = host.link("t0")
    assert tun is not None and tun.tun is not None
    assert (tun.tun.tap, tun.tun.packet_info, tun.tun.owner, tun.tun.group) == (False, True, 5, None)
    assert tun.tun.persistent and not tun.tun.vnet_header and not tun.tun.multi_queue


def test_a_network_cards_home() -> None:
    """No test has a card of its own; what the kernel says of one (6.1, virtio) is this."""
    from multinet.adapters import netlink as nl
    from multinet.adapters.kernel_values import link_of

    card = link_of(
        rt.ifinfo(index=2)
        + nl.text(rt.IFLA_IFNAME, "ens3")
        + nl.hardware_address(rt.IFLA_PERM_ADDRESS, MAC)
        + nl.text(rt.IFLA_PARENT_DEV_NAME, "0000:00:03.0")
        + nl.text(rt.IFLA_PARENT_DEV_BUS_NAME, "pci")
    )
    assert (card.index, card.name, card.permanent_mac, card.pci_id) == (2, "ens3", MAC, "0000:00:03.0")
    auxiliary = link_of(
        rt.ifinfo(index=2)
        + nl.text(rt.IFLA_PARENT_DEV_NAME, "mlx5_core.sf.2")
        + nl.text(rt.IFLA_PARENT_DEV_BUS_NAME, "auxiliary")
    )
    assert (auxiliary.pci_id, auxiliary.device, auxiliary.bus) == ("", "mlx5_core.sf.2", "auxiliary")

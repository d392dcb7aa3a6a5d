"""Identities that must hold for ever, and items as values."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.core.desired import (
    Address,
    AnyItem,
    Bridge,
    BridgeIsolation,
    BridgeLeg,
    Device,
    Difference,
    Dummy,
    ForwardAccept,
    Ifb,
    Ipvlan,
    Item,
    LinkAttributes,
    LinkSettings,
    LinkUp,
    MacGuard,
    Macvlan,
    Masquerade,
    Member,
    Neighbour,
    NoAddress,
    NoRoute,
    Owner,
    PortMapping,
    PortVlans,
    Redirect,
    Route,
    Rule,
    StateFile,
    SubnetBucket,
    Sysctl,
    Tap,
    TokenBucket,
    Veth,
    Vlan,
    Vrf,
    select,
)

NAMES = st.from_regex(r"\A[a-zA-Z0-9][a-zA-Z0-9_.-]{0,80}\Z")
OWNERS = st.builds(Owner, NAMES, NAMES, st.from_regex(r"\A[a-z0-9]{1,15}\Z"))
OWNER = Owner("net", "c1", "eth0")
ITEMS: list[AnyItem] = [
    Bridge(name="br", place="host", whose="shared", mtu=1400, mac="02:00:00:00:00:01", promisc=True),
    Veth(name="eth0", mac="02:00:00:00:00:01", host_name="v", host_mac="02:00:00:00:00:02", isolated=True),
    Macvlan(name="eth0", mac="", parent="eth1", mode="passthru", mtu=9000, up=False),
    LinkUp(name="lo", whose="borrowed"),
    Address(link="eth0", cidr="fd00::1/64"),
    NoAddress(link="br", cidr="10.0.0.1/24", place="host"),
    Route(link="eth0", dst="10.0.0.0/8", gateways=("10.0.0.1", "10.0.0.2"), metric=5, table=7, onlink=True),
    Sysctl(key="net/ipv4/ip_forward", value="1", tolerant=True, place="host"),
    Masquerade(cidr="10.0.0.2/24", owner=OWNER, backend="iptables"),
    MacGuard(link="v", mac="02:00:00:00:00:01", owner=OWNER),
    Veth(name="a", mac="", host_name="v", host_mac="", vlans=PortVlans(5, ((7, 7), (10, 20)), True)),
    BridgeLeg(name="br.5", mac="02:00:00:00:00:03", port="vethp", bridge="br", vlan=5, place="host"),
    Ipvlan(name="eth0", parent="eth1", mode="l3s"),
    Vlan(name="eth0", vlan_id=0, parent="eth1", parent_place="sandbox"),
    Dummy(name="eth0", mac="02:00:00:00:00:01"),
    Tap(name="tap0", uid=0, gid=None, multi_queue=True, selinux_context="a:b:c:d"),
    Device(name="net1", host_name="ens5", was_up=True, addresses=("10.0.0.1/24",), whose="borrowed"),
    Ifb(name="bwp1", mtu=1400, place="host"),
    Vrf(name="red", table=7, whose="shared"),
    Member(link="net1", master="red", whose="borrowed"),
    NoRoute(link="net1", dst="10.0.0.0/8", scope=253, whose="borrowed"),
    Rule(source="10.1.2.3/32", table=100),
    Neighbour(link="eth0", address="10.0.0.1", mac="02:00:00:00:00:01"),
    LinkSettings(link="eth0", want=LinkAttributes(mtu=0), before=LinkAttributes(mtu=1500), whose="borrowed"),
    TokenBucket(link="v", rate=1000, limit=125, buffer=7, place="host"),
    Redirect(link="v", to="bwp1", place="host"),
    SubnetBucket(link="v", rate=1, buffer=2, subnets=("10.0.0.0/8",), shaped="inside", match="source"),
    PortMapping(owner=OWNER, protocol="tcp", host_port=80, container_cidr="10.0.0.2/24", container_port=8080),
    ForwardAccept(owner=OWNER, cidr="10.0.0.2/32", backend="firewalld"),
    StateFile(path="/run/x", content="{}"),
    BridgeIsolation(owner=OWNER, bridge="br", policy="isolated", family=6),
]


class TestOwner:
    def test_what_is_in_kernels_already(self) -> None:
        """Another version of multinet must find what this one made: these never change."""
        assert OWNER.mark == "multinet:net/c1/eth0"
        assert OWNER.host_ifname == "vethd72e032f"
        assert OWNER.group == 219177756
        assert OWNER.mac("sandbox") == "e2:ad:cf:e6:39:59"

    @given(OWNERS, st.text(max_size=10))
    def test_mac_is_local_and_unicast(self, owner: Owner, salt: str) -> None:
        mac = owner.mac(salt)
        assert re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac)
        assert int(mac[:2], 16) & 3 == 2
        assert mac == owner.mac(salt)

    @given(OWNERS)
    def test_names_fit_the_kernel(self, owner: Owner) -> None:
        assert len(owner.host_ifname) <= 15
        assert 0x10000 <= owner.group < 1 << 31
        assert len(owner.mark.encode()) <= 200

    @given(OWNERS, OWNERS)
    def test_different_attachments_have_different_marks(self, one: Owner, other: Owner) -> None:
        assert (one.mark == other.mark) == (one == other)

    def test_long_names_are_told_apart(self) -> None:
        long = "x" * 300
        marks = {Owner(long, long, f"eth{n}").mark for n in range(5)} | {Owner(long, long + "y", "eth0").mark}
        assert len(marks) == 6

    def test_ends_differ(self) -> None:
        assert OWNER.mac("sandbox") != OWNER.mac("host")

    def test_containers_links_share_a_group_and_nothing_else(self) -> None:
        other = Owner("other", "c1", "net1")
        assert OWNER.group == other.group
        assert OWNER.host_ifname != other.host_ifname
        assert OWNER.group != Owner("net", "c2", "eth0").group


class TestItems:
    @pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
    def test_survive_the_journal(self, item: AnyItem) -> None:
        encoded = msgspec.json.encode(item)
        assert msgspec.json.decode(encoded, type=AnyItem) == item
        assert hash(item) == hash(msgspec.json.decode(encoded, type=AnyItem))

    def test_all_kinds_are_tried(self) -> None:
        assert {type(item) for item in ITEMS} == set(AnyItem.__args__)

    def test_kinds_are_told_apart_in_json(self) -> None:
        kinds = [msgspec.json.decode(msgspec.json.encode(item))["kind"] for item in ITEMS]
        assert len(set(kinds)) == len(AnyItem.__args__)

    def test_defaults(self) -> None:
        address = Address(link="eth0", cidr="10.0.0.2/24")
        assert (address.place, address.whose) == ("sandbox", "owned")
        assert Masquerade(cidr="10.0.0.2/24", owner=OWNER).place == "host"

    def test_select_keeps_the_order(self) -> None:
        items: list[Item] = [Address(link="b", cidr="x"), LinkUp(name="l"), Address(link="a", cidr="y")]
        assert [address.link for address in select(items, Address)] == ["b", "a"]
        assert select(items, Route) == []


class TestDifference:
    def test_says_what_is_wrong(self) -> None:
        assert str(Difference("eth0", "mtu", "1500", "1400")) == "eth0: mtu is 1400, expected 1500"
        assert str(Difference("eth0", "link", "present", "")) == "eth0: link is absent, expected present"

    def test_callers_words_win(self) -> None:
        assert str(Difference("eth0", "link", "present", "", "no such thing")) == "no such thing"

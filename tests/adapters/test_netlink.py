"""The netlink codec: what it packs, pyroute2's message classes read; what it sends, the kernel answers."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from multinet.adapters import kernel_messages as messages
from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.core.desired import Address, Bridge, Macvlan, NoAddress, Route, Veth

NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/:"), min_size=1, max_size=15
)
UNICODE_NAMES = st.sampled_from(["eth0", "Netz-ü", "网", "a" * 15, "eth0.100"])
MACS = st.binary(min_size=6, max_size=6).map(lambda raw: ":".join(f"{octet:02x}" for octet in raw))
MTUS = st.integers(68, 65535)
INDEXES = st.integers(1, 2**31 - 1)
GROUPS = st.integers(0, 2**32 - 1)
FDS = st.integers(0, 2**20)
V4 = st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(lambda pair: f"{pair[0]}/{pair[1]}")
V6 = st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(lambda pair: f"{pair[0]}/{pair[1]}")
CIDRS = st.one_of(V4, V6)


def read(kind: type, data: bytes) -> Any:
    """A message as pyroute2 sees it."""
    message = kind(data)
    message.decode()
    assert message["header"]["length"] == len(data)
    return message


def header(message: Any) -> tuple[int, int]:
    return message["header"]["type"], message["header"]["flags"]


CREATE = nl.NLM_F_REQUEST | nl.NLM_F_CREATE | nl.NLM_F_EXCL


@given(NAMES | UNICODE_NAMES, MACS | st.just(""), MTUS | st.just(0), INDEXES)
def test_a_bridge(name: str, mac: str, mtu: int, index: int) -> None:
    message = read(ifinfmsg, messages.create_bridge(Bridge(place="host", name=name, mac=mac, mtu=mtu), index))
    assert header(message) == (rt.RTM_NEWLINK, CREATE)
    assert (message["index"], message["flags"]) == (index, 0)
    assert message.get_attr("IFLA_IFNAME") == name
    assert message.get_attr("IFLA_ADDRESS") == (mac or None)
    assert message.get_attr("IFLA_MTU") == (mtu or None)
    assert message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "bridge"


@given(NAMES, NAMES, MACS, MACS, MTUS | st.just(0), INDEXES, INDEXES, INDEXES | st.just(0), FDS, GROUPS)
def test_a_veth_pair(
    name: str,
    host: str,
    mac: str,
    host_mac: str,
    mtu: int,
    index: int,
    inside: int,
    master: int,
    fd: int,
    group: int,
) -> None:
    veth = Veth(name=name, mac=mac, host_name=host, host_mac=host_mac, mtu=mtu)
    message = read(ifinfmsg, messages.create_veth(veth, index, inside, fd, master, group))
    assert header(message) == (rt.RTM_NEWLINK, CREATE)
    assert message["index"] == index
    outer = {key: message.get_attr(f"IFLA_{key}") for key in ("IFNAME", "ADDRESS", "MTU", "MASTER", "GROUP")}
    assert outer == {
        "IFNAME": host,
        "ADDRESS": host_mac,
        "MTU": mtu or None,
        "MASTER": master or None,
        "GROUP": group,
    }
    assert message.get_attr("IFLA_NET_NS_FD") is None
    assert message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "veth"
    peer = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "VETH_INFO_PEER")
    assert peer["index"] == inside
    inner = {key: peer.get_attr(f"IFLA_{key}") for key in ("IFNAME", "ADDRESS", "MTU", "GROUP", "NET_NS_FD")}
    assert inner == {"IFNAME": name, "ADDRESS": mac, "MTU": mtu or None, "GROUP": group, "NET_NS_FD": fd}


@given(
    NAMES,
    MACS | st.just(""),
    MTUS | st.just(0),
    st.sampled_from(["bridge", "private", "vepa", "passthru"]),
    st.integers(0, 2**32 - 1),
    INDEXES,
    INDEXES,
    FDS | st.just(-1),
    GROUPS,
)
def test_a_macvlan(
    name: str, mac: str, mtu: int, mode: Any, queue: int, index: int, parent: int, fd: int, group: int
) -> None:
    item = Macvlan(name=name, mac=mac, parent="up0", mode=mode, mtu=mtu, bc_queue_len=queue)
    message = read(ifinfmsg, messages.create_macvlan(item, index, parent, fd, group))
    assert header(message) == (rt.RTM_NEWLINK, CREATE)
    found = {
        key: message.get_attr(f"IFLA_{key}")
        for key in ("IFNAME", "ADDRESS", "MTU", "LINK", "GROUP", "NET_NS_FD")
    }
    assert found == {
        "IFNAME": name,
        "ADDRESS": mac or None,
        "MTU": mtu or None,
        "LINK": parent,
        "GROUP": group,
        "NET_NS_FD": fd if fd >= 0 else None,
    }
    assert message["index"] == index
    assert message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "macvlan"
    data = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    assert data.get_attr("IFLA_MACVLAN_MODE") == mode
    raw = dict(data["attrs"])
    length = raw.get("IFLA_MACVLAN_BC_QUEUE_LEN", raw.get("UNKNOWN"))
    assert (length is None) == (queue == 0)


@given(
    INDEXES,
    st.sampled_from([0, 1, 0x100, 0x101]),
    st.sampled_from([0, 1, 0x101]),
    NAMES | st.just("") | st.none(),
    MACS | st.just(""),
)
def test_changing_a_link(index: int, flags: int, change: int, alias: str | None, mac: str) -> None:
    message = read(ifinfmsg, messages.set_link(index, flags, change, alias=alias, mac=mac))
    assert header(message) == (rt.RTM_SETLINK, nl.NLM_F_REQUEST)
    assert (message["index"], message["flags"], message["change"]) == (index, flags, change)
    assert message.get_attr("IFLA_IFALIAS") == alias
    assert message.get_attr("IFLA_ADDRESS") == (mac or None)


@given(INDEXES, st.booleans(), st.booleans())
def test_flags_of_a_bridge_port(index: int, hairpin: bool, isolated: bool) -> None:
    message = read(ifinfmsg, messages.set_port(index, hairpin, isolated))
    assert header(message) == (rt.RTM_SETLINK, nl.NLM_F_REQUEST)
    assert (message["family"], message["index"]) == (socket.AF_BRIDGE, index)
    port = message.get_attr("IFLA_PROTINFO")
    assert port.get_attr("IFLA_BRPORT_MODE") == hairpin
    assert port.get_attr("IFLA_BRPORT_ISOLATED") == isolated


@given(INDEXES, NAMES, GROUPS)
def test_deleting_links(index: int, name: str, group: int) -> None:
    by_index = read(ifinfmsg, messages.delete_link(index))
    assert header(by_index) == (rt.RTM_DELLINK, nl.NLM_F_REQUEST)
    assert by_index["index"] == index and by_index["attrs"] == []
    by_name = read(ifinfmsg, messages.delete_link(name=name))
    assert by_name["index"] == 0 and by_name.get_attr("IFLA_IFNAME") == name
    by_group = read(ifinfmsg, messages.delete_group(group))
    assert by_group["index"] == 0 and by_group.get_attr("IFLA_GROUP") == group
    assert len(by_group["attrs"]) == 1


@given(CIDRS, INDEXES)
def test_adding_and_removing_an_address(cidr: str, index: int) -> None:
    interface = ipaddress.ip_interface(cidr)
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    add = read(ifaddrmsg, messages.address(Address(link="eth0", cidr=cidr), index))
    assert header(add) == (rt.RTM_NEWADDR, CREATE)
    remove = read(ifaddrmsg, messages.delete_address(NoAddress(link="eth0", cidr=cidr), index))
    assert header(remove) == (rt.RTM_DELADDR, nl.NLM_F_REQUEST)
    for message in (add, remove):
        assert (message["family"], message["prefixlen"]) == (family, interface.network.prefixlen)
        assert (message["index"], message["scope"], message["flags"]) == (index, 0, 0)
        assert message.get_attr("IFA_LOCAL") == message.get_attr("IFA_ADDRESS")
        assert ipaddress.ip_address(message.get_attr("IFA_LOCAL")) == interface.ip
    broadcast = None
    if interface.version == 4 and interface.network.prefixlen < 31:
        broadcast = str(interface.network.broadcast_address)
    assert add.get_attr("IFA_BROADCAST") == broadcast


@st.composite
def routes(draw: st.DrawFn) -> Route:
    version = draw(st.sampled_from([4, 6]))
    dst = draw(V4 if version == 4 else V6)
    gateways = draw(st.lists(st.ip_addresses(v=version).map(str), max_size=3, unique=True))
    return Route(
        link="eth0",
        dst=str(ipaddress.ip_network(dst, strict=False)),
        gateways=tuple(gateways),
        metric=draw(st.integers(0, 2**32 - 1)),
        table=draw(st.sampled_from([254, 1, 100, 255, 256, 70000, 2**32 - 1])),
        scope=draw(st.sampled_from([0, 200, 253])),
        mtu=draw(st.integers(0, 65535)),
        advmss=draw(st.integers(0, 65535)),
        onlink=draw(st.booleans()),
    )


@given(routes(), INDEXES)
def test_routes(item: Route, index: int) -> None:
    network = ipaddress.ip_network(item.dst)
    verbs = {
        messages.route: (rt.RTM_NEWROUTE, nl.NLM_F_REQUEST | nl.NLM_F_CREATE | nl.NLM_F_APPEND),
        messages.replace_route: (rt.RTM_NEWROUTE, nl.NLM_F_REQUEST | nl.NLM_F_CREATE | nl.NLM_F_REPLACE),
        messages.delete_route: (rt.RTM_DELROUTE, nl.NLM_F_REQUEST),
    }
    for build, expected in verbs.items():
        message = read(rtmsg, build(item, index))
        assert header(message) == expected
        assert message["family"] == (socket.AF_INET if network.version == 4 else socket.AF_INET6)
        assert (message["dst_len"], message["proto"], message["type"]) == (network.prefixlen, 3, 1)
        assert message["scope"] == item.scope
        onlink = rt.RTNH_F_ONLINK if item.onlink else 0
        assert message["flags"] == onlink
        dst = message.get_attr("RTA_DST")
        assert (dst and ipaddress.ip_address(dst)) == (network.network_address if network.prefixlen else None)
        assert (message.get_attr("RTA_TABLE") or message["table"]) == item.table
        assert message.get_attr("RTA_PRIORITY") == (item.metric or None)
        metrics = message.get_attr("RTA_METRICS")
        assert (metrics and metrics.get_attr("RTAX_MTU")) == (item.mtu or None)
        assert (metrics and metrics.get_attr("RTAX_ADVMSS")) == (item.advmss or None)
        hops = message.get_attr("RTA_MULTIPATH")
        if len(item.gateways) > 1:
            assert [(hop["oif"], hop["flags"], hop["hops"]) for hop in hops] == [(index, onlink, 0)] * len(
                hops
            )
            found = [hop.get_attr("RTA_GATEWAY") for hop in hops]
        else:
            assert hops is None and message.get_attr("RTA_OIF") == index
            found = [gateway for gateway in [message.get_attr("RTA_GATEWAY")] if gateway]
        # compared as values: the two libraries write IPv4-mapped addresses differently
        assert [ipaddress.ip_address(gateway) for gateway in found] == [
            ipaddress.ip_address(gateway) for gateway in item.gateways
        ]


@given(st.lists(st.tuples(st.integers(1, 60), st.binary(max_size=70)), unique_by=lambda pair: pair[0]))
def test_attributes_read_back_what_was_packed(pairs: list[tuple[int, bytes]]) -> None:
    packed = b"".join(nl.attribute(kind, data) for kind, data in pairs)
    assert len(packed) % 4 == 0
    assert nl.attributes(packed, 0, len(packed)) == dict(pairs)


@given(st.binary(max_size=120))
@settings(max_examples=300)
def test_attributes_of_anything_end(data: bytes) -> None:
    for value in nl.attributes(data, 0, len(data)).values():
        assert len(value) <= len(data)


@given(st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_numbers(small: int, large: int) -> None:
    assert nl.attributes(nl.u8(5, small), 0, 8)[5] == bytes([small])
    assert int.from_bytes(nl.attributes(nl.u32(6, large), 0, 8)[6], "little") == large


@pytest.fixture
def sockets(lab: Any) -> Iterator[nl.NetlinkSocket]:
    opened = nl.NetlinkSocket(lab.host)
    yield opened
    opened.close()
    opened.close()


def test_outcomes_come_in_order_and_the_kernel_goes_on_after_a_refusal(lab: Any, sockets: Any) -> None:
    bridges = [messages.create_bridge(Bridge(place="host", name=f"br{n}"), 0) for n in range(3)]
    lab.allowed |= {"br0", "br1", "br2"}
    outcome = sockets.send(
        [bridges[0], bridges[0], bridges[1], messages.delete_link(name="none"), bridges[2]]
    )
    assert [error and error.errno for error in outcome] == [None, errno.EEXIST, None, errno.ENODEV, None]
    assert [error.index for error in outcome if error] == [1, 3]
    assert set(lab.links()) == {"lo", "br0", "br1", "br2"}


def test_the_last_message_may_be_the_one_that_fails(sockets: Any) -> None:
    (error,) = sockets.send([messages.delete_link(name="none")])
    assert error.errno == errno.ENODEV
    assert sockets.send([]) == []


def test_the_kernels_own_words(sockets: Any) -> None:
    (error,) = sockets.send([messages.create_bridge(Bridge(place="host", name="br0", mtu=10), 0)])
    assert error.errno == errno.EINVAL and error.note == "mtu less than device minimum"
    assert str(error) == f"[Errno {errno.EINVAL}] mtu less than device minimum"


def test_a_batch_of_many_messages(lab: Any, sockets: Any) -> None:
    """Far more than one receive buffer of acknowledgements, failures among them."""
    batch = [messages.delete_link(name=f"none{n}") for n in range(600)]
    outcome = sockets.send([*batch, messages.create_bridge(Bridge(place="host", name="br0"), 0)])
    lab.allowed.add("br0")
    assert all(error.errno == errno.ENODEV for error in outcome[:-1]) and outcome[-1] is None


def test_answers_of_an_earlier_request_are_passed_over(sockets: Any) -> None:
    sockets.send([messages.delete_link(name="a"), messages.delete_link(name="b")])
    request = nl.message(rt.RTM_GETLINK, 0, rt.ifinfo(index=1))
    assert sockets.get(request) is not None
    assert sockets.get(nl.message(rt.RTM_GETLINK, 0, rt.ifinfo(index=12345))) is None


def test_a_refused_look_up_is_raised(sockets: Any) -> None:
    with pytest.raises(nl.NetlinkError) as caught:
        sockets.get(nl.message(rt.RTM_GETLINK, 0, rt.ifinfo(), nl.text(rt.IFLA_IFNAME, "x" * 40)))
    assert caught.value.errno == errno.ERANGE


def test_a_large_dump(lab: Any, sockets: Any) -> None:
    """More than one datagram."""
    lab.ip("link", "add", "br0", "type", "bridge")
    lab.allowed.add("br0")
    script = "".join(f"addr add 10.{n // 250}.{n % 250}.1/32 dev br0\n" for n in range(2000))
    lab.run("ip", "-batch", "-", stdin=script)
    assert len(sockets.dump(rt.RTM_GETADDR, rt.ifaddr(socket.AF_INET, 0, 0, 0, 0))) == 2001

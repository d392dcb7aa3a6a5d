"""What is in options, well-formed or not, and the lease and result that come of them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.result import DNS, Route
from multinet.dhcp import options as opt
from multinet.dhcp.lease import Unusable, lease_of, result_of
from multinet.dhcp.message import Message

MAC = bytes.fromhex("020000000001")
READERS = (opt.addresses, opt.netmask, opt.text, opt.static_routes, opt.classless_routes, opt.search_list)


@given(st.binary(max_size=300))
def test_no_value_makes_a_reader_fail(value: bytes) -> None:
    for read in READERS:
        read(value)


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("ffffff00", 24),
        ("ffffffff", 32),
        ("80000000", 1),
        ("00000000", None),
        ("ff00ff00", None),
        ("ffff", None),
    ],
)
def test_masks(value: str, prefix: int | None) -> None:
    assert opt.netmask(bytes.fromhex(value)) == prefix


@given(st.integers(1, 32))
def test_every_mask(prefix: int) -> None:
    assert opt.netmask(IPv4Network((0, prefix)).netmask.packed) == prefix


@pytest.mark.parametrize(
    ("value", "routes"),
    [
        ("", ()),
        ("000a000001", (("0.0.0.0/0", "10.0.0.1"),)),
        ("080a0a000001", (("10.0.0.0/8", "10.0.0.1"),)),
        ("190a0a0aff0a000001", (("10.10.10.128/25", "10.0.0.1"),)),
        ("20c00002050a000001" + "000a000002", (("192.0.2.5/32", "10.0.0.1"), ("0.0.0.0/0", "10.0.0.2"))),
        ("210a0000000a000001", ()),
        ("000a000001" + "18c000020a0000", ()),
    ],
)
def test_classless_routes(value: str, routes: tuple[tuple[str, str], ...]) -> None:
    expected = tuple((IPv4Network(dst), IPv4Address(gw)) for dst, gw in routes)
    assert opt.classless_routes(bytes.fromhex(value)) == expected


def test_static_routes_by_class() -> None:
    value = bytes((10, 1, 2, 3, 10, 0, 0, 1, 172, 16, 1, 1, 10, 0, 0, 2, 192, 0, 2, 9, 10, 0, 0, 3, 1, 2, 3))
    found = [(str(network), str(router)) for network, router in opt.static_routes(value)]
    assert found == [("10.0.0.0/8", "10.0.0.1"), ("172.16.0.0/16", "10.0.0.2"), ("192.0.2.0/24", "10.0.0.3")]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (b"\3eng\5apple\3com\0\x09marketing\xc0\4", ("eng.apple.com", "marketing.apple.com")),  # RFC 3397, 2
        (b"\1a\0\1b\0", ("a", "b")),
        (b"", ()),
        (b"\0", ()),
        (b"\1a", ()),
        (b"\xc0\0", ()),
        (b"\1a\xc0\0", ()),
        (b"\1a\xc0", ()),
        (b"\1a\0\xc0\xff", ()),
        (b"\3a.b\0", ()),
        (b"\1\n\0", ()),
    ],
)
def test_search_lists(value: bytes, names: tuple[str, ...]) -> None:
    assert opt.search_list(value) == names


@pytest.mark.parametrize(("value", "text"), [(b"a\0", "a"), (b"\xff", ""), (b"a\nb", ""), (b"", "")])
def test_text(value: bytes, text: str) -> None:
    assert opt.text(value) == text


def ack(options: dict[int, bytes] | None = None, address: str = "10.7.0.50") -> Message:
    own = {53: b"\5", 54: bytes((10, 7, 0, 1)), 1: bytes((255, 255, 255, 0)), 51: (100).to_bytes(4, "big")}
    given_ = {**own, **(options or {})}
    kept = {code: value for code, value in given_.items() if value is not None}
    return Message(xid=1, mac=MAC, reply=True, yiaddr=IPv4Address(address), options=kept)


def seconds(value: int) -> bytes:
    return value.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("options", "times"),
    [
        ({}, (50, 87.5, 100)),
        ({51: None}, (1800, 3150, 3600)),
        ({51: b"\0"}, (1800, 3150, 3600)),
        ({58: seconds(20), 59: seconds(60)}, (20, 60, 100)),
        ({58: seconds(20)}, (20, 87.5, 100)),
        ({59: seconds(30)}, (30, 30, 100)),
        ({58: seconds(70), 59: seconds(60)}, (50, 60, 100)),
        ({58: seconds(0), 59: seconds(0)}, (50, 87.5, 100)),
        ({58: seconds(200), 59: seconds(100)}, (50, 87.5, 100)),
        ({51: seconds(0)}, (1, 1, 1)),
        ({51: seconds(1)}, (1, 1, 1)),
        ({51: seconds(0xFFFFFFFF)}, (None, None, None)),
        ({51: seconds(0xFFFFFFFF), 58: seconds(5), 59: seconds(6)}, (None, None, None)),
    ],
)
def test_times(options: Any, times: tuple[float | None, ...]) -> None:
    lease = lease_of(ack(options), "02:00:00:00:00:02", 1000.0)
    expected = tuple(None if time is None else 1000 + time for time in times)
    assert (lease.renew, lease.rebind, lease.expiry) == expected


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.floats(0, 1))
def test_times_are_in_order(length: int, renew: int, rebind: int, fuzz: float) -> None:
    lease = lease_of(ack({51: seconds(length), 58: seconds(renew), 59: seconds(rebind)}), "", 5.0, fuzz)
    if length == 0xFFFFFFFF:
        assert lease.expiry is None
    else:
        assert lease.renew is not None and lease.rebind is not None and lease.expiry is not None
        assert 6 <= lease.renew <= lease.rebind <= lease.expiry == 5 + max(length, 1)


@pytest.mark.parametrize(
    ("options", "address", "why"),
    [
        ({1: None}, "10.7.0.50", "DHCP option Subnet Mask not found in DHCPACK"),
        ({1: b"\xff\0\xff\0"}, "10.7.0.50", "Subnet Mask"),
        ({}, "0.0.0.0", "no address"),
        ({}, "224.0.0.1", "no address"),
        ({}, "127.0.0.1", "no address"),
        ({}, "255.255.255.255", "no address"),
    ],
)
def test_useless_acks(options: Any, address: str, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        lease_of(ack(options, address), "", 0.0)


ROUTER, ONE, OTHER = bytes((10, 7, 0, 1)), bytes((8, 10, 10, 7, 0, 2)), bytes((8, 11, 10, 7, 0, 3))
DEFAULT = Route(dst="0.0.0.0/0", gw="10.7.0.1")


@pytest.mark.parametrize(
    ("options", "gateway", "routes"),
    [
        ({}, "", ()),
        ({3: ROUTER + b"\1\1\1\1"}, "10.7.0.1", (DEFAULT,)),
        ({3: b"\0\0\0\0"}, "", ()),
        ({3: ROUTER, 121: ONE}, "10.7.0.1", (Route(dst="10.0.0.0/8", gw="10.7.0.2"),)),
        ({3: ROUTER, 249: OTHER}, "10.7.0.1", (Route(dst="11.0.0.0/8", gw="10.7.0.3"),)),
        ({3: ROUTER, 121: ONE, 249: OTHER}, "10.7.0.1", (Route(dst="10.0.0.0/8", gw="10.7.0.2"),)),
        ({3: ROUTER, 121: b"\x40", 249: OTHER}, "10.7.0.1", (Route(dst="11.0.0.0/8", gw="10.7.0.3"),)),
        ({3: ROUTER, 121: b"\x40"}, "10.7.0.1", (DEFAULT,)),
        ({121: b"\x08\x0a\0\0\0\0"}, "", (Route(dst="10.0.0.0/8", gw="0.0.0.0", scope=253),)),
        (
            {3: ROUTER, 33: bytes((9, 9, 9, 9)) + ROUTER},
            "10.7.0.1",
            (Route(dst="9.0.0.0/8", gw="10.7.0.1"), DEFAULT),
        ),
    ],
)
def test_gateway_and_routes(options: Any, gateway: str, routes: tuple[Route, ...]) -> None:
    result = result_of(lease_of(ack(options), "", 0.0))
    assert (result.ips[0].gateway, result.routes) == (gateway, routes)


def test_dns_priority_and_mtu() -> None:
    options = {3: ROUTER, 6: ROUTER + b"\0\0\0\0", 15: b"example.org\0", 119: b"\1a\0", 26: b"\x05\x14"}
    lease = lease_of(ack(options), "", 0.0)
    result = result_of(lease, 9, 1500)
    assert result.dns == DNS(("10.7.0.1",), "example.org", ("a",))
    assert result.routes == (Route(dst="0.0.0.0/0", gw="10.7.0.1", priority=9, mtu=1300),)
    assert result_of(lease, 0, 1300).routes == (DEFAULT,)
    assert lease_of(ack({26: b"\0\x43"}), "", 0.0).mtu == 0

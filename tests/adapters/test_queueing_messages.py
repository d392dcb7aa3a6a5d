"""Disciplines and filters sent to the kernel, and read back by ``tc``, pyroute2 and our own readers."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from multinet.adapters import kernel_messages as messages
from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import FilterInfo, QdiscInfo
from multinet.core.desired import TokenBucket
from tests.adapters.reading import do, tc

INGRESS = 0xFFFF0000


@pytest.fixture
def stack(lab: Any) -> Iterator[NetworkStack]:
    """A host with the link ``p`` (index 7) and an ifb (8)."""
    do(lab, "ip link add p index 7 type veth peer name q")
    do(lab, "ip link add i index 8 type ifb")
    do(lab, "ip link set p up")
    do(lab, "ip link set q up")
    do(lab, "ip link set i up")
    lab.allowed |= {"p", "q", "i"}
    with NetworkStack(lab.host) as opened:
        yield opened


def done(stack: NetworkStack, *batch: bytes) -> None:
    assert stack.send(batch) == [None] * len(batch)


BUCKETS = [
    # rate and burst in bits, as the reference's tests have them: its own formula gives limit and buffer
    TokenBucket(link="p", rate=1, limit=1, buffer=15_625_000),
    TokenBucket(link="p", rate=2, limit=1, buffer=7_812_500),
    TokenBucket(link="p", rate=1000, limit=35, buffer=156_250),
    TokenBucket(link="p", rate=125_000, limit=103_125, buffer=12_500_000),
    # a burst whose time the kernel would work out differently
    TokenBucket(link="p", rate=1_250_000_000, limit=31_252_000, buffer=15),
    TokenBucket(link="p", rate=2**32 - 1, limit=2**32 - 1, buffer=3796),
    TokenBucket(link="p", rate=2**32, limit=2**32 - 1, buffer=3812),
    TokenBucket(link="p", rate=12_500_000_000, limit=2**32 - 1, buffer=2_684_354),
]


@pytest.mark.parametrize("item", BUCKETS)
def test_a_token_bucket_is_read_back_as_it_was_asked_for(
    lab: Any, stack: NetworkStack, item: TokenBucket
) -> None:
    done(stack, messages.token_bucket(item, 7))
    expected = QdiscInfo(7, "tbf", 0x10000, rt.TC_H_ROOT, item.rate, item.limit, item.buffer, 0)
    assert stack.qdiscs(7) == [expected]
    (shown,) = tc(lab, "qdisc", "show", "dev", "p")
    assert (shown["kind"], shown["handle"], shown["root"]) == ("tbf", "1:", True)
    assert shown["options"]["rate"] == item.rate
    assert "peakrate" not in shown["options"] and shown["options"]["mpu"] == 0
    (theirs,) = _as_pyroute2_sees(stack, 7)
    parameters = theirs.get_nested("TCA_OPTIONS", "TCA_TBF_PARMS")
    assert parameters["rate"] == min(item.rate, 2**32 - 1)
    assert (parameters["limit"], parameters["buffer"], parameters["mtu"]) == (item.limit, item.buffer, 0)


def _as_pyroute2_sees(stack: NetworkStack, index: int) -> list[Any]:
    """The disciplines that a dump shows, decoded by pyroute2."""
    found = []
    for answer in stack._socket.dump(rt.RTM_GETQDISC, rt.tcmsg(0)):
        message = tcmsg(nl.message(rt.RTM_NEWQDISC, 0, answer))
        message.decode()
        if message["index"] == index:
            found.append(message)
    return found


def test_the_burst_is_what_tc_calls_it(lab: Any, stack: NetworkStack) -> None:
    done(stack, messages.token_bucket(BUCKETS[3], 7))
    (shown,) = tc(lab, "qdisc", "show", "dev", "p")
    assert str(shown["options"]["burst"]).startswith("100000")
    assert shown["options"]["lat"] == 25_000, "25 ms"


def test_another_rate_in_place_of_the_first(stack: NetworkStack) -> None:
    done(stack, messages.token_bucket(BUCKETS[2], 7), messages.token_bucket(BUCKETS[3], 7))
    assert [qdisc.rate for qdisc in stack.qdiscs(7)] == [BUCKETS[3].rate]


def test_the_default_discipline_comes_back(lab: Any, stack: NetworkStack) -> None:
    before = tc(lab, "qdisc", "show", "dev", "p")
    assert stack.qdiscs(7) == []
    done(stack, messages.token_bucket(BUCKETS[2], 7), messages.delete_root_qdisc(7))
    assert tc(lab, "qdisc", "show", "dev", "p") == before and stack.qdiscs(7) == []
    (error,) = stack.send([messages.delete_root_qdisc(7)])
    assert error is not None and error.errno == errno.ENOENT


def test_disciplines_that_tc_made(lab: Any, stack: NetworkStack) -> None:
    do(
        lab,
        "tc qdisc add dev p root handle 5: tbf rate 8mbit burst 10000 limit 20000 peakrate 16mbit mtu 2000",
    )
    do(lab, "tc qdisc add dev p ingress")
    root, ingress = stack.qdiscs(7)
    assert (root.kind, root.handle, root.rate, root.limit, root.peak_rate) == (
        "tbf",
        0x50000,
        1_000_000,
        20_000,
        2_000_000,
    )
    assert ingress == QdiscInfo(7, "ingress", INGRESS, rt.TC_H_INGRESS)
    do(lab, "tc qdisc replace dev p root handle 6: htb")
    assert stack.qdiscs(7)[0] == QdiscInfo(7, "htb", 0x60000, rt.TC_H_ROOT)
    assert stack.qdiscs(12345) == []


def test_what_a_link_receives_is_redirected(lab: Any, stack: NetworkStack) -> None:
    batch = (messages.ingress_qdisc(7), messages.redirect_filter(7, 8))
    done(stack, *batch)
    expected = [FilterInfo(7, "u32", 0x80000800, INGRESS, 1, 3, True, 8, 0x10001, ((0, 0, 0),))]
    assert stack.filters(7, INGRESS) == expected
    done(stack, *batch)
    assert stack.filters(7, INGRESS) == expected, "a second time changes nothing"
    (shown,) = [
        f
        for f in tc(lab, "filter", "show", "dev", "p", "parent", "ffff:")
        if "fh" in f.get("options", {}) and "flowid" in f["options"]
    ]
    assert (shown["protocol"], shown["pref"], shown["kind"]) == ("all", 1, "u32")
    text = lab.run("tc", "filter", "show", "dev", "p", "parent", "ffff:")
    for word in ("match 00000000/00000000 at 0", "flowid 1:1", "mirred (Egress Redirect to device i) stolen"):
        assert word in text
    done(stack, messages.delete_redirect_filter(7))
    assert stack.filters(7, INGRESS) == []
    done(stack, messages.redirect_filter(7, 8), messages.delete_ingress_qdisc(7))
    assert stack.filters(7, INGRESS) == [] and stack.qdiscs(7) == []
    (error,) = stack.send([messages.delete_ingress_qdisc(7)])
    assert error is not None and error.errno in (errno.EINVAL, errno.ENOENT)


def test_frames_really_take_the_way(lab: Any, stack: NetworkStack) -> None:
    done(stack, messages.ingress_qdisc(7), messages.redirect_filter(7, 8))

    def seen() -> int:
        (link,) = json.loads(lab.run("ip", "-j", "-s", "link", "show", "dev", "i"))
        return int(link["stats64"]["tx"]["packets"])

    before = seen()
    with lab.host.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("q", 0))
        for _ in range(3):
            raw.send(b"\xff" * 6 + b"\x02\0\0\0\0\7" + b"\x88\xb5" + b"\0" * 50)
    assert seen() >= before + 3


def test_filters_that_tc_made(lab: Any, stack: NetworkStack) -> None:
    do(lab, "tc qdisc add dev p ingress")
    assert stack.filters(7, INGRESS) == []
    add = "tc filter add dev p parent ffff:"
    do(lab, f"{add} prio 5 protocol ip u32 match ip src 10.1.2.3 flowid 1:1")
    do(lab, f"{add} prio 6 protocol all u32 match u32 0 0 action mirred egress mirror dev i")
    do(lab, f"{add} prio 7 protocol all u32 match u32 0 0 action mirred egress redirect dev q")
    q = lab.links()["q"].index
    found = [(f.priority, f.protocol, f.match_all, f.redirect_to) for f in stack.filters(7, INGRESS)]
    assert found == [(5, 0x0800, False, 0), (6, 3, True, 0), (7, 3, True, q)]
    assert stack.filters(12345, INGRESS) == []

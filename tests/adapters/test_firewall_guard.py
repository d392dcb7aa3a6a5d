"""The MAC guard by real frames between two ports of a bridge."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from multinet.adapters.firewall import HostFirewall
from multinet.adapters.netns import Netns
from multinet.core.desired import MacGuard, Owner

ETHERTYPE = 0x88B5  # for local experiments
MAC_A, MAC_B, SPOOFED = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:66"
A = Owner("net", "aaaa", "eth0")
GUARD = MacGuard(link="veth-a", mac=MAC_A, owner=A)


class Segment:
    """Two sandboxes on one bridge."""

    def __init__(self, lab) -> None:
        self.lab = lab
        self.a, self.b = lab.sandbox(), lab.sandbox()
        self.firewall = HostFirewall(lab.host)
        lab.allowed |= {"br0", "veth-a", "veth-b"}
        lab.ip("link", "add", "br0", "type", "bridge")
        lab.ip("link", "set", "br0", "up")
        for name, netns, mac in (("veth-a", self.a, MAC_A), ("veth-b", self.b, MAC_B)):
            lab.ip("link", "add", name, "type", "veth", "peer", "name", "peer0", "address", mac)
            lab.ip("link", "set", "peer0", "name", "eth0", "netns", netns.path)
            lab.ip("link", "set", name, "master", "br0", "up")
            lab.ip("link", "set", "eth0", "up", netns=netns)

    def arrives(self, sender: Netns, source: str, receiver: Netns) -> bool:
        """Whether a broadcast frame with this source MAC crosses the bridge."""
        with receiver.entered():
            ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
            ear.bind(("eth0", ETHERTYPE))
        with sender.entered():
            mouth = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            mouth.bind(("eth0", 0))
        with ear, mouth:
            mac = bytes.fromhex(source.replace(":", ""))
            mouth.send(b"\xff" * 6 + mac + ETHERTYPE.to_bytes(2, "big") + b"multinet".ljust(46, b"\0"))
            ear.settimeout(0.5)
            with suppress(TimeoutError):
                while True:
                    if ear.recv(2000)[6:12] == mac:
                        return True
        return False


@pytest.fixture
def segment(lab) -> Iterator[Segment]:
    segment = Segment(lab)
    try:
        yield segment
    finally:
        segment.firewall.close()


def test_only_the_links_own_mac_passes(segment: Segment) -> None:
    assert segment.arrives(segment.a, SPOOFED, segment.b)
    segment.firewall.apply([GUARD])
    assert segment.firewall.compare([GUARD]) == []
    assert segment.arrives(segment.a, MAC_A, segment.b)
    assert not segment.arrives(segment.a, SPOOFED, segment.b)
    assert not segment.arrives(segment.a, MAC_B, segment.b)
    assert segment.arrives(segment.b, SPOOFED, segment.a), "an unguarded link is free"
    segment.firewall.remove([GUARD])
    segment.firewall.remove([GUARD])
    assert segment.arrives(segment.a, SPOOFED, segment.b)
    assert "veth-a" not in segment.lab.run("nft", "list", "ruleset")


def test_a_changed_mac_replaces_the_former_one(segment: Segment) -> None:
    segment.firewall.apply([GUARD])
    changed = MacGuard(link="veth-a", mac=SPOOFED, owner=A)
    [missing, surplus] = segment.firewall.compare([changed])
    assert SPOOFED in str(missing) and MAC_A in str(surplus)
    segment.firewall.apply([changed])
    assert segment.firewall.compare([changed]) == []
    assert segment.arrives(segment.a, SPOOFED, segment.b)
    assert not segment.arrives(segment.a, MAC_A, segment.b)


def test_capital_letters_in_a_mac_make_no_difference(segment: Segment) -> None:
    shouted = MacGuard(link="veth-a", mac=MAC_A.upper(), owner=A)
    segment.firewall.apply([shouted])
    assert segment.firewall.compare([GUARD, shouted]) == []


def test_a_link_taken_over_by_another_attachment_stays_guarded(segment: Segment) -> None:
    taken = MacGuard(link="veth-a", mac=MAC_A, owner=Owner("other", "aaaa", "eth0"))
    segment.firewall.apply([GUARD])
    segment.firewall.apply([taken])
    segment.firewall.remove([GUARD])
    segment.firewall.sweep(A)
    segment.firewall.collect("net", ())
    assert segment.firewall.compare([taken]) == []
    assert not segment.arrives(segment.a, SPOOFED, segment.b)
    segment.firewall.collect("other", ())
    assert segment.arrives(segment.a, SPOOFED, segment.b)


@pytest.mark.parametrize(
    "damage",
    [
        "delete table bridge multinet",
        "flush chain bridge multinet mac-guard",
        "flush set bridge multinet guarded",
        "flush set bridge multinet allowed",
        "delete set bridge multinet claims",
    ],
)
def test_damage_is_reported_and_repaired(segment: Segment, damage: str) -> None:
    segment.firewall.apply([GUARD])
    segment.lab.run("nft", damage)
    assert segment.firewall.compare([GUARD])
    segment.firewall.apply([GUARD])
    assert segment.firewall.compare([GUARD]) == []
    assert segment.arrives(segment.a, MAC_A, segment.b)
    assert not segment.arrives(segment.a, SPOOFED, segment.b)
    segment.lab.run("nft", damage)
    segment.firewall.sweep(A)
    segment.firewall.remove([GUARD])
    assert "veth-a" not in segment.lab.run("nft", "list", "ruleset")

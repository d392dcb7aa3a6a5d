"""Raw sockets on a real link: what gets in, what doesn't, and what the pod's kernel says meanwhile."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from multinet.dhcp.datagram import unwrap, wrap
from multinet.dhcp.link_socket import LinkSocket

from .servers import until


class Wire:
    """A pair of links: ``eth0`` in the pod, ``wan0`` in the server's namespace."""

    def __init__(self, lab: Any) -> None:
        self.pod, self.server = lab.sandbox(), lab.sandbox()
        peer = ("peer", "name", "wan0", "netns", self.server.path)
        lab.ip("link", "add", "eth0", "type", "veth", *peer, netns=self.pod)
        for name, netns, address in (("eth0", self.pod, "10.7.0.50"), ("wan0", self.server, "10.7.0.1")):
            lab.ip("addr", "add", f"{address}/24", "dev", name, netns=netns)
            lab.ip("link", "set", name, "up", netns=netns)
        for name, netns in (("eth0", self.pod), ("wan0", self.server)):
            until(lambda name=name, netns=netns: lab.links(netns)[name].running, f"a carrier on {name}")
        self.index = lab.links(self.pod)["eth0"].index
        self.server_mac = lab.links(self.server)["wan0"].mac

    def open(self) -> LinkSocket:
        return LinkSocket(self.pod, "eth0", self.index)

    def send(self, port: int, payload: bytes, to: str = "10.7.0.50") -> None:
        """An ordinary UDP packet from the server's port 67."""
        with self.server.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.bind(("10.7.0.1", 67))
            sender.sendto(payload, (to, port))


@pytest.fixture
def wire(lab: Any) -> Iterator[Wire]:
    yield Wire(lab)


def heard(link: LinkSocket, seconds: float = 1.0) -> list[bytes]:
    """All payloads that come within a while; at most one is expected."""
    found = []
    while select.select([link], [], [], seconds)[0]:
        received = link.receive()
        if received is not None:
            found.append(received[0])
        seconds = 0.2
    return found


@pytest.mark.parametrize("to", ["10.7.0.50", "255.255.255.255"])
def test_only_what_is_for_clients(wire: Wire, to: str) -> None:
    link = wire.open()
    wire.send(69, b"other port", to)
    wire.send(68, b"x" * 4000, to)  # its later fragments have no port
    wire.send(68, b"hello", to)
    packets = heard(link)
    assert [payload for packet in packets if (payload := unwrap(packet)) is not None] == [b"hello"]
    assert len(packets) <= 2  # the first fragment passes the filter, and is refused as no whole packet
    link.close()
    link.close()


def test_nothing_arrives_without_a_question_about_the_interface(wire: Wire) -> None:
    with pytest.raises(OSError, match="another interface"):
        LinkSocket(wire.pod, "eth0", wire.index + 1)
    with pytest.raises(OSError):
        LinkSocket(wire.pod, "eth9", wire.index)


@pytest.mark.parametrize("listening", [False, True])
def test_the_pods_kernel_does_not_refuse_answers(wire: Wire, listening: bool) -> None:
    """Without a socket on the port it would answer with ICMP."""
    with wire.server.entered():
        icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    link = wire.open() if listening else None
    with icmp:
        wire.send(68, b"hello")
        refused = bool(select.select([icmp], [], [], 1.0)[0])
    assert refused is not listening
    if link is not None:
        link.close()


def test_a_port_that_the_pod_itself_uses(wire: Wire) -> None:
    with wire.pod.entered():
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with own:
        own.bind(("0.0.0.0", 68))
        link = wire.open()
        wire.send(68, b"hello")
        assert [unwrap(packet) for packet in heard(link)] == [b"hello"]
        assert own.recv(100) == b"hello"
        link.close()


def test_what_is_sent_arrives(wire: Wire) -> None:
    """An ordinary UDP socket takes it: both checksums are right."""
    with wire.server.entered():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.bind(("0.0.0.0", 67))
        server.settimeout(5)
        link = wire.open()
        link.send(wrap(b"one!", IPv4Address(0), IPv4Address("255.255.255.255")))
        assert server.recvfrom(100)[0] == b"one!"
        link.send(wrap(b"two", IPv4Address("10.7.0.50"), IPv4Address("10.7.0.1")), wire.server_mac)
        assert server.recvfrom(100) == (b"two", ("10.7.0.50", 68))
        link.close()


def test_a_link_that_is_down_is_no_failure(wire: Wire, lab: Any) -> None:
    """It may be up again at the next try."""
    link = wire.open()
    lab.ip("link", "set", "eth0", "down", netns=wire.pod)
    link.send(wrap(b"", IPv4Address(0), IPv4Address("255.255.255.255")))
    assert link.receive() is None
    link.close()

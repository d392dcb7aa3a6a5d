"""bridge: packets. Pods reach one another, the gateway and what is beyond, unless they shouldn't."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from multinet.adapters.netns import Netns

V4, V6 = "10.1.2.0/24", "2001:db8:1::/64"
ETHERTYPE = 0x88B5
"""IEEE 802, "local experimental"."""


@pytest.fixture
def br(bench: Any) -> Any:
    bench.lab.allowed.add("br0")
    return bench


@contextmanager
def packet_socket(netns: Netns, link: str, protocol: int = ETHERTYPE) -> Iterator[socket.socket]:
    with netns.entered():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
        raw.bind((link, protocol))
    raw.settimeout(1.0)
    with raw:
        yield raw


def frame(source: str, payload: bytes, target: str = "ff:ff:ff:ff:ff:ff") -> bytes:
    pack = bytes.fromhex(target.replace(":", "") + source.replace(":", ""))
    return pack + struct.pack("!H", ETHERTYPE) + payload.ljust(46, b"\0")


def hears(listener: socket.socket, payload: bytes) -> bool:
    """Whether the payload arrives before the listener's patience ends."""
    try:
        while True:
            if payload in listener.recv(2048):
                return True
    except TimeoutError:
        return False


@pytest.mark.parametrize(("subnet", "gateway"), [(V4, "10.1.2.1"), (V6, "2001:db8:1::1")])
def test_pods_reach_one_another_and_the_gateway(br: Any, make: Any, subnet: str, gateway: str) -> None:
    conf = make("bridge", bridge="br0", isGateway=True, ipam=br.host_local(subnet))
    one, two = br.pod(), br.pod()
    one.add(conf)
    two.add(conf)
    (address,) = two.addresses()
    assert one.ping(address.partition("/")[0])
    assert one.ping(gateway) and two.ping(gateway)


def test_duplicate_detection_does_not_keep_pods_apart(br: Any, make: Any) -> None:
    conf = make("bridge", bridge="br0", isGateway=True, enabledad=True, ipam=br.host_local(V6))
    one, two = br.pod(), br.pod()
    one.add(conf)
    two.add(conf)
    assert one.ping(two.addresses()[0].partition("/")[0])


def test_isolated_ports_reach_the_gateway_but_not_one_another(br: Any, make: Any) -> None:
    conf = make("bridge", bridge="br0", isGateway=True, portIsolation=True, ipam=br.host_local(V4))
    one, two = br.pod(), br.pod()
    free = br.pod()
    for pod, isolated in ((one, True), (two, True), (free, False)):
        pod.add(conf | {"portIsolation": isolated})
    assert one.ping("10.1.2.1") and two.ping("10.1.2.1")
    assert one.ping("10.1.2.4"), "a port that isn't isolated is reached"
    with packet_socket(two.netns, "eth0") as listener, packet_socket(one.netns, "eth0") as sender:
        sender.send(frame(one.link()["address"], b"isolated?"))
        assert not hears(listener, b"isolated?")


@pytest.mark.parametrize("hairpin", [True, False])
def test_hairpin_sends_frames_back_to_their_port(br: Any, make: Any, hairpin: bool) -> None:
    pod = br.pod()
    pod.add(make("bridge", bridge="br0", hairpinMode=hairpin))
    with packet_socket(pod.netns, "eth0") as listener, packet_socket(pod.netns, "eth0", 0x88B6) as sender:
        sender.send(frame(pod.link()["address"], b"boomerang"))
        assert hears(listener, b"boomerang") is hairpin


@pytest.mark.parametrize("guarded", [True, False])
def test_spoofed_frames_are_dropped(br: Any, make: Any, guarded: bool) -> None:
    liar, listener = br.pod(), br.pod()
    liar.add(make("bridge", bridge="br0", macspoofchk=guarded))
    listener.add(make("bridge", bridge="br0"))
    own = liar.link()["address"]
    with packet_socket(listener.netns, "eth0") as ear, packet_socket(liar.netns, "eth0") as mouth:
        mouth.send(frame("02:de:ad:be:ef:00", b"spoofed"))
        assert hears(ear, b"spoofed") is not guarded
        mouth.send(frame(own, b"honest"))
        assert hears(ear, b"honest")


def test_the_guard_goes_with_its_pod_and_not_with_another(br: Any, make: Any) -> None:
    conf = make("bridge", bridge="br0", macspoofchk=True)
    liar, other, listener = br.pod(), br.pod(), br.pod()
    for pod in (liar, other, listener):
        pod.add(conf)
    other.delete(conf)
    with packet_socket(listener.netns, "eth0") as ear, packet_socket(liar.netns, "eth0") as mouth:
        mouth.send(frame("02:de:ad:be:ef:00", b"spoofed"))
        assert not hears(ear, b"spoofed")


class Echo:
    """A UDP server beyond the host that answers with the address it saw."""

    def __init__(self, netns: Netns, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.entered():
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((address, 7777))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(512)
            if data == b"end":
                self._socket.close()
                return
            self._socket.sendto(sender[0].encode(), sender)

    def seen_from(self, netns: Netns, address: str, source: str = "") -> str:
        """The source address that the server sees, asked from inside ``netns``; "" without an answer."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.entered():
            client = socket.socket(family, socket.SOCK_DGRAM)
        with client:
            client.settimeout(1.0)
            if source:
                client.bind((source, 0))
            for _ in range(5):
                try:
                    client.sendto(b"who am I?", (address, 7777))
                    return client.recv(512).decode()
                except TimeoutError:
                    continue
        return ""

    def close(self, netns: Netns, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.entered(), socket.socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(b"end", (address, 7777))
        self._thread.join(5)


BEYOND = {
    V4: ("203.0.113.1/24", "203.0.113.2", "10.1.2.2"),
    V6: ("2001:db8:f::1/64", "2001:db8:f::2", "2001:db8:1::2"),
}


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
@pytest.mark.parametrize("subnet", [V4, V6], ids=["v4", "v6"])
@pytest.mark.parametrize("masquerade", [True, False], ids=["masq", "plain"])
def test_what_leaves_the_subnet_is_masqueraded(
    br: Any, make: Any, backend: str, subnet: str, masquerade: bool
) -> None:
    beyond = br.uplink("up0")
    host, server, address = BEYOND[subnet]
    prefix = host.rpartition("/")[2]
    br.lab.ip("addr", "add", host, "dev", "up0", "nodad")
    br.lab.ip("addr", "add", f"{server}/{prefix}", "dev", "wan0", "nodad", netns=beyond)
    br.lab.ip("route", "add", subnet, "via", host.partition("/")[0], netns=beyond)
    conf = make(
        "bridge",
        bridge="br0",
        isDefaultGateway=True,
        ipMasq=masquerade,
        ipMasqBackend=backend,
        ipam=br.host_local(subnet),
    )
    pod, neighbour = br.pod(), br.pod()
    pod.add(conf)
    neighbour.add(conf)
    pod.check_both(conf)
    outside, inside = Echo(beyond, server), Echo(neighbour.netns, neighbour.addresses()[0].partition("/")[0])
    gateway = host.partition("/")[0]
    assert outside.seen_from(pod.netns, server) == (gateway if masquerade else address)
    near = neighbour.addresses()[0].partition("/")[0]
    assert inside.seen_from(pod.netns, near) == address, "within the subnet the address is kept"
    neighbour.delete(conf)
    assert outside.seen_from(pod.netns, server) == (gateway if masquerade else address)
    outside.close(beyond, server)
    rules = br.lab.run("nft", "list", "ruleset")
    assert (address in rules) is masquerade
    pod.delete(conf)
    assert address not in br.lab.run("nft", "list", "ruleset")


def test_addresses_are_announced_when_the_link_goes_up(br: Any, make: Any) -> None:
    """Gratuitous ARP reaches the bridge's other ports, so that their caches forget an earlier holder."""
    conf = make("bridge", bridge="br0", ipam=br.host_local(V4))
    witness, pod = br.pod(), br.pod()
    witness.add(conf)
    with packet_socket(witness.netns, "eth0", 0x0806) as ear:
        pod.add(conf)
        announced = socket.inet_aton("10.1.2.3")
        seen = []
        try:
            while len(seen) < 50:
                seen.append(ear.recv(2048))
                if seen[-1][28:32] == announced == seen[-1][38:42]:
                    break
        except TimeoutError:
            pytest.fail(f"no gratuitous ARP among {len(seen)} frames")


def test_large_packets_fit_the_mtu_asked_for(br: Any, make: Any) -> None:
    conf = make("bridge", bridge="br0", mtu=9000, isGateway=True, ipam=br.host_local(V4))
    one, two = br.pod(), br.pod()
    one.add(conf)
    two.add(conf)
    output = br.lab.run(
        *("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "8972", "10.1.2.3"),
        netns=one.netns,
        check=False,
    )
    assert "1 received" in output, output

"""Masquerade by real traffic: two routed pods, a host, and a machine outside that says who it sees."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterator
from typing import Literal

import pytest

from multinet.adapters.firewall import HostFirewall
from multinet.adapters.netns import Netns
from multinet.core.desired import Masquerade, Owner
from multinet.ports import Firewall

Backend = Literal["nftables", "iptables"]
BOTH = pytest.mark.parametrize("backend", ["nftables", "iptables"])
FAMILIES = pytest.mark.parametrize("version", [4, 6])

HOST = {4: "192.0.2.2", 6: "2001:db8::2"}
OUTSIDE = {4: "192.0.2.1", 6: "2001:db8::1"}
POD_A = {4: "10.1.0.2", 6: "fd01::2"}
POD_B = {4: "10.1.0.3", 6: "fd01::3"}
LENGTH = {4: 24, 6: 64}
A = Owner("net", "aaaa", "eth0")
B = Owner("net", "bbbb", "eth0")


class Town:
    """The namespaces, wired up, and the firewall of the host."""

    def __init__(self, lab) -> None:
        self.lab = lab
        self.host = lab.host
        self.outside, self.a, self.b = lab.sandbox(), lab.sandbox(), lab.sandbox()
        self.firewall = HostFirewall(self.host)
        self._wire("out", self.outside)
        lab.ip("addr", "add", f"{HOST[4]}/24", "dev", "out")
        lab.ip("addr", "add", f"{HOST[6]}/64", "dev", "out", "nodad")
        lab.ip("addr", "add", f"{OUTSIDE[4]}/24", "dev", "eth0", netns=self.outside)
        lab.ip("addr", "add", f"{OUTSIDE[6]}/64", "dev", "eth0", "nodad", netns=self.outside)
        # With a way back, a connection works masqueraded or not, and the source address alone decides a test.
        lab.ip("route", "add", "10.1.0.0/16", "via", HOST[4], netns=self.outside)
        lab.ip("route", "add", "fd01::/48", "via", HOST[6], netns=self.outside)
        self._pod("veth-a", self.a, POD_A)
        self._pod("veth-b", self.b, POD_B)
        lab.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def _wire(self, name: str, netns: Netns) -> None:
        self.lab.allowed.add(name)
        self.lab.ip("link", "add", name, "type", "veth", "peer", "name", "peer0")
        self.lab.run("ip", "link", "set", "peer0", "name", "eth0", "netns", netns.path)
        self.lab.ip("link", "set", "eth0", "up", netns=netns)
        self.lab.ip("link", "set", name, "up")

    def _pod(self, name: str, netns: Netns, address: dict[int, str]) -> None:
        self._wire(name, netns)
        run = self.lab.ip
        run("addr", "add", f"{address[4]}/32", "dev", "eth0", netns=netns)
        run("addr", "add", f"{address[6]}/128", "dev", "eth0", "nodad", netns=netns)
        run("addr", "add", "169.254.1.1/32", "dev", name)
        run("addr", "add", "fe80::1/64", "dev", name, "nodad")
        run("route", "add", f"{address[4]}/32", "dev", name)
        run("-6", "route", "add", f"{address[6]}/128", "dev", name)
        run("route", "add", "default", "via", "169.254.1.1", "dev", "eth0", "onlink", netns=netns)
        run("-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0", netns=netns)

    def seen(self, client: Netns, source: str, server: Netns, target: str) -> str:
        """The address that the server sees a TCP connection from ``source`` come from."""
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        with server.entered():
            listener = socket.create_server((target, 0), family=family)
        listener.settimeout(5)
        with client.entered():
            caller = socket.socket(family)
        caller.settimeout(5)
        with listener, caller:
            caller.bind((source, 0))
            caller.connect((target, listener.getsockname()[1]))
            accepted, peer = listener.accept()
            accepted.close()
        return str(peer[0])

    def items(self, version: int, backend: Backend = "nftables") -> list[Masquerade]:
        length = LENGTH[version]
        return [
            Masquerade(cidr=f"{POD_A[version]}/{length}", owner=A, backend=backend),
            Masquerade(cidr=f"{POD_B[version]}/{length}", owner=B, backend=backend),
        ]

    def ruleset(self) -> str:
        return self.lab.run("nft", "list", "ruleset")


@pytest.fixture
def town(lab) -> Iterator[Town]:
    town = Town(lab)
    try:
        yield town
    finally:
        town.firewall.close()


def test_it_is_the_firewall_of_the_ports(town: Town) -> None:
    firewall: Firewall = town.firewall
    assert firewall.compare([]) == []


@BOTH
@FAMILIES
def test_traffic_leaving_the_subnet_takes_the_hosts_address(
    town: Town, backend: Backend, version: int
) -> None:
    items = town.items(version, backend)
    outside = (town.outside, OUTSIDE[version])
    assert town.seen(town.a, POD_A[version], *outside) == POD_A[version]
    town.firewall.apply(items)
    assert town.firewall.compare(items) == []
    assert town.seen(town.a, POD_A[version], *outside) == HOST[version]
    assert town.seen(town.b, POD_B[version], *outside) == HOST[version]
    assert town.seen(town.a, POD_A[version], town.b, POD_B[version]) == POD_A[version]
    town.firewall.remove(items[:1])
    assert town.seen(town.a, POD_A[version], *outside) == POD_A[version]
    assert town.seen(town.b, POD_B[version], *outside) == HOST[version]
    town.firewall.remove(items)
    town.firewall.remove(items)
    assert town.seen(town.b, POD_B[version], *outside) == POD_B[version]


@BOTH
@FAMILIES
def test_multicast_keeps_its_source(town: Town, backend: Backend, version: int) -> None:
    # The host's own multicast passes the same hook; a source in our sets is all the rule looks at.
    source = {4: "10.1.0.9", 6: "fd01::9"}[version]
    town.lab.ip("addr", "add", *{4: (f"{source}/32",), 6: (f"{source}/128", "nodad")}[version], "dev", "lo")
    town.firewall.apply([Masquerade(cidr=f"{source}/{LENGTH[version]}", owner=A, backend=backend)])
    assert town.seen(town.host, source, town.outside, OUTSIDE[version]) == HOST[version]
    assert _multicast_source(town, source, version) == source


def _multicast_source(town: Town, source: str, version: int) -> str:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with town.outside.entered():
        receiver = socket.socket(family, socket.SOCK_DGRAM)
        receiver.settimeout(5)
        receiver.bind(("", 5353))
        if version == 4:
            group = "239.1.2.3"
            membership = socket.inet_aton(group) + socket.inet_aton(OUTSIDE[4])
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        else:
            group = "ff05::1:3"
            index = socket.if_nametoindex("eth0").to_bytes(4, "little")
            receiver.setsockopt(
                socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(family, group) + index
            )
    with town.host.entered():
        sender = socket.socket(family, socket.SOCK_DGRAM)
        out = socket.if_nametoindex("out")
        if version == 4:
            request = socket.inet_aton(group) + socket.inet_aton("0.0.0.0") + out.to_bytes(4, "little")
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        else:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, out)
    with receiver, sender:
        sender.bind((source, 0))
        sender.sendto(b"hello", (group, 5353))
        return str(receiver.recvfrom(100)[1][0])


@BOTH
def test_two_subnets_of_one_attachment_are_each_left_alone(town: Town, backend: Backend) -> None:
    # Both addresses are the pod's; traffic inside the second subnet must not be masqueraded either.
    for name, address, netns in (("veth-a", "10.1.7.2", town.a), ("veth-b", "10.1.7.3", town.b)):
        town.lab.ip("addr", "add", f"{address}/32", "dev", "eth0", netns=netns)
        town.lab.ip("route", "add", f"{address}/32", "dev", name)
    items = [Masquerade(cidr=c, owner=A, backend=backend) for c in ("10.1.0.2/24", "10.1.7.2/24")]
    town.firewall.apply(items)
    assert town.seen(town.a, "10.1.0.2", town.b, POD_B[4]) == "10.1.0.2"
    assert town.seen(town.a, "10.1.7.2", town.b, "10.1.7.3") == "10.1.7.2"
    assert town.seen(town.a, "10.1.7.2", town.outside, OUTSIDE[4]) == HOST[4]
    town.firewall.remove(items[:1])
    assert town.firewall.compare(items[1:]) == []
    assert town.seen(town.a, "10.1.7.2", town.b, "10.1.7.3") == "10.1.7.2"
    assert town.seen(town.a, "10.1.7.2", town.outside, OUTSIDE[4]) == HOST[4]


@pytest.mark.parametrize(
    "cidr", ["10.1.0.2/8", "10.1.0.2/31", "10.1.0.2/32", "10.1.0.2/13", "fd01::2/128", "fd01::2/4"]
)
def test_every_prefix_length_works(town: Town, cidr: str) -> None:
    version = 6 if ":" in cidr else 4
    items = [Masquerade(cidr=cidr, owner=A)]
    town.firewall.apply(items)
    assert town.firewall.compare(items) == []
    assert town.seen(town.a, POD_A[version], town.outside, OUTSIDE[version]) == HOST[version]
    inside = ipaddress.ip_address(POD_B[version]) in ipaddress.ip_interface(cidr).network
    for_neighbour = town.seen(town.a, POD_A[version], town.b, POD_B[version])
    assert (for_neighbour == POD_A[version]) is inside


@BOTH
def test_attachments_of_one_container_to_one_network_are_apart(town: Town, backend: Backend) -> None:
    first = Masquerade(cidr="10.1.0.2/24", owner=Owner("net", "cccc", "net1"), backend=backend)
    second = Masquerade(cidr="10.1.0.3/24", owner=Owner("net", "cccc", "net2"), backend=backend)
    town.firewall.apply([first])
    town.firewall.apply([second])
    town.firewall.sweep(first.owner)
    assert town.firewall.compare([second]) == []
    assert town.seen(town.b, POD_B[4], town.outside, OUTSIDE[4]) == HOST[4]
    assert town.seen(town.a, POD_A[4], town.outside, OUTSIDE[4]) == POD_A[4]
    town.firewall.remove([second])
    assert town.seen(town.b, POD_B[4], town.outside, OUTSIDE[4]) == POD_B[4]


@pytest.mark.parametrize("way", ["remove", "sweep", "collect"])
@BOTH
def test_a_late_removal_leaves_the_newer_owner_alone(town: Town, backend: Backend, way: str) -> None:
    old = Masquerade(cidr="10.1.0.2/24", owner=A, backend=backend)
    new = Masquerade(cidr="10.1.0.2/24", owner=B, backend=backend)
    town.firewall.apply([old])
    town.firewall.apply([new])
    if way == "remove":
        town.firewall.remove([old])
    elif way == "sweep":
        town.firewall.sweep(A)
    else:
        town.firewall.collect("net", [(B.container_id, B.ifname)])
    assert town.firewall.compare([new]) == []
    assert town.seen(town.a, POD_A[4], town.outside, OUTSIDE[4]) == HOST[4]


@pytest.mark.parametrize(
    "damage",
    [
        "flush ruleset",
        "delete table inet multinet",
        "flush table inet multinet",
        "flush chain inet multinet postrouting4-24",
        "flush set inet multinet masquerade4-24",
        "flush set inet multinet claims4-24",
        "delete set inet multinet claims4-24",
    ],
)
def test_damage_is_reported_and_repaired(town: Town, damage: str) -> None:
    items = town.items(4)
    town.firewall.apply(items)
    town.lab.run("nft", damage)
    differences = town.firewall.compare(items)
    assert differences and all("multinet" in d.subject for d in differences)
    town.firewall.apply(items)
    assert town.firewall.compare(items) == []
    assert town.seen(town.a, POD_A[4], town.outside, OUTSIDE[4]) == HOST[4]
    before = json.loads(town.lab.run("nft", "-j", "list", "ruleset"))
    assert len([e for e in before["nftables"] if "rule" in e]) == 1
    town.lab.run("nft", damage)
    town.firewall.remove(items)
    town.firewall.sweep(A)
    assert town.seen(town.a, POD_A[4], town.outside, OUTSIDE[4]) == POD_A[4]
    assert "10.1.0.2" not in town.ruleset()


def test_foreign_owner_is_named(town: Town) -> None:
    [item, _] = town.items(4)
    town.firewall.apply([Masquerade(cidr=item.cidr, owner=B)])
    [difference] = town.firewall.compare([item])
    assert difference.want == "multinet:net/aaaa/eth0"
    assert difference.have == "multinet:net/bbbb/eth0"
    assert "10.1.0.2" in str(difference)


def test_collect_goes_by_network(town: Town) -> None:
    items = [*town.items(4), *town.items(6), *town.items(4, "iptables"), *town.items(6, "iptables")]
    other = [
        Masquerade(cidr="10.1.0.8/24", owner=Owner("net2", "aaaa", "eth0")),
        Masquerade(cidr="10.1.0.9/24", owner=Owner("net2", "aaaa", "eth0"), backend="iptables"),
    ]
    town.firewall.apply([*items, *other])
    town.firewall.collect("net", {("aaaa", "eth0")})
    kept = [item for item in items if item.owner == A]
    assert town.firewall.compare([*kept, *other]) == []
    assert POD_B[4] not in town.ruleset() and POD_B[6] not in town.ruleset()
    town.firewall.collect("net", ())
    assert town.firewall.compare(other) == []
    assert POD_A[4] not in town.ruleset()

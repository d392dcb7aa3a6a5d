"""A node with two pods on a bridge, a machine outside, and one beyond that the node routes to."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from multinet.adapters.firewall import HostFirewall
from multinet.adapters.netns import Netns
from multinet.core.desired import Owner, PortMapping
from tests.adapters.servers import server

GATEWAY = {4: "10.9.0.1", 6: "fd09::1"}
POD_A = {4: "10.9.0.2", 6: "fd09::2"}
POD_B = {4: "10.9.0.3", 6: "fd09::3"}
NODE = {4: "192.0.2.2", 6: "2001:db8::2"}
SECOND = {4: "192.0.2.3", 6: "2001:db8::3"}
OUTSIDE = {4: "192.0.2.1", 6: "2001:db8::1"}
BEYOND = {4: "198.51.100.1", 6: "2001:db8:1::1"}
BEYOND_NODE = {4: "198.51.100.2", 6: "2001:db8:1::2"}
LENGTH = {4: 24, 6: 64}
A = Owner("net", "aaaa", "eth0")
B = Owner("net", "bbbb", "eth0")


class Node:
    """The namespaces, wired up, and the firewall of the node."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.host: Netns = lab.host
        self.outside, self.beyond = lab.sandbox(), lab.sandbox()
        self.a, self.b = lab.sandbox(), lab.sandbox()
        self.firewall = HostFirewall(self.host)
        lab.allowed |= {"br0", "out", "far", "veth-a", "veth-b"}
        lab.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        lab.ip("link", "add", "br0", "type", "bridge")
        self._wire("out", self.outside)
        self._wire("far", self.beyond)
        for name, pod in (("veth-a", self.a), ("veth-b", self.b)):
            self._wire(name, pod)
            lab.ip("link", "set", name, "master", "br0")
        lab.ip("link", "set", "br0", "up")
        places = [
            ("br0", GATEWAY, None),
            ("out", NODE, None),
            ("out", SECOND, None),
            ("far", BEYOND_NODE, None),
            ("eth0", OUTSIDE, self.outside),
            ("eth0", BEYOND, self.beyond),
            ("eth0", POD_A, self.a),
            ("eth0", POD_B, self.b),
        ]
        for link, address, netns in places:
            lab.ip("addr", "add", f"{address[4]}/24", "dev", link, netns=netns)
            lab.ip("addr", "add", f"{address[6]}/64", "dev", link, "nodad", netns=netns)
        gateways = [
            (self.outside, NODE),
            (self.beyond, BEYOND_NODE),
            (self.a, GATEWAY),
            (self.b, GATEWAY),
        ]
        for netns, gateway in gateways:
            lab.ip("route", "add", "default", "via", gateway[4], netns=netns)
            lab.ip("-6", "route", "add", "default", "via", gateway[6], netns=netns)
        # What the delegate does for 127.0.0.1; and packets inside the bridge stay inside it.
        lab.run("sysctl", "-qw", "net.ipv4.conf.br0.route_localnet=1")
        lab.run(
            "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0"
        )
        self._servers = ExitStack()

    def close(self) -> None:
        self._servers.close()
        self.firewall.close()

    def serve(
        self, netns: Netns, address: dict[int, str], port: int, protocol: str = "tcp", name: str = ""
    ) -> None:
        """A server on both addresses until the test is over."""
        for version in (4, 6):
            self._servers.enter_context(server(netns, address[version], port, protocol, name))

    def _wire(self, name: str, netns: Netns) -> None:
        self.lab.ip("link", "add", name, "type", "veth", "peer", "name", "peer0")
        self.lab.ip("link", "set", "peer0", "name", "eth0", "netns", netns.path)
        self.lab.ip("link", "set", "eth0", "up", netns=netns)
        self.lab.ip("link", "set", name, "up")


def mapping(version: int = 4, **changes: Any) -> PortMapping:
    """8080/tcp of the node to port 80 of pod A."""
    fields: dict[str, Any] = {
        "owner": A,
        "protocol": "tcp",
        "host_port": 8080,
        "container_cidr": f"{POD_A[version]}/{LENGTH[version]}",
        "container_port": 80,
    }
    return PortMapping(**{**fields, **changes})


def to_b(version: int = 4, **changes: Any) -> PortMapping:
    """8080/tcp of the node to port 80 of pod B."""
    return mapping(
        version, **{"owner": B, "container_cidr": f"{POD_B[version]}/{LENGTH[version]}", **changes}
    )

"""Port mappings by real traffic, in both back ends."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from multinet.adapters.conntrack import UDP, ConntrackSocket
from multinet.adapters.firewall import HostFirewall
from multinet.adapters.iptables_port_words import chain_of
from multinet.cni.errors import CNIError
from multinet.core.desired import Owner, PortMapping
from tests.adapters.node import (
    BEYOND,
    GATEWAY,
    NODE,
    OUTSIDE,
    POD_A,
    POD_B,
    SECOND,
    A,
    B,
    Node,
    mapping,
    to_b,
)
from tests.adapters.servers import ask, ask_by, open_socket, server

SHORT = 0.4
"""Seconds to wait for an answer that shouldn't come."""

BOTH = pytest.mark.parametrize("backend", ["nftables", "iptables"])
FAMILIES = pytest.mark.parametrize("version", [4, 6])
PROTOCOLS = pytest.mark.parametrize(
    "protocol", ["tcp", "udp", pytest.param("sctp", marks=pytest.mark.needs_kind("sctp"))]
)


@BOTH
@FAMILIES
@PROTOCOLS
def test_from_everywhere_and_back(node: Node, backend: str, version: int, protocol: str) -> None:
    node.serve(node.a, POD_A, 80, protocol, "a")
    item = mapping(version, protocol=protocol, backend=backend)
    assert ask(node.outside, NODE[version], 8080, protocol, SHORT) == ""
    node.firewall.apply([item])
    assert node.firewall.compare([item]) == []
    assert ask(node.outside, NODE[version], 8080, protocol) == f"a {OUTSIDE[version]}", "source kept"
    assert ask(node.outside, SECOND[version], 8080, protocol).startswith("a "), "any of the node's addresses"
    assert ask(node.host, NODE[version], 8080, protocol).startswith("a "), "the node itself"
    assert ask(node.a, NODE[version], 8080, protocol) == f"a {GATEWAY[version]}", "the pod itself"
    assert ask(node.b, NODE[version], 8080, protocol) == f"a {GATEWAY[version]}", "a neighbour"
    if version == 4:
        assert ask(node.host, "127.0.0.1", 8080, protocol) == f"a {GATEWAY[4]}"
    node.firewall.remove([item])
    node.firewall.remove([item])
    assert ask(node.outside, NODE[version], 8080, protocol, SHORT) == ""
    assert ask(node.host, NODE[version], 8080, protocol, SHORT) == ""
    assert POD_A[version] not in rules_of(node)


@BOTH
@FAMILIES
def test_what_passes_through_is_left_alone(node: Node, backend: str, version: int) -> None:
    node.serve(node.a, POD_A, 80, name="a")
    node.serve(node.beyond, BEYOND, 8080, name="beyond")
    items = [mapping(version, backend=backend), mapping(version, backend=backend, host_ip=BEYOND[version])]
    node.firewall.apply(items)
    assert ask(node.outside, BEYOND[version], 8080) == f"beyond {OUTSIDE[version]}"
    assert ask(node.host, BEYOND[version], 8080).startswith("beyond ")
    assert ask(node.a, BEYOND[version], 8080) == f"beyond {POD_A[version]}"
    assert ask(node.outside, NODE[version], 8080).startswith("a ")


@BOTH
@FAMILIES
@pytest.mark.parametrize("first", ["exact", "any"])
def test_a_host_address_of_its_own_comes_first(node: Node, backend: str, version: int, first: str) -> None:
    node.serve(node.a, POD_A, 80, name="a")
    node.serve(node.b, POD_B, 80, name="b")
    exact = mapping(version, backend=backend, host_ip=NODE[version])
    anywhere = to_b(version, backend=backend)
    node.firewall.apply([exact] if first == "exact" else [anywhere])
    node.firewall.apply([anywhere] if first == "exact" else [exact])
    assert node.firewall.compare([exact, anywhere]) == []
    assert ask(node.outside, NODE[version], 8080) == f"a {OUTSIDE[version]}"
    assert ask(node.outside, SECOND[version], 8080) == f"b {OUTSIDE[version]}"
    assert ask(node.a, NODE[version], 8080) == f"a {GATEWAY[version]}"
    assert ask(node.b, SECOND[version], 8080) == f"b {GATEWAY[version]}"
    node.firewall.remove([exact])
    assert ask(node.outside, NODE[version], 8080) == f"b {OUTSIDE[version]}"
    node.firewall.remove([anywhere])
    assert ask(node.outside, NODE[version], 8080, patience=SHORT) == ""


@BOTH
@FAMILIES
def test_masquerade_all_and_none(node: Node, backend: str, version: int) -> None:
    node.serve(node.a, POD_A, 80, name="a")
    everything = mapping(version, backend=backend, masquerade_all=True)
    node.firewall.apply([everything])
    assert node.firewall.compare([everything]) == []
    assert ask(node.outside, NODE[version], 8080) == f"a {GATEWAY[version]}"
    assert ask(node.b, POD_A[version], 80) == f"a {POD_B[version]}", "not what didn't come by the mapping"
    assert ask(node.outside, POD_A[version], 80) == f"a {OUTSIDE[version]}"
    node.firewall.remove([everything])
    nothing = mapping(version, backend=backend, snat=False)
    node.firewall.apply([nothing])
    assert node.firewall.compare([nothing]) == []
    assert ask(node.outside, NODE[version], 8080) == f"a {OUTSIDE[version]}"
    assert ask(node.a, NODE[version], 8080, patience=SHORT) == "", "it would answer itself directly"
    node.firewall.remove([nothing])


@BOTH
def test_the_newest_claim_to_a_port_holds(node: Node, backend: str) -> None:
    node.serve(node.a, POD_A, 80, name="a")
    node.serve(node.b, POD_B, 80, name="b")
    older, newer = mapping(backend=backend), to_b(backend=backend)
    node.firewall.apply([older])
    node.firewall.apply([newer])
    assert ask(node.outside, NODE[4], 8080) == f"b {OUTSIDE[4]}"
    assert ask(node.b, NODE[4], 8080) == f"b {GATEWAY[4]}"
    assert node.firewall.compare([newer]) == []
    if backend == "nftables":
        [difference, *_] = node.firewall.compare([older])
        assert "bbbb" in difference.have and "8080" in str(difference)
    node.firewall.remove([older])
    node.firewall.sweep(A)
    assert node.firewall.compare([newer]) == []
    assert ask(node.outside, NODE[4], 8080) == f"b {OUTSIDE[4]}"
    node.firewall.remove([newer])
    assert ask(node.outside, NODE[4], 8080, patience=SHORT) == ""
    assert POD_A[4] not in rules_of(node) and POD_B[4] not in rules_of(node)


@BOTH
def test_an_address_taken_over_by_a_newer_pod(node: Node, backend: str) -> None:
    node.serve(node.a, POD_A, 80, name="a")
    old, new = mapping(backend=backend), mapping(backend=backend, owner=B)
    node.firewall.apply([old])
    node.firewall.apply([new])
    node.firewall.remove([old])
    node.firewall.collect("net", [(B.container_id, B.ifname)])
    assert node.firewall.compare([new]) == []
    assert ask(node.outside, NODE[4], 8080) == f"a {OUTSIDE[4]}"
    assert ask(node.a, NODE[4], 8080) == f"a {GATEWAY[4]}"


@BOTH
def test_a_pod_with_a_new_address_is_reached_there(node: Node, backend: str) -> None:
    node.serve(node.b, POD_B, 81, name="b")
    node.firewall.apply([mapping(backend=backend)])
    moved = to_b(backend=backend, owner=A, container_port=81)
    difference = str(node.firewall.compare([moved])[0])
    assert POD_A[4] in difference and POD_B[4] in difference
    node.firewall.apply([moved])
    assert ask(node.outside, NODE[4], 8080) == f"b {OUTSIDE[4]}"
    node.firewall.sweep(A)
    assert POD_A[4] not in rules_of(node) and POD_B[4] not in rules_of(node)


@BOTH
def test_many_ports_of_one_pod_and_one_taken_away(node: Node, backend: str) -> None:
    node.serve(node.a, POD_A, 80, name="a")
    items = [mapping(backend=backend, host_port=9000 + i) for i in range(40)]
    items += [mapping(backend=backend, host_port=9000 + i, protocol="udp") for i in range(3)]
    node.firewall.apply(items)
    before = rules_of(node)
    node.firewall.apply(items)
    assert rules_of(node) == before, "repeating changes nothing"
    assert node.firewall.compare(items) == []
    assert ask(node.outside, NODE[4], 9039) == f"a {OUTSIDE[4]}"
    node.firewall.remove(items[39:40])
    assert ask(node.outside, NODE[4], 9039, patience=SHORT) == ""
    kept = [*items[:39], *items[40:]]
    assert node.firewall.compare(kept) == []
    assert ask(node.outside, NODE[4], 9038) == f"a {OUTSIDE[4]}"
    assert ask(node.a, NODE[4], 9038) == f"a {GATEWAY[4]}"
    node.firewall.remove(kept)
    assert POD_A[4] not in rules_of(node)


CONDITIONS = {
    "nftables": ("ip", "saddr", "192.0.2.0/24"),
    "iptables": ("-s", "192.0.2.0/24"),
}


@BOTH
def test_conditions_are_each_mappings_own(node: Node, backend: str) -> None:
    node.serve(node.a, POD_A, 80, name="a")
    node.serve(node.b, POD_B, 80, name="b")
    some = mapping(backend=backend, conditions=CONDITIONS[backend])
    rest = to_b(backend=backend, host_port=8081)
    node.firewall.apply([rest])
    node.firewall.apply([some])
    node.firewall.apply([some])
    assert node.firewall.compare([some, rest]) == []
    assert ask(node.outside, NODE[4], 8080) == f"a {OUTSIDE[4]}"
    assert ask(node.beyond, BEYOND_NODE_ADDRESS, 8080, patience=SHORT) == ""
    assert ask(node.beyond, BEYOND_NODE_ADDRESS, 8081).startswith("b ")
    other = mapping(backend=backend, conditions=(*CONDITIONS[backend][:-1], "198.51.100.0/24"))
    assert node.firewall.compare([other])
    node.firewall.apply([other])
    assert node.firewall.compare([other]) == []
    assert ask(node.outside, NODE[4], 8080, patience=SHORT) == ""
    assert ask(node.beyond, BEYOND_NODE_ADDRESS, 8080).startswith("a ")
    node.firewall.sweep(A)
    assert ask(node.beyond, BEYOND_NODE_ADDRESS, 8080, patience=SHORT) == ""
    assert node.firewall.compare([rest]) == []
    node.firewall.apply([other])
    node.firewall.collect("net", [(B.container_id, B.ifname)])
    assert POD_A[4] not in rules_of(node)
    assert node.firewall.compare([rest]) == []


BEYOND_NODE_ADDRESS = "198.51.100.2"


@pytest.mark.parametrize("kind", ["break", "command"])
def test_conditions_cant_begin_another_command(node: Node, kind: str) -> None:
    evil = {"break": "tcp\nflush ruleset", "command": "; flush ruleset"}[kind]
    with pytest.raises(CNIError, match="condition"):
        node.firewall.apply([mapping(conditions=(evil,))])
    if kind == "break":
        with pytest.raises(CNIError, match="condition"):
            node.firewall.apply([mapping(conditions=(evil,), backend="iptables")])


def test_neighbours_dont_reach_the_nodes_loopback(node: Node) -> None:
    # route_localnet lets a neighbour address 127.0.0.1 of the node: only translated connections may pass.
    node.serve(node.a, POD_A, 80, name="a")
    node.lab.ip("route", "add", "127.0.0.1/32", "via", GATEWAY[4], "table", "5", netns=node.b)
    node.lab.ip("rule", "add", "from", POD_B[4], "lookup", "5", "priority", "0", netns=node.b)
    node.lab.ip("rule", "del", "lookup", "local", netns=node.b)
    node.lab.ip("rule", "add", "lookup", "local", "priority", "9", netns=node.b)
    node.lab.run("sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1", netns=node.b)
    with server(node.host, "127.0.0.1", 7000, name="secret"):
        assert ask(node.b, "127.0.0.1", 7000, source=POD_B[4]) == f"secret {POD_B[4]}"
        node.firewall.apply([mapping()])
        assert ask(node.b, "127.0.0.1", 7000, patience=SHORT, source=POD_B[4]) == ""
        assert ask(node.host, "127.0.0.1", 7000) == "secret 127.0.0.1"
    assert ask(node.host, "127.0.0.1", 8080) == f"a {GATEWAY[4]}"


SERVICE = """
table ip kube-proxy {
    chain services {
        ip daddr 192.0.2.2 tcp dport 8080 dnat to 10.9.0.3:80
        ip daddr 10.96.0.1 tcp dport 8080 dnat to 10.9.0.2:80
    }
    chain prerouting {
        type nat hook prerouting priority -100
        jump services
    }
    chain output {
        type nat hook output priority -100
        jump services
    }
}
"""


@pytest.mark.parametrize("first", ["service", "mapping"])
def test_a_service_comes_first_and_keeps_its_clients_addresses(node: Node, first: str) -> None:
    node.serve(node.a, POD_A, 80, name="a")
    node.serve(node.b, POD_B, 80, name="b")
    item = mapping()
    if first == "mapping":
        node.firewall.apply([item])
    node.lab.run("nft", "-f", "-", stdin=SERVICE)
    node.firewall.apply([item])
    assert ask(node.outside, NODE[4], 8080) == f"b {OUTSIDE[4]}", "the Service's, not the mapping's"
    assert ask(node.outside, SECOND[4], 8080) == f"a {OUTSIDE[4]}"
    # To the mapping's pod and port by a Service of the same port: not masqueraded (as a mapping's would be).
    node.lab.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
    assert ask(node.b, "10.96.0.1", 8080) == f"a {POD_B[4]}"


TRACKING = """
table inet tracking {
    chain c { type filter hook input priority 0; ct state new accept; }
}
"""


@BOTH
@FAMILIES
def test_udp_flows_follow_the_mapping(node: Node, backend: str, version: int) -> None:
    node.serve(node.a, POD_A, 80, "udp", "a")
    node.serve(node.beyond, BEYOND, 8080, "udp", "beyond")
    item = mapping(version, protocol="udp", backend=backend)
    with (
        open_socket(node.outside, NODE[version], "udp") as client,
        open_socket(node.outside, BEYOND[version], "udp") as passing,
        server(node.host, NODE[version], 8080, "udp", "node"),
    ):
        assert ask_by(client, NODE[version], 8080) == f"node {OUTSIDE[version]}"
        assert ask_by(passing, BEYOND[version], 8080) == f"beyond {OUTSIDE[version]}"
        node.lab.run("nft", "-f", "-", stdin=TRACKING)
        assert ask_by(client, NODE[version], 8080) == f"node {OUTSIDE[version]}"
        assert ask_by(passing, BEYOND[version], 8080) == f"beyond {OUTSIDE[version]}"
        before = {flow.destination: flow.key for flow in flows(node, version)}
        assert NODE[version] in before
        node.firewall.apply([item])
        assert ask_by(client, NODE[version], 8080) == f"a {OUTSIDE[version]}", "the old flow was forgotten"
        assert ask_by(passing, BEYOND[version], 8080) == f"beyond {OUTSIDE[version]}"
        kept = {flow.destination: flow.key for flow in flows(node, version)}
        assert kept[BEYOND[version]] == before[BEYOND[version]], "a flow that passes through isn't cut"
        node.firewall.apply([item])
        assert {flow.destination: flow.key for flow in flows(node, version)} == kept
        if backend == "nftables":
            node.firewall.sweep(A)
        else:
            node.firewall.remove([item])
        assert ask_by(client, NODE[version], 8080) == f"node {OUTSIDE[version]}", "no black hole"
        assert ask_by(passing, BEYOND[version], 8080) == f"beyond {OUTSIDE[version]}"


def flows(node: Node, version: int):
    conntrack = ConntrackSocket(node.host)
    try:
        return conntrack.flows(version, UDP, {8080})
    finally:
        conntrack.close()


@pytest.mark.parametrize(
    "damage",
    [
        "flush ruleset",
        "delete table inet multinet",
        "flush table inet multinet",
        "flush chain inet multinet host-ports",
        "flush chain inet multinet ports-prerouting",
        "flush chain inet multinet ports-output",
        "flush chain inet multinet localnet",
        "flush chain inet multinet hairpin4-24",
        "flush chain inet multinet hairpin4-24-rules",
        "flush map inet multinet ports4",
        "flush set inet multinet hairpin4-8",
        "flush set inet multinet holders",
        "delete set inet multinet holders",
        "delete element inet multinet ports4 { 0.0.0.0 . tcp . 8080 }",
    ],
)
def test_damage_is_reported_and_repaired(node: Node, damage: str) -> None:
    node.serve(node.a, POD_A, 80, name="a")
    items = [mapping(), mapping(protocol="udp"), mapping(host_port=8081, conditions=CONDITIONS["nftables"])]
    node.firewall.apply(items)
    node.lab.run("nft", damage)
    differences = node.firewall.compare(items)
    assert differences and all("multinet" in difference.subject for difference in differences)
    node.firewall.apply(items)
    assert node.firewall.compare(items) == []
    for port in (8080, 8081):
        assert ask(node.outside, NODE[4], port) == f"a {OUTSIDE[4]}"
        assert ask(node.a, NODE[4], port) == f"a {GATEWAY[4]}" or port == 8081
    node.lab.run("nft", damage)
    node.firewall.remove(items)
    node.firewall.sweep(A)
    assert POD_A[4] not in rules_of(node)


@pytest.mark.parametrize(
    "damage",
    [
        "-F",
        "-F CNI-HOSTPORT-DNAT",
        "-F CNI-HOSTPORT-MASQ",
        "-F CNI-HOSTPORT-SETMARK",
        "-F PREROUTING",
        "-F OUTPUT",
        "-F POSTROUTING",
        "-D CNI-DN-c1a03b1f7f1ab4d9cd18b 1",
    ],
)
def test_damage_in_iptables_is_reported_and_repaired(node: Node, damage: str) -> None:
    node.serve(node.a, POD_A, 80, name="a")
    items = [mapping(backend="iptables"), mapping(backend="iptables", protocol="udp", host_ip=NODE[4])]
    node.firewall.apply(items)
    words = [chain_of(A) if word.startswith("CNI-DN-") else word for word in damage.split()]
    node.lab.run("iptables", "-t", "nat", *words)
    assert node.firewall.compare(items)
    node.firewall.apply(items)
    assert node.firewall.compare(items) == []
    assert ask(node.outside, NODE[4], 8080) == f"a {OUTSIDE[4]}"
    assert ask(node.a, NODE[4], 8080) == f"a {GATEWAY[4]}"
    assert ask(node.host, "127.0.0.1", 8080) == f"a {GATEWAY[4]}"
    node.lab.run("iptables", "-t", "nat", *words)
    node.firewall.remove(items)
    assert POD_A[4] not in rules_of(node)


@BOTH
def test_ten_at_once(node: Node, backend: str) -> None:
    # Each with a firewall of its own, as processes have.
    failures: list[BaseException] = []

    def work(number: int) -> None:
        firewall = HostFirewall(node.host)
        try:
            firewall.apply(pod(number, backend))
            if number % 2:
                firewall.remove(pod(number, backend))
        except BaseException as error:
            failures.append(error)
        finally:
            firewall.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert node.firewall.compare([item for number in range(0, 10, 2) for item in pod(number, backend)]) == []
    assert "10.9.0.101" not in rules_of(node)

    def leave(number: int) -> None:
        firewall = HostFirewall(node.host)
        try:
            firewall.sweep(Owner("net", f"pod{number}", "eth0"))
        except BaseException as error:
            failures.append(error)
        finally:
            firewall.close()

    threads = [threading.Thread(target=leave, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert "10.9.0.10" not in rules_of(node)


def pod(number: int, backend: str) -> list[PortMapping]:
    owner = Owner("net", f"pod{number}", "eth0")
    common = {"owner": owner, "container_cidr": f"10.9.0.{100 + number}/24", "backend": backend}
    return [
        mapping(host_port=9000 + number, **common),
        mapping(host_port=9100 + number, protocol="udp", **common),
    ]


@BOTH
def test_two_interfaces_of_one_container_are_apart(node: Node, backend: str) -> None:
    node.serve(node.b, POD_B, 80, name="b")
    first = mapping(backend=backend)
    second = to_b(backend=backend, owner=Owner("net", "aaaa", "net1"), host_port=8081)
    node.firewall.apply([first])
    node.firewall.apply([second])
    node.firewall.sweep(first.owner)
    assert POD_A[4] not in rules_of(node)
    assert node.firewall.compare([second]) == []
    node.firewall.apply([first])
    node.firewall.sweep(second.owner)
    assert node.firewall.compare([first]) == []
    assert POD_B[4] not in rules_of(node)


def rules_of(node: Node) -> str:
    """Everything: what iptables keeps is in nftables' listing as well."""
    return node.lab.run("nft", "--stateless", "list", "ruleset")


def test_udp_flows_of_several_ports_follow_at_once(node: Node) -> None:
    node.serve(node.a, POD_A, 80, "udp", "a")
    items = [mapping(protocol="udp", host_port=port) for port in (8080, 8081, 8082)]
    node.firewall.apply(items)
    with ExitStack() as held:
        clients = {
            port: held.enter_context(open_socket(node.outside, NODE[4], "udp")) for port in (8080, 8082)
        }
        for port, client in clients.items():
            assert ask_by(client, NODE[4], port) == f"a {OUTSIDE[4]}"
            held.enter_context(server(node.host, NODE[4], port, "udp", "node"))
        node.firewall.remove(items[:2])
        assert ask_by(clients[8080], NODE[4], 8080) == f"node {OUTSIDE[4]}"
        assert ask_by(clients[8082], NODE[4], 8082) == f"a {OUTSIDE[4]}"
        node.firewall.sweep(A)
        assert ask_by(clients[8082], NODE[4], 8082) == f"node {OUTSIDE[4]}"

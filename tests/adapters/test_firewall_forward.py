"""Forwarding for pods, and bridges kept apart, by real traffic in both back ends."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from multinet.adapters.firewall import HostFirewall
from multinet.cni.errors import CNIError
from multinet.core.desired import BridgeIsolation, ForwardAccept, Masquerade, Owner, PortMapping
from tests.adapters.node import LENGTH, OUTSIDE, POD_A, POD_B, A, B, Node, mapping, to_b
from tests.adapters.servers import PATIENCE, ask
from tests.vm.kinds import lacking

SHORT = 0.4
BOTH = pytest.mark.parametrize("backend", ["nftables", "iptables"])
FAMILIES = pytest.mark.parametrize("version", [4, 6])
TOOLS = {4: "iptables", 6: "ip6tables"}
OTHER = {4: "10.8.0.2", 6: "fd08::2"}
OTHER_GATEWAY = {4: "10.8.0.1", 6: "fd08::1"}


def accept(version: int = 4, **changes: Any) -> ForwardAccept:
    fields = {"owner": A, "cidr": f"{POD_A[version]}/{ {4: 32, 6: 128}[version] }", **changes}
    return ForwardAccept(**fields)


def refuse(node: Node, backend: str, version: int) -> None:
    """From now on the node forwards nothing that isn't accepted."""
    if backend == "iptables":
        node.lab.run(TOOLS[version], "-P", "FORWARD", "DROP")
    else:
        node.lab.run("nft", "chain inet multinet forward { policy drop; }")


@BOTH
@FAMILIES
def test_a_pod_reaches_out_and_is_answered(node: Node, backend: str, version: int) -> None:
    node.serve(node.outside, OUTSIDE, 80, name="outside")
    node.serve(node.a, POD_A, 80, name="a")
    item = accept(version, backend=backend)
    node.firewall.apply([item])
    refuse(node, backend, version)
    assert node.firewall.compare([item]) == []
    assert ask(node.a, OUTSIDE[version], 80) == f"outside {POD_A[version]}"
    assert ask(node.b, OUTSIDE[version], 80, patience=SHORT) == ""
    assert ask(node.outside, POD_A[version], 80, patience=SHORT) == "", "answers only"
    node.firewall.remove([item])
    node.firewall.remove([item])
    assert ask(node.a, OUTSIDE[version], 80, patience=SHORT) == ""
    assert POD_A[version] not in rules_of(node)


@BOTH
def test_the_administrators_chain_is_asked_first_and_kept(node: Node, backend: str) -> None:
    node.serve(node.outside, OUTSIDE, 80, name="outside")
    item = accept(backend=backend, admin_chain="MY-ADMIN")
    node.firewall.apply([item])
    if backend == "iptables":
        node.lab.run("iptables", "-A", "MY-ADMIN", "-d", OUTSIDE[4], "-j", "DROP")
    else:
        node.lab.run("nft", f"add rule inet multinet admin ip daddr {OUTSIDE[4]} drop")
    assert ask(node.a, OUTSIDE[4], 80, patience=SHORT) == ""
    node.firewall.apply(
        [item, accept(owner=B, cidr=f"{POD_B[4]}/32", backend=backend, admin_chain="MY-ADMIN")]
    )
    assert node.firewall.compare([item]) == []
    assert ask(node.b, OUTSIDE[4], 80, patience=SHORT) == ""


@BOTH
@pytest.mark.parametrize("way", ["remove", "sweep", "collect"])
def test_a_late_removal_leaves_the_addresss_new_owner_alone(node: Node, backend: str, way: str) -> None:
    old, new = accept(backend=backend), accept(backend=backend, owner=B)
    node.firewall.apply([old])
    node.firewall.apply([new])
    if way == "remove":
        node.firewall.remove([old])
    elif way == "sweep":
        node.firewall.sweep(A)
    else:
        node.firewall.collect("net", [(B.container_id, B.ifname)])
    assert node.firewall.compare([new]) == []
    assert node.firewall.compare([old])
    node.firewall.sweep(B)
    assert POD_A[4] not in rules_of(node)


@BOTH
def test_kinds_are_apart(node: Node, backend: str) -> None:
    masquerade = Masquerade(owner=A, cidr=f"{POD_A[4]}/{LENGTH[4]}", backend=backend)
    isolation = BridgeIsolation(owner=A, bridge="br0", policy="same-bridge", backend=backend)
    items = [masquerade, mapping(backend=backend), accept(backend=backend), isolation]
    other = [
        to_b(backend=backend, host_port=9),
        accept(backend=backend, owner=B, cidr="10.9.0.9/32"),
    ]
    node.firewall.apply([*items, *other])
    assert node.firewall.compare([*items, *other]) == []
    for sweeping in (True, False):
        for index, kind in ((1, PortMapping), (2, ForwardAccept), (0, Masquerade)):
            if sweeping:
                node.firewall.sweep(A, [kind])
            else:
                node.firewall.collect("net", [(B.container_id, B.ifname)], [kind])
            assert node.firewall.compare([items[index]])
            assert node.firewall.compare([item for i, item in enumerate(items) if i != index]) == []
            node.firewall.apply(items)
            assert node.firewall.compare([*items, *other]) == []
    node.firewall.sweep(A)
    assert node.firewall.compare(other) == []
    assert POD_A[4] not in rules_of(node)


IPTABLES_DAMAGE = [
    "-F",
    "-F FORWARD",
    "-F CNI-FORWARD",
    "-D CNI-FORWARD 2",
    "-D CNI-FORWARD 4",
    "-F CNI-ISOLATION-STAGE-1",
    "-D CNI-ISOLATION-STAGE-1 1",
    "-F CNI-ISOLATION-STAGE-2",
    "-D FORWARD 1",
    "-D FORWARD 2",
    "-I CNI-FORWARD -j ACCEPT",
]
NFTABLES_DAMAGE = [
    "flush ruleset",
    "delete table inet multinet",
    "flush chain inet multinet forward",
    "flush chain inet multinet isolation",
    "flush set inet multinet forward4",
    "flush set inet multinet bridges",
    "flush set inet multinet bridge-pairs",
    "flush set inet multinet bridge-users",
    "delete set inet multinet bridge-users",
    "delete set inet multinet holders",
]


@pytest.mark.parametrize(
    ("backend", "damage"),
    [
        *(("iptables", damage) for damage in IPTABLES_DAMAGE),
        *(("nftables", damage) for damage in NFTABLES_DAMAGE),
    ],
)
def test_damage_is_reported_and_repaired(node: Node, backend: str, damage: str) -> None:
    policy = "isolated" if backend == "iptables" else "same-bridge"
    items = [accept(backend=backend), BridgeIsolation(owner=A, bridge="br0", policy=policy, backend=backend)]
    node.firewall.apply(items)
    command = ["iptables", *damage.split()] if backend == "iptables" else ["nft", damage]
    node.lab.run(*command)
    assert node.firewall.compare(items)
    if damage == "-I CNI-FORWARD -j ACCEPT":  # somebody's own rule is somebody's own to remove
        return
    node.firewall.apply(items)
    assert node.firewall.compare(items) == []
    node.lab.run(*command)
    node.firewall.remove(items)
    assert POD_A[4] not in rules_of(node)


class Bridges:
    """A second bridge with a pod on it, beside the node's."""

    def __init__(self, node: Node) -> None:
        lab = node.lab
        self.node = node
        self.other = lab.sandbox()
        lab.allowed |= {"br1", "veth-c"}
        lab.ip("link", "add", "br1", "type", "bridge")
        lab.ip("link", "set", "br1", "up")
        lab.ip("link", "add", "veth-c", "type", "veth", "peer", "name", "peer0")
        lab.ip("link", "set", "peer0", "name", "eth0", "netns", self.other.path)
        lab.ip("link", "set", "veth-c", "master", "br1", "up")
        lab.ip("link", "set", "eth0", "up", netns=self.other)
        for version, length in LENGTH.items():
            nodad = ["nodad"] if version == 6 else []
            lab.ip("addr", "add", f"{OTHER_GATEWAY[version]}/{length}", "dev", "br1", *nodad)
            lab.ip("addr", "add", f"{OTHER[version]}/{length}", "dev", "eth0", *nodad, netns=self.other)
            lab.ip(f"-{version}", "route", "add", "default", "via", OTHER_GATEWAY[version], netns=self.other)
        node.serve(self.other, OTHER, 80, name="other")
        node.serve(node.b, POD_B, 80, name="b")
        node.serve(node.outside, OUTSIDE, 80, name="outside")

    def reach(self, version: int, patience: float = SHORT) -> dict[str, bool]:
        """Who reaches whom: a pod another bridge's, back, its neighbour, and the outside."""
        ways = {
            "out": (self.node.a, OTHER),
            "in": (self.other, POD_B),
            "neighbour": (self.node.a, POD_B),
            "outside": (self.node.a, OUTSIDE),
        }
        return {
            name: ask(source, target[version], 80, patience=patience) != ""
            for name, (source, target) in ways.items()
        }


def isolations(backend: str, version: int, policy: Any) -> list[BridgeIsolation]:
    owners = {"br0": A, "br1": B}
    return [
        BridgeIsolation(owner=owner, bridge=bridge, policy=policy, family=version, backend=backend)
        for bridge, owner in owners.items()
    ]


OPEN = {"out": True, "in": True, "neighbour": True, "outside": True}
APART = {"out": False, "in": False, "neighbour": True, "outside": True}
ALONE = {"out": False, "in": False, "neighbour": False, "outside": True}


@BOTH
@FAMILIES
def test_bridges_are_kept_apart(node: Node, backend: str, version: int) -> None:
    bridges = Bridges(node)
    items = isolations(backend, version, "same-bridge")
    assert bridges.reach(version, PATIENCE) == OPEN, "neighbours get to know one another"
    node.firewall.apply([accept(version, backend=backend)])
    node.firewall.apply(items)
    node.firewall.apply([*items, accept(version, backend=backend)])
    assert node.firewall.compare([*items, accept(version, backend=backend)]) == []
    assert bridges.reach(version) == APART
    before = rules_of(node)
    node.firewall.apply(items)
    assert strip(rules_of(node)) == strip(before)
    if backend == "nftables":
        node.firewall.remove(items)
    else:
        node.firewall.remove(items)
        assert bridges.reach(version) == APART, "a bridge's rules stay as long as the bridge"
        node.lab.ip("link", "del", "br1")
        node.firewall.sweep(A)
        assert "br1" not in rules_of(node) and "br0" in rules_of(node)
        node.lab.ip("link", "del", "br0")
        node.firewall.sweep(A)
    assert "br0" not in rules_of(node) and "br1" not in rules_of(node)


def strip(rules: str) -> str:
    """Without counters."""
    return "\n".join(line.partition(" counter ")[0] for line in rules.splitlines())


@FAMILIES
def test_isolated_pods_reach_only_the_outside_by_iptables(node: Node, version: int) -> None:
    bridges = Bridges(node)
    assert bridges.reach(version, PATIENCE) == OPEN
    sysctls = ("net.bridge.bridge-nf-call-iptables=1", "net.bridge.bridge-nf-call-ip6tables=1")
    node.lab.run("sysctl", "-qw", *sysctls)
    items = isolations("iptables", version, "isolated")
    node.firewall.apply(items)
    assert node.firewall.compare(items) == []
    assert bridges.reach(version) == ALONE
    node.firewall.apply(isolations("iptables", version, "same-bridge"))
    assert node.firewall.compare(items), "the former policy went"
    assert bridges.reach(version) == APART


@pytest.mark.needs_kind("bridge_meta")
@FAMILIES
def test_isolated_pods_reach_only_the_outside(node: Node, version: int) -> None:
    # Without br_netfilter: the node's bridge doesn't show its packets to inet chains here.
    bridges = Bridges(node)
    assert bridges.reach(version, PATIENCE) == OPEN
    items = isolations("nftables", version, "isolated")
    node.firewall.apply(items)
    assert node.firewall.compare(items) == []
    assert bridges.reach(version) == ALONE
    node.lab.run("nft", "delete table bridge multinet")
    assert node.firewall.compare(items)
    node.firewall.apply(items)
    assert bridges.reach(version) == ALONE
    node.firewall.apply(isolations("nftables", version, "same-bridge"))
    assert node.firewall.compare(items)
    assert bridges.reach(version) == APART
    node.firewall.apply(items)
    node.firewall.collect("net", ())
    assert bridges.reach(version) == OPEN


def test_a_kernel_that_cant_tell_bridges_apart_says_so(node: Node) -> None:
    item = isolations("nftables", 4, "isolated")[0]
    if lacking(["bridge_meta"]):
        with pytest.raises(CNIError, match=r'CONFIG_NFT_BRIDGE_META.*"backend" to "iptables"'):
            node.firewall.apply([item])
    else:
        node.firewall.apply([item])
        assert node.firewall.compare([item]) == []


def test_isolation_goes_with_the_last_that_needs_it(node: Node) -> None:
    users = [Owner("net", f"pod{i}", "eth0") for i in range(3)]
    items = [
        BridgeIsolation(owner=user, bridge="br0", policy="same-bridge", backend="nftables") for user in users
    ]
    node.firewall.apply(items)
    node.firewall.remove(items[:1])
    node.firewall.sweep(users[1])
    assert node.firewall.compare(items[2:]) == []
    assert node.firewall.compare(items[:1])
    node.firewall.collect("net", ())
    assert "br0" not in rules_of(node)


def test_isolation_survives_comings_and_goings(node: Node) -> None:
    # Whoever leaves last is decided on the ruleset's generation: one who comes meanwhile isn't forgotten.
    failures: list[BaseException] = []

    def live(number: int) -> None:
        firewall = HostFirewall(node.host)
        item = BridgeIsolation(
            owner=Owner("net", f"pod{number}", "eth0"), bridge="br0", policy="same-bridge", backend="nftables"
        )
        try:
            for _ in range(20):
                firewall.apply([item])
                assert firewall.compare([item]) == []
                firewall.remove([item])
        except BaseException as error:
            failures.append(error)
        finally:
            firewall.close()

    threads = [threading.Thread(target=live, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert "br0" not in rules_of(node)


def test_an_accept_that_was_lost_comes_back_behind_the_isolation(node: Node) -> None:
    items = [
        accept(backend="iptables"),
        BridgeIsolation(owner=A, bridge="br0", policy="same-bridge", backend="iptables"),
    ]
    node.firewall.apply(items)
    node.lab.run("iptables", "-D", "FORWARD", "2")
    node.firewall.apply(items[:1])
    assert node.firewall.compare(items) == []
    # As the reference plugin does it: ahead of the isolation, which it voids.
    node.lab.run("iptables", "-D", "FORWARD", "2")
    node.lab.run(
        *("iptables", "-I", "FORWARD", "1", "-m", "comment", "--comment", "CNI firewall plugin rules"),
        *("-j", "CNI-FORWARD"),
    )
    assert "ahead of" in str(node.firewall.compare(items)[0])
    node.firewall.apply(items)
    assert node.firewall.compare(items) == []


def rules_of(node: Node) -> str:
    return node.lab.run("nft", "--stateless", "list", "ruleset")

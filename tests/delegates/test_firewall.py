"""firewall behind bridge: what it asks for, and by real traffic that hosts and pods are kept apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from multinet.cni.decode import convert
from multinet.cni.errors import CNIError
from multinet.cni.result import Result
from multinet.core.desired import BridgeIsolation, ForwardAccept, Owner, select
from multinet.delegates.firewall import FirewallConf, firewall
from multinet.sdk import Sandbox, registry
from multinet.testkit.bench import Bench, Pod
from tests.adapters.servers import ask, server

VERSIONS = ["0.4.0", "1.0.0", "1.1.0"]
BACKENDS = ["nftables", "iptables"]
# nftables keeps the pods of one bridge apart in the bridge itself, which not every kernel can.
ISOLATING = [pytest.param("nftables", marks=pytest.mark.needs_kind("bridge_meta")), "iptables"]
SHORT = 0.4
PREVIOUS = {
    "cniVersion": "1.1.0",
    "interfaces": [{"name": "br0"}, {"name": "veth1"}, {"name": "eth0", "sandbox": "/ns"}],
    "ips": [{"address": "10.1.2.3/24", "interface": 2}, {"address": "fd00::3/64", "interface": 2}],
}


class Host:
    """The facts that firewall asks for."""

    def __init__(self, backend: str = "nftables", firewalld: bool = False) -> None:
        self.backend, self.firewalld = backend, firewalld

    def masquerade_backend(self) -> str:
        return self.backend

    def firewalld_runs(self) -> bool:
        return self.firewalld

    def program(self, name: str) -> str | None:
        return None


def desired(previous: Any = PREVIOUS, host: Host | None = None, **more: Any) -> list[Any]:
    raw = {"name": "net", "type": "firewall", **more}
    owner = Owner("net", "c", "eth0")
    pod = Sandbox(owner=owner, netns="/ns", previous=Result.from_json(previous, "1.1.0"))
    return list(firewall.desired(convert(raw, FirewallConf), pod, host or Host()).items)  # type: ignore[arg-type]


class TestDecision:
    def test_an_accept_for_each_address_whatever_its_interface(self) -> None:
        previous = {
            **PREVIOUS,
            "ips": [{"address": "10.1.2.3/24"}, {"address": "10.9.9.9/8", "interface": 0}],
        }
        assert [one.cidr for one in desired(previous)] == ["10.1.2.3/32", "10.9.9.9/32"]

    @pytest.mark.parametrize(
        ("backend", "host", "expected"),
        [
            ("", Host(), "nftables"),
            ("", Host("iptables"), "iptables"),
            ("", Host("iptables", firewalld=True), "firewalld"),
            ("nftables", Host("iptables", firewalld=True), "nftables"),
            ("iptables", Host(), "iptables"),
            ("firewalld", Host(), "firewalld"),
        ],
    )
    def test_back_end(self, backend: str, host: Host, expected: str) -> None:
        found = select(desired(host=host, backend=backend), ForwardAccept)
        assert {one.backend for one in found} == {expected}

    @pytest.mark.parametrize("policy", ["same-bridge", "isolated"])
    def test_isolation_of_the_bridge_in_each_family(self, policy: str) -> None:
        found = select(desired(ingressPolicy=policy, host=Host(firewalld=True)), BridgeIsolation)
        assert [(one.bridge, one.policy, one.family, one.backend) for one in found] == [
            ("br0", policy, 4, "nftables"),
            ("br0", policy, 6, "nftables"),
        ]

    def test_names_of_the_administrators(self) -> None:
        (one, _) = desired(iptablesAdminChainName="MY-CHAIN", firewalldZone="pods")
        assert (one.admin_chain, one.zone) == ("MY-CHAIN", "pods")

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({"backend": "ebtables"}, '$.backend: unknown backend "ebtables"'),
            ({"backend": 5}, "$.backend: "),
            ({"ingressPolicy": "closed"}, '$.ingressPolicy: unknown ingress policy: "closed"'),
            ({"iptablesAdminChainName": ""}, "$.iptablesAdminChainName: "),
            ({"iptablesAdminChainName": "-j"}, "$.iptablesAdminChainName: "),
            ({"iptablesAdminChainName": "x" * 29}, "$.iptablesAdminChainName: "),
            ({"iptablesAdminChainName": "a b"}, "$.iptablesAdminChainName: "),
            ({"firewalldZone": []}, "$.firewalldZone: "),
        ],
    )
    def test_bad_options(self, more: Any, said: str) -> None:
        with pytest.raises(CNIError) as caught:
            desired(**more)
        assert said in str(caught.value) and caught.value.code == 7

    @pytest.mark.parametrize("interfaces", [[], [{"name": "eth0", "sandbox": "/ns"}]])
    def test_isolation_needs_a_bridge(self, interfaces: Any) -> None:
        previous = {"cniVersion": "1.1.0", "interfaces": interfaces, "ips": [{"address": "10.1.2.3/24"}]}
        with pytest.raises(CNIError, match='interface needs to be set for ingress policy "isolated"'):
            desired(previous, ingressPolicy="isolated")

    def test_a_bridge_without_a_name(self) -> None:
        previous = {"cniVersion": "1.1.0", "interfaces": [{"name": ""}], "ips": [{"address": "10.1.2.3/24"}]}
        with pytest.raises(CNIError, match="got empty bridge name"):
            desired(previous, ingressPolicy="isolated")


class Node:
    """A host that drops what it should forward, and pods behind its bridges."""

    def __init__(self, bench: Bench, make: Any) -> None:
        self.bench, self.make = bench, make
        bench.lab.allowed |= {"br0", "br1"}
        self.outside = bench.uplink("up0")
        bench.lab.ip("addr", "add", "192.0.2.1/24", "dev", "up0")
        bench.lab.ip("addr", "add", "192.0.2.9/24", "dev", "wan0", netns=self.outside)
        for subnet in ("10.1.0.0/24", "10.1.1.0/24"):
            bench.lab.ip("route", "add", subnet, "via", "192.0.2.1", netns=self.outside)

    def pod(self, name: str, bridge: int = 0, ifname: str = "eth0") -> Pod:
        ipam = self.bench.host_local(f"10.1.{bridge}.0/24")
        conf = self.make("bridge", bridge=f"br{bridge}", isDefaultGateway=True, ipam=ipam)
        pod = self.bench.pod(name, ifname)
        pod.add({**conf, "name": f"net{bridge}"})
        return pod

    def conf(self, pod: Pod, version: str = "1.1.0", **more: Any) -> Any:
        return self.make("firewall", version, prevResult=pod.result, **more)

    def rules(self) -> str:
        lists = [("nft", "list", "ruleset"), ("iptables-save",), ("ip6tables-save",)]
        return "".join(self.bench.lab.run(*command) for command in lists)


@pytest.fixture
def node(bench: Any, make: Any) -> Node:
    return Node(bench, make)


@pytest.fixture
def chain(node: Node) -> Iterator[Any]:
    """``chain(pod, …)``: firewall behind what has attached the pod; everything is detached in the end."""
    added: list[tuple[Pod, Any, Any, Any]] = []

    def add(pod: Pod, **more: Any) -> Any:
        bridge, items = pod.attached, pod.items
        conf = node.conf(pod, **more)
        assert pod.add(conf) == conf["prevResult"]
        added.append((pod, conf, bridge, items))
        return conf

    yield add
    for pod, conf, bridge, items in reversed(added):
        pod.delete(conf)
        pod.items, pod.attached = items, bridge
    assert "10.1.0.2" not in node.rules() and "10.1.1.2" not in node.rules()


def test_a_host_that_drops_lets_the_pod_through(node: Node, chain: Any) -> None:
    """Another program's policy is overruled where its rules are: in iptables."""
    pod = node.pod("a")
    node.bench.lab.run("iptables", "-P", "FORWARD", "DROP")
    with server(node.outside, "192.0.2.9", 80, "tcp", "wan"), server(pod.netns, "10.1.0.2", 80, "tcp", "pod"):
        assert ask(pod.netns, "192.0.2.9", 80, "tcp", SHORT) == ""
        conf = chain(pod, backend="iptables")
        assert ask(pod.netns, "192.0.2.9", 80, "tcp").startswith("wan ")
        assert ask(node.outside, "10.1.0.2", 80, "tcp", SHORT) == "", "new connections to it stay refused"
        pod.check_both(conf)


@pytest.mark.parametrize(
    ("backend", "policy", "neighbour", "stranger"),
    [
        ("nftables", "open", True, True),
        ("iptables", "open", True, True),
        ("nftables", "same-bridge", True, False),
        ("iptables", "same-bridge", True, False),
        pytest.param("nftables", "isolated", False, False, marks=pytest.mark.needs_kind("bridge_meta")),
        ("iptables", "isolated", False, False),
    ],
)
def test_who_reaches_a_pod(
    node: Node, chain: Any, backend: str, policy: str, neighbour: bool, stranger: bool
) -> None:
    one, near, far = node.pod("one"), node.pod("near"), node.pod("far", 1)
    for pod in (one, near, far):
        conf = chain(pod, backend=backend, ingressPolicy=policy)
        pod.check_both(conf)
    with server(one.netns, "10.1.0.2", 80, "tcp", "one"):
        for client, reaches in ((near, neighbour), (far, stranger)):
            answer = ask(client.netns, "10.1.0.2", 80, "tcp", *([] if reaches else [SHORT]))
            assert answer.startswith("one ") is reaches, (policy, client.container_id)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version(node: Node, chain: Any, version: str) -> None:
    pod = node.pod("a")
    pod.result = Result.from_json(pod.result, "1.1.0").as_version(version)
    conf = chain(pod, version=version, backend="nftables")
    pod.check_both(conf)


@pytest.mark.parametrize("backend", ISOLATING)
@pytest.mark.parametrize("recorded", [True, False])
def test_del_needs_neither_namespace_nor_result(node: Node, chain: Any, backend: str, recorded: bool) -> None:
    pod = node.pod("a")
    chain(pod, backend=backend, ingressPolicy="isolated")
    for _ in range(2):
        bare = {"cniVersion": "1.1.0", "name": "net", "type": "firewall", "ingressPolicy": "nonsense"}
        pod.delete(bare, recorded=recorded, netns="")
        assert "10.1.0.2" not in node.rules()


@pytest.mark.parametrize("backend", BACKENDS)
def test_check_reports_what_is_gone(node: Node, chain: Any, backend: str, refused: Any) -> None:
    pod = node.pod("a")
    conf = chain(pod, backend=backend, ingressPolicy="same-bridge")
    for kind in (ForwardAccept, BridgeIsolation):
        pod.check_both(conf)
        items = select(pod.items or (), kind)
        if backend == "iptables" and kind is BridgeIsolation:
            # There it belongs to the bridge, and stays until that is gone.
            node.bench.lab.run("iptables", "-F", "CNI-ISOLATION-STAGE-1")
        node.bench.firewall.remove(items)
        for recorded in (True, False):
            assert refused(102, pod.check, conf, recorded=recorded).details
        node.bench.firewall.apply(items)


@pytest.mark.parametrize("backend", ISOLATING)
def test_every_field_is_checked(node: Node, chain: Any, backend: str, every_field_is_checked: Any) -> None:
    pod = node.pod("a")
    conf = chain(pod, backend=backend, ingressPolicy="isolated")
    assert every_field_is_checked(pod, conf) >= 4


def test_without_previous_result(node: Node, refused: Any) -> None:
    pod = node.bench.pod()
    bare = node.make("firewall")
    assert refused(7, pod.add, bare).msg == "missing prevResult from earlier plugin"
    plugin = registry.plugin("firewall")
    assert plugin is not None
    said = refused(7, plugin.check, pod.call("CHECK", bare), node.bench.node(), None)
    assert said.msg == "missing prevResult from earlier plugin"


@pytest.mark.parametrize("backend", BACKENDS)
def test_gc_keeps_what_is_valid(node: Node, chain: Any, backend: str) -> None:
    plugin = registry.plugin("firewall")
    assert plugin is not None
    pod = node.pod("a")
    conf = chain(pod, backend=backend)
    valid = [{"containerID": "a", "ifname": "eth0"}]
    for listed, left in ((valid, True), ([], False)):
        call = pod.call("GC", {**conf, "cni.dev/valid-attachments": listed}, netns="")
        plugin.gc(call, node.bench.node())
        assert ("10.1.0.2" in node.rules()) is left


def test_status(node: Node, refused: Any) -> None:
    plugin = registry.plugin("firewall")
    assert plugin is not None
    pod = node.bench.pod()
    for backend in BACKENDS:
        plugin.status(pod.call("STATUS", node.make("firewall", backend=backend), netns=""), node.bench.node())
    for more, said in (
        ({"ingressPolicy": "x"}, "$.ingressPolicy"),
        ({"backend": "firewalld"}, "firewalld doesn't answer"),
    ):
        call = pod.call("STATUS", node.make("firewall", **more), netns="")
        assert said in str(refused(50, plugin.status, call, node.bench.node()))


@pytest.mark.parametrize(
    "more", [{"ingressPolicy": "closed"}, {"backend": "ebtables"}, {"backend": "firewalld"}]
)
def test_what_fails_leaves_no_rule(node: Node, more: Any) -> None:
    pod = node.pod("a")
    bridge, items, before = pod.attached, pod.items, node.rules()
    with pytest.raises(CNIError) as caught:
        pod.add(node.conf(pod, **more))
    assert caught.value.code in (7, 107)
    assert node.rules() == before
    assert (pod.attached, pod.items) == (bridge, items)

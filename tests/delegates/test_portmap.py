"""portmap behind bridge, on the real kernel; what the rules themselves do is in tests/adapters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from multinet.sdk import registry
from multinet.testkit.bench import Bench, Pod
from tests.adapters.servers import ask, server

VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
BACKENDS = ["nftables", "iptables"]
SHORT = 0.4


class Node:
    """A host with a neighbour outside, and pods behind a bridge."""

    def __init__(self, bench: Bench, make: Any) -> None:
        self.bench, self.make = bench, make
        bench.lab.allowed.add("br0")
        self.outside = bench.uplink("up0")
        bench.lab.ip("addr", "add", "192.0.2.1/24", "dev", "up0")
        bench.lab.ip("addr", "add", "2001:db8:2::1/64", "dev", "up0", "nodad")
        bench.lab.ip("addr", "add", "192.0.2.9/24", "dev", "wan0", netns=self.outside)
        bench.lab.ip("addr", "add", "2001:db8:2::9/64", "dev", "wan0", "nodad", netns=self.outside)

    # br_netfilter translates a frame inside the bridge: one back to the port it came by needs hairpin.
    def bridge(self, version: str = "1.1.0") -> Any:
        ipam = self.bench.host_local("10.1.2.0/24", "2001:db8:1::/64")
        return self.make("bridge", version, bridge="br0", isDefaultGateway=True, hairpinMode=True, ipam=ipam)

    def conf(self, previous: Any, *entries: Any, version: str = "1.1.0", **more: Any) -> Any:
        entries = entries or ({"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},)
        runtime = {"portMappings": list(entries)}
        return self.make("portmap", version, prevResult=previous, runtimeConfig=runtime, **more)

    def rules(self) -> str:
        lists = [("nft", "list", "ruleset"), ("iptables-save",), ("ip6tables-save",)]
        return "".join(self.bench.lab.run(*command) for command in lists)


@pytest.fixture
def node(bench: Any, make: Any) -> Node:
    return Node(bench, make)


@pytest.fixture
def pod(node: Node) -> Iterator[Pod]:
    """A pod that the bridge has attached, with what the bridge said of it as ``result``."""
    bridge = node.bridge()
    made = node.bench.pod("pod")
    made.add(bridge)
    assert made.ping("2001:db8:1::1"), "the gateway's address is in use once nobody else has it"
    items = made.items
    yield made
    if made.attached is not None and made.attached["type"] == "portmap":
        made.delete(made.attached)
    made.items = items
    made.delete(bridge)
    assert "10.1.2.2" not in node.rules()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("address", "own"), [("192.0.2.1", "10.1.2.2"), ("2001:db8:2::1", "2001:db8:1::2")])
def test_a_port_leads_to_the_pod(node: Node, pod: Pod, backend: str, address: str, own: str) -> None:
    conf = node.conf(pod.result, backend=backend)
    with server(pod.netns, own, 80, "tcp", "pod"):
        assert ask(node.outside, address, 8080, "tcp", SHORT) == ""
        assert pod.add(conf) == conf["prevResult"]
        assert ask(node.outside, address, 8080, "tcp").startswith("pod ")
        assert ask(pod.netns, address, 8080, "tcp").startswith("pod "), "the pod itself"
        if address == "192.0.2.1":
            assert ask(node.bench.lab.host, "127.0.0.1", 8080, "tcp").startswith("pod ")
        pod.check_both(conf)
        pod.delete(conf)
        assert ask(node.outside, address, 8080, "tcp", SHORT) == ""
    pod.delete(conf)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_result_is_handed_on(node: Node, version: str) -> None:
    bridge = {**node.bridge(version), "ipam": node.bench.host_local("10.1.2.0/24")}
    pod = node.bench.pod()
    previous = pod.add(bridge)
    bridge_items = pod.items
    conf = node.conf(previous, version=version)
    assert pod.add(conf) == previous
    pod.check_both(conf)
    pod.delete(conf)
    pod.items = bridge_items
    pod.delete(bridge)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("mappings", [True, False])
def test_del_without_anything(node: Node, pod: Pod, backend: str, recorded: bool, mappings: bool) -> None:
    """No namespace, no previous result, no mappings; also with no record the rules are found."""
    conf = node.conf(pod.result, backend=backend)
    pod.add(conf)
    assert "10.1.2.2" in node.rules()
    bare = {"cniVersion": "1.1.0", "name": "net", "type": "portmap"}
    if mappings:
        bare["runtimeConfig"] = {"portMappings": [{"hostPort": -5}]}  # type: ignore[assignment]
    pod.delete(bare, recorded=recorded, netns="")
    assert "10.1.2.2" not in node.rules()
    pod.delete(bare, recorded=recorded, netns="")


def test_del_leaves_the_bridges_own_rules(node: Node) -> None:
    pod = node.bench.pod()
    bridge = {**node.bridge(), "ipMasq": True, "ipMasqBackend": "nftables"}
    previous = pod.add(bridge)
    items = pod.items
    before = node.rules()
    conf = node.conf(previous, backend="nftables")
    pod.add(conf)
    pod.delete(conf, recorded=False)
    assert [line for line in before.splitlines() if "masquerade" in line or "10.1.2.2" in line]
    kept = node.rules()
    assert all(line in kept for line in before.splitlines() if "10.1.2.2" in line)
    pod.items = items
    pod.delete(bridge)


@pytest.mark.parametrize("backend", BACKENDS)
def test_check_reports_rules_that_are_gone(node: Node, pod: Pod, backend: str, refused: Any) -> None:
    conf = node.conf(pod.result, backend=backend)
    pod.add(conf)
    node.bench.firewall.remove(
        [item for item in pod.items or () if item.place == "host" and hasattr(item, "owner")]
    )
    for recorded in (True, False):
        assert refused(102, pod.check, conf, recorded=recorded).details


def test_check_without_previous_result(node: Node, pod: Pod, refused: Any) -> None:
    plugin = registry.plugin("portmap")
    assert plugin is not None
    bare = node.conf(None)
    del bare["prevResult"]
    call = pod.call("CHECK", bare)
    assert refused(7, plugin.check, call, node.bench.node(), None).msg == "Required prevResult missing"
    assert refused(7, pod.add, bare).msg == "must be called as chained plugin"


def test_every_field_is_checked(node: Node, pod: Pod, every_field_is_checked: Any) -> None:
    conf = node.conf(
        pod.result,
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1"},
        backend="nftables",
    )
    pod.add(conf)
    assert every_field_is_checked(pod, conf) >= 15


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_later_step_that_fails_takes_the_rules_along(
    node: Node, pod: Pod, backend: str, refused: Any, unchanged: Any
) -> None:
    """The sysctl comes last: where it can't be written, no rule is left."""
    first = node.conf(pod.result, backend=backend)
    pod.add(first)  # tables and chains are the host's and stay
    pod.delete(first)
    node.bench.lab.run("sysctl", "-qw", "net.ipv4.conf.br0.route_localnet=0")
    before = node.rules()

    class Unwilling(type(node.bench.lab.kernel)):  # type: ignore[misc]
        @property
        def host(self) -> Any:
            stack = super().host

            def refuse(settings: Any) -> None:
                raise OSError(13, "Permission denied", next(iter(settings))[0])

            stack.write_sysctls = refuse
            return stack

    honest = node.bench.lab.kernel
    node.bench.lab.kernel = Unwilling(node.bench.lab.host)
    try:
        assert "route_localnet" in refused(100, pod.add, first).msg
    finally:
        node.bench.lab.kernel = honest
    assert counters_aside(node.rules()) == counters_aside(before)


def counters_aside(rules: str) -> list[str]:
    import re

    lines = (line for line in rules.splitlines() if not line.startswith("#"))
    return [re.sub(r"packets \d+ bytes \d+|\[\d+:\d+\]", "", line) for line in lines]


@pytest.mark.parametrize("backend", BACKENDS)
def test_gc_keeps_what_is_valid(node: Node, pod: Pod, backend: str) -> None:
    plugin = registry.plugin("portmap")
    assert plugin is not None
    conf = node.conf(pod.result, backend=backend)
    pod.add(conf)
    valid = [{"containerID": "pod", "ifname": "eth0"}]
    for listed, left in ((valid, True), ([], False)):
        call = pod.call("GC", {**conf, "cni.dev/valid-attachments": listed}, netns="")
        plugin.gc(call, node.bench.node())
        assert ("10.1.2.2" in node.rules()) is left


def test_status(node: Node, pod: Pod, refused: Any) -> None:
    plugin = registry.plugin("portmap")
    assert plugin is not None
    plugin.status(pod.call("STATUS", node.conf(None), netns=""), node.bench.node())
    bad = node.conf(None, backend="ebtables")
    assert "$.backend" in str(
        refused(50, plugin.status, pod.call("STATUS", bad, netns=""), node.bench.node())
    )


@pytest.mark.parametrize(
    "more",
    [
        {"backend": "ebtables"},
        {"runtimeConfig": {"portMappings": [{"hostPort": 1}]}},
        {"conditionsV4": ["this is", "no condition"], "backend": "nftables"},
        {"conditionsV4": ["--no-such-option"], "backend": "iptables"},
    ],
)
def test_bad_input_leaves_nothing(node: Node, pod: Pod, more: Any) -> None:
    from multinet.cni.errors import CNIError

    with pytest.raises(CNIError) as caught:
        pod.add({**node.conf(pod.result), **more})
    assert caught.value.code in (7, 107)
    assert "10.1.2.2" not in node.rules()

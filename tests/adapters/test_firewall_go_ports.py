"""Port mappings and forwarding made by the reference Go plugins are removed, and they remove ours."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from multinet.adapters.iptables import Iptables
from multinet.adapters.iptables_port_words import chain_of
from multinet.adapters.iptables_rules import comment_match, reference_chain_name
from multinet.core.desired import ForwardAccept, MacGuard, Masquerade, Owner, PacketRule, PortMapping
from tests.adapters.node import LENGTH, NODE, POD_A, POD_B, A, B, Node, mapping, to_b
from tests.adapters.servers import ask

SHORT = 0.4


def go(node: Node, plugin: str, verb: str, owner: Owner, address: dict[int, str], **options: Any) -> None:
    """A verb of the Go plugin, chained behind a bridge."""
    conf = {
        "cniVersion": "0.4.0",
        "name": owner.network,
        "type": plugin,
        **options,
        "prevResult": {
            "cniVersion": "0.4.0",
            "interfaces": [{"name": "br0"}, {"name": owner.ifname, "sandbox": node.a.path}],
            "ips": [
                {"version": str(v), "address": f"{address[v]}/{LENGTH[v]}", "interface": 1} for v in (4, 6)
            ],
        },
    }
    environment = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": owner.container_id,
        "CNI_IFNAME": owner.ifname,
        "CNI_NETNS": node.a.path,
        "CNI_PATH": "/usr/lib/cni",
    }
    done = subprocess.run(
        ["nsenter", f"--net=/proc/{os.getpid()}/fd/{node.host.fd}", f"/usr/lib/cni/{plugin}"],
        input=json.dumps(conf),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


PORTS = {
    "snat": True,
    "runtimeConfig": {
        "portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 8081, "containerPort": 81, "protocol": "udp"},
            {"hostPort": 8082, "containerPort": 82, "protocol": "tcp", "hostIP": NODE[4]},
        ]
    },
}


def items(version: int, owner: Owner, address: dict[int, str]) -> list[PortMapping]:
    common: dict[str, Any] = {
        "owner": owner,
        "backend": "iptables",
        "container_cidr": f"{address[version]}/{LENGTH[version]}",
    }
    found = [
        mapping(version, **common),
        mapping(version, protocol="udp", host_port=8081, container_port=81, **common),
    ]
    if version == 4:
        found.append(mapping(4, host_port=8082, container_port=82, host_ip=NODE[4], **common))
    return found


def nat(node: Node) -> list[str]:
    tools = ("iptables", "ip6tables")
    return [line for tool in tools for line in node.lab.run(tool, "-t", "nat", "-S").splitlines()]


@pytest.mark.reference
def test_our_rules_are_the_go_plugins_own(node: Node) -> None:
    go(node, "portmap", "ADD", A, POD_A, **PORTS)
    theirs = nat(node)
    node.lab.run("iptables", "-t", "nat", "-F")
    node.firewall.sweep(A)
    node.lab.run("nft", "flush", "ruleset")
    node.firewall.apply([*items(4, A, POD_A), *items(6, A, POD_A)])
    ours = nat(node)
    assert {line for line in theirs if "dports" not in line} == {
        line for line in ours if "dports" not in line
    }
    # The entries say whose interface it is as well; one for a host address names it.
    entries = [line for line in ours if "dports" in line]
    comment = comment_match('dnat name: "net" id: "aaaa" if: "eth0"')
    chain = chain_of(A)
    assert chain == reference_chain_name("net", "aaaa", "DN-") and len(chain) == 28
    assert entries == [
        f"-A CNI-HOSTPORT-DNAT -d {NODE[4]}/32 -p tcp {comment} -m multiport --dports 8082 -j {chain}",
        f"-A CNI-HOSTPORT-DNAT -p tcp {comment} -m multiport --dports 8080 -j {chain}",
        f"-A CNI-HOSTPORT-DNAT -p udp {comment} -m multiport --dports 8081 -j {chain}",
        f"-A CNI-HOSTPORT-DNAT -p tcp {comment} -m multiport --dports 8080 -j {chain}",
        f"-A CNI-HOSTPORT-DNAT -p udp {comment} -m multiport --dports 8081 -j {chain}",
    ]


@pytest.mark.reference
@pytest.mark.parametrize("way", ["sweep", "sweep net1", "collect", "remove", "other kinds"])
def test_what_the_go_plugin_made_is_removed(node: Node, way: str) -> None:
    go(node, "portmap", "ADD", B, POD_B, **PORTS)
    with_b = nat(node)
    go(node, "portmap", "ADD", A, POD_A, **PORTS)
    assert reference_chain_name("net", "aaaa", "DN-") in "\n".join(nat(node))
    match way:
        case "sweep":
            node.firewall.sweep(A)
        case "sweep net1":  # theirs don't tell a container's interfaces apart
            node.firewall.sweep(Owner("net", "aaaa", "net1"))
        case "collect":
            node.firewall.collect("net", [(B.container_id, B.ifname)])
        case "remove":
            node.firewall.remove([*items(4, A, POD_A), *items(6, A, POD_A)])
        case "other kinds":
            with_a = nat(node)
            node.firewall.sweep(A, [Masquerade, MacGuard, ForwardAccept])
            node.firewall.collect("net", (), [Masquerade, MacGuard, ForwardAccept])
            assert nat(node) == with_a
            node.firewall.collect("other", (), [PortMapping])
            assert nat(node) == with_a
            return
    assert nat(node) == with_b
    node.firewall.collect("net", ())
    assert "CNI-DN-" not in "\n".join(nat(node))


@pytest.mark.reference
def test_the_go_plugin_removes_ours(node: Node) -> None:
    node.serve(node.b, POD_B, 80, name="b")
    node.firewall.apply([*items(4, A, POD_A), *items(6, A, POD_A)])
    other = to_b(backend="iptables")
    node.firewall.apply([other])
    go(node, "portmap", "DEL", A, POD_A, **PORTS)
    assert "aaaa" not in "\n".join(nat(node))
    assert node.firewall.compare([other]) == []
    assert ask(node.outside, NODE[4], 8080).startswith("b ")


@pytest.mark.reference
def test_our_add_replaces_what_the_go_plugin_made_for_the_pod(node: Node) -> None:
    node.serve(node.b, POD_B, 80, name="b")
    go(node, "portmap", "ADD", A, POD_A, **PORTS)
    moved = [*items(4, A, POD_B), *items(6, A, POD_B)]
    node.firewall.apply(moved)
    assert node.firewall.compare(moved) == []
    assert ask(node.outside, NODE[4], 8080).startswith("b ")


@pytest.mark.reference
def test_forwarding_by_the_go_plugin_and_by_us(node: Node) -> None:
    accepts: list[PacketRule] = [
        ForwardAccept(owner=A, cidr=f"{POD_A[v]}/{ {4: 32, 6: 128}[v] }", backend="iptables") for v in (4, 6)
    ]
    go(node, "firewall", "ADD", A, POD_A, backend="iptables")
    theirs = filters(node)
    missing = node.firewall.compare(accepts)
    assert {difference.want for difference in missing} == {
        f'-s {POD_A[v]}/{ {4: 32, 6: 128}[v] } -m comment --comment "multinet:net/aaaa/eth0"' for v in (4, 6)
    }, "all that is missing is whose the address is"
    node.firewall.apply(accepts)
    assert node.firewall.compare(accepts) == []
    assert [line for line in filters(node) if "multinet:" not in line] == theirs
    node.firewall.remove(accepts)
    assert POD_A[4] not in "\n".join(filters(node))
    go(node, "firewall", "ADD", A, POD_A, backend="iptables")
    node.firewall.remove(accepts)
    assert POD_A[6] not in "\n".join(filters(node)), "ours removes theirs"
    node.firewall.apply(accepts)
    go(node, "firewall", "DEL", A, POD_A, backend="iptables")
    assert [line for line in filters(node) if POD_A[4] in line or POD_A[6] in line] == [
        f'-A CNI-FORWARD -s {POD_A[v]}/{ {4: 32, 6: 128}[v] } -m comment --comment "multinet:net/aaaa/eth0"'
        for v in (4, 6)
    ], "theirs removes what ours accepts"
    node.firewall.sweep(A)
    assert POD_A[4] not in "\n".join(filters(node))


def filters(node: Node) -> list[str]:
    tools = ("iptables", "ip6tables")
    return [line for tool in tools for line in node.lab.run(tool, "-S").splitlines()]


GO_HOSTPORTS = """
table ip cni_hostport {
    comment "CNI portmap plugin"
    chain hostports {
        tcp dport 8080 dnat to 10.9.0.2:80 comment "aaaa"
        tcp dport 8081 dnat to 10.9.0.3:80 comment "bbbb"
    }
    chain hostip_hostports {
        ip daddr 192.0.2.2 tcp dport 8082 dnat to 10.9.0.2:82 comment "aaaa"
    }
    chain hostports_all {
        jump hostip_hostports
        jump hostports
    }
    chain prerouting {
        type nat hook prerouting priority -100
        fib daddr type local jump hostports_all
    }
    chain masquerading {
        type nat hook postrouting priority 100
        ip saddr 10.9.0.2 ip daddr 10.9.0.2 masquerade comment "aaaa"
        ip saddr 127.0.0.1 ip daddr 10.9.0.2 masquerade comment "aaaa"
        ip saddr 10.9.0.3 ip daddr 10.9.0.3 masquerade comment "bbbb"
    }
}
table ip6 cni_hostport {
    chain hostports {
        tcp dport 8080 dnat to [fd09::2]:80 comment "aaaa"
        tcp dport 8081 dnat to [fd09::3]:80 comment "bbbb"
    }
}
"""


@pytest.mark.parametrize("kinds", ["all", "ports", "others"])
def test_the_go_plugins_nftables_are_cleaned(node: Node, kinds: str) -> None:
    # As 1.9 lays them out; the packaged plugin is older and has no nftables.
    node.lab.run("nft", "-f", "-", stdin=GO_HOSTPORTS)
    before = node.lab.run("nft", "list", "ruleset")
    match kinds:
        case "all":
            node.firewall.sweep(A)
        case "ports":
            node.firewall.sweep(A, [PortMapping])
        case "others":
            node.firewall.sweep(A, [Masquerade, ForwardAccept, MacGuard])
            assert node.lab.run("nft", "list", "ruleset") == before
            return
    after = node.lab.run("nft", "list", "ruleset")
    assert "aaaa" not in after and after.count('comment "bbbb"') == 3
    assert "jump hostip_hostports" in after and "jump hostports_all" in after
    node.firewall.sweep(A)


def test_mappings_in_legacy_tables_are_removed(node: Node) -> None:
    probe = node.lab.sandbox()
    node.lab.run("iptables-legacy", "-t", "nat", "-S", netns=probe, check=False)
    if "nat" not in node.lab.run("cat", "/proc/net/ip_tables_names", netns=probe, check=False):
        pytest.skip("the kernel has no legacy iptables nat table")
    legacy = Iptables(node.host, 4, legacy=True)
    accept = ForwardAccept(owner=A, cidr=f"{POD_A[4]}/32", backend="iptables")
    legacy.apply([*items(4, A, POD_A), accept])
    legacy.apply([to_b(backend="iptables")])
    assert legacy.compare([accept]) == []
    node.firewall.sweep(A)
    listed = node.lab.run("iptables-legacy-save")
    assert POD_A[4] not in listed and POD_B[4] in listed
    node.firewall.collect("net", ())
    assert POD_B[4] not in node.lab.run("iptables-legacy-save")

"""Rules that the reference Go plugins made are found and removed; and where iptables is the better backend."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from multinet.adapters.firewall import HostFirewall, choose_backend
from multinet.adapters.iptables import Iptables
from multinet.adapters.iptables_rules import Ruleset, chain_name, reference_chain_name
from multinet.adapters.netns import Netns
from multinet.adapters.reference_rules import masquerade_prefix
from multinet.core.desired import MacGuard, Masquerade, Owner


@pytest.fixture
def firewall(lab) -> Iterator[HostFirewall]:
    firewall = HostFirewall(lab.host)
    try:
        yield firewall
    finally:
        firewall.close()


def go_bridge_add(lab, netns: Netns, owner: Owner) -> None:
    """ADD by the Go plugin: both families, masquerade, MAC check."""
    conf = {
        "cniVersion": "0.4.0",
        "name": owner.network,
        "type": "bridge",
        "bridge": "br0",
        "isGateway": True,
        "ipMasq": True,
        "macspoofchk": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(lab.directory / "ipam"),
            "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd09::/64"}]],
        },
    }
    environment = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": owner.container_id,
        "CNI_IFNAME": owner.ifname,
        "CNI_NETNS": f"/proc/{os.getpid()}/fd/{netns.fd}",
        "CNI_PATH": "/usr/lib/cni",
    }
    lab.allowed |= set(lab.links()) | {"br0"}
    done = subprocess.run(
        ["nsenter", f"--net=/proc/{os.getpid()}/fd/{lab.host.fd}", "/usr/lib/cni/bridge"],
        input=json.dumps(conf),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lab.allowed |= set(lab.links())


def rules_of(lab) -> str:
    nat = [lab.run(tool, "-t", "nat", "-S") for tool in ("iptables-nft", "ip6tables-nft")]
    bridge = lab.run("nft", "list", "table", "bridge", "nat", check=False)
    return "\n".join([*nat, bridge])


@pytest.mark.reference
@pytest.mark.parametrize("way", ["sweep", "collect"])
def test_rules_of_the_go_bridge_plugin_are_removed(lab, firewall: HostFirewall, way: str) -> None:
    gone, kept = Owner("refnet", "aaa111", "eth0"), Owner("refnet", "bbb222", "eth0")
    go_bridge_add(lab, lab.sandbox(), kept)
    with_kept = rules_of(lab)
    go_bridge_add(lab, lab.sandbox(), gone)
    assert rules_of(lab).count(reference_chain_name("refnet", "aaa111")) >= 8
    assert "macspoofchk-aaa111-eth0" in rules_of(lab)
    if way == "collect":
        firewall.collect("refnet", [(kept.container_id, kept.ifname)])
        assert reference_chain_name("refnet", "aaa111") not in rules_of(lab)
    firewall.sweep(gone)
    assert rules_of(lab) == with_kept
    firewall.sweep(gone)
    firewall.sweep(kept)
    assert "CNI-" not in rules_of(lab) and "macspoofchk" not in rules_of(lab)


GO_NFTABLES = """
table inet cni_plugins_masquerade {
    chain masq_checks {
        ip saddr 10.9.0.2 ip daddr != 10.9.0.0/24 masquerade comment "6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one"
        ip6 saddr fd09::2 ip6 daddr != fd09::/64 masquerade comment "6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one"
        ip saddr 10.9.0.3 ip daddr != 10.9.0.0/24 masquerade comment "TWO, net: unit-test, if: eth0, id: two"
        ip saddr 10.9.0.4 ip daddr != 10.9.0.0/24 masquerade comment "THREE, net: other, if: eth0, id: one"
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip daddr 224.0.0.0/4 return
        goto masq_checks
    }
}
"""  # noqa: E501


@pytest.mark.parametrize("way", ["sweep", "collect"])
def test_rules_of_the_go_plugins_in_nftables_are_removed(lab, firewall: HostFirewall, way: str) -> None:
    text = GO_NFTABLES.replace("TWO", masquerade_prefix("unit-test", "eth0", "two"))
    text = text.replace("THREE", masquerade_prefix("other", "eth0", "one"))
    lab.run("nft", "-f", "-", stdin=text)
    if way == "sweep":
        firewall.sweep(Owner("unit-test", "one", "eth0"))
    else:
        firewall.collect("unit-test", [("two", "eth0")])
    left = lab.run("nft", "list", "ruleset")
    assert 'id: one"' in left and "net: other" in left, "another network's rule"
    assert "10.9.0.2" not in left and "fd09::2" not in left
    assert "10.9.0.3" in left and "10.9.0.4" in left
    assert "goto masq_checks" in left


def test_names_agree_with_the_go_plugins() -> None:
    assert reference_chain_name("test", "1234") == "CNI-2bbe0c48b91a7d1b8a6753a8"
    assert reference_chain_name("testalongnamethatdoesnotmakesense", "1234") == "CNI-374f33fe84ab0ed84dcdebe3"
    assert masquerade_prefix("unit-test", "eth0", "one") == "6fd94d501e58f0aa-287fc69eff0574a2"
    assert len({chain_name(Owner("n", "c", name)) for name in ("eth0", "net1")}) == 2


def test_sweep_on_an_untouched_host_starts_nothing_and_makes_nothing(lab, firewall: HostFirewall) -> None:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    before = children.read_text() if children.exists() else ""
    firewall.sweep(Owner("net", "cid", "eth0"))
    firewall.collect("net", ())
    assert (children.read_text() if children.exists() else "") == before
    assert lab.run("nft", "list", "tables") == ""
    assert lab.run("cat", "/proc/net/ip_tables_names", check=False).strip() == ""


def has_legacy(lab) -> bool:
    probe = lab.sandbox()
    lab.run("iptables-legacy", "-t", "nat", "-S", netns=probe, check=False)
    return "nat" in lab.run("cat", "/proc/net/ip_tables_names", netns=probe, check=False)


def test_backend_choice(lab) -> None:
    assert choose_backend(lab.host) == "nftables"
    lab.run("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "10.0.0.1", "-j", "MASQUERADE")
    assert choose_backend(lab.host) == "nftables"
    if not has_legacy(lab):
        pytest.skip("the kernel has no legacy iptables nat table")
    lab.run("iptables-legacy", "-t", "nat", "-S")
    assert choose_backend(lab.host) == "iptables"
    assert choose_backend(lab.sandbox()) == "nftables", "another namespace is another matter"


@pytest.mark.parametrize("way", ["sweep", "collect"])
def test_rules_in_legacy_tables_are_removed(lab, firewall: HostFirewall, way: str) -> None:
    if not has_legacy(lab):
        pytest.skip("the kernel has no legacy iptables nat table")
    lab.run("iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-s", "10.0.0.1", "-j", "MASQUERADE")
    lab.run("ip6tables-legacy", "-t", "nat", "-N", "CNI-0123456789abcdef01234567")
    untouched = [lab.run(tool, "-t", "nat", "-S") for tool in ("iptables-legacy", "ip6tables-legacy")]
    owner = Owner("net", "cid", "eth0")
    for version, cidr in ((4, "10.9.0.2/24"), (6, "fd09::2/64")):
        Iptables(lab.host, version, legacy=True).apply(
            [Masquerade(cidr=cidr, owner=owner, backend="iptables")]
        )
    assert chain_name(owner) in lab.run("ip6tables-legacy", "-t", "nat", "-S")
    assert chain_name(owner) not in lab.run("iptables-nft", "-t", "nat", "-S")
    if way == "sweep":
        firewall.sweep(owner)
    else:
        firewall.collect("net", [("other", "eth0")])
    assert [lab.run(tool, "-t", "nat", "-S") for tool in ("iptables-legacy", "ip6tables-legacy")] == untouched


def test_iptables_rules_are_those_of_the_go_plugins_in_a_better_order(lab, firewall: HostFirewall) -> None:
    owner = Owner("net", "cid", "eth0")
    items = [Masquerade(cidr=c, owner=owner, backend="iptables") for c in ("10.9.0.2/24", "10.8.0.2/24")]
    for _ in range(2):
        for item in items:
            firewall.apply([item])
    chain, comment = chain_name(owner), '-m comment --comment "name: \\"net\\" id: \\"cid\\""'
    listed = [line for line in lab.run("iptables-nft", "-t", "nat", "-S").splitlines() if "CNI-" in line]
    assert listed == [
        f"-N {chain}",
        f"-A POSTROUTING -s 10.9.0.2/32 {comment} -j {chain}",
        f"-A POSTROUTING -s 10.8.0.2/32 {comment} -j {chain}",
        f"-A {chain} -d 10.9.0.0/24 {comment} -j ACCEPT",
        f"-A {chain} -d 10.8.0.0/24 {comment} -j ACCEPT",
        f"-A {chain} ! -d 224.0.0.0/4 {comment} -j MASQUERADE",
    ]
    assert firewall.compare(items) == []
    lab.run("iptables-nft", "-t", "nat", "-D", "POSTROUTING", "1")
    lab.run("iptables-nft", "-t", "nat", "-D", chain, "3")
    rules, jump = firewall.compare(items)
    assert rules.field == "rules" and "MASQUERADE" in rules.want and "MASQUERADE" not in rules.have
    assert jump.field == "jump for 10.9.0.2/32" and jump.have == ""
    firewall.apply(items)
    assert firewall.compare(items) == []
    lab.run("iptables-nft", "-t", "nat", "-F")
    firewall.remove(items)
    assert "CNI-" not in lab.run("iptables-nft", "-t", "nat", "-S")


def test_a_dump_with_strangers_in_it_is_read_right() -> None:
    rules = Ruleset.parse(
        "# Warning: iptables-legacy tables present, use iptables-legacy to see them\n"
        "-P POSTROUTING ACCEPT\n-N KUBE-SERVICES\n-N CNI-a\n"
        '-A POSTROUTING -m comment --comment "kubernetes \\"post\\" routing" -j KUBE-SERVICES\n'
        "-A POSTROUTING -s 10.0.0.2/32 -j CNI-a\n-A CNI-a -d 10.0.0.0/24 -j ACCEPT\n"
    )
    assert set(rules.chains) == {"POSTROUTING", "KUBE-SERVICES", "CNI-a"}
    assert [line.text for line in rules.jumps("POSTROUTING", "CNI-a")] == [
        "POSTROUTING -s 10.0.0.2/32 -j CNI-a"
    ]
    assert [line.words for line in rules.chains["CNI-a"]] == [("CNI-a", "-d", "10.0.0.0/24", "-j", "ACCEPT")]


def test_a_guard_is_never_iptables_business(lab, firewall: HostFirewall) -> None:
    owner = Owner("net", "cid", "eth0")
    guard = MacGuard(link="veth0", mac="02:00:00:00:00:01", owner=owner)
    firewall.apply([Masquerade(cidr="10.9.0.2/24", owner=owner, backend="iptables"), guard])
    assert "masquerade4" not in lab.run("nft", "list", "ruleset")
    assert firewall.compare([guard]) == []

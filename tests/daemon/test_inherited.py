"""Pods that Multus attached with the reference plugins, checked and deleted by our daemon (5.31 to 5.34, 9.24)."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest
from msgspec.structs import replace

from multinet.adapters.netns import Netns
from multinet.daemon.background import Background, Periods
from tests.daemon.conftest import Site
from tests.daemon.multus import Multus, Network

pytestmark = pytest.mark.reference


@pytest.fixture
def multus(site: Site, lab: Any) -> Multus:
    """A node that Multus has served until now."""
    directory = lab.directory / "multus"
    site.options = replace(site.options, multus_cni_dir=str(directory), bin_dir="/usr/lib/cni")
    return Multus(directory, lab.host)


def bridged(site: Site, *subnets: str) -> Network:
    """The cluster's network: a bridge in two families, masquerading, port mappings."""
    plugins = [
        site.bridge(*(subnets or ("10.244.0.0/24", "fd00:244::/64"))),
        {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}},
        {"type": "firewall", "backend": "iptables"},
    ]
    conf = {"cniVersion": "0.4.0", "name": "cbr0", "plugins": plugins}
    mapping = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
    return Network("cbr0", conf, capabilities={"portMappings": [mapping]})


def checkable(site: Site) -> Network:
    """As ``bridged``, without portmap: the reference plugin's CHECK looks in both families whatever there is."""
    network = bridged(site, "10.244.0.0/24")
    del network.conf["plugins"][1]
    return network


def macvlan(site: Site, name: str = "default/mv", ifname: str = "", subnet: str = "10.1.1.0/24") -> Network:
    plugin = {"type": "macvlan", "master": "up0", "mode": "bridge", "ipam": site.bridge(subnet)["ipam"]}
    conf = {
        "cniVersion": "0.4.0",
        "name": name.partition("/")[2],
        "plugins": [plugin, {"type": "tuning", "mtu": 1400}],
    }
    return Network(name, conf, ifname)


@pytest.fixture
def uplink(lab: Any) -> None:
    """A link for macvlan's to sit on."""
    lab.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
    lab.run("ip", "link", "set", "up0", "up")
    lab.allowed |= {"up0", "up1"}


@pytest.fixture
def empty(site: Site, lab: Any, multus: Multus, uplink: None) -> str:
    """The packet rules of a node whose last pod has been deleted by Multus itself: chains that it keeps for ever."""
    pod, networks = lab.sandbox(), [bridged(site), macvlan(site)]
    multus.add("c0", pod, networks)
    multus.delete("c0", pod, networks)
    return rules(site)


def rules(site: Site) -> str:
    """What iptables would restore, without counters and comments."""
    saved = site.lab.run("iptables-save") + site.lab.run("ip6tables-save")
    return "\n".join(
        re.sub(r"\[\d+:\d+\]", "", line) for line in saved.splitlines() if not line.startswith("#")
    )


def assert_clean(site: Site, multus: Multus, *sandboxes: Netns) -> None:
    assert site.rows == []
    assert site.lease_files() == []
    assert not [name for name in site.lab.links() if name.startswith("veth")]
    for sandbox in sandboxes:
        assert set(site.lab.links(sandbox)) == {"lo"}
    assert multus.files == []


def test_pod_of_multus_is_deleted_whole(site: Site, lab: Any, multus: Multus, empty: str) -> None:
    """Bridge, port mappings, firewall, macvlan, tuning, host-local: nothing of them is left, nor Multus' files."""
    pod = lab.sandbox()
    multus.add(
        "c1", pod, [bridged(site), macvlan(site), macvlan(site, "default/named", "data", "10.1.2.0/24")]
    )
    assert set(lab.links(pod)) == {"lo", "eth0", "net1", "data"}
    assert len(site.lease_files()) == 4
    assert multus.files == ["c1", "results/cbr0-c1-eth0", "results/mv-c1-net1", "results/named-c1-data"]
    assert rules(site) != empty
    site.ok("DEL", netns=pod)
    assert_clean(site, multus, pod)
    assert rules(site) == empty
    site.ok("DEL", netns=pod)  # 5.52


def test_sandbox_is_gone(site: Site, lab: Any, multus: Multus, uplink: None) -> None:
    """9.46: after a reboot a DEL comes with no namespace; addresses and rules of the host are given back."""
    pod = lab.sandbox()
    multus.add("c1", pod, [bridged(site), macvlan(site)])
    lab.run("ip", "link", "del", next(name for name in lab.links() if name.startswith("veth")))
    os.rename(multus.directory / "results", multus.directory / "kept")
    for file in (multus.directory / "kept").iterdir():
        file.write_text(file.read_text().replace(pod.path, "/run/netns/no-such"))
    os.rename(multus.directory / "kept", multus.directory / "results")
    site.ok("DEL")
    assert site.rows == [] and site.lease_files() == [] and multus.files == []


def test_pod_of_multus_is_checked(site: Site, lab: Any, multus: Multus, uplink: None) -> None:
    """5.46: every attachment, and what is missing is found."""
    pod = lab.sandbox()
    multus.add("c1", pod, [checkable(site), macvlan(site)])
    site.ok("CHECK", netns=pod)
    assert [(r.ifname, r.name, r.phase, r.position) for r in site.rows] == [
        ("eth0", "cbr0", "ready", 0),
        ("net1", "default/mv", "ready", 1),
    ]
    assert {(r.pod, r.pod_uid) for r in site.rows} == {("default/web", "uid-web")}
    with pod.entered():
        os.system("ip addr flush dev net1")
    code, text = site.fails("CHECK", netns=pod)
    assert "net1" in text or "10.1.1." in text, (code, text)
    site.ok("DEL", netns=pod)
    assert_clean(site, multus, pod)


def test_network_is_the_very_bytes_that_multus_used(site: Site, lab: Any, multus: Multus) -> None:
    """1.14: keys that nobody knows survive, though Multus' own copy of the configuration has lost them."""
    site.recorders.make("odd")
    conf = {
        "cniVersion": "0.4.0",
        "name": "odd",
        "type": "odd",
        "kubernetes": {"kubeconfig": "/k"},
        "capabilities": {"mac": True},
    }
    multus = Multus(multus.directory, lab.host, (str(site.bin_dir),))
    pod = lab.sandbox()
    multus.add("c1", pod, [Network("default/odd", conf, capabilities={"mac": "02:00:00:00:00:01"})])
    site.ok("DEL", netns=pod)
    added, deleted = site.recorders.calls
    assert deleted.conf.pop("prevResult")["ips"][0]["address"] == "10.99.0.2/24"
    assert deleted.conf["kubernetes"] == {"kubeconfig": "/k"}
    assert deleted.conf["runtimeConfig"] == {"mac": "02:00:00:00:00:01"}
    assert deleted.env["CNI_ARGS"] == added.env["CNI_ARGS"]
    assert multus.files == []


@pytest.mark.parametrize("damage", ["", "[{", "null", '[{"Name": "x"}]', '[{"Bytes": "%%"}]'])
def test_damaged_scratch_file_5_33(site: Site, lab: Any, multus: Multus, empty: str, damage: str) -> None:
    """A crash of the node left half a file: the results say what was attached."""
    pod = lab.sandbox()
    multus.add("c1", pod, [bridged(site), macvlan(site)])
    (multus.directory / "c1").write_text(damage)
    site.ok("DEL", netns=pod)
    assert_clean(site, multus, pod)
    assert rules(site) == empty


def test_damaged_scratch_file_and_nothing_else_5_50(
    site: Site, lab: Any, multus: Multus, caplog: pytest.LogCaptureFixture
) -> None:
    multus.directory.mkdir()
    (multus.directory / "c1").write_text("[{")
    site.ok("DEL")
    assert "container c1, attached by Multus: scratch file" in caplog.text
    assert multus.files == []


def test_failed_removal_keeps_the_files_until_it_is_done(site: Site, lab: Any, multus: Multus) -> None:
    """9.13: neither lost nor stuck for ever."""
    site.recorders.make("odd")
    multus = Multus(multus.directory, lab.host, (str(site.bin_dir),))
    pod = lab.sandbox()
    multus.add("c1", pod, [Network("odd", {"cniVersion": "0.4.0", "name": "odd", "type": "odd"})])
    site.recorders.fail("odd", "DEL")
    site.ok("DEL", netns=pod)
    assert [r.phase for r in site.rows] == ["deleting"]
    assert multus.files == ["c1", "results/odd-c1-eth0"]
    site.recorders.succeed("odd", "DEL")
    site.ok("DEL", netns=pod)
    assert site.rows == [] and multus.files == []


def test_gc_keeps_live_secondary_addresses_5_55(site: Site, lab: Any, multus: Multus, uplink: None) -> None:
    """The runtime's list knows eth0 alone; what net1 holds is in Multus' files."""
    pod = lab.sandbox()
    multus.add("c1", pod, [bridged(site), macvlan(site)])
    before = site.lease_files()
    conf = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
    site.ok("GC", conf=conf)
    assert site.lease_files() == before
    assert [r.ifname for r in site.rows] == ["eth0", "net1"]
    site.ok("DEL", netns=pod)
    assert_clean(site, multus, pod)


def test_dead_containers_are_buried_at_the_second_look_9_24(
    site: Site, lab: Any, multus: Multus, uplink: None
) -> None:
    pod = lab.sandbox()
    multus.add("old", pod, [bridged(site), macvlan(site)])
    conf = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
    site.ok("GC", conf=conf)
    assert multus.files != []
    site.ok("GC", conf=conf)
    assert multus.files == []
    assert site.rows == [] and site.lease_files() == []


def test_without_the_runtimes_list_a_namespace_tells(
    site: Site, lab: Any, multus: Multus, tmp_path: Any
) -> None:
    """At start and now and then: gone is what is missing from a folder that is there."""
    alive, gone, unknown = str(tmp_path / "alive"), str(tmp_path / "gone"), "/no/such/folder/x"
    (tmp_path / "alive").touch()
    site.options = replace(site.options, bin_dir=str(site.bin_dir))
    site.recorders.make("odd")
    odd = Network("odd", {"cniVersion": "0.4.0", "name": "odd", "type": "odd"})
    node = Multus(multus.directory, lab.host, (str(site.bin_dir),))
    for container, path in (("alive", alive), ("gone", gone), ("unknown", unknown)):
        pod = lab.sandbox()
        node.add(container, pod, [odd])
        file = multus.directory / "results" / f"odd-{container}-eth0"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"netns": path}))
    for _ in range(3):
        site.app.handler.bury_dead()
    assert {name.partition("/")[0] for name in multus.files} == {"alive", "unknown", "results"}
    assert site.recorders.asked("DEL") == [("odd", "DEL", "eth0")]
    assert site.rows == []


def test_hot_unplug_of_what_multus_attached(site: Site, lab: Any, multus: Multus, uplink: None) -> None:
    """8.10: a controller takes an interface of Multus' time away; the pod keeps the others."""
    from multinet.daemon.hot_plug import HotPlug
    from multinet.npwg.network_selection import NetworkSelection

    pod = lab.sandbox()
    networks = [checkable(site), macvlan(site)]
    multus.add("c1", pod, networks)
    plug = HotPlug(site.app.shared)
    request = site.request("DEL", "c1", pod, conf=networks[1].conf, program="delegate", CNI_IFNAME="net1")
    site.app.service.carry_out(
        request, lambda call: plug.serve(call, NetworkSelection(name="x")), None, lambda: False
    )
    assert set(lab.links(pod)) == {"lo", "eth0"}
    assert [r.ifname for r in site.rows] == ["eth0"]
    site.ok("CHECK", netns=pod)
    site.ok("DEL", netns=pod)
    assert_clean(site, multus, pod)


def test_users_cannot_point_us_at_other_files(site: Site, lab: Any, multus: Multus, tmp_path: Any) -> None:
    """A network's configuration is a user's: a cniDir in it is nobody's."""
    site.recorders.make("odd")
    planted = Multus(tmp_path / "planted", lab.host, (str(site.bin_dir),))
    planted.write_scratch("c1", [Network("evil", {"cniVersion": "1.0.0", "name": "evil", "type": "odd"})])
    conf = {"name": "n", "type": "bridge", "cniDir": str(planted.directory)}
    site.call("DEL", conf=conf, program="bridge")
    assert site.recorders.asked("DEL") == []
    assert planted.files == ["c1"]


def test_without_those_executables_ours_go_by_what_is_marked(
    site: Site, lab: Any, multus: Multus, empty: str
) -> None:
    """An administrator has removed the reference plugins: links, addresses and port mappings go all the same."""
    site.options = replace(site.options, bin_dir=str(site.bin_dir))
    site.path = str(site.bin_dir)
    pod = lab.sandbox()
    multus.add("c1", pod, [bridged(site), macvlan(site)])
    site.ok("CHECK", netns=pod)  # nobody knows how it should be
    site.ok("DEL", netns=pod)
    assert_clean(site, multus, pod)
    assert rules(site) == empty


def test_backups_of_those_that_ours_replaced(site: Site, lab: Any, multus: Multus, empty: str) -> None:
    """``install --plugins``: what was there is kept under another name, and still knows its own."""
    site.bin_dir.joinpath("firewall.before-multinet").symlink_to("/usr/lib/cni/firewall")
    site.bin_dir.joinpath("firewall").write_text("#!/bin/sh\nexit 1\n")
    site.bin_dir.joinpath("firewall").chmod(0o755)
    manifest = {"version": "1", "digests": [], "files": {"firewall": "firewall.before-multinet"}}
    site.bin_dir.joinpath(".multinet-installed.json").write_text(json.dumps(manifest))
    site.options = replace(site.options, bin_dir=str(site.bin_dir))
    pod = lab.sandbox()
    multus.add("c1", pod, [bridged(site)])
    site.ok("DEL", netns=pod)
    assert_clean(site, multus, pod)
    assert rules(site) == empty


def test_a_running_daemon_buries_them_by_itself(site: Site, lab: Any, multus: Multus, tmp_path: Any) -> None:
    site.options = replace(site.options, bin_dir=str(site.bin_dir))
    site.recorders.make("odd")
    node = Multus(multus.directory, lab.host, (str(site.bin_dir),))
    node.add("gone", lab.sandbox(), [Network("odd", {"cniVersion": "0.4.0", "name": "odd", "type": "odd"})])
    file = multus.directory / "results" / "odd-gone-eth0"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"netns": str(tmp_path / "gone")}))
    periods = Periods(spool=0.01, inherited=0.02)
    background = Background(site.app.handler, site.app.service, site.app.spool, periods=periods)
    background.start()
    try:
        site.wait_for(lambda: multus.files == [])
    finally:
        background.stop()
    assert site.recorders.asked("DEL") == [("odd", "DEL", "eth0")]

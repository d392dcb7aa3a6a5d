"""The meta-plugin's configuration as a whole node uses it: spec 1.16, 1.19, 3.6, 3.7, 4.A, 9.31."""

from __future__ import annotations

import json
import logging
from typing import Any

import msgspec
import pytest

from multinet.cni.errors import Code
from multinet.core.settings import settings_warnings
from multinet.daemon.tolerated import warn_once
from multinet.npwg.attachment_definition import ALLOWED_NAMESPACES
from multinet.npwg.selection import DEFAULT_NETWORKS

Site = Any
ARP_FILTER = "net.ipv4.conf.eth0.arp_filter"


def l2(**more: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", **more}


def tuning(site: Site) -> dict[str, Any]:
    folder = str(site.lab.directory / "tuning")
    return {"type": "tuning", "sysctl": {ARP_FILTER: "1"}, "dataDir": folder}


def write(folder: Any, name: str, conf: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(conf if isinstance(conf, str) else json.dumps(conf))


def sysctl(site: Site, netns: Any, name: str) -> str:
    text: str = site.lab.run("sysctl", "-n", name, netns=netns)
    return text.strip()


class TestFolderOfTheClusterNetwork:
    """1.16: each ``*.conf`` in the folder named like the list is one more plugin."""

    def test_chained(self, site: Site) -> None:
        write(site.conf_dir / "cbr0", "20-tuning.conf", tuning(site))
        write(site.conf_dir / "cbr0", "10-first.conf", {"type": site.recorders.make("rec"), "own": 1})
        write(site.conf_dir / "cbr0", "30-other.json", "{")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox, conf={"clusterNetwork": str(site.conf_dir / "10-default.conflist")})
        assert sysctl(site, sandbox, ARP_FILTER) == "1"
        (first,) = site.recorders.calls
        assert (first.conf["own"], first.conf["name"]) == (1, "cbr0")
        for file in (site.conf_dir / "cbr0").iterdir():  # what the ADD used is what the DEL uses
            file.unlink()
        site.ok("DEL", netns=sandbox)
        assert site.recorders.asked() == [("rec", "ADD", "eth0"), ("rec", "DEL", "eth0")]
        site.assert_clean(sandbox)

    def test_only_inlined_plugins(self, site: Site) -> None:
        write(site.conf_dir / "cbr0", "20-tuning.conf", tuning(site))
        plugins = [site.bridge("10.244.0.0/24")]
        conf = {"cniVersion": "1.0.0", "name": "cbr0", "plugins": plugins, "loadOnlyInlinedPlugins": True}
        write(site.conf_dir, "10-default.conflist", conf)
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        assert sysctl(site, sandbox, ARP_FILTER) == "0"
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    def test_not_of_a_definition(self, site: Site) -> None:
        write(site.conf_dir / "a", "x.conf", "{")
        write(site.named_dir / "a", "x.conf", "{")
        site.nad("a", {"cniVersion": "1.0.0", "name": "a", "plugins": [l2()]})
        site.pod(networks="a")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)


class TestAuxiliaryChain:
    def conf(self, site: Site, of: str = "10-default.conflist") -> dict[str, Any]:
        return {"clusterNetwork": str(site.conf_dir / of), "auxiliaryCNIChainName": "vendor-chain"}

    @pytest.mark.parametrize("of", ["10-default.conflist", ""])
    @pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
    def test_it_is_one_more_network_the_last(self, site: Site, version: str, of: str) -> None:
        """Its sysctl is set, and the status has no entry for it: it has no interface."""
        write(site.conf_dir / "vendor-chain", "a.conf", tuning(site))
        site.nad("a", l2())
        site.pod(networks="a")
        sandbox = site.lab.sandbox()
        conf = {**self.conf(site, of), "cniVersion": version}
        site.ok("ADD", netns=sandbox, conf=conf)
        assert [(row.name, row.ifname) for row in site.rows] == [
            ("cbr0", "eth0"),
            ("default/a", "net1"),
            ("vendor-chain", "net2"),
        ]
        assert sysctl(site, sandbox, ARP_FILTER) == "1"
        assert [entry["name"] for entry in json.loads(site.status())] == ["cbr0", "default/a"]
        if version >= "0.4":
            site.ok("CHECK", netns=sandbox, conf=conf)
        (site.conf_dir / "vendor-chain" / "a.conf").unlink()
        site.ok("DEL", netns=sandbox, conf=conf)
        site.assert_clean(sandbox)

    def test_a_folder_with_nothing_in_it_is_no_network(self, site: Site) -> None:
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox, conf=self.conf(site))
        assert [row.ifname for row in site.rows] == ["eth0"]
        site.ok("DEL", netns=sandbox)

    def test_what_an_external_plugin_of_it_gets(self, site: Site) -> None:
        plugin = {"type": site.recorders.make("rec"), "own": {"x": 1}}
        write(site.conf_dir / "vendor-chain", "a.conf", plugin)
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox, conf=self.conf(site))
        (call,) = site.recorders.calls
        assert call.conf == {
            **plugin,
            "name": "vendor-chain",
            "cniVersion": "1.0.0",
            "prevResult": {"cniVersion": "1.0.0"},
        }
        site.ok("DEL", netns=sandbox)

    @pytest.mark.parametrize(
        ("change", "code", "text"),
        [
            (
                {"clusterNetwork": "by-name"},
                Code.INVALID_CONFIG,
                "auxiliary chain used but ClusterNetwork must be a path, and it is not a path: by-name",
            ),
            (
                {"auxiliaryCNIChainName": "../x"},
                Code.INVALID_CONFIG,
                "invalid characters found in network name",
            ),
        ],
    )
    def test_what_cannot_be(self, site: Site, change: dict[str, Any], code: int, text: str) -> None:
        sandbox = site.lab.sandbox()
        found, message = site.fails("ADD", netns=sandbox, conf=self.conf(site) | change)
        assert found == code and text in message
        site.assert_clean(sandbox)

    def test_a_broken_file(self, site: Site) -> None:
        write(site.conf_dir / "vendor-chain", "a.conf", "{")
        sandbox = site.lab.sandbox()
        code, text = site.fails("ADD", netns=sandbox, conf=self.conf(site))
        assert code == Code.DECODING_FAILURE and "vendor-chain/a.conf" in text
        site.assert_clean(sandbox)


class TestDefaultNetworks:
    def test_a_pod_that_declines_them(self, site: Site) -> None:
        write(site.named_dir, "storage.conf", l2(name="storage"))
        conf = {"clusterNetwork": str(site.conf_dir), "defaultNetworks": ["storage", "storage"]}
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox, conf=conf)
        assert [row.ifname for row in site.rows] == ["eth0", "net1", "net2"]  # one network twice is two
        site.ok("DEL", netns=sandbox)
        site.pod(**{DEFAULT_NETWORKS: "none"})
        site.ok("ADD", netns=sandbox, conf=conf)
        assert [row.ifname for row in site.rows] == ["eth0"]
        site.ok("DEL", netns=sandbox)
        site.pod(**{DEFAULT_NETWORKS: "false"})
        code, text = site.fails("ADD", netns=sandbox, conf=conf)
        assert code == Code.INVALID_CONFIG and DEFAULT_NETWORKS in text
        site.assert_clean(sandbox)

    def test_one_that_is_nowhere(self, site: Site) -> None:
        """The message names the key, where it was looked for, and why it isn't there (4.1)."""
        conf = {"clusterNetwork": str(site.conf_dir), "defaultNetworks": ["nowhere"]}
        sandbox = site.lab.sandbox()
        code, text = site.fails("ADD", netns=sandbox, conf=conf)
        assert code == Code.ATTACHMENT
        assert "GetDefaultNetworks: failed to get defaultNetworks nowhere in namespace kube-system" in text
        assert "cannot find a network-attachment-definition (nowhere) in namespace (kube-system)" in text
        assert str(site.named_dir) in text
        site.assert_clean(sandbox)


class TestIsolation:
    """1.19: new networks have it, those written for Multus don't, and the node may say otherwise."""

    @pytest.mark.parametrize(
        ("kind", "option", "conf", "code"),
        [
            ("multinet", "", {}, Code.ATTACHMENT),
            ("multinet", "", {"namespaceIsolation": False}, 0),
            ("multinet", "off", {}, 0),
            ("multus-shim", "", {}, 0),
            ("multus-shim", "on", {}, Code.ATTACHMENT),
            ("multus-shim", "", {"namespaceIsolation": True}, Code.ATTACHMENT),
            ("multinet", "", {"globalNamespaces": "other"}, 0),
        ],
    )
    def test_by_type_and_option(self, site: Site, kind: str, option: Any, conf: Any, code: int) -> None:
        site.options = msgspec.structs.replace(site.options, namespace_isolation=option)
        site.nad("a", l2(), namespace="other")
        site.pod(networks="other/a")
        sandbox = site.lab.sandbox()
        if code == 0:
            site.ok("ADD", netns=sandbox, conf={"type": kind, **conf})
            site.ok("DEL", netns=sandbox)
        else:
            found, text = site.fails("ADD", netns=sandbox, conf={"type": kind, **conf})
            assert found == code
            assert (
                "namespace isolation enabled, annotation violates permission, pod is in namespace default "
                "but refers to target namespace other"
            ) in text
            assert "globalNamespaces" in text
        site.assert_clean(sandbox)

    def test_networks_of_the_configuration_are_not_the_pods(self, site: Site) -> None:
        """clusterNetwork and defaultNetworks live in multusNamespace, isolated or not."""
        site.nad("main", l2(), namespace="homes")
        site.nad("more", l2(), namespace="homes")
        conf = {"clusterNetwork": "main", "defaultNetworks": ["more"], "multusNamespace": "homes"}
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox, conf=conf)
        assert [row.name for row in site.rows] == ["homes/main", "homes/more"]
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)


class TestPermission:
    """Row 23 of what hurts: a definition says itself who may use it, isolation or not."""

    @pytest.mark.parametrize("isolation", [True, False])
    @pytest.mark.parametrize("allowed", ["team-a, default", "*"])
    def test_allowed(self, site: Site, isolation: bool, allowed: str) -> None:
        site.nad("a", l2(), "other", **{ALLOWED_NAMESPACES: allowed})
        site.pod(networks="other/a")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox, conf={"namespaceIsolation": isolation})
        assert [(row.name, row.ifname) for row in site.rows] == [("cbr0", "eth0"), ("other/a", "net1")]
        assert "net1" in site.lab.links(sandbox)
        site.nad("a", l2(), "other", **{ALLOWED_NAMESPACES: ""})  # taken back: what is attached stays
        site.ok("CHECK", netns=sandbox, conf={"namespaceIsolation": isolation})
        site.ok("DEL", netns=sandbox, conf={"namespaceIsolation": isolation})
        site.assert_clean(sandbox)

    @pytest.mark.parametrize("isolation", [True, False])
    @pytest.mark.parametrize("allowed", ["team-a", ""])
    def test_forbidden(self, site: Site, isolation: bool, allowed: str) -> None:
        recorder = site.recorders.make("rec")
        site.nad("first", {"cniVersion": "1.0.0", "type": recorder})
        site.nad("a", "{ not even JSON", "other", **{ALLOWED_NAMESPACES: allowed})
        site.pod(networks="first,other/a")
        sandbox = site.lab.sandbox()
        code, text = site.fails("ADD", netns=sandbox, conf={"namespaceIsolation": isolation})
        assert code == Code.ATTACHMENT
        assert text.startswith(
            "network-attachment-definition other/a may not be used by pods of namespace default: its annotation "
            "multinet.dev/allowed-namespaces does not name it"
        )
        assert site.recorders.calls == []  # nothing was begun
        site.assert_clean(sandbox)

    def test_who_may_not_use_it_learns_nothing_of_it(self, site: Site) -> None:
        site.nad("a", "{ not even JSON", "other")
        site.pod(networks="other/a")
        sandbox = site.lab.sandbox()
        there = site.fails("ADD", netns=sandbox)
        site.forget_manifest("nad-other-a")
        assert site.fails("ADD", netns=sandbox) == there


def test_what_has_no_effect_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    conf = {"name": "told-once", "type": "multus", "kubeconfig": "/x", "told-once-key": 1, "logFile": ""}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            warn_once(conf, settings_warnings(conf))
    texts = [record.getMessage() for record in caplog.records]
    assert texts.count('network told-once: $: unknown key "told-once-key"') == 1
    assert len(texts) == len(set(texts)) <= 2


def test_a_daemon_in_a_container_runs_plugins_on_the_host(site: Site) -> None:
    """``--host-root``: the plugin sees the node's own files (5.64)."""
    root = site.lab.directory / "hostroot"
    inside = root / str(site.bin_dir).lstrip("/")
    site.lab.run("mkdir", "-p", str(inside), str(root / "bin"), str(root / "out"))
    site.lab.run("cp", "-L", "/bin/busybox", str(root / "bin" / "sh"))
    script = '#!/bin/sh\nread -r conf\necho "$conf" >/out/stdin\necho \'{"cniVersion":"1.0.0"}\'\n'
    for place in (site.bin_dir, inside):
        (place / "hosted").write_text(script)
        (place / "hosted").chmod(0o755)
    site.options = msgspec.structs.replace(site.options, host_root=str(root))
    site.nad("a", {"cniVersion": "1.0.0", "type": "hosted", "mark": "here"})
    site.pod(networks="a")
    sandbox = site.lab.sandbox()
    site.ok("ADD", netns=sandbox)
    assert json.loads((root / "out" / "stdin").read_text())["mark"] == "here"
    site.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)

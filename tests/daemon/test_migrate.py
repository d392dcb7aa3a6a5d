"""``multinet migrate``: a node that Multus has served, taken over; its pods checked and deleted afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from multinet.cli.main import main
from tests.daemon.conftest import Site
from tests.daemon.multus import Multus, Network

PRIMARY = {"cniVersion": "0.4.0", "name": "cbr0", "plugins": [{"type": "odd"}]}
DAEMON = {
    "cniVersion": "0.3.1",
    "cniConfigDir": "/host/etc/cni/net.d",
    "multusAutoconfigDir": "/host/etc/cni/net.d",
    "multusConfigFile": "auto",
    "socketDir": "/host/run/multus/",
    "namespaceIsolation": True,
}
SHIM = {"cniVersion": "0.3.1", "name": "multus-cni-network", "clusterNetwork": "/x", "type": "multus-shim"}


class Node:
    """A node's folders as Multus left them, and the command on them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        root = site.lab.directory
        self.conf_dir, self.output = root / "cni", root / "etc" / "daemon-config.json"
        (self.conf_dir / "multus.d").mkdir(parents=True)
        (self.conf_dir / "10-odd.conflist").write_text(json.dumps(PRIMARY))
        self.multus = Multus(root / "multus", site.lab.host, (str(site.bin_dir),))
        site.recorders.make("odd")
        site.options = replace(
            site.options, multus_cni_dir=str(self.multus.directory), bin_dir=str(site.bin_dir)
        )

    def thick(self, shim: Any = SHIM, daemon: Any = DAEMON) -> None:
        (self.conf_dir / "00-multus.conf").write_text(json.dumps(shim))
        if daemon is not None:
            (self.conf_dir / "multus.d" / "daemon-config.json").write_text(json.dumps(daemon))

    def migrate(self, *more: str) -> int:
        return main(
            [
                "migrate",
                f"--conf-dir={self.conf_dir}",
                f"--bin-dir={self.site.bin_dir}",
                f"--cni-dir={self.multus.directory}",
                f"--state-dir={self.site.state}",
                f"--output={self.output}",
                *more,
            ]
        )

    @property
    def written(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.output.read_text())
        return content

    def pods(self) -> dict[str, Any]:
        """Two, one with a second interface."""
        odd, second = Network("cbr0", PRIMARY), Network("default/mv", {**PRIMARY, "name": "mv"})
        sandboxes = {"c1": self.site.lab.sandbox(), "c2": self.site.lab.sandbox()}
        self.multus.add("c1", sandboxes["c1"], [odd, second], pod="web")
        self.multus.add("c2", sandboxes["c2"], [odd], pod="db")
        self.site.recorders.clear()
        return sandboxes


@pytest.fixture
def node(site: Site) -> Node:
    return Node(site)


def test_pods_are_ours_afterwards(node: Node, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    node.thick()
    sandboxes = node.pods()
    assert node.migrate() == 0
    out = capsys.readouterr().out
    assert "took over default/web, container c1: eth0 (cbr0), net1 (default/mv)" in out
    assert [(r.container_id, r.ifname, r.phase, r.pod) for r in site.rows] == [
        ("c1", "eth0", "ready", "default/web"),
        ("c1", "net1", "ready", "default/web"),
        ("c2", "eth0", "ready", "default/db"),
    ]
    assert all(r.netns_identity == sandboxes[r.container_id].identity for r in site.rows)
    assert json.loads(site.rows[0].network) == PRIMARY
    site.ok("CHECK", "c1", sandboxes["c1"])
    site.ok("DEL", "c1", sandboxes["c1"])
    site.ok("DEL", "c2")
    asked = ["CHECK eth0", "CHECK net1", "DEL net1", "DEL eth0", "DEL eth0"]
    assert [f"{verb} {ifname}" for _, verb, ifname in site.recorders.asked()] == asked
    assert node.multus.files == [] and site.rows == []


def test_twice_is_once(node: Node, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    node.thick()
    node.pods()
    assert node.migrate() == 0
    before = site.rows
    assert node.migrate() == 0
    assert site.rows == before
    assert "0 pods of" in capsys.readouterr().out.splitlines()[-1]
    for container in ("c1", "c2"):
        site.ok("DEL", container)


def test_dry_run_does_nothing(node: Node, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    node.thick()
    node.pods()
    before = node.multus.files
    assert node.migrate("--dry-run") == 0
    out = capsys.readouterr().out
    assert f"would write {node.output}" in out and '"namespaceIsolation": true' in out
    assert "would take over default/db, container c2: eth0 (cbr0)" in out
    assert not node.output.exists() and not site.state.exists()
    assert node.multus.files == before


def test_damaged_files_hold_nobody_up(node: Node, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    node.thick()
    node.pods()
    (node.multus.directory / "c0").write_text("[{")
    assert node.migrate() == 1
    assert "container c0: scratch file" in capsys.readouterr().err
    assert {r.container_id for r in site.rows} == {"c1", "c2"}
    for container in ("c1", "c2"):
        site.ok("DEL", container)


def test_daemon_configuration_is_kept(node: Node) -> None:
    node.thick()
    assert node.migrate() == 0
    assert node.written == DAEMON
    assert node.output.stat().st_mode & 0o777 == 0o600


def test_what_only_the_runtimes_configuration_says(node: Node) -> None:
    node.thick({**SHIM, "globalNamespaces": "default,shared", "cniDir": "/v"})
    assert node.migrate() == 0
    assert node.written == {**DAEMON, "globalNamespaces": "default,shared", "cniDir": "/v"}


def test_network_keeps_its_name_6_8(node: Node) -> None:
    node.thick({**SHIM, "name": "k8s-pod-network"})
    assert node.migrate() == 0
    assert node.written["multinet"] == {"networkName": "k8s-pod-network"}


def test_thin_plugin(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    """Its generator copied the primary into the configuration; ours is made of the primary's own file."""
    plugin = {
        "type": "multus",
        "cniConf": "/etc/cni/multus/net.d",
        "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig",
        "logLevel": "debug",
        "delegates": [PRIMARY],
    }
    conf = {"cniVersion": "1.0.0", "name": "multus-cni-network", "plugins": [plugin]}
    (node.conf_dir / "00-multus.conflist").write_text(json.dumps(conf))
    assert node.migrate() == 0
    folder = str(node.conf_dir)
    assert node.written == {
        "confDir": "/etc/cni/multus/net.d",
        "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig",
        "logLevel": "debug",
        "multusConfigFile": "auto",
        "multusAutoconfigDir": folder,
        "cniConfigDir": folder,
        "cniVersion": "1.0.0",
    }


def test_networks_written_by_hand_stay(node: Node) -> None:
    first, second = {"name": "a", "type": "odd"}, {"name": "b", "type": "odd"}
    conf = {"cniVersion": "0.3.1", "name": "multus", "type": "multus", "delegates": [first, second]}
    (node.conf_dir / "00-multus.conf").write_text(json.dumps(conf))
    assert node.migrate() == 0
    assert node.written == {"delegates": [first, second]}


def test_config_map(node: Node, tmp_path: Path) -> None:
    """The manifest that Multus was deployed by, other objects and all."""
    node.thick(daemon=None)
    manifest = tmp_path / "multus-daemonset-thick.yml"
    text = "\n".join(f"    {line}" for line in json.dumps(DAEMON, indent=2).splitlines())
    manifest.write_text(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: multus}\n---\n"
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n  daemon-config.json: |\n{text}\n"
    )
    assert node.migrate(f"--daemon-config={manifest}") == 0
    assert node.written == DAEMON


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("x.json", "{", "not JSON"),
        ("x.json", "[]", "expected an object, got list"),
        ("x.yaml", "a: [", "not YAML"),
        ("x.yaml", "kind: Pod", "no ConfigMap with a key"),
        ("x.json", '{"connectionLimit": 0}', "connection limit must be greater than 0, got 0"),
    ],
)
def test_faulty_daemon_configuration(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, text: str
) -> None:
    """Nothing is written, and no pod taken over."""
    node.thick(daemon=None)
    (tmp_path / name).write_text(content)
    assert node.migrate(f"--daemon-config={tmp_path / name}") == 1
    assert text in capsys.readouterr().err
    assert not node.output.exists() and not node.site.state.exists()


def test_no_multus_at_all(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    assert node.migrate() == 1
    assert f"no configuration of Multus in {node.conf_dir}" in capsys.readouterr().err


def test_what_has_no_effect_is_told(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.thick(daemon={**DAEMON, "enablePprof": True})
    assert node.migrate() == 0
    assert "$.enablePprof: has no effect" in capsys.readouterr().err

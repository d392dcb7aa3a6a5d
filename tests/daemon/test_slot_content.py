"""What the slot's file holds, and which network is the node's own (multi-network.md 3.B, 3.C, 4.B; 7.B 56–59)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from multinet.cni.errors import CNIError, InvalidConfig
from multinet.daemon.pods import POD_ANNOTATIONS
from multinet.daemon.slot.composition import compose, undeclared_capabilities
from multinet.daemon.slot.content import Content
from multinet.daemon.slot.plan import SlotPlan
from multinet.daemon.slot.primary import Primary, find_primary

FLANNEL: dict[str, Any] = {"cniVersion": "0.4.0", "name": "cbr0", "type": "flannel"}


@pytest.fixture
def net_d(tmp_path: Path) -> Path:
    folder = tmp_path / "net.d"
    folder.mkdir()
    return folder


def put(net_d: Path, name: str, content: Any) -> str:
    path = net_d / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def plan(net_d: Path, **more: Any) -> SlotPlan:
    return SlotPlan(config_dir=str(net_d), autoconfig_dir=str(net_d), **more)


def listed(*plugins: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": "cbr0", "plugins": list(plugins), **more}


def made(net_d: Path, conf: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The composed file, for a primary of that configuration."""
    name = "10-primary.conflist" if "plugins" in conf else "10-primary.conf"
    put(net_d, name, conf)
    wanted = plan(net_d, **more)
    primary = find_primary(wanted).primary
    assert primary is not None
    composed: dict[str, Any] = json.loads(compose(primary, wanted))
    return composed


class TestText:
    def test_multus_own_file(self, net_d: Path) -> None:
        """3.12, 56: the keys in Multus' order, compact; the pod's annotations are asked for besides."""
        path = put(net_d, "10-flannel.conf", FLANNEL)
        wanted = plan(net_d, file="00-multus.conf", name="multus-cni-network", type="multus-shim")
        primary = find_primary(wanted).primary
        assert primary is not None
        assert compose(primary, wanted).decode() == (
            '{"capabilities":{"io.kubernetes.cri.pod-annotations":true},"cniVersion":"0.4.0",'
            f'"name":"multus-cni-network","clusterNetwork":"{path}","type":"multus-shim"}}\n'
        )

    def test_all_keys_in_order(self, net_d: Path) -> None:
        """3.12: what the daemon alone reads isn't in it, nor what says nothing."""
        keys = {
            "overrideNetworkName": False,
            "daemonSocketDir": "/run/x",
            "auxiliaryCNIChainName": "chain",
            "cniDir": "/var/lib/cni/multus",
            "globalNamespaces": "default,prod",
            "namespaceIsolation": True,
            "logOptions": {"maxAge": 5},
            "logToStderr": True,
            "logLevel": "debug",
            "logFile": "/var/log/multus.log",
            "binDir": "/opt/cni/bin",
            "cniConfigDir": "/etc/cni/net.d",
            "multusConfigFile": "auto",
            "multusAutoconfigDir": "/etc/cni/net.d",
            "multusMasterCNI": "10-x.conf",
            "forceCNIVersion": True,
            "readinessindicatorfile": "/run/ready",
        }
        composed = made(net_d, FLANNEL, file="00-multus.conf", keys=keys, override_network_name=True)
        assert list(composed) == [
            *("binDir", "capabilities", "cniVersion", "logFile", "logLevel", "logToStderr", "logOptions"),
            *("name", "clusterNetwork", "namespaceIsolation", "globalNamespaces", "type", "cniDir"),
            *("auxiliaryCNIChainName", "daemonSocketDir", "overrideNetworkName"),
        ]
        assert made(
            net_d, FLANNEL, file="00-multus.conf", keys={"namespaceIsolation": False, "logFile": ""}
        ) == {
            "capabilities": {POD_ANNOTATIONS: True},
            "cniVersion": "0.4.0",
            "name": "multinet",
            "clusterNetwork": str(net_d / "10-primary.conf"),
            "type": "multinet",
        }

    def test_a_list(self, net_d: Path) -> None:
        composed = made(net_d, listed({"type": "bridge"}), keys={"namespaceIsolation": True})
        assert composed == {
            "cniVersion": "1.0.0",
            "name": "multinet",
            "plugins": [
                {
                    "capabilities": {POD_ANNOTATIONS: True},
                    "clusterNetwork": str(net_d / "10-primary.conflist"),
                    "namespaceIsolation": True,
                    "type": "multinet",
                }
            ],
        }

    def test_capabilities(self, net_d: Path) -> None:
        """4.8, 56: of all plugins, those set to false filtered; recomputed, so none survives its plugin."""
        chain = listed(
            {"type": "bridge", "capabilities": {"ips": True, "mac": False}},
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": "bandwidth", "capabilities": {"bandwidth": True, "portMappings": False}},
        )
        composed = made(net_d, chain, capabilities={"aliases": True, "dns": False})
        names = ["aliases", "bandwidth", POD_ANNOTATIONS, "ips", "portMappings"]
        assert list(composed["plugins"][0]["capabilities"].items()) == [(name, True) for name in names]
        later = made(net_d, listed({"type": "bridge"}))
        assert later["plugins"][0]["capabilities"] == {POD_ANNOTATIONS: True}

    def test_capabilities_of_a_lone_plugin(self, net_d: Path) -> None:
        composed = made(net_d, {**FLANNEL, "capabilities": {"portMappings": True}})
        assert composed["plugins"][0]["capabilities"] == {POD_ANNOTATIONS: True, "portMappings": True}

    def test_name(self, net_d: Path) -> None:
        """58, 9.17: distinct from the primary's, unless it is asked to be the same."""
        assert made(net_d, FLANNEL, name="mine")["name"] == "mine"
        assert made(net_d, FLANNEL, override_network_name=True)["name"] == "cbr0"
        assert made(net_d, {**FLANNEL, "name": "multinet"})["name"] == "multinet-multinet"


class TestVersion:
    @pytest.mark.parametrize(
        ("primary", "asked", "got"),
        [
            ("0.3.1", "", "0.3.1"),
            ("1.1.0", "", "1.1.0"),
            ("", "", "1.0.0"),
            ("0.3.1", "0.3.1", "0.3.1"),
            ("0.2.0", "0.3.1", "0.3.1"),
            ("0.4.0", "1.0.0", "1.0.0"),
            ("1.0.0", "0.4.0", "0.4.0"),
        ],
    )
    def test_of_the_file(self, net_d: Path, primary: str, asked: str, got: str) -> None:
        conf = {**FLANNEL, "cniVersion": primary}
        assert made(net_d, conf, cni_version=asked)["cniVersion"] == got

    @pytest.mark.parametrize(
        ("primary", "asked", "problem"),
        [
            ("0.3.1", "0.4.0", "delegate cni version is 0.3.1 while top level cni version is 0.4.0"),
            ("0.1.0", "1.0.0", "delegate cni version is 0.1.0 while top level cni version is 1.0.0"),
            ("", "0.4.0", "couldn't get cni version of delegate"),
        ],
    )
    @pytest.mark.parametrize("is_list", [True, False])
    def test_that_does_not_go_together(
        self, net_d: Path, primary: str, asked: str, problem: str, is_list: bool
    ) -> None:
        """4.7, 59."""
        conf = listed({"type": "bridge"}) if is_list else {**FLANNEL}
        conf["cniVersion"] = primary
        if not primary:
            del conf["cniVersion"]
        with pytest.raises(CNIError) as error:
            made(net_d, conf, cni_version=asked)
        assert error.value.msg == (
            f"failed to load the primary CNI configuration as a multus delegate with error '{problem}'"
        )

    def test_own_is_none(self, net_d: Path) -> None:
        """4.7."""
        with pytest.raises(CNIError, match=r"^couldn't get top level cni version: ") as error:
            made(net_d, FLANNEL, cni_version="one")
        assert '"one"' in error.value.details


class TestPrimary:
    def find(self, net_d: Path, incumbent: str = "", **more: Any) -> str:
        found = find_primary(plan(net_d, **more), incumbent).primary
        return Path(found.path).name if found else ""

    def test_first_in_order(self, net_d: Path) -> None:
        """4.5; what is ours or Multus' is none, nor is what Cilium put away, nor lo alone."""
        put(net_d, "00-multus.conf", {**FLANNEL, "type": "multus-shim"})
        put(net_d, "00-multinet.conflist", listed({"type": "multinet"}))
        put(net_d, "01-mine.conf", {**FLANNEL, "type": "multinet"})
        put(net_d, "02-old.conflist.cilium_bak", listed({"type": "bridge"}))
        put(net_d, "03-lo.conf", {**FLANNEL, "type": "loopback"})
        put(net_d, "04-notes.txt", "hello")
        put(net_d, "20-flannel.conf", FLANNEL)
        put(net_d, "10-calico.conflist", listed({"type": "calico"}))
        assert self.find(net_d) == "10-calico.conflist"

    def test_broken_files_are_passed_over_and_told(self, net_d: Path) -> None:
        for name, text in {
            "01-a.conf": "{",
            "02-b.conflist": "",
            "03-c.conf": "[]",
            "04-d.conf": "{}",
        }.items():
            put(net_d, name, text)
        put(net_d, "10-flannel.conf", FLANNEL)
        found = find_primary(plan(net_d))
        assert [Path(fault.path).name for fault in found.broken] == [
            *("01-a.conf", "02-b.conflist", "03-c.conf", "04-d.conf")
        ]
        assert found.primary is not None
        assert found.primary.path == str(net_d / "10-flannel.conf")

    def test_half_written_primary_keeps_its_place(self, net_d: Path) -> None:
        """4.11: the next one in order isn't taken while its file is being written."""
        path = put(net_d, "10-flannel.conf", '{"cniVersion":')
        put(net_d, "20-other.conf", FLANNEL)
        assert self.find(net_d, incumbent=path) == ""
        assert self.find(net_d) == "20-other.conf"

    def test_what_somebody_put_in_the_slot_is_none(self, net_d: Path) -> None:
        put(net_d, "00-multinet.conflist", listed({"type": "bridge"}))
        put(net_d, "10-flannel.conf", FLANNEL)
        assert self.find(net_d) == "10-flannel.conf"

    def test_named(self, net_d: Path) -> None:
        put(net_d, "10-a.conf", FLANNEL)
        put(net_d, "20-b.conf", FLANNEL)
        assert self.find(net_d, primary="20-b.conf") == "20-b.conf"
        assert self.find(net_d, primary="30-c.conf") == ""

    @pytest.mark.parametrize("file", ["00-multinet.conflist", "00-multus.conf"])
    def test_named_is_our_own(self, net_d: Path, file: str) -> None:
        """4.6."""
        with pytest.raises(InvalidConfig) as error:
            plan(net_d, file=file, primary=file)
        assert f"cannot specify {net_d / file} to prevent recursive config load" in str(error.value)
        assert error.value.path == "$.multusMasterCNI"

    def test_nothing(self, net_d: Path, tmp_path: Path) -> None:
        assert self.find(net_d) == ""
        assert self.find(tmp_path / "nowhere") == ""


class TestUpToDate:
    GRACE = 5.0

    def content(self, net_d: Path, **more: Any) -> Content:
        return Content(plan(net_d, **more), self.GRACE)

    def primary(self, content: Content) -> str:
        assert content.good is not None
        named: str = json.loads(content.good)["plugins"][0]["clusterNetwork"]
        return Path(named).name

    def test_waits_for_the_primary(self, net_d: Path) -> None:
        """4.13: nothing to write, and it says why."""
        content = self.content(net_d)
        assert content.refresh(0) is None
        assert content.good is None
        assert content.unready == f"could not find a plugin configuration in {net_d}"
        put(net_d, "10-flannel.conf", FLANNEL)
        content.refresh(1)
        assert (self.primary(content), content.unready) == ("10-flannel.conf", "")

    def test_waits_for_the_readiness_file(self, net_d: Path, tmp_path: Path) -> None:
        """9.33: before the primary is chosen; 4.14's words. Once it is gone again, the content stays."""
        ready = tmp_path / "ready"
        content = self.content(net_d, readiness_file=str(ready))
        put(net_d, "20-early.conf", FLANNEL)
        content.refresh(0)
        assert content.good is None
        assert content.unready == (
            "have you checked that your default network is ready? "
            f"still waiting for readinessindicatorfile @ {ready}"
        )
        put(net_d, "10-flannel.conf", FLANNEL)
        ready.touch()
        content.refresh(1)
        assert self.primary(content) == "10-flannel.conf"
        ready.unlink()
        before = content.good
        content.refresh(2)
        assert content.good == before
        assert "still waiting" in content.unready

    def test_follows_the_primary(self, net_d: Path) -> None:
        """4.10."""
        put(net_d, "10-flannel.conf", FLANNEL)
        content = self.content(net_d)
        content.refresh(0)
        put(net_d, "10-flannel.conf", {**FLANNEL, "capabilities": {"portMappings": True}})
        content.refresh(1)
        assert b"portMappings" in (content.good or b"")

    def test_earlier_primary_is_taken_at_once(self, net_d: Path) -> None:
        put(net_d, "20-flannel.conf", FLANNEL)
        content = self.content(net_d)
        content.refresh(0)
        put(net_d, "10-calico.conflist", listed({"type": "calico"}))
        content.refresh(0)
        assert self.primary(content) == "10-calico.conflist"

    def test_half_written_primary(self, net_d: Path) -> None:
        """4.11: the last good content stays."""
        put(net_d, "10-flannel.conf", FLANNEL)
        put(net_d, "20-other.conf", FLANNEL)
        content = self.content(net_d)
        content.refresh(0)
        before = content.good
        for half in ("", "{", '{"name":"cbr0"}'):
            put(net_d, "10-flannel.conf", half)
            content.refresh(100)
            assert content.good == before
            assert "10-flannel.conf" in content.unready

    def test_vanished_primary(self, net_d: Path) -> None:
        """Another takes its place only after a while: it may just be being replaced."""
        put(net_d, "10-flannel.conf", FLANNEL)
        put(net_d, "99-bridge.conf", FLANNEL)
        content = self.content(net_d)
        content.refresh(0)
        (net_d / "10-flannel.conf").unlink()
        assert content.refresh(10) == self.GRACE
        assert self.primary(content) == "10-flannel.conf"
        assert content.unready.endswith("10-flannel.conf is gone")
        put(net_d, "10-flannel.conf", FLANNEL)
        content.refresh(12)
        assert (self.primary(content), content.unready) == ("10-flannel.conf", "")
        (net_d / "10-flannel.conf").unlink()
        content.refresh(100)
        content.refresh(100 + self.GRACE)
        assert (self.primary(content), content.unready) == ("99-bridge.conf", "")

    def test_vanished_with_no_other(self, net_d: Path) -> None:
        put(net_d, "10-flannel.conf", FLANNEL)
        content = self.content(net_d)
        content.refresh(0)
        before = content.good
        (net_d / "10-flannel.conf").unlink()
        content.refresh(1000)
        assert content.good == before
        assert "could not find a plugin configuration" in content.unready

    def test_what_an_earlier_daemon_left(self, net_d: Path) -> None:
        """It is the last good content, and its primary is the one so far."""
        path = put(net_d, "20-flannel.conf", "{")
        put(net_d, "30-other.conf", FLANNEL)
        left = listed({"type": "multinet", "clusterNetwork": path})
        put(net_d, "00-multinet.conflist", left)
        content = self.content(net_d)
        assert content.unready == ""  # pods needn't wait for the first look
        content.refresh(0)
        assert json.loads(content.good or b"") == left
        assert path in content.unready

    @pytest.mark.parametrize("junk", ["", "{", json.dumps(FLANNEL)])
    def test_what_is_none_of_ours_is_not_good(self, net_d: Path, junk: str) -> None:
        put(net_d, "00-multinet.conflist", junk)
        content = self.content(net_d)
        assert (content.good, content.unready) == (None, "the daemon is starting")

    def test_mismatch_keeps_the_last_good(self, net_d: Path) -> None:
        put(net_d, "10-flannel.conf", FLANNEL)
        content = self.content(net_d, cni_version="0.4.0")
        content.refresh(0)
        before = content.good
        put(net_d, "10-flannel.conf", {**FLANNEL, "cniVersion": "0.3.1"})
        with pytest.raises(CNIError, match=r"delegate cni version is 0\.3\.1"):
            content.refresh(1)
        assert content.good == before

    def test_force_cni_version(self, net_d: Path) -> None:
        """3.B: the primary's file itself, all else in it unchanged."""
        path = Path(put(net_d, "10-flannel.conf", {**FLANNEL, "cniVersion": "0.3.1", "x": [1]}))
        path.chmod(0o640)
        content = self.content(net_d, cni_version="0.4.0", force_cni_version=True)
        content.refresh(0)
        assert json.loads(path.read_text()) == {**FLANNEL, "cniVersion": "0.4.0", "x": [1]}
        assert path.stat().st_mode & 0o777 == 0o640
        assert json.loads(content.good or b"")["cniVersion"] == "0.4.0"
        inode = path.stat().st_ino
        content.refresh(1)
        assert path.stat().st_ino == inode


class TestHandWritten:
    """``multusConfigFile`` with a path (4.12)."""

    def test_is_copied(self, net_d: Path, tmp_path: Path) -> None:
        source = tmp_path / "70-multus.conf"
        conf = {**FLANNEL, "type": "multus", "delegates": [FLANNEL]}
        source.write_text(json.dumps(conf, indent=3))
        wanted = plan(net_d, source=str(source))
        assert wanted.path == str(net_d / "70-multus.conf")
        content = Content(wanted, 0)
        content.refresh(0)
        assert (content.good, content.unready) == (source.read_bytes(), "")

    @pytest.mark.parametrize(("text", "problem"), [(None, "is not found"), ("{", "70-multus.conf")])
    def test_bad(self, net_d: Path, tmp_path: Path, text: str | None, problem: str) -> None:
        source = tmp_path / "70-multus.conf"
        if text is not None:
            source.write_text(text)
        content = Content(plan(net_d, source=str(source)), 0)
        with pytest.raises(CNIError, match=problem):
            content.refresh(0)
        assert content.good is None

    def test_absent_capabilities_are_told(
        self, net_d: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """9.45: hostPorts that would silently not be there."""
        source = tmp_path / "70-multus.conf"
        source.write_text(json.dumps({**FLANNEL, "type": "multus", "capabilities": {"mac": True}}))
        put(
            net_d,
            "10-p.conflist",
            listed({"type": "portmap", "capabilities": {"portMappings": True, "mac": True}}),
        )
        content = Content(plan(net_d, source=str(source)), 0)
        content.refresh(0)
        content.refresh(1)
        told = [record.message for record in caplog.records if "capabilities" in record.message]
        assert told == [
            f"{source} doesn't declare the capabilities portMappings of {net_d}/10-p.conflist: add them, "
            "or pods won't get what they ask for by them"
        ]

    def test_all_capabilities_there(self, net_d: Path) -> None:
        put(net_d, "10-p.conf", {**FLANNEL, "capabilities": {"mac": True}})
        primary = find_primary(plan(net_d)).primary
        assert isinstance(primary, Primary)
        assert undeclared_capabilities(primary.network, primary.network) == ()

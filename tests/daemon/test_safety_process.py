"""The daemon as a process that keeps the runtime's configuration and guards its node: multi-network.md 4.13, 9.4,
9.5, 9.7; pains 1, 9, 26."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from multinet.adapters.netns import Netns
from multinet.cni.errors import Code
from multinet.daemon.boot.taint import TaintRemoval
from multinet.daemon.safety import Safety, SafetyPlan
from multinet.daemon.slot.plan import SlotPlan
from multinet.ports import ClusterUnavailable, Pod

Site = Any
Daemon = Any
OURS = "00-multinet.conflist"


@pytest.fixture
def kept(site: Site) -> str:
    """The options of a daemon that keeps the slot."""
    return f"--cni-conf-dir={site.conf_dir}"


def plugin(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((site.conf_dir / OURS).read_text())["plugins"][0]
    return found


class TestSlot:
    def test_pods_come_by_it(self, site: Site, daemon: Daemon, kept: str) -> None:
        """What it says is what an ADD needs; with the runtime's capability the annotations come along."""
        daemon.start(kept)
        site.wait_for((site.conf_dir / OURS).exists)
        conf = {**plugin(site), "name": "multinet", "cniVersion": "1.0.0"}
        assert conf["clusterNetwork"] == str(site.conf_dir / "10-default.conflist")
        sandbox = site.lab.sandbox()
        daemon.ok("ADD", netns=sandbox, conf=conf)
        daemon.ok("STATUS", conf={**conf, "cniVersion": "1.1.0"}, pod="")
        daemon.ok("DEL", netns=sandbox, conf=conf)
        site.assert_clean(sandbox)
        daemon.stop()
        assert (site.conf_dir / OURS).exists()

    def test_is_written_once_the_daemon_serves(self, site: Site, daemon: Daemon, kept: str) -> None:
        """4.13, order: whoever sees the file is served."""
        daemon.start(kept)
        site.wait_for((site.conf_dir / OURS).exists)
        log = daemon.log.read_text()
        assert "wrote" in log
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(site.options.socket)
        daemon.stop()

    def test_waits_for_the_primary(self, site: Site, daemon: Daemon, kept: str) -> None:
        """9.7: the daemon stays up meanwhile; STATUS and ADD say what is lacking."""
        primary = site.conf_dir / "10-default.conflist"
        content = primary.read_text()
        primary.unlink()
        daemon.start(kept)
        missing = f"could not find a plugin configuration in {site.conf_dir}"
        for verb, code, netns in (
            ("STATUS", Code.NOT_AVAILABLE, None),
            ("ADD", Code.TRY_AGAIN, site.lab.sandbox()),
        ):
            response = daemon.shim(verb, netns=netns, conf={"cniVersion": "1.1.0"})
            error = json.loads(response.stdout)
            assert error["code"] == code
            assert missing in error["msg"]
        assert not (site.conf_dir / OURS).exists()
        primary.write_text(content)
        site.wait_for((site.conf_dir / OURS).exists)
        daemon.ok("STATUS", conf={"cniVersion": "1.1.0"})
        daemon.stop()

    def test_readiness_file(self, site: Site, daemon: Daemon, kept: str) -> None:
        """4.14; once it goes again, the file stays and ADD waits."""
        ready = site.lab.directory / "ready"
        daemon.start(kept, f"--readiness-file={ready}")
        response = daemon.shim("ADD", netns=site.lab.sandbox())
        assert f"still waiting for readinessindicatorfile @ {ready}" in response.stdout.decode()
        assert not (site.conf_dir / OURS).exists()
        ready.touch()
        site.wait_for((site.conf_dir / OURS).exists)
        ready.unlink()
        site.wait_for(lambda: daemon.shim("STATUS", conf={"cniVersion": "1.1.0"}).exit_code == 1)
        assert (site.conf_dir / OURS).exists()
        daemon.stop()

    def test_killed_daemon_leaves_it(self, site: Site, daemon: Daemon, kept: str) -> None:
        """9.5: a pod then waits instead of passing multinet by; and the next daemon takes the file over."""
        daemon.start(kept)
        site.wait_for((site.conf_dir / OURS).exists)
        inode = (site.conf_dir / OURS).stat().st_ino
        daemon.kill()
        response = daemon.shim("ADD", netns=site.lab.sandbox())
        assert json.loads(response.stdout)["code"] == Code.TRY_AGAIN
        daemon.start(kept)
        site.wait_for(lambda: daemon.shim("STATUS", conf={"cniVersion": "1.1.0"}).exit_code == 0)
        assert (site.conf_dir / OURS).stat().st_ino == inode
        daemon.stop()

    def test_removed_at_exit_if_asked(self, site: Site, daemon: Daemon, kept: str) -> None:
        """``cleanupConfigOnExit``: before the socket closes."""
        daemon.start(kept, "--slot-at-exit=remove")
        site.wait_for((site.conf_dir / OURS).exists)
        daemon.stop()
        assert sorted(os.listdir(site.conf_dir)) == ["10-default.conflist"]

    def test_off_by_default(self, site: Site, daemon: Daemon) -> None:
        daemon.start()
        daemon.ok("STATUS", conf={"cniVersion": "1.1.0"})
        daemon.stop()
        assert os.listdir(site.conf_dir) == ["10-default.conflist"]

    def test_multus_slot(self, site: Site, daemon: Daemon, kept: str) -> None:
        """After a migration the file and the network's name may stay Multus' own (6.8)."""
        daemon.start(kept, "--slot-file=00-multus.conf", "--network-name=multus-cni-network")
        path = site.conf_dir / "00-multus.conf"
        site.wait_for(path.exists)
        conf = json.loads(path.read_text())
        assert (conf["name"], conf["type"]) == ("multus-cni-network", "multinet")
        daemon.stop()

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (["--primary=10-x.conf"], "--primary goes with --cni-conf-dir"),
            (
                ["--cni-conf-dir=/x", f"--primary={OURS}"],
                "--primary: cannot specify /x/00-multinet.conflist to prevent",
            ),
            (["--cni-conf-dir=/x", "--slot-file=a/b.conf"], '--slot-file: "a/b.conf" is no file name'),
            (["--cni-conf-dir=/x", "--slot-file=a.txt"], "end it in .conflist or .conf"),
            (["--unserved=mend"], "invalid choice: 'mend'"),
        ],
    )
    def test_bad_options(self, site: Site, daemon: Daemon, options: list[str], problem: str) -> None:
        done = subprocess.run(daemon.command(*options), capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert problem in done.stderr
        assert "Traceback" not in done.stderr


class TestStatusCommand:
    def status(self, site: Site, *more: str) -> subprocess.CompletedProcess[str]:
        options = [f"--state-dir={site.options.state_dir}", f"--socket={site.options.socket}"]
        command = [sys.executable, "-m", "multinet", "status", *options, *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    def test_the_slot(self, site: Site, daemon: Daemon, kept: str) -> None:
        daemon.start(kept)
        site.wait_for((site.conf_dir / OURS).exists)
        (site.conf_dir / "00-aaa.conf").write_text(
            json.dumps({"cniVersion": "1.0.0", "name": "x", "type": "bridge"})
        )
        text = f"the runtime takes 00-aaa.conf before {site.conf_dir / OURS}: remove or rename it"
        site.wait_for(lambda: text in self.status(site).stderr)
        report = json.loads(self.status(site, "-o", "json").stdout)
        assert report["slot"]["path"] == str(site.conf_dir / OURS)
        assert report["slot"]["inPlace"] is True
        assert text in report["slot"]["problem"]
        assert report["unserved"] is None
        daemon.stop()

    def test_no_daemon_ever(self, site: Site) -> None:
        report = json.loads(self.status(site, "-o", "json").stdout)
        assert (report["slot"], report["unserved"]) == (None, None)


class Control:
    """NodeControl that says what was asked of it (the port; the real one is K8s' in tests/adapters)."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.removed: list[str] = []

    def remove_taint(self, key: str, timeout: float = 10.0) -> bool:
        if self.refusals:
            raise self.refusals.pop(0)
        self.removed.append(key)
        return True

    def evict(self, pod: Pod, timeout: float = 10.0) -> None:
        raise AssertionError


class TestTaint:
    KEY = "multinet.dev/not-ready"

    def test_goes_when_all_is_in_place(self) -> None:
        ready = False
        control = Control(ClusterUnavailable("away"), ClusterUnavailable("still away"))
        removal = TaintRemoval(control, self.KEY, lambda: ready, period=0.01)
        removal.start()
        assert not removal.done.wait(0.2)
        assert control.removed == []
        assert len(control.refusals) == 2
        ready = True
        assert removal.done.wait(20)
        removal.stop()
        assert control.removed == [self.KEY]

    def test_end_while_it_waits(self) -> None:
        control = Control()
        removal = TaintRemoval(control, self.KEY, lambda: False, period=60)
        removal.start()
        removal.stop()
        assert control.removed == []

    def test_what_counts_as_ready(self, site: Site) -> None:
        """Slot written, cluster known; then the taint goes."""
        control = Control()
        app = site.app
        app.access = app.access._replace(control=control)
        (site.conf_dir / "10-default.conflist").rename(site.lab.directory / "primary")
        slot = SlotPlan(config_dir=str(site.conf_dir), autoconfig_dir=str(site.conf_dir))
        safety = Safety(app, SafetyPlan(slot=slot, taint=self.KEY))
        safety.start()
        try:
            assert safety.taint is not None
            assert not safety.taint.done.wait(1.2)
            assert not safety.is_ready()
            (site.lab.directory / "primary").rename(site.conf_dir / "10-default.conflist")
            assert safety.taint.done.wait(20)
        finally:
            safety.stop()
        assert control.removed == [self.KEY]


def test_a_pod_that_runs_without(site: Site, daemon: Daemon, kept: str) -> None:
    """All of it together, with no runtime to ask: that is said, and everything else works."""
    nowhere = site.lab.directory / "nowhere.sock"
    daemon.start(kept, f"--runtime-socket={nowhere}", "--unserved=repair")
    sandbox: Netns = site.lab.sandbox()
    daemon.ok("ADD", netns=sandbox)
    site.wait_for(lambda: "pods can't be looked at now" in daemon.log.read_text())
    daemon.ok("DEL", netns=sandbox)
    assert str(nowhere) in daemon.log.read_text()
    daemon.stop()

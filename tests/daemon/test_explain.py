"""``multinet explain``: one command says why a pod has, or lacks, an interface."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.conftest import Daemon, Site

pytestmark = pytest.mark.kernel

NETWORKS = "k8s.v1.cni.cncf.io/networks"
BRIDGE = {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1"}


@pytest.fixture
def running(site: Site, daemon: Daemon) -> Daemon:
    """A daemon that serves a node with one network, ``a``."""
    site.nad("a", BRIDGE)
    daemon.start()
    return daemon


def explain(site: Site, pod: str = "web", code: int = 0) -> dict[str, Any]:
    done = run(site, pod, "-o", "json")
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(site: Site, *more: str) -> subprocess.CompletedProcess[str]:
    where = [f"--socket={site.options.socket}", f"--state-dir={site.options.state_dir}"]
    command = [sys.executable, "-m", "multinet", "explain", *where, *more]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])


def states(found: dict[str, Any]) -> dict[str, str]:
    return {one["interface"]: one["state"] for one in found["interfaces"]}


def reason(found: dict[str, Any], ifname: str) -> str:
    (text,) = [one["reason"] for one in found["interfaces"] if one["interface"] == ifname]
    return str(text)


def test_all_is_there(site: Site, running: Daemon) -> None:
    site.pod(networks="a", uid="u1")
    sandbox = site.lab.sandbox()
    running.ok("ADD", netns=sandbox)
    found = explain(site)
    assert states(found) == {"eth0": "attached", "net1": "attached"}
    eth0, net1 = found["interfaces"]
    assert (eth0["network"], eth0["by"], eth0["plugins"]) == ("cbr0", "clusterNetwork", ["bridge"])
    assert eth0["addresses"] == ["10.244.0.2/24", "fd00:244::2/64"]
    assert (net1["network"], net1["by"]) == ("default/a", NETWORKS)
    assert found["uid"] == "u1" and found["annotations"] == {NETWORKS: "a"}
    running.ok("DEL", netns=sandbox)


def test_in_words(site: Site, running: Daemon) -> None:
    site.pod(networks="a,nowhere")
    assert running.shim("ADD", netns=site.lab.sandbox()).exit_code == 1
    done = run(site, "web")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[:2] == ["pod default/web", f"  {NETWORKS}: a,nowhere"]
    assert f"✗ net2  default/nowhere  ({NETWORKS})" in lines
    at = lines.index(f"✗ net2  default/nowhere  ({NETWORKS})")
    assert "cannot find a network-attachment-definition (nowhere) in namespace (default)" in lines[at + 1]
    assert "failed with code 105, event NoNetworkFound:" in done.stdout


def test_one_network_is_faulty(site: Site, running: Daemon) -> None:
    """The reason stands at the network that is to blame; the others wait for it."""
    site.nad("bad", {"cniVersion": "1.0.0", "type": "macvlan", "master": "nowhere0"})
    site.pod(networks="a,bad")
    assert running.shim("ADD", netns=site.lab.sandbox()).exit_code == 1
    found = explain(site, code=1)
    assert states(found) == {"eth0": "missing", "net1": "missing", "net2": "missing"}
    assert "nowhere0" in reason(found, "net2")
    assert found["lastFailure"]["containerID"] == "c1"
    assert "nowhere0" in found["lastFailure"]["message"]
    assert all("last ADD failed" in reason(found, name) for name in ("eth0", "net1"))


def test_a_success_ends_the_failure(site: Site, running: Daemon) -> None:
    site.pod(networks="later")
    sandbox = site.lab.sandbox()
    assert running.shim("ADD", netns=sandbox).exit_code == 1
    assert explain(site, code=1)["lastFailure"]["code"] == 105
    site.nad("later", BRIDGE)
    running.ok("ADD", netns=sandbox)
    assert explain(site)["lastFailure"] is None
    running.ok("DEL", netns=sandbox)


def test_plugin_that_is_nowhere(site: Site, running: Daemon) -> None:
    site.nad("strange", {"cniVersion": "1.0.0", "type": "no-such-plugin"})
    site.pod(networks="strange")
    assert "no-such-plugin" in reason(explain(site, code=1), "net1")


def test_annotation_that_cant_be_read(site: Site, running: Daemon) -> None:
    site.pod(networks="a/b/c")
    found = explain(site, code=1)
    assert "Invalid network object (failed at '/')" in found["problem"]


def test_no_add_has_come(site: Site, running: Daemon) -> None:
    site.pod(networks="a")
    found = explain(site, code=1)
    assert states(found) == {"eth0": "missing", "net1": "missing"}
    assert "no ADD for it has come to multinet on this node" in reason(found, "net1")


@pytest.mark.parametrize(
    ("command", "ifname", "words"),
    [
        (("link", "del", "net1"), "net1", "net1"),
        (("addr", "del", "10.244.0.2/24", "dev", "eth0"), "eth0", "10.244.0.2/24"),
    ],
)
def test_changed_since(
    site: Site, running: Daemon, command: tuple[str, ...], ifname: str, words: str
) -> None:
    site.pod(networks="a")
    sandbox = site.lab.sandbox()
    running.ok("ADD", netns=sandbox)
    site.lab.ip(*command, netns=sandbox)
    found = explain(site, code=1)
    assert [name for name, state in states(found).items() if state == "changed"] == [ifname]
    assert words in reason(found, ifname)
    running.ok("DEL", netns=sandbox)


def test_removal_that_fails(site: Site, running: Daemon) -> None:
    """The pod is gone from the cluster; what is left of it is told, with the reason."""
    site.recorders.make("rec")
    site.nad("ext", {"cniVersion": "1.0.0", "type": "rec"})
    site.pod(networks="ext")
    sandbox = site.lab.sandbox()
    running.ok("ADD", netns=sandbox)
    site.recorders.fail("rec", "DEL", '{"code": 99, "msg": "switch is away"}')
    site.forget_manifest("pod-web")
    running.ok("DEL", netns=sandbox)
    found = explain(site, code=1)
    assert states(found) == {"net1": "removing"}
    assert "switch is away" in reason(found, "net1")
    assert "not found" in found["problem"]
    site.recorders.succeed("rec", "DEL")


def test_being_added(site: Site, running: Daemon) -> None:
    site.recorders.make("rec")
    site.nad("ext", {"cniVersion": "1.0.0", "type": "rec"})
    site.pod(networks="ext")
    sandbox = site.lab.sandbox()
    go_on = site.recorders.hold("rec", "ADD")
    adding = running.begin("ADD", netns=sandbox)
    site.wait_for(lambda: len(site.rows) == 2)
    assert states(explain(site, code=1)) == {"eth0": "attaching", "net1": "attaching"}
    go_on()
    assert adding.wait(60) == 0
    running.ok("DEL", netns=sandbox)


def test_sandbox_that_is_gone(site: Site, running: Daemon, tmp_path: Path) -> None:
    site.pod(networks="a")
    place = tmp_path / "netns"
    place.touch()
    sandbox = site.lab.sandbox()
    subprocess.run(["mount", "--bind", sandbox.path, place], check=True)
    try:
        running.ok("ADD", netns=str(place))
    finally:
        subprocess.run(["umount", place], check=True)
    found = explain(site, code=1)
    assert set(states(found).values()) == {"changed"}
    assert "failed to open netns" in reason(found, "net1")
    running.ok("DEL")


def test_without_a_daemon(site: Site, running: Daemon) -> None:
    """The journal is still there; that nobody serves the node is what is wrong."""
    site.pod(networks="a")
    sandbox = site.lab.sandbox()
    running.ok("ADD", netns=sandbox)
    running.kill()
    found = explain(site, code=1)
    assert states(found) == {"eth0": "attached", "net1": "attached"}
    assert "no daemon is running" in found["nodeProblem"]
    running.start()
    running.ok("DEL", netns=sandbox)


@pytest.mark.parametrize("pod", ["", "a/b/c", "/web", "default/"])
def test_names_that_are_none(site: Site, pod: str) -> None:
    done = run(site, pod)
    assert done.returncode == 2
    assert "expected [NAMESPACE/]POD" in done.stderr

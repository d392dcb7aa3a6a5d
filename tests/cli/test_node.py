"""The whole line of a node: install, daemon, calls by the installed executables, status, uninstall."""

from __future__ import annotations

import json
import os
import re

import pytest

pytestmark = pytest.mark.kernel

RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) multinet[\w.]*: .+")


def test_install_add_status_check_del_uninstall(node) -> None:
    files = node.files
    (files.bin_dir / "bridge").write_text("#!/bin/sh\nexit 7\n")
    before = files.snapshot()
    done = files.install("--plugins", "all")
    assert done.returncode == 0, done.stderr
    node.start()
    sandbox = node.lab.sandbox()

    code, result = node.call("ADD", sandbox.path)
    assert code == 0, result
    assert result["cniVersion"] == "1.0.0"
    assert [ip["address"] for ip in result["ips"]] == ["10.91.0.2/24"]
    assert {"eth0", "net1"} <= set(node.lab.links(sandbox))

    table = files.status()
    assert table.stderr == ""
    assert [line.split()[:6] for line in table.stdout.splitlines()] == [
        ["POD", "CONTAINER", "INTERFACE", "NETWORK", "PHASE", "ADDRESSES"],
        ["default/web", "c1", "eth0", "base", "ready", "10.91.0.2/24"],
        ["default/web", "c1", "net1", "default/lan", "ready", "10.92.0.5/24"],
    ]
    assert node.call("CHECK", sandbox.path, conf={"prevResult": result}) == (0, "")
    refused = files.uninstall("--purge")
    assert refused.returncode == 1
    assert (
        "records 2 attachments (default/web eth0, default/web net1): delete these pods first"
        in refused.stderr
    )
    assert (files.bin_dir / "multinet").exists()

    assert node.call("DEL", sandbox.path) == (0, "")
    assert set(node.lab.links(sandbox)) == {"lo"}
    assert files.attachments() == []
    serving = files.uninstall("--purge")
    assert (serving.returncode, "is serving" in serving.stderr) == (1, True)
    assert node.stop() == 0
    assert not files.socket.exists()
    gone = files.uninstall("--purge")
    assert gone.returncode == 0, gone.stderr
    assert "restored bridge" in gone.stdout
    assert files.snapshot() == before
    assert not files.state_dir.exists()
    records = node.errors.read_text().splitlines()
    assert records
    assert all(RECORD.fullmatch(record) for record in records), records


def test_an_upgrade_under_a_running_daemon_keeps_the_pods(node) -> None:
    files = node.files
    assert files.install().returncode == 0
    node.start()
    sandbox = node.lab.sandbox()
    code, result = node.call("ADD", sandbox.path)
    assert code == 0, result
    before = files.snapshot()
    assert files.install().returncode == 0
    assert files.snapshot().keys() == before.keys()
    assert node.call("DEL", sandbox.path) == (0, "")
    assert node.stop() == 0


def test_a_del_without_a_daemon_is_kept_and_carried_out_at_the_next_start(node) -> None:
    files = node.files
    assert files.install().returncode == 0
    node.start()
    sandbox = node.lab.sandbox()
    assert node.call("ADD", sandbox.path)[0] == 0
    assert node.stop() == 0

    code, told = node.call("DEL", sandbox.path)
    assert (code, "DEL is kept in" in told) == (0, True)
    status = files.status()
    assert len(status.stdout.splitlines()) == 3  # the journal is readable with no daemon
    assert status.stderr.splitlines() == [
        f"multinet: removals waiting for the daemon in {files.state_dir}/spool: 1",
        f"multinet: no daemon is running at {files.socket} (no such file or directory)",
    ]
    node.start()
    # What was spooled is done before the first call is answered; this one is another container's.
    assert node.call("DEL", sandbox.path, container="other") == (0, "")
    assert files.attachments() == []
    assert set(node.lab.links(sandbox)) == {"lo"}
    assert node.stop() == 0


def test_a_delegate_is_served_by_the_daemon_under_its_own_name(node) -> None:
    files = node.files
    assert files.install("--plugins", "loopback,host-local").returncode == 0
    node.start()
    sandbox = node.lab.sandbox()
    conf = {"type": "loopback", "name": "lo"}
    code, result = node.call("ADD", sandbox.path, "loopback", conf=conf)
    assert (code, result["interfaces"][0]["name"]) == (0, "lo")
    assert node.lab.links(sandbox)["lo"].up
    assert node.call("DEL", sandbox.path, "loopback", conf=conf) == (0, "")
    assert node.stop() == 0


def test_with_manifests_nothing_of_kubernetes_is_loaded(node) -> None:
    assert node.files.install().returncode == 0
    node.start("-X", "importtime")
    sandbox = node.lab.sandbox()
    assert node.call("ADD", sandbox.path)[0] == 0
    assert node.call("DEL", sandbox.path) == (0, "")
    assert node.stop() == 0
    loaded = set(re.findall(r"\| +([\w.]+)$", node.errors.read_text(), re.MULTILINE))
    assert {"multinet.daemon.app", "multinet.adapters.cluster_directory", "yaml"} <= loaded
    assert not {name.partition(".")[0] for name in loaded} & {"kubernetes", "requests", "urllib3", "pyroute2"}


def test_a_second_daemon_on_one_socket_says_so_and_ends(node, multinet) -> None:
    files = node.files
    node.start()
    done = multinet("daemon", *files.state, "--manifests", files.manifests)
    assert done.returncode == 1
    assert done.stderr == f"multinet: another daemon is serving {files.socket}\n"
    assert files.socket.exists()
    assert node.stop() == 0


def test_a_daemon_that_cannot_start_says_why_on_one_line(files, multinet) -> None:
    missing = files.root / "missing"
    done = multinet("daemon", *files.state, "--manifests", missing)
    assert (done.returncode, done.stderr) == (
        1,
        f"multinet: --manifests: {missing} is not a directory: make it, or name another one\n",
    )
    done = multinet("daemon", *files.state, KUBERNETES_SERVICE_HOST="")
    assert done.returncode == 1
    assert done.stderr.startswith("multinet: --kubeconfig: no way to the Kubernetes API")
    assert done.stderr.count("\n") == 1
    files.state_dir.write_text("")
    done = multinet("daemon", *files.state, "--manifests", files.manifests)
    assert done.returncode == 1
    assert str(files.state_dir) in done.stderr
    assert done.stderr.count("\n") == 1


# --- calls with no daemon -------------------------------------------------------------------------------


def test_an_inline_installation_needs_no_daemon(node) -> None:
    files = node.files
    before = files.snapshot()
    done = files.install("--inline", "--manifests", str(files.manifests), "--plugins", "all")
    assert done.returncode == 0, done.stderr
    sandbox = node.lab.sandbox()
    code, result = node.call("ADD", sandbox.path)
    assert code == 0, result
    assert [ip["address"] for ip in result["ips"]] == ["10.91.0.2/24"]
    assert {"eth0", "net1"} <= set(node.lab.links(sandbox))
    assert [found["interface"] for found in files.attachments()] == ["eth0", "net1"]
    published = json.loads((files.manifests / ".status/default/web.json").read_text())
    status = json.loads(published["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"])
    assert [entry["name"] for entry in status] == ["base", "default/lan"]

    again, error = node.call("ADD", sandbox.path)
    assert (again, "eth0" in error["msg"]) == (1, True), error
    assert node.call("CHECK", sandbox.path, conf={"prevResult": result}) == (0, "")
    assert node.call("DEL", sandbox.path) == (0, "")
    assert node.call("DEL", "") == (0, "")
    assert set(node.lab.links(sandbox)) == {"lo"}
    assert os.listdir(files.state_dir / "turns") == ["node"]
    assert files.uninstall("--purge").returncode == 0
    assert files.snapshot() == before
    assert not files.state_dir.exists()


def test_inline_gc_removes_what_the_runtime_no_longer_knows(node) -> None:
    files = node.files
    assert (
        files.install("--inline", "--manifests", str(files.manifests), "--cni-version", "1.1.0").returncode
        == 0
    )
    kept, lost = node.lab.sandbox(), node.lab.sandbox()
    assert node.call("ADD", kept.path, args="")[0] == 0
    assert node.call("ADD", lost.path, container="c2", args="")[0] == 0
    valid = {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
    assert node.call("GC", "", conf=valid) == (0, "")
    assert len(files.attachments()) == 2  # missing in one list is no proof
    assert node.call("GC", "", conf=valid) == (0, "")
    assert [found["containerID"] for found in files.attachments()] == ["c1"]
    assert set(node.lab.links(lost)) == {"lo"}
    assert "eth0" in node.lab.links(kept)
    assert node.call("STATUS", "") == (0, "")
    assert node.call("DEL", kept.path) == (0, "")


def test_inline_calls_for_one_container_take_turns(node) -> None:
    """Of four ADDs at once one makes the attachment, the others find it made; then DEL leaves nothing."""
    files = node.files
    assert files.install("--inline", "--manifests", str(files.manifests)).returncode == 0
    sandbox = node.lab.sandbox()
    calls = [node.begin("ADD", sandbox.path) for _ in range(4)]
    answers = [json.loads(call.communicate(timeout=120)[0]) for call in calls]
    assert sorted(call.returncode for call in calls) == [0, 1, 1, 1]
    assert ["eth0" in answer["msg"] for answer in answers if "code" in answer] == [True] * 3, answers
    assert len(files.attachments()) == 2
    calls = [node.begin("DEL", sandbox.path) for _ in range(3)]
    for call in calls:
        call.communicate(timeout=120)
    assert [call.returncode for call in calls] == [0, 0, 0]
    assert set(node.lab.links(sandbox)) == {"lo"}
    assert not list((files.root / "addresses" / "base").glob("10.*"))


def test_an_inline_call_that_is_told_to_stop_undoes_what_it_began(node) -> None:
    files = node.files
    slow = files.bin_dir / "slow"
    slow.write_text('#!/bin/sh\n[ "$CNI_COMMAND" = ADD ] && { : > "$0.started"; exec sleep 60; }\nexit 0\n')
    slow.chmod(0o755)
    base = files.conf_dir / "10-base.conflist"
    network = json.loads(base.read_text())
    network["plugins"].append({"type": "slow"})
    base.write_text(json.dumps(network))
    assert files.install("--inline", "--manifests", str(files.manifests)).returncode == 0
    sandbox = node.lab.sandbox()
    call = node.begin("ADD", sandbox.path)
    while not (files.bin_dir / "slow.started").exists():
        assert call.poll() is None
    call.terminate()
    out, _ = call.communicate(timeout=60)
    assert (call.returncode, json.loads(out)["code"]) == (1, 108)
    assert set(node.lab.links(sandbox)) == {"lo"}
    assert files.attachments() == []


def test_standalone_delegates_need_no_daemon(node) -> None:
    files = node.files
    assert files.install("--standalone", "--plugins", "loopback,bridge", "--no-conf").returncode == 0
    (files.conf_dir / "00-multinet.conflist").write_text(
        json.dumps({"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "loopback"}]})
    )
    sandbox = node.lab.sandbox()
    code, result = node.call("ADD", sandbox.path, "loopback", args="")
    assert (code, result["interfaces"][0]["name"]) == (0, "lo")
    code, result = node.call(
        "ADD", sandbox.path, "bridge", args="", conf={"type": "bridge", "bridge": "cli0"}
    )
    assert (code, result["interfaces"][-1]["name"]) == (0, "eth0")
    assert node.call("DEL", sandbox.path, "bridge", args="", conf={"type": "bridge"}) == (0, "")

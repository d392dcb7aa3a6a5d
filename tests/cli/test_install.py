from __future__ import annotations

import json
import os
import socket
import subprocess

import pytest

from multinet.cni.conf import load_file
from multinet.daemon.node_report import ReportFile
from multinet.daemon.slot.report import SlotReport

FILE = "00-multinet.conflist"


def test_what_is_installed_and_written(files) -> None:
    done = files.install("--plugins", "bridge,static,bridge", "--name", "pods", "--cni-version", "0.4.0")
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(files.bin_dir)) == [
        ".multinet-installed.json",
        ".multinet-shim",
        "bridge",
        "multinet",
        "static",
    ]
    settings = (files.bin_dir / ".multinet-shim").read_text()
    assert settings == f"socket={files.socket}\nspool={files.state_dir}/spool\n"
    path = files.conf_dir / FILE
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert json.loads(path.read_text()) == {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "multinet",
                "namespaceIsolation": True,
                "capabilities": {"io.kubernetes.cri.pod-annotations": True, "mac": True},
                "clusterNetwork": str(files.conf_dir / "10-base.conflist"),
            }
        ],
    }
    assert load_file(str(path)).name == "pods"
    assert done.stdout.splitlines()[1:] == [
        f"wrote {path}",
        f"the pods' first network is {files.conf_dir}/10-base.conflist",
    ]


def test_without_a_compiler_the_twin_is_installed_and_told(files, multinet) -> None:
    done = multinet("install", *files.folders, *files.state, CC="/nonexistent/cc")
    assert done.returncode == 0, done.stderr
    assert (
        "the shim's Python twin, since the shim could not be compiled (/nonexistent/cc: No such file"
        in done.stdout
    )
    version = subprocess.run(
        [files.bin_dir / "multinet", "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("multinet ")


def test_no_conf_leaves_the_runtimes_configuration_alone(files) -> None:
    assert files.install("--no-conf").returncode == 0
    assert os.listdir(files.conf_dir) == ["10-base.conflist"]


def test_the_first_network_is_the_first_valid_one_that_is_not_ours(files) -> None:
    (files.conf_dir / "00-multus.conf").write_text('{"cniVersion":"1.0.0","name":"m","type":"multus-shim"}')
    (files.conf_dir / "01-broken.conflist").write_text("{")
    (files.conf_dir / "05-first.conf").write_text('{"cniVersion":"1.0.0","name":"first","type":"x"}')
    assert files.install().returncode == 0
    plugin = json.loads((files.conf_dir / FILE).read_text())["plugins"][0]
    assert plugin["clusterNetwork"] == str(files.conf_dir / "05-first.conf")
    assert plugin["capabilities"] == {"io.kubernetes.cri.pod-annotations": True}


def test_without_another_network_none_is_named(files) -> None:
    (files.conf_dir / "10-base.conflist").unlink()
    done = files.install()
    assert f"no other network is configured in {files.conf_dir}" in done.stdout
    assert "clusterNetwork" not in json.loads((files.conf_dir / FILE).read_text())["plugins"][0]


def test_an_upgrade_changes_what_was_chosen_and_keeps_the_backup(files) -> None:
    (files.bin_dir / "bridge").write_text("theirs")
    before = files.snapshot()
    assert "kept the bridge" in files.install("--plugins", "bridge").stdout
    assert files.install("--plugins", "all", "--inline", "--manifests", str(files.manifests)).returncode == 0
    assert (files.bin_dir / "bridge").read_bytes().startswith(b"#!")
    assert (files.bin_dir / "bridge.before-multinet").read_text() == "theirs"
    assert files.uninstall().returncode == 0
    assert files.snapshot() == before


@pytest.mark.parametrize("blocked", ["plugin", "second part", "conf"])
def test_a_first_installation_that_fails_leaves_nothing(files, blocked: str) -> None:
    if blocked == "conf":
        (files.conf_dir / FILE).write_text('{"cniVersion":"1.0.0","name":"theirs","type":"x"}')
    else:
        (files.bin_dir / ("multinet" if blocked == "plugin" else "static")).mkdir()
    more = ("--standalone",) if blocked == "second part" else ()
    before = {name: sorted(os.listdir(getattr(files, name))) for name in ("bin_dir", "conf_dir")}
    done = files.install("--plugins", "bridge,static", *more)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert {name: sorted(os.listdir(getattr(files, name))) for name in before} == before


def test_a_configuration_that_cannot_be_written_takes_the_executables_back_out(files) -> None:
    files.conf_dir.joinpath("10-base.conflist").unlink()
    files.conf_dir.rmdir()
    files.conf_dir.write_text("no folder")
    done = files.install()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert os.listdir(files.bin_dir) == []


def test_uninstall_with_nothing_installed_is_success(files) -> None:
    before = files.snapshot()
    done = files.uninstall("--purge")
    assert (done.returncode, done.stdout) == (0, "nothing was installed\n")
    assert files.snapshot() == before


def test_uninstall_leaves_what_others_put_there_since(files) -> None:
    assert files.install("--plugins", "bridge").returncode == 0
    (files.bin_dir / "bridge").unlink()
    (files.bin_dir / "bridge").write_text("newer")
    (files.conf_dir / FILE).write_text('{"cniVersion":"1.0.0","name":"theirs","type":"x"}')
    done = files.uninstall()
    assert f"left bridge in {files.bin_dir}: it is somebody else's by now\n" in done.stdout
    assert (files.bin_dir / "bridge").read_text() == "newer"
    assert "theirs" in (files.conf_dir / FILE).read_text()


def test_uninstall_takes_the_file_that_a_daemon_kept_under_another_name(files) -> None:
    assert files.install("--no-conf").returncode == 0
    kept = files.conf_dir / "00-multus.conf"
    kept.write_text('{"cniVersion":"1.0.0","name":"multus-cni-network","type":"multinet"}')
    files.state_dir.mkdir(exist_ok=True)
    ReportFile(str(files.state_dir)).update(slot=SlotReport(path=str(kept)))
    done = files.uninstall("--purge")
    assert f"removed {kept}\n" in done.stdout
    assert os.listdir(files.conf_dir) == ["10-base.conflist"]
    assert not files.state_dir.exists()


def test_purge_waits_for_spooled_removals_and_for_the_daemon(files) -> None:
    spool = files.state_dir / "spool"
    spool.mkdir(parents=True)
    entry = spool / "0000000001-000000001-1.del"
    entry.write_bytes(b"x")
    done = files.uninstall("--purge")
    assert (done.returncode, "1 DELs wait in" in done.stderr) == (1, True)
    entry.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(files.socket))
        listener.listen()
        done = files.uninstall("--purge")
        assert done.stderr == f"multinet: --purge: a daemon is serving {files.socket}: stop it first\n"
    (files.state_dir / "notes").write_text("mine")
    (files.state_dir / "certificates").mkdir()  # with a private key in it
    (files.state_dir / "certificates" / "multus-client-current.pem").write_text("key")
    assert files.uninstall("--purge").returncode == 0
    assert os.listdir(files.state_dir) == ["notes"]


def test_a_broken_journal_hinders_a_purge_only(files) -> None:
    files.state_dir.mkdir()
    (files.state_dir / "journal.db").write_text("no database")
    done = files.uninstall("--purge")
    assert (done.returncode, "cannot read journal" in done.stderr) == (1, True)
    done = files.uninstall()
    assert (done.returncode, "cannot read journal" in done.stdout) == (0, True)

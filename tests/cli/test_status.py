from __future__ import annotations

import calendar
import json
import sqlite3
import time
from pathlib import Path

import pytest
import yaml

from multinet.adapters.journal import SqliteJournal
from multinet.adapters.journal_view import read_attachments
from multinet.core.record import AttachmentRecord

RESULT = {"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/24"}, {"address": "fd00::5/64"}]}


def record(ifname: str, position: int, **more: object) -> AttachmentRecord:
    fields = {
        "container_id": "0123456789abcdef0123",
        "network": b'{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"x"}]}',
        "network_name": "n",
        "name": "default/lan",
        "pod_namespace": "default",
        "pod_name": "web",
        "pod_uid": "u1",
        "netns": "/run/netns/x",
        "ifname": ifname,
        "position": position,
        "created": time.time(),
    }
    return AttachmentRecord(**{**fields, **more})  # type: ignore[arg-type]


@pytest.fixture
def journal(files) -> SqliteJournal:
    """Two attachments of default/web (one ready), one of a pod that the runtime didn't name."""
    journal = SqliteJournal(str(files.state_dir / "journal.db"))
    web = [record("eth0", 0, result=RESULT), record("net1", 1)]
    journal.begin(web)
    journal.ready([web[0]])
    plain = record("eth0", 0, container_id="z9", pod_namespace="", pod_name="", name="base")
    journal.begin([plain])
    journal.failed(plain, "netlink: link busy\nreally")
    yield journal
    journal.close()


def test_the_table(files, journal) -> None:
    done = files.status()
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["POD", "CONTAINER", "INTERFACE", "NETWORK", "PHASE", "ADDRESSES", "AGE"]
    assert [line.split()[:-1] for line in lines[1:]] == [
        ["default/web", "0123456789ab", "eth0", "default/lan", "ready", "10.1.0.5/24,fd00::5/64"],
        ["default/web", "0123456789ab", "net1", "default/lan", "adding", "-"],
        ["-", "z9", "eth0", "base", "deleting", "-"],
    ]
    for heading in ("CONTAINER", "PHASE", "ADDRESSES"):  # each column begins where its heading does
        at = lines[0].index(heading)
        assert all(line[at - 1] == " " != line[at] for line in lines)
    assert done.stderr.splitlines() == [
        "multinet: removing eth0 of z9 failed: netlink: link busy; really",
        f"multinet: no daemon is running at {files.socket} (no such file or directory)",
    ]


def test_json_and_yaml_say_the_same(files, journal) -> None:
    as_json = json.loads(files.status("-o", "json").stdout)
    assert yaml.safe_load(files.status("-o", "yaml").stdout) == as_json
    assert as_json["daemon"] == {"socket": str(files.socket), "running": False}
    assert as_json["stateDir"] == str(files.state_dir)
    assert as_json["spooledRemovals"] == 0
    first = as_json["attachments"][0]
    created = time.strptime(first.pop("created"), "%Y-%m-%dT%H:%M:%SZ")
    assert 0 <= time.time() - calendar.timegm(created) < 3600
    assert first == {
        "pod": {"namespace": "default", "name": "web", "uid": "u1"},
        "containerID": "0123456789abcdef0123",
        "netns": "/run/netns/x",
        "interface": "eth0",
        "network": "default/lan",
        "networkName": "n",
        "phase": "ready",
        "addresses": ["10.1.0.5/24", "fd00::5/64"],
        "failure": "",
        "result": RESULT,
    }


def test_one_pod(files, journal) -> None:
    done = files.status("-o", "json", "--pod", "default/web")
    assert [found["interface"] for found in json.loads(done.stdout)["attachments"]] == ["eth0", "net1"]
    assert json.loads(files.status("-o", "json", "--pod", "x/web").stdout)["attachments"] == []


def test_nothing_attached_is_an_empty_table(files) -> None:
    done = files.status()
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert not files.state_dir.exists()


def test_reading_leaves_the_directory_as_it_was(files, journal) -> None:
    journal.close()
    before = {path.name: path.read_bytes() for path in files.state_dir.iterdir()}
    assert files.status().returncode == 0
    assert {path.name: path.read_bytes() for path in files.state_dir.iterdir()} == before


def test_what_a_writer_has_just_written_is_seen(files, journal) -> None:
    assert Path(f"{journal.path}-wal").exists()
    journal.forget(journal.of("z9"))
    assert {found.container_id for found in read_attachments(journal.path)} == {"0123456789abcdef0123"}


def test_a_journal_that_cannot_be_read_is_told_on_one_line(files, journal) -> None:
    path = journal.path
    journal.close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    done = files.status()
    assert done.returncode == 1
    assert done.stderr == f"multinet: journal {path} has version 99, newer than this multinet knows (1)\n"
    Path(path).write_text("no database at all, but long enough to be looked at as one" * 20)
    done = files.status()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"cannot read journal {path}" in done.stderr


def test_the_environment_says_where_as_in_the_daemons_container(files, journal, multinet) -> None:
    spool = files.state_dir / "spool"
    spool.mkdir()
    (spool / "0000000001-000000001-1.del.bad").write_bytes(b"")
    places = {"MULTINET_SOCKET": str(files.socket), "MULTINET_STATE_DIR": str(files.state_dir)}
    done = multinet("status", **places)
    assert done.stdout == files.status().stdout and "default/web" in done.stdout
    assert f"removals set aside in {spool} (*.bad), forgotten after a day: 1" in done.stderr
    assert json.loads(multinet("status", "-o", "json", **places).stdout)["setAsideRemovals"] == 1
    explained = multinet("explain", "default/web", **places)
    assert "net1" in explained.stdout and str(files.socket) in explained.stdout

"""The journal file: phases, all or none, several threads and processes, faults."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from multinet.adapters.journal import SqliteJournal
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Address, Bridge, MacGuard, Masquerade, Owner, Route, Sysctl, Veth
from multinet.core.record import AttachmentRecord
from tests.leaks import nothing_left_open

OWNER = Owner("net", "c1", "eth0")


def record(container: str = "c1", ifname: str = "eth0", position: int = 0, **more: Any) -> AttachmentRecord:
    return AttachmentRecord(
        container_id=container,
        ifname=ifname,
        position=position,
        name="default/net",
        network=b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"bridge"}]}',
        network_name="net",
        **more,
    )


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "journal.db")


@pytest.fixture
def journal(path: str) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(path)
    yield journal
    journal.close()


def phases(journal: SqliteJournal) -> list[tuple[str, str, str]]:
    return [(r.container_id, r.ifname, r.phase) for r in journal.all()]


def test_the_file_is_roots_alone(journal: SqliteJournal, path: str) -> None:
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700


def test_phases(journal: SqliteJournal) -> None:
    before = time.time()
    records = [record(), record(ifname="net1", position=1)]
    journal.begin(records)
    assert phases(journal) == [("c1", "eth0", "adding"), ("c1", "net1", "adding")]
    assert all(before <= r.created <= time.time() for r in journal.of("c1"))
    journal.ready([replace(r, result={"cniVersion": "1.0.0"}) for r in records])
    assert phases(journal) == [("c1", "eth0", "ready"), ("c1", "net1", "ready")]
    journal.deleting(journal.of("c1"))
    assert phases(journal) == [("c1", "eth0", "deleting"), ("c1", "net1", "deleting")]
    journal.forget([records[1]])
    journal.failed(records[0], "because")
    assert phases(journal) == [("c1", "eth0", "deleting")]
    assert journal.of("c1")[0].failure == "because"
    journal.forget(records)
    assert journal.all() == []


def test_who_is_doubtful_is_remembered_by_whoever_opens_the_file(journal: SqliteJournal, path: str) -> None:
    assert journal.doubtful() == frozenset()
    journal.doubt({"c1", "c2"})
    journal.doubt({"c2", "c3"})
    other = SqliteJournal(path)
    assert other.doubtful() == {"c2", "c3"}
    other.doubt(())
    other.close()
    assert journal.doubtful() == frozenset()


def test_everything_of_a_record_comes_back(journal: SqliteJournal) -> None:
    items = (
        Bridge(name="br", place="host", whose="shared", mtu=1400),
        Veth(
            name="eth0", mac="02:00:00:00:00:01", host_name="veth1", host_mac="02:00:00:00:00:02", master="br"
        ),
        Address(link="eth0", cidr="10.0.0.2/24"),
        Route(link="eth0", dst="0.0.0.0/0", gateways=("10.0.0.1", "10.0.0.3"), mtu=1300),
        Sysctl(key="net/ipv4/ip_forward", value="1", place="host", whose="shared"),
        Masquerade(cidr="10.0.0.2/24", owner=OWNER),
        MacGuard(link="veth1", mac="02:00:00:00:00:01", owner=OWNER),
    )
    made = record(
        pod_namespace="default",
        pod_name="web",
        pod_uid="u-1",
        netns="/run/netns/x",
        netns_identity=(4, 4026532001),
        args="IP=10.0.0.2/24",
        path=("/opt/cni/bin",),
        capability_args={"ips": ["10.0.0.2/24"], "portMappings": [{"hostPort": 1}]},
        default_route=(),
        applied={"bridge": items},
        result={"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]},
        created=1.5,
    )
    journal.ready([made])
    assert journal.of("c1") == [replace(made, phase="ready")]
    assert journal.of("c1")[0].owner == OWNER


def test_order_is_that_of_the_plan(journal: SqliteJournal) -> None:
    journal.begin([record("b", f"net{n}", n) for n in (10, 2, 1)])
    journal.begin([record("a", "eth0")])
    assert [(r.container_id, r.position) for r in journal.all()] == [("a", 0), ("b", 1), ("b", 2), ("b", 10)]
    assert [r.position for r in journal.of("b")] == [1, 2, 10]
    assert journal.of("none") == []


def test_all_or_none(journal: SqliteJournal) -> None:
    """One name that is taken, and none is written; the message names it."""
    journal.begin([record(ifname="net1")])
    with pytest.raises(CNIError) as caught:
        journal.begin(
            [record(ifname="eth0"), record(ifname="net1", position=1), record(ifname="net2", position=2)]
        )
    assert caught.value.code == Code.INVALID_CONFIG
    assert "container c1 has interface net1 attached already" in caught.value.msg
    assert phases(journal) == [("c1", "net1", "adding")]
    with pytest.raises(CNIError):
        journal.begin([record(ifname="net1")])
    journal.begin([record("c2", "net1")])


def test_nothing_to_write(journal: SqliteJournal) -> None:
    journal.ready([])
    journal.forget([])
    journal.deleting([record("nobody")])
    assert journal.all() == []


def test_rows_survive_a_killed_process(path: str) -> None:
    child = os.fork()
    if child == 0:
        other = SqliteJournal(path)
        other.begin([record(), record(ifname="net1", position=1)])
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    journal = SqliteJournal(path)
    assert phases(journal) == [("c1", "eth0", "adding"), ("c1", "net1", "adding")]
    journal.close()


def test_threads(journal: SqliteJournal) -> None:
    """Each container's records are there whole, or not at all, whoever looks meanwhile."""
    stop = threading.Event()
    seen: list[int] = []

    def look() -> None:
        while not stop.is_set():
            seen.extend(len(journal.of(f"c{n}")) for n in range(8))

    def work(n: int) -> None:
        mine = [record(f"c{n}", f"net{i}", i) for i in range(5)]
        for _ in range(30):
            journal.begin(mine)
            journal.ready(mine)
            journal.deleting(journal.of(f"c{n}"))
            journal.forget(mine)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    watcher = threading.Thread(target=look)
    for thread in (watcher, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    assert journal.all() == []
    assert set(seen) <= {0, 5}


def _in_process(path: str, n: int, start: Any, outcome: Any) -> None:
    try:
        start.wait(30)
        journal = SqliteJournal(path)
        for turn in range(20):
            mine = [record(f"c{n}-{turn}", f"net{i}", i) for i in range(3)]
            journal.begin(mine)
            journal.ready(mine)
        try:
            journal.begin([record("one", f"net{i}", i) for i in range(3)])
            won = True
        except CNIError as error:
            assert error.code == Code.INVALID_CONFIG
            won = False
        journal.close()
        outcome.put(won)
    except BaseException as error:
        outcome.put(repr(error))


def test_processes(path: str) -> None:
    """A file that several make and write at the same time; of one container's ADDs one wins."""
    context = multiprocessing.get_context("fork")
    start, outcome = context.Event(), context.Queue()
    processes = [context.Process(target=_in_process, args=(path, n, start, outcome)) for n in range(6)]
    for process in processes:
        process.start()
    start.set()
    outcomes = [outcome.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(outcomes, key=str) == [False] * 5 + [True]
    journal = SqliteJournal(path)
    assert len(journal.all()) == 6 * 20 * 3 + 3
    journal.close()


def test_a_newer_file_is_refused(path: str, journal: SqliteJournal) -> None:
    """And left as it is."""
    journal.begin([record()])
    journal.close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(CNIError) as caught:
        SqliteJournal(path)
    assert caught.value.code == Code.IO_FAILURE
    assert f"journal {path} has version 99, newer than this multinet knows" in caught.value.msg
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA user_version").fetchone() == (99,)
    assert database.execute("SELECT count(*) FROM attachments").fetchone() == (1,)
    database.close()


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    content = b"this is no database, but long enough to have a header" * 20
    file.write_bytes(content)
    with pytest.raises(CNIError) as caught:
        SqliteJournal(str(file))
    assert caught.value.code == Code.IO_FAILURE
    assert str(file) in caught.value.msg
    assert file.read_bytes() == content


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(CNIError) as caught:
        SqliteJournal(str(tmp_path / "state" / "journal.db"))
    assert caught.value.code == Code.IO_FAILURE


def test_a_row_that_cannot_be_read(path: str, journal: SqliteJournal) -> None:
    journal.begin([record()])
    database = sqlite3.connect(path)
    database.execute("UPDATE attachments SET record = X'7B'")
    database.commit()
    database.close()
    with pytest.raises(CNIError) as caught:
        journal.all()
    assert caught.value.code == Code.IO_FAILURE
    assert path in caught.value.msg and "unreadable row" in caught.value.msg


def test_no_descriptor_is_left(path: str) -> None:
    SqliteJournal(path).close()
    with nothing_left_open():
        for _ in range(20):
            journal = SqliteJournal(path)
            journal.begin([record()])
            journal.forget([record()])
            journal.close()
            journal.close()


def test_a_closed_journal_says_so(journal: SqliteJournal) -> None:
    journal.close()
    with pytest.raises(CNIError) as caught:
        journal.all()
    assert caught.value.code == Code.IO_FAILURE
    with pytest.raises(CNIError):
        journal.begin([record()])

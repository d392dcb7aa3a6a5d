from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from multinet.adapters.spool import CorruptEntry, Spool
from multinet.wire.frame import Request, encode_request
from multinet.wire.spool import entry_name


def request(number: int) -> Request:
    return Request("multinet", {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": f"c{number}"}, b"{}", 115_000, None)


def test_requests_come_back_in_the_order_they_were_put(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.pending() == []
    wanted = [request(number) for number in range(5)]
    for each in wanted:
        spool.put(encode_request(each))
    assert [spool.read(path) for path in spool.pending()] == wanted


def test_done_forgets_one_and_may_be_repeated(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, second = (spool.put(encode_request(request(number))) for number in range(2))
    spool.done(first)
    spool.done(first)
    assert spool.pending() == [second]


@pytest.mark.parametrize("content", [b"", b"\x00\x00", encode_request(request(1))[:-1], b"\xff" * 40])
def test_a_corrupt_entry_is_moved_aside_and_told(tmp_path: Path, content: bytes) -> None:
    spool = Spool(tmp_path)
    bad = spool.put(content)
    good = spool.put(encode_request(request(1)))
    with pytest.raises(CorruptEntry) as caught:
        spool.read(bad)
    assert caught.value.moved_to == f"{bad}.bad"
    assert Path(caught.value.moved_to).read_bytes() == content
    assert bad in str(caught.value)
    assert spool.pending() == [good]


def test_temporary_files_are_no_requests_and_go_when_old(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    young, old = (tmp_path / f".{entry_name(number, 1)}.tmp" for number in (1, 2))
    foreign = tmp_path / ".keep"
    for path in (young, old, foreign):
        path.write_bytes(b"half")
    for path in (old, foreign):
        os.utime(path, (0, time.time() - 3700))
    assert spool.pending() == []
    assert sorted(os.listdir(tmp_path)) == sorted([young.name, foreign.name])


def test_what_was_set_aside_goes_after_a_day(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert Spool(tmp_path / "none").forget_set_aside() == []
    request_path = spool.put(b"x")
    os.utime(request_path, (0, 0))  # the request is old, but it is set aside only now
    young = spool.set_aside(request_path)
    old = spool.set_aside(spool.put(b"y"))
    (tmp_path / "notes.bad").write_text("mine")
    os.utime(tmp_path / "notes.bad", (0, 0))
    os.utime(old, (0, time.time() - 86500))
    assert sorted(spool.set_aside_entries()) == sorted([young, old])
    assert spool.forget_set_aside() == [old]
    assert sorted(os.listdir(tmp_path)) == sorted([os.path.basename(young), "notes.bad"])


def test_an_entry_that_vanishes_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Spool(tmp_path).read(str(tmp_path / entry_name(1, 1)))

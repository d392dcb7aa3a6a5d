"""What is kept on disk: whole, private, and of this boot."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from multinet.cni.result import DNS
from multinet.cni.result import Route as ResultRoute
from multinet.core.desired import Owner, Route
from multinet.dhcp.client_values import Identity
from multinet.dhcp.lease import Lease
from multinet.dhcp.place import Place
from multinet.dhcp.record import Record, Records, Remains

LEASE = Lease(
    address="10.7.0.50/24",
    server="10.7.0.1",
    server_mac="02:00:00:00:00:01",
    gateway="10.7.0.1",
    routes=(ResultRoute(dst="0.0.0.0/0", gw="10.7.0.1", scope=253),),
    dns=DNS(nameservers=("10.7.0.1",)),
    renew=1.5,
    rebind=2.5,
    expiry=3.5,
)
RECORD = Record(
    owner=Owner("net", "c1", "eth0"),
    place=Place("/run/netns/x", (4, 1 << 40), "eth0", 2, "02:00:00:00:00:02"),
    identity=Identity(mac=b"\2\0\0\0\0\2", client_id=b"\0\xffid", provided={12: b"\xff\0"}, wanted=b"\1\3"),
    lease=LEASE,
    priority=7,
    link_mtu=1500,
)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(str(tmp_path / "dhcp"))


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, lease=None, remains=Remains("10.7.0.1", (Route(link="eth0", dst="192.0.2.0/24"),))),
        replace(RECORD, lease=replace(LEASE, renew=None, rebind=None, expiry=None)),
    ],
)
def test_what_is_written_is_read(records: Records, record: Record) -> None:
    assert list(records.read()) == []
    records.write(RECORD)
    records.write(record)
    assert list(records.read()) == [record]
    (file,) = Path(records.folder).iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert Path(records.folder).stat().st_mode & 0o777 == 0o700


def test_one_file_an_attachment(records: Records) -> None:
    others = [
        replace(RECORD, owner=Owner(*parts))
        for parts in (("a", "b", "c"), ("ab", "", "c"), ("a/b", "c", "d"))
    ]
    for record in (RECORD, *others):
        records.write(record)
    records.remove(RECORD.owner)
    records.remove(RECORD.owner)
    assert sorted(map(repr, records.read())) == sorted(map(repr, others))


def test_an_earlier_boot_is_forgotten(records: Records) -> None:
    records.write(RECORD)
    (file,) = Path(records.folder).iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "boot": "another"}))
    assert list(records.read()) == [] and not file.exists()


@pytest.mark.parametrize(
    "rubbish", [b"", b"{", b"[]", b'{"boot": 1}', b"\xff\xfe", b'{"boot": "x", "record": {}}']
)
def test_rubbish_is_put_aside_and_told(
    records: Records, rubbish: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    records.write(RECORD)
    folder = Path(records.folder)
    (folder / "x.json").write_bytes(rubbish)
    (folder / "y.json.tmp").write_bytes(b"half")
    (folder / "note").write_text("mine")
    with caplog.at_level(logging.ERROR):
        assert list(records.read()) == [RECORD]
    assert (folder / "x.json.bad").read_bytes() == rubbish and "x.json" in caplog.text
    assert (folder / "note").exists() and not (folder / "y.json.tmp").exists()
    assert list(records.read()) == [RECORD]

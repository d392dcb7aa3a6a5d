"""Multus' files about its pods: read, listed, removed; damaged ones, and others that lie there."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.multus_cache import MOST_BYTES, MultusCache
from multinet.cni.cache import CachedAttachment, ResultCache
from multinet.cni.errors import CNIError, Code
from multinet.core.takeover import Takeover

CONF = {"cniVersion": "0.4.0", "name": "a", "type": "bridge"}


def element(conf: Any = CONF, **more: Any) -> dict[str, Any]:
    return {
        "Conf": {},
        "ConfList": {"plugins": None},
        "Bytes": b64encode(json.dumps(conf).encode()).decode(),
        **more,
    }


@pytest.fixture
def cache(tmp_path: Path) -> MultusCache:
    return MultusCache(str(tmp_path))


def put_result(tmp_path: Path, ifname: str = "eth0", container: str = "c1", netns: str = "/n") -> None:
    entry = CachedAttachment(
        network_name="a", container_id=container, ifname=ifname, config=json.dumps(CONF).encode(), netns=netns
    )
    ResultCache(str(tmp_path)).put(entry)


def test_every_key_of_a_delegate(cache: MultusCache, tmp_path: Path) -> None:
    keys = {
        "Name": "ns/a",
        "ifnameRequest": "foo",
        "macRequest": "02:00:00:00:00:01",
        "ipRequest": ["10.0.0.1/24"],
        "default-route": ["10.0.0.254"],
        "deviceID": "0000:1",
        "resourceName": "vendor/x",
        "IsFilterV4Gateway": True,
        "something": "new",
    }
    (tmp_path / "c1").write_text(json.dumps([element(**keys)]))
    (found,) = cache.delegates("c1")
    assert json.loads(found.network) == CONF
    assert (found.name, found.ifname, found.mac, found.ips) == (
        "ns/a",
        "foo",
        keys["macRequest"],
        ("10.0.0.1/24",),
    )
    assert (found.default_route, found.device_id) == (("10.0.0.254",), "0000:1")


def test_zero_values_of_go(cache: MultusCache, tmp_path: Path) -> None:
    (tmp_path / "c1").write_text(json.dumps([element(ipRequest=None, **{"default-route": None})]))
    (found,) = cache.delegates("c1")
    assert (found.name, found.ifname, found.ips, found.default_route) == ("", "", (), None)


def test_what_lies_there_and_is_no_container(cache: MultusCache, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "c1").write_text("[]")
    (tmp_path / ".hidden").write_text("[]")
    (tmp_path / "odd name").write_text("[]")
    (tmp_path / "link").symlink_to(tmp_path / "c1")
    assert cache.containers() == ["c1"]
    assert [name for name in ("c1", "results", "link", "c2") if cache.has(name)] == ["c1"]


def test_no_folder_is_no_pod(tmp_path: Path) -> None:
    cache = MultusCache(str(tmp_path / "none"))
    assert cache.containers() == []
    assert not cache.has("c1")
    cache.remove("c1")


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(CNIError) as caught:
        MultusCache(str(tmp_path / "x")).containers()
    assert caught.value.code == Code.IO_FAILURE


def test_a_container_id_is_no_path(cache: MultusCache) -> None:
    for call in (cache.has, cache.delegates, cache.remove):
        with pytest.raises(CNIError):
            call("../c1")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[{", b'[{"Bytes": "%"}]', b'[{"Bytes": 1}]', b"\xff\xfe[]"]
)
def test_damaged_with_nothing_else(cache: MultusCache, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c1").write_bytes(content)
    put_result(tmp_path, container="c2")
    with pytest.raises(CNIError) as caught:
        cache.records(Takeover(container_id="c1"))
    assert caught.value.code == Code.DECODING_FAILURE
    assert f"scratch file {tmp_path}/c1 is damaged" in str(caught.value)
    assert "has nothing of the container either" in str(caught.value)


def test_huge_file(cache: MultusCache, tmp_path: Path) -> None:
    with (tmp_path / "c1").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(CNIError, match="has more than"):
        cache.delegates("c1")


def test_damaged_with_results_5_33(cache: MultusCache, tmp_path: Path) -> None:
    (tmp_path / "c1").write_text("[{")
    for ifname in ("net1", "eth0"):
        put_result(tmp_path, ifname)
    put_result(tmp_path, container="c2")
    assert [record.ifname for record in cache.records(Takeover(container_id="c1"))] == ["eth0", "net1"]
    assert cache.netns_paths("c1") == ["/n", "/n"]
    cache.remove("c1")
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["results/a-c2-eth0"]


def test_removed_with_its_results_and_no_others(cache: MultusCache, tmp_path: Path) -> None:
    (tmp_path / "c1").write_text(json.dumps([element(), element()]))
    for ifname, container in (("eth0", "c1"), ("net1", "c1"), ("eth0", "c2")):
        put_result(tmp_path, ifname, container)
    assert cache.netns_paths("c1") == ["/n", "/n"]
    cache.remove("c1")
    cache.remove("c1")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["a-c2-eth0"]
    assert cache.containers() == []

"""cni.md 3.7; multi-network.md 5.20c, 10.12: the files that libcni keeps."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.cache import CachedAttachment, ResultCache
from multinet.cni.errors import CNIError

CONF = b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"x"}]}'
ENTRY = CachedAttachment(
    network_name="net",
    container_id="c1",
    ifname="eth0",
    config=CONF,
    netns="/run/netns/c1",
    args=(("IgnoreUnknown", "1"), ("A", "b=c")),
    capability_args={"mac": "m"},
    result={"cniVersion": "1.0.0", "own": {"x": 1}},
)


@pytest.fixture
def cache(tmp_path: Path) -> ResultCache:
    return ResultCache(str(tmp_path / "cni"))


def test_3_7_the_file_is_libcnis(cache: ResultCache, tmp_path: Path) -> None:
    cache.put(ENTRY)
    file = tmp_path / "cni" / "results" / "net-c1-eth0"
    assert json.loads(file.read_bytes()) == {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "config": base64.b64encode(CONF).decode(),
        "ifName": "eth0",
        "networkName": "net",
        "netns": "/run/netns/c1",
        "cniArgs": [["IgnoreUnknown", "1"], ["A", "b=c"]],
        "capabilityArgs": {"mac": "m"},
        "result": {"cniVersion": "1.0.0", "own": {"x": 1}},
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["net-c1-eth0"]


def test_3_7_what_is_empty_is_left_out(cache: ResultCache) -> None:
    cache.put(CachedAttachment(network_name="net", container_id="c1", ifname="eth0", config=b""))
    path = cache.path("net", "c1", "eth0")
    assert set(json.loads(Path(path).read_bytes())) == {
        "kind",
        "containerId",
        "config",
        "ifName",
        "networkName",
    }
    assert cache.get("net", "c1", "eth0") is not None


def test_put_get_replace_remove(cache: ResultCache) -> None:
    assert cache.get("net", "c1", "eth0") is None
    cache.put(ENTRY)
    assert cache.get("net", "c1", "eth0") == ENTRY
    newer = msgspec.structs.replace(ENTRY, netns="/other")
    cache.put(newer)
    assert cache.get("net", "c1", "eth0") == newer
    cache.remove("net", "c1", "eth0")
    cache.remove("net", "c1", "eth0")
    assert cache.get("net", "c1", "eth0") is None


def test_the_network_as_it_was(cache: ResultCache) -> None:
    network = ENTRY.network
    assert network is not None and network.plugins == ({"type": "x"},)
    assert msgspec.structs.replace(ENTRY, config=b"nonsense").network is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"kind": "cniCacheV2", "containerId": "c1", "ifName": "eth0", "networkName": "net"}',
        b'{"kind": "cniCacheV1"}',
        b'{"kind": "cniCacheV1", "containerId": "c1", "ifName": "eth0", "networkName": "net", "config": "!"}',
        b'{"kind": "cniCacheV1", "containerId": "c1", "ifName": "eth0", "networkName": "net", "cniArgs": [["a"]]}',
        b"\xff" * 20,
    ],
)
def test_3_7_unreadable_means_absent(cache: ResultCache, content: bytes) -> None:
    cache.put(ENTRY)
    Path(cache.path("net", "c1", "eth0")).write_bytes(content)
    assert cache.get("net", "c1", "eth0") is None
    assert cache.attachments() == []


def test_3_7_nulls_of_libcni(cache: ResultCache) -> None:
    cache.put(ENTRY)
    Path(cache.path("net", "c1", "eth0")).write_text(
        '{"kind": "cniCacheV1", "containerId": "c1", "ifName": "eth0", "networkName": "net", "config": null,'
        ' "cniArgs": null, "capabilityArgs": null, "result": null, "extra": 1}'
    )
    assert cache.get("net", "c1", "eth0") == CachedAttachment(
        network_name="net", container_id="c1", ifname="eth0", config=b""
    )


def test_attachments_by_network_and_container(cache: ResultCache) -> None:
    assert cache.attachments() == []
    for network, container, ifname in [("a", "c1", "e0"), ("a", "c2", "e0"), ("a-b", "c1", "e1")]:
        cache.put(msgspec.structs.replace(ENTRY, network_name=network, container_id=container, ifname=ifname))

    def found(**which: str) -> list[tuple[str, str, str]]:
        return [(e.network_name, e.container_id, e.ifname) for e in cache.attachments(**which)]

    assert found() == [("a-b", "c1", "e1"), ("a", "c1", "e0"), ("a", "c2", "e0")]
    assert found(network="a") == [("a", "c1", "e0"), ("a", "c2", "e0")]
    assert found(container_id="c1") == [("a-b", "c1", "e1"), ("a", "c1", "e0")]
    assert found(network="a", container_id="c2") == [("a", "c2", "e0")]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("../x", "c1", "eth0"), 7),
        (("net", "../c1", "eth0"), 4),
        (("net", "", "eth0"), 3),
        (("net", "c1", "a/b"), 4),
    ],
)
def test_9_no_path_is_built_from_bad_names(
    cache: ResultCache, names: tuple[str, str, str], code: int
) -> None:
    for act in (cache.path, cache.get, cache.remove):
        with pytest.raises(CNIError) as caught:
            act(*names)
        assert caught.value.code == code


def test_names_too_long_for_a_file(cache: ResultCache) -> None:
    entries = [
        msgspec.structs.replace(ENTRY, network_name="n" * 200, container_id=f"{'c' * 60}{i}") for i in "12"
    ]
    for entry in entries:
        cache.put(entry)
    assert [cache.get(e.network_name, e.container_id, e.ifname) for e in entries] == entries
    for entry in entries:
        assert len(os.path.basename(cache.path(entry.network_name, entry.container_id, "eth0"))) <= 255


def test_a_full_or_forbidden_disk_is_code_5(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("in the way")
    cache = ResultCache(str(tmp_path))
    with pytest.raises(CNIError) as caught:
        cache.put(ENTRY)
    assert caught.value.code == 5
    assert "failed to cache the result in" in caught.value.msg


def test_nothing_unfinished_is_left(cache: ResultCache) -> None:
    cache.put(ENTRY)
    path = Path(cache.path("net", "c1", "eth0"))
    path.unlink()
    path.mkdir()
    with pytest.raises(CNIError):
        cache.put(ENTRY)
    assert [entry.name for entry in path.parent.iterdir()] == ["net-c1-eth0"]


names = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,90}", fullmatch=True)
texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=10)


@given(
    st.builds(
        CachedAttachment,
        network_name=names,
        container_id=names,
        ifname=st.from_regex(r"[a-z][a-z0-9]{0,14}", fullmatch=True),
        config=st.binary(max_size=50),
        netns=texts,
        args=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
        capability_args=st.dictionaries(texts, texts | st.integers(-5, 5), max_size=3),
        result=st.none() | st.dictionaries(texts, texts, max_size=3),
    )
)
def test_what_is_put_is_got(tmp_path_factory: pytest.TempPathFactory, entry: CachedAttachment) -> None:
    cache = ResultCache(str(tmp_path_factory.mktemp("cache")))
    cache.put(entry)
    assert cache.get(entry.network_name, entry.container_id, entry.ifname) == entry
    assert cache.attachments() == [entry]

"""cni.md 1.3, 1.6, 1.7, 1.8; multi-network.md 10.19, 1.16: configurations in folders."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.conf import (
    Broken,
    NetworkList,
    NoConfiguration,
    conf_files,
    find_by_name,
    first_valid,
    load_file,
)
from multinet.cni.errors import CNIError, InvalidConfig


def put(path: Path, conf: Any) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(conf if isinstance(conf, bytes) else json.dumps(conf).encode())
    return str(path)


def network(name: str, *types: str, **keys: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": name, "plugins": [{"type": kind} for kind in types], **keys}


def single(name: str, kind: str = "bridge") -> dict[str, Any]:
    return {"cniVersion": "0.3.1", "name": name, "type": kind}


def types(found: NetworkList) -> list[str]:
    return [plugin["type"] for plugin in found.plugins]


# --- 1.3 the folder of a list


def test_1_3_plugins_of_the_folder_follow_the_inlined_ones(tmp_path: Path) -> None:
    path = put(tmp_path / "10-a.conflist", network("net", "first"))
    put(tmp_path / "net" / "20-c.conf", {"type": "third", "own": 1})
    put(tmp_path / "net" / "10-b.conf", {"type": "second"})
    put(tmp_path / "net" / "30.conflist", network("other", "no"))
    put(tmp_path / "net" / "40.json", {"type": "no"})
    found = load_file(path)
    assert types(found) == ["first", "second", "third"]
    assert found.plugins[2] == {"type": "third", "own": 1}


def test_1_3_raw_no_longer_depends_on_the_folder(tmp_path: Path) -> None:
    path = put(tmp_path / "10-a.conflist", network("net", "first"))
    extra = put(tmp_path / "net" / "10-b.conf", {"type": "second"})
    found = load_file(path)
    Path(extra).unlink()
    assert NetworkList.from_bytes(found.raw).plugins == found.plugins


@pytest.mark.parametrize("value", [True, "true"])
def test_1_3_only_inlined(tmp_path: Path, value: Any) -> None:
    path = put(tmp_path / "10-a.conflist", network("net", "first", loadOnlyInlinedPlugins=value))
    put(tmp_path / "net" / "10-b.conf", {"type": "second"})
    assert types(load_file(path)) == ["first"]


def test_1_3_only_the_folder(tmp_path: Path) -> None:
    path = put(tmp_path / "10-a.conflist", {"cniVersion": "1.1.0", "name": "net"})
    put(tmp_path / "net" / "10-b.conf", {"type": "second"})
    assert types(load_file(path)) == ["second"]


def test_1_3_absent_folder(tmp_path: Path) -> None:
    assert types(load_file(put(tmp_path / "a.conflist", network("net", "first")))) == ["first"]


def test_1_3_no_plugin_in_the_end(tmp_path: Path) -> None:
    path = put(tmp_path / "a.conflist", {"name": "net"})
    with pytest.raises(InvalidConfig, match="no plugin configs found") as caught:
        load_file(path)
    assert caught.value.msg.startswith(path)


def test_1_1_only_inlined_needs_plugins(tmp_path: Path) -> None:
    path = put(tmp_path / "a.conflist", {"name": "net", "loadOnlyInlinedPlugins": True})
    put(tmp_path / "net" / "10-b.conf", {"type": "second"})
    with pytest.raises(InvalidConfig, match="`loadOnlyInlinedPlugins` is true, and no 'plugins' key"):
        load_file(path)


def test_1_3_broken_plugin_file_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.conflist", network("net", "first"))
    bad = put(tmp_path / "net" / "b.conf", {"no": "type"})
    with pytest.raises(InvalidConfig) as caught:
        load_file(path)
    assert caught.value.msg == f"{path}: {bad}: $.type: error parsing configuration: missing 'type'"


def test_9_a_name_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    put(tmp_path / "out" / "b.conf", {"type": "evil"})
    path = put(tmp_path / "in" / "a.conflist", network("../out", "first"))
    with pytest.raises(InvalidConfig, match="invalid characters found in network name"):
        load_file(path)


def test_1_6_single_plugins_have_no_folder(tmp_path: Path) -> None:
    path = put(tmp_path / "a.conf", single("net"))
    put(tmp_path / "net" / "b.conf", {"type": "second"})
    assert types(load_file(path)) == ["bridge"]


def test_1_1_a_list_in_a_conf_file(tmp_path: Path) -> None:
    assert types(load_file(put(tmp_path / "a.conf", network("net", "x", "y")))) == ["x", "y"]


def test_unreadable_file_is_code_5(tmp_path: Path) -> None:
    with pytest.raises(CNIError) as caught:
        load_file(str(tmp_path / "none.conf"))
    assert caught.value.code == 5
    assert caught.value.msg == f"error reading {tmp_path}/none.conf: no such file or directory"


# --- 1.7 which files


def test_1_7_files_in_lexical_order(tmp_path: Path) -> None:
    for name in (
        "b.conf",
        "a.json",
        "c.conflist",
        "A.conf",
        "10.conf",
        "9.conf",
        "é.conf",
        "x.txt",
        "y.conf.bak",
    ):
        put(tmp_path / name, {})
    (tmp_path / "folder.conf").mkdir()
    names = [os.path.basename(path) for path in conf_files(str(tmp_path))]
    assert names == ["10.conf", "9.conf", "A.conf", "a.json", "b.conf", "c.conflist", "é.conf"]


def test_1_7_links_are_followed_and_pipes_left_alone(tmp_path: Path) -> None:
    (tmp_path / "to-folder.conf").symlink_to(tmp_path)
    (tmp_path / "dangling.conf").symlink_to(tmp_path / "none")
    (tmp_path / "to-file.conf").symlink_to(put(tmp_path / "real.json", {}))
    os.mkfifo(tmp_path / "pipe.conf")
    names = [os.path.basename(path) for path in conf_files(str(tmp_path))]
    assert names == ["dangling.conf", "real.json", "to-file.conf"]


def test_1_7_missing_folder_is_empty(tmp_path: Path) -> None:
    assert conf_files(str(tmp_path / "none")) == []


def test_1_7_unreadable_folder_is_code_5(tmp_path: Path) -> None:
    with pytest.raises(CNIError) as caught:
        conf_files(put(tmp_path / "file", {}))
    assert caught.value.code == 5


stems = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=8
)
names = st.builds(str.__add__, stems, st.sampled_from([".conf", ".conflist", ".json", ".bak", ""]))


@given(st.sets(names.filter(lambda name: name not in (".", "..")), max_size=8))
def test_1_7_and_10_19_order_is_bytewise(files: set[str]) -> None:
    with TemporaryDirectory() as folder:
        for name in files:
            put(Path(folder) / name, {})
        wanted = [n for n in files if n.endswith((".conf", ".conflist", ".json"))]
        found = [os.path.basename(path) for path in conf_files(folder)]
        assert found == sorted(wanted, key=os.fsencode)


# --- 1.7 by name


def test_1_7_lists_come_before_single_plugins(tmp_path: Path) -> None:
    put(tmp_path / "10.conf", single("net", "single"))
    put(tmp_path / "20.conflist", network("net", "listed"))
    assert types(find_by_name(str(tmp_path), "net")) == ["listed"]


def test_1_7_first_of_a_name_wins(tmp_path: Path) -> None:
    put(tmp_path / "20.conflist", network("net", "second"))
    put(tmp_path / "10.conflist", network("net", "first"))
    put(tmp_path / "05.conflist", network("other", "no"))
    assert types(find_by_name(str(tmp_path), "net")) == ["first"]


def test_1_7_single_plugin_by_name(tmp_path: Path) -> None:
    put(tmp_path / "10.conf", single("a"))
    put(tmp_path / "20.json", single("b"))
    assert find_by_name(str(tmp_path), "b").name == "b"


def test_1_7_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NoConfiguration) as caught:
        find_by_name(str(tmp_path), "net")
    assert caught.value.msg == f"no net configurations found in {tmp_path}"


def test_1_7_not_of_this_name(tmp_path: Path) -> None:
    put(tmp_path / "10.conflist", network("other", "x"))
    bad = put(tmp_path / "20.conflist", b"{")
    with pytest.raises(NoConfiguration) as caught:
        find_by_name(str(tmp_path), "net")
    assert caught.value.msg == f'no net configuration with name "net" in {tmp_path}'
    assert bad in caught.value.details


# --- 1.8 the default network


def test_1_8_a_broken_earlier_file_doesnt_hide_a_good_one(tmp_path: Path) -> None:
    bad = [
        put(tmp_path / "00.conflist", b"{"),
        put(tmp_path / "10.conflist", network("net")),
        put(tmp_path / "20.conf", {"name": "x"}),
        str(tmp_path / "30.conf"),
    ]
    (tmp_path / "30.conf").symlink_to(tmp_path / "none")
    put(tmp_path / "40.conflist", network("net", "x"))
    put(tmp_path / "50.conflist", network("later", "x"))
    broken: list[Broken] = []
    assert first_valid(str(tmp_path), broken=broken.append).name == "net"
    assert [fault.path for fault in broken] == bad
    assert [fault.error.code for fault in broken] == [6, 7, 7, 5]
    assert find_by_name(str(tmp_path), "later").name == "later"


def test_1_8_a_network_that_isnt_wanted_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "00-multinet.conf", single("multinet"))
    put(tmp_path / "10.conf", single("net"))
    broken: list[Broken] = []
    found = first_valid(str(tmp_path), skip=lambda network: network.name == "multinet", broken=broken.append)
    assert (found.name, broken) == ("net", [])


def test_1_8_nothing_valid(tmp_path: Path) -> None:
    bad = put(tmp_path / "00.conf", b"{")
    with pytest.raises(NoConfiguration) as caught:
        first_valid(str(tmp_path))
    assert caught.value.msg == f"no net configurations found in {tmp_path}"
    assert bad in caught.value.details

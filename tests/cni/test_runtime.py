"""cni.md section 3 and its rows of section 9, seen from a runtime: what is kept between ADD and DEL."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multinet.cni.cache import ResultCache
from multinet.cni.chain import PluginCall
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError
from multinet.cni.result import IPConfig
from multinet.cni.runtime import Container, Runtime

from .conftest import Recorder

C1 = Container("c1", "/run/netns/c1", "eth0", (("IgnoreUnknown", "1"), ("A", "b")), {"mac": "m", "ips": []})
ADDED = {"cniVersion": "1.1.0", "ips": [{"address": "10.1.2.3/24"}], "own": 1}


def network(version: str = "1.1.0", *types: str, **keys: Any) -> NetworkList:
    plugins = [{"type": kind, "capabilities": {"mac": True}} for kind in types or ("a", "b")]
    return NetworkList.from_object({"cniVersion": version, "name": "net", "plugins": plugins, **keys})


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(ADD=ADDED)


@pytest.fixture
def runtime(tmp_path: Path, recorder: Recorder) -> Runtime:
    return Runtime(("/bin1", "/bin2"), ResultCache(str(tmp_path)), recorder)


def test_add_is_recorded_and_del_forgets(runtime: Runtime, recorder: Recorder) -> None:
    assert runtime.add(network(), C1).ips == (IPConfig("10.1.2.3/24"),)
    call = recorder.calls[0]
    assert call.invocation.environ() == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/run/netns/c1",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "IgnoreUnknown=1;A=b",
        "CNI_PATH": "/bin1:/bin2",
    }
    assert call.conf["runtimeConfig"] == {"mac": "m"}
    entry = runtime.cache.get("net", "c1", "eth0")
    assert entry is not None
    assert (entry.config, entry.result, entry.netns) == (network().raw, ADDED, C1.netns)
    assert (entry.args, entry.capability_args) == (C1.args, C1.capability_args)
    runtime.delete(network(), C1)
    assert recorder.story == ["ADD a", "ADD b", "DEL b", "DEL a"]
    assert recorder.calls[-1].conf["prevResult"] == ADDED
    assert runtime.cache.get("net", "c1", "eth0") is None


def test_a_failed_add_leaves_nothing(runtime: Runtime, recorder: Recorder) -> None:
    recorder.answers["ADD", "b"] = CNIError(11, "busy")
    with pytest.raises(CNIError, match='plugin type="b" failed'):
        runtime.add(network(), C1)
    assert recorder.story == ["ADD a", "ADD b", "DEL b", "DEL a"]
    assert runtime.cache.attachments() == []


def test_an_add_that_cant_be_recorded_is_undone(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(CNIError, match="failed to cache") as caught:
        Runtime((), ResultCache(str(tmp_path)), recorder).add(network(), C1)
    assert caught.value.code == 5
    assert recorder.story[2:] == ["DEL b", "DEL a"]


def test_9_two_adds_the_second_fails_the_first_stays_whole(runtime: Runtime, recorder: Recorder) -> None:
    runtime.add(network(), C1)
    with pytest.raises(CNIError, match='interface "eth0" of container "c1" is attached') as caught:
        runtime.add(network(), C1)
    assert caught.value.code == 4
    assert recorder.story == ["ADD a", "ADD b"]
    assert runtime.cache.get("net", "c1", "eth0") is not None


def test_9_del_before_add_and_twice(runtime: Runtime, recorder: Recorder) -> None:
    runtime.delete(network(), C1)
    assert "prevResult" not in recorder.calls[0].conf
    runtime.add(network(), C1)
    runtime.delete(network(), C1)
    runtime.delete(network(), C1)
    assert "prevResult" not in recorder.calls[-1].conf


def test_3_3_a_failed_del_keeps_the_record(runtime: Runtime, recorder: Recorder) -> None:
    runtime.add(network(), C1)
    recorder.answers["DEL"] = CNIError(5, "stuck")
    with pytest.raises(CNIError, match="stuck"):
        runtime.delete(network(), C1)
    assert runtime.cache.get("net", "c1", "eth0") is not None


def test_9_del_and_check_use_the_configuration_of_the_add(runtime: Runtime, recorder: Recorder) -> None:
    runtime.add(network("1.1.0", "old"), C1)
    changed = network("1.1.0", "new", "newer")
    runtime.check(changed, C1)
    runtime.delete(changed, C1)
    assert recorder.story == ["ADD old", "CHECK old", "DEL old"]


def test_9_del_with_an_unreadable_record(runtime: Runtime, recorder: Recorder) -> None:
    runtime.add(network(), C1)
    Path(runtime.cache.path("net", "c1", "eth0")).write_bytes(b"{")
    runtime.delete(network(), C1)
    assert "prevResult" not in recorder.calls[-1].conf
    assert not Path(runtime.cache.path("net", "c1", "eth0")).exists()


def test_8_1_del_without_a_namespace(runtime: Runtime, recorder: Recorder) -> None:
    runtime.add(network(), C1)
    runtime.delete(network(), Container("c1"))
    assert recorder.calls[-1].invocation.netns == ""
    assert recorder.calls[-1].conf["prevResult"] == ADDED


def test_3_4_check_with_the_cached_result(runtime: Runtime, recorder: Recorder) -> None:
    runtime.check(network(), C1)
    runtime.add(network(), C1)
    runtime.check(network(), C1)
    checks = [call.conf.get("prevResult") for call in recorder.calls if call.verb == "CHECK"]
    assert checks == [None, None, ADDED, ADDED]


# --- 3.5


def test_3_5_gc_deletes_what_is_stale_then_asks_the_plugins(runtime: Runtime, recorder: Recorder) -> None:
    runtime.add(network(), C1)
    runtime.add(network(), Container("c2", "/run/netns/c2", "eth0", (("X", "y"),)))
    recorder.calls.clear()
    runtime.gc(network(), [("c1", "eth0")])
    assert recorder.story == ["DEL b", "DEL a", "GC a", "GC b"]
    stale = recorder.calls[0].invocation
    assert (stale.container_id, stale.netns, stale.args) == ("c2", "/run/netns/c2", "X=y")
    assert [entry.container_id for entry in runtime.cache.attachments()] == ["c1"]


def test_3_5_other_networks_are_left_alone(runtime: Runtime, recorder: Recorder) -> None:
    other = NetworkList.from_object({"cniVersion": "1.1.0", "name": "net-other", "plugins": [{"type": "a"}]})
    runtime.add(other, C1)
    recorder.calls.clear()
    runtime.gc(network(), [])
    assert recorder.story == ["GC a", "GC b"]
    assert len(runtime.cache.attachments()) == 1


def test_3_5_old_versions_delete_only(runtime: Runtime, recorder: Recorder) -> None:
    runtime.add(network("1.0.0"), C1)
    recorder.calls.clear()
    runtime.gc(network("1.0.0"), [])
    assert recorder.story == ["DEL b", "DEL a"]


def test_6_4_no_list_deletes_nothing(runtime: Runtime, recorder: Recorder) -> None:
    runtime.add(network(), C1)
    recorder.calls.clear()
    runtime.gc(network(), None)
    assert recorder.story == ["GC a", "GC b"]
    assert "cni.dev/valid-attachments" not in recorder.calls[0].conf
    assert len(runtime.cache.attachments()) == 1


def test_1_1_disable_gc(runtime: Runtime, recorder: Recorder) -> None:
    runtime.add(network(), C1)
    recorder.calls.clear()
    runtime.gc(network(disableGC="true"), [])
    assert recorder.calls == []


def test_3_5_gc_goes_on_after_errors(runtime: Runtime, recorder: Recorder) -> None:
    runtime.add(network(), C1)
    runtime.add(network(), Container("c2", "/x"))
    recorder.calls.clear()

    def delete(call: PluginCall) -> None:
        if call.invocation.container_id == "c1":
            raise CNIError(5, "stuck")

    recorder.answers["DEL"] = delete
    recorder.answers["GC", "a"] = CNIError(11, "later")
    with pytest.raises(CNIError) as caught:
        runtime.gc(network(), [])
    assert caught.value.code == 5
    assert caught.value.msg == (
        'failed to delete stale attachment c1 eth0: plugin type="b" failed (delete): stuck\n'
        'failed to GC plugin type="a": later'
    )
    assert recorder.story == ["DEL b", "DEL b", "DEL a", "GC a", "GC b"]
    assert [entry.container_id for entry in runtime.cache.attachments()] == ["c1"]


def test_3_6_status(runtime: Runtime, recorder: Recorder) -> None:
    runtime.status(network())
    recorder.answers["STATUS"] = CNIError(51, "limited")
    with pytest.raises(CNIError, match="limited") as caught:
        runtime.status(network())
    assert caught.value.code == 51


def test_3_12_one_container_takes_turns(runtime: Runtime, recorder: Recorder) -> None:
    running: list[str] = []
    overlaps: list[str] = []
    lock = threading.Lock()

    def work(call: PluginCall) -> dict[str, Any]:
        key = call.invocation.container_id
        with lock:
            overlaps.extend(other for other in running if other == key)
            running.append(key)
        threading.Event().wait(0.005)
        with lock:
            running.remove(key)
        return ADDED

    recorder.answers["ADD"] = work
    containers = [Container(f"c{n % 3}", "/x", f"net{n}") for n in range(12)]
    threads = [threading.Thread(target=runtime.add, args=(network(), c)) for c in containers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []
    assert len(runtime.cache.attachments()) == 12


# --- real executables

PLUGIN = """
import json, os, sys
conf = json.load(sys.stdin)
log = os.path.join(os.path.dirname(sys.argv[0]), "log")
with open(log, "a") as file:
    print(json.dumps([os.environ["CNI_COMMAND"], conf["type"], conf.get("prevResult")]), file=file)
if os.environ["CNI_COMMAND"] == "ADD":
    if conf.get("fail"):
        print(json.dumps({"code": 7, "msg": "as asked"}))
        sys.exit(1)
    result = conf.get("prevResult") or {"cniVersion": conf["cniVersion"], "interfaces": []}
    result["interfaces"].append({"name": conf["type"]})
    print(json.dumps(result))
"""


def logged(tmp_path: Path) -> list[Any]:
    return [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]


def test_executables_from_add_to_del(tmp_path: Path, python_script: Callable[..., str]) -> None:
    for kind in ("one", "two"):
        python_script(PLUGIN, kind)
    runtime = Runtime([str(tmp_path)], ResultCache(str(tmp_path)))
    net = network("1.0.0", "one", "two")
    assert [link.name for link in runtime.add(net, C1).interfaces] == ["one", "two"]
    runtime.check(net, C1)
    runtime.delete(net, C1)
    story = [(verb, kind, len((prev or {}).get("interfaces", ()))) for verb, kind, prev in logged(tmp_path)]
    assert story == [
        ("ADD", "one", 0),
        ("ADD", "two", 1),
        ("CHECK", "one", 2),
        ("CHECK", "two", 2),
        ("DEL", "two", 2),
        ("DEL", "one", 2),
    ]


def test_executables_undone(tmp_path: Path, python_script: Callable[..., str]) -> None:
    for kind in ("one", "two"):
        python_script(PLUGIN, kind)
    plugins = [{"type": "one"}, {"type": "two", "fail": True}]
    net = NetworkList.from_object({"cniVersion": "1.0.0", "name": "net", "plugins": plugins})
    with pytest.raises(CNIError) as caught:
        Runtime([str(tmp_path)], ResultCache(str(tmp_path))).add(net, C1)
    assert (caught.value.code, caught.value.msg) == (7, 'plugin type="two" failed (add): as asked')
    assert [entry[:2] for entry in logged(tmp_path)][2:] == [["DEL", "two"], ["DEL", "one"]]

"""cni.md 3.1 … 3.6, 4.5; multi-network.md 10.10 … 10.16: what each plugin is asked, and in which order."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from multinet.cni import chain
from multinet.cni.chain import PluginCall, request_conf
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError
from multinet.cni.invocation import Invocation
from multinet.cni.result import IPConfig, Result

from .conftest import Recorder

CALL = Invocation("ADD", "c1", "/run/netns/c1", "eth0", "IgnoreUnknown=1", ("/opt/cni/bin",))
ADDED = {"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.3/24"}]}


def network(version: str = "1.0.0", *plugins: dict[str, Any], **keys: Any) -> NetworkList:
    objects = list(plugins) or [{"type": "a"}, {"type": "b"}, {"type": "c"}]
    return NetworkList.from_object({"cniVersion": version, "name": "net", "plugins": objects, **keys})


# --- 3.1 the request configuration


def test_3_1_request_configuration() -> None:
    plugin = {
        "type": "a",
        "own": {"x": 1},
        "name": "mine",
        "cniVersion": "0.2.0",
        "capabilities": {"mac": True},
    }
    assert request_conf(network("1.0.0", plugin), plugin, ADDED, {"mac": "m"}) == {
        "type": "a",
        "own": {"x": 1},
        "name": "net",
        "cniVersion": "1.0.0",
        "capabilities": {"mac": True},
        "prevResult": ADDED,
        "runtimeConfig": {"mac": "m"},
    }


@pytest.mark.parametrize(
    ("capabilities", "given"),
    [
        ({"a": True, "b": False}, {"a": 1}),
        ({"a": True, "b": True}, {"a": 1, "b": {"x": 2}}),
        ({"c": True}, None),
        ({}, None),
        (None, None),
    ],
)
def test_3_1_only_declared_capabilities(capabilities: Any, given: Any) -> None:
    plugin = {"type": "a", "capabilities": capabilities}
    conf = request_conf(network("1.0.0", plugin), plugin, None, {"a": 1, "b": {"x": 2}})
    assert conf.get("runtimeConfig") == given
    assert ("runtimeConfig" in conf) is (given is not None)


def test_1_5_reserved_keys_of_the_object_dont_count() -> None:
    plugin = {
        "type": "a",
        "prevResult": {},
        "cni.dev/valid-attachments": [],
        "cni.dev/x": 1,
        "cni.devious": 2,
    }
    conf = request_conf(network("1.0.0", plugin), plugin)
    assert conf == {"type": "a", "cni.devious": 2, "name": "net", "cniVersion": "1.0.0"}


def test_1_4_the_network_isnt_changed() -> None:
    net = network("1.1.0")
    before = json.dumps(net.plugins)
    recorder = Recorder(ADD=ADDED)
    chain.add(net, CALL, recorder, capability_args={"a": 1})
    chain.gc(net, CALL, recorder, [("c1", "eth0")])
    assert json.dumps(net.plugins) == before


# --- 3.2 ADD


def test_3_2_in_order_each_with_the_result_before() -> None:
    recorder = Recorder(ADD=lambda call: {"cniVersion": "1.0.0", "interfaces": [{"name": call.type}]})
    result = chain.add(network(), CALL, recorder)
    assert recorder.story == ["ADD a", "ADD b", "ADD c"]
    previous = [call.conf.get("prevResult", {}).get("interfaces") for call in recorder.calls]
    assert previous == [None, [{"name": "a"}], [{"name": "b"}]]
    assert result.interfaces[0].name == "c"


def test_3_2_each_call_is_complete() -> None:
    recorder = Recorder(ADD=ADDED)
    chain.add(network(), CALL, recorder, env={"TRACEPARENT": "t"}, deadline=7.0, cancel_fd=3)
    call = recorder.calls[0]
    assert call.invocation == CALL
    assert (call.env, call.deadline, call.cancel_fd) == ({"TRACEPARENT": "t"}, 7.0, 3)


@pytest.mark.parametrize(
    ("plugin", "named"), [({"type": "b"}, 'type="b"'), ({"type": "b", "name": "x"}, 'type="b" name="x"')]
)
def test_3_2_first_error_ends_it_and_is_wrapped(plugin: dict[str, Any], named: str) -> None:
    recorder = Recorder(ADD=ADDED)
    recorder.answers["ADD", "b"] = CNIError(11, "busy", "try later")
    with pytest.raises(CNIError) as caught:
        chain.add(network("1.0.0", {"type": "a"}, plugin, {"type": "c"}), CALL, recorder)
    assert caught.value.code == 11
    assert caught.value.msg == f"plugin {named} failed (add): busy"
    assert caught.value.details == "try later"
    assert recorder.story == ["ADD a", "ADD b"]


def test_10_16_a_result_of_another_version_is_converted() -> None:
    recorder = Recorder(ADD={"cniVersion": "0.2.0", "ip4": {"ip": "10.1.2.3/24"}})
    assert chain.add(network(), CALL, recorder).ips == (IPConfig("10.1.2.3/24"),)
    assert recorder.calls[1].conf["prevResult"] == ADDED


def test_3_10_a_result_without_version_is_of_the_configurations() -> None:
    recorder = Recorder(ADD={"ips": [{"version": "4", "address": "10.1.2.3/24"}]})
    chain.add(network("0.3.1"), CALL, recorder)
    assert recorder.calls[1].conf["prevResult"] == {
        "cniVersion": "0.3.1",
        "ips": [{"version": "4", "address": "10.1.2.3/24"}],
    }


def test_10_24_unknown_keys_survive_where_nothing_is_converted() -> None:
    own = {**ADDED, "vendor": {"x": 1}, "ips": [{"address": "10.1.2.3/24", "vendor": 2}]}
    recorder = Recorder(ADD=own)
    assert chain.add_raw(network(), CALL, recorder) == own
    assert recorder.calls[2].conf["prevResult"] == own


@pytest.mark.parametrize("answer", [None, {}])
def test_3_10_null_is_an_empty_result(answer: dict[str, Any] | None) -> None:
    assert chain.add(network(), CALL, Recorder(ADD=answer)) == Result()
    assert chain.add_raw(network("0.2.0"), CALL, Recorder(ADD=answer)) == {"cniVersion": "0.2.0"}


def test_9_an_unreadable_result_is_code_6_and_names_the_plugin() -> None:
    recorder = Recorder(ADD={"ips": [{"address": "10.1.2.3/24", "interface": 4}]})
    with pytest.raises(CNIError) as caught:
        chain.add(network(), CALL, recorder)
    assert caught.value.code == 6
    assert caught.value.msg.startswith('plugin type="a" failed (add): $.ips[0].interface: index 4')


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (Invocation("ADD", "../c1", "/x", "eth0"), 4),
        (Invocation("ADD", "", "/x", "eth0"), 3),
        (Invocation("ADD", "c1", "/x", "a b"), 4),
    ],
)
def test_5_20b_names_are_checked_before_a_plugin_runs(call: Invocation, code: int) -> None:
    recorder = Recorder()
    for verb in (chain.add, chain.delete):
        with pytest.raises(CNIError) as caught:
            verb(network(), call, recorder)
        assert caught.value.code == code
    assert recorder.calls == []


def test_unsupported_version_runs_nothing() -> None:
    recorder = Recorder()
    with pytest.raises(CNIError) as caught:
        chain.add(network("1.2.0"), CALL, recorder)
    assert (caught.value.code, recorder.calls) == (1, [])


# --- undo


def test_add_or_undo_without_failure() -> None:
    recorder, accepted = Recorder(ADD=ADDED), []
    assert chain.add_or_undo(network(), CALL, recorder, accepted.append).ips == (IPConfig("10.1.2.3/24"),)
    assert recorder.story == ["ADD a", "ADD b", "ADD c"]
    assert accepted == [ADDED]


def test_6_1_what_was_begun_is_undone_backwards() -> None:
    recorder = Recorder(ADD=ADDED)
    recorder.answers["ADD", "b"] = CNIError(7, "no")
    with pytest.raises(CNIError, match='plugin type="b" failed') as caught:
        chain.add_or_undo(network(), CALL, recorder)
    assert recorder.story == ["ADD a", "ADD b", "DEL b", "DEL a"]
    assert caught.value.details == ""
    assert recorder.calls[-1].invocation.command == "DEL"


def test_undo_goes_on_after_errors_which_are_told() -> None:
    recorder = Recorder(ADD=ADDED, DEL=CNIError(5, "stuck"))
    recorder.answers["ADD", "c"] = CNIError(7, "no", "reason")
    recorder.answers["DEL", "b"] = RuntimeError("odd")
    with pytest.raises(CNIError) as caught:
        chain.add_or_undo(network(), CALL, recorder)
    assert recorder.story[3:] == ["DEL c", "DEL b", "DEL a"]
    assert (caught.value.code, caught.value.msg) == (7, 'plugin type="c" failed (add): no')
    assert caught.value.details == (
        'reason; undo: plugin type="c" failed (delete): stuck; '
        'undo: plugin type="b" failed (delete): odd; undo: plugin type="a" failed (delete): stuck'
    )


def test_undo_has_time_of_its_own() -> None:
    recorder = Recorder(ADD=CNIError(108, "late"))
    with pytest.raises(CNIError):
        chain.add_or_undo(network(), CALL, recorder, undo_seconds=5, deadline=1.0, cancel_fd=9)
    call = recorder.calls[-1]
    assert call.verb == "DEL"
    assert call.deadline is not None and 0 < call.deadline - time.monotonic() <= 5
    assert call.cancel_fd is None


def test_undo_after_any_exception() -> None:
    recorder = Recorder(ADD=KeyError("bug"), DEL=CNIError(5, "stuck"))
    with pytest.raises(KeyError) as caught:
        chain.add_or_undo(network(), CALL, recorder)
    assert recorder.story == ["ADD a", "DEL a"]
    assert caught.value.__notes__ == ['undo: plugin type="a" failed (delete): stuck']


def test_undo_when_the_result_isnt_accepted() -> None:
    def refuse(raw: dict[str, Any]) -> None:
        raise CNIError(5, "disk full")

    recorder = Recorder(ADD=ADDED)
    with pytest.raises(CNIError, match="disk full"):
        chain.add_or_undo(network(), CALL, recorder, refuse)
    assert recorder.story[3:] == ["DEL c", "DEL b", "DEL a"]


# --- 3.3 DEL


def test_3_3_reverse_order_with_the_final_result() -> None:
    recorder = Recorder()
    chain.delete(network(), CALL, recorder, ADDED)
    assert recorder.story == ["DEL c", "DEL b", "DEL a"]
    assert all(call.conf["prevResult"] == ADDED for call in recorder.calls)


@pytest.mark.parametrize(
    ("version", "previous"),
    [
        ("0.3.1", {"cniVersion": "0.3.1", "ips": []}),
        ("1.0.0", None),
        ("1.0.0", {"cniVersion": "9.9.9"}),
        ("1.0.0", {"ips": 3}),
    ],
)
def test_3_3_no_or_unusable_result(version: str, previous: Any) -> None:
    recorder = Recorder()
    chain.delete(network(version), CALL, recorder, previous)
    assert len(recorder.calls) == 3
    assert not any("prevResult" in call.conf for call in recorder.calls)


def test_9_result_of_another_version_is_converted() -> None:
    recorder = Recorder()
    chain.delete(network("0.4.0"), CALL, recorder, ADDED)
    assert recorder.calls[0].conf["prevResult"]["cniVersion"] == "0.4.0"
    assert recorder.calls[0].conf["prevResult"]["ips"] == [{"version": "4", "address": "10.1.2.3/24"}]


def test_3_3_stops_at_the_first_error() -> None:
    recorder = Recorder()
    recorder.answers["DEL", "b"] = CNIError(5, "stuck", "d")
    with pytest.raises(CNIError) as caught:
        chain.delete(network(), CALL, recorder)
    assert recorder.story == ["DEL c", "DEL b"]
    assert (caught.value.code, caught.value.msg, caught.value.details) == (
        5,
        'plugin type="b" failed (delete): stuck',
        "d",
    )


def test_6_2_a_version_nobody_knows_is_still_deleted() -> None:
    recorder = Recorder()
    chain.delete(network("1.2.0"), CALL, recorder, None)
    assert len(recorder.calls) == 3


# --- 3.4 CHECK


def test_3_4_in_order_with_the_final_result() -> None:
    recorder = Recorder()
    chain.check(network(), CALL, recorder, ADDED)
    assert recorder.story == ["CHECK a", "CHECK b", "CHECK c"]
    assert all(call.conf["prevResult"] == ADDED for call in recorder.calls)


def test_3_4_without_a_result() -> None:
    recorder = Recorder()
    chain.check(network(), CALL, recorder, None)
    assert not any("prevResult" in call.conf for call in recorder.calls)


def test_3_4_stops_at_the_first_error() -> None:
    recorder = Recorder()
    recorder.answers["CHECK", "b"] = CNIError(102, "gone")
    with pytest.raises(CNIError, match="gone"):
        chain.check(network(), CALL, recorder, ADDED)
    assert recorder.story == ["CHECK a", "CHECK b"]


def test_10_13_versions_before_0_4_0() -> None:
    recorder = Recorder()
    with pytest.raises(CNIError, match=r'"0\.3\.1" does not support the CHECK command') as caught:
        chain.check(network("0.3.1", disableCheck=True), CALL, recorder, ADDED)
    assert (caught.value.code, recorder.calls) == (1, [])


def test_1_1_disable_check() -> None:
    recorder = Recorder()
    chain.check(network(disableCheck="true"), CALL, recorder, None)
    assert recorder.calls == []


def test_9_unusable_result_on_check_is_code_6() -> None:
    with pytest.raises(CNIError) as caught:
        chain.check(network(), CALL, Recorder(), {"cniVersion": "9.9.9"})
    assert caught.value.code == 6


# --- 3.5 GC


def test_3_5_every_plugin_gets_the_list_under_both_keys() -> None:
    recorder = Recorder()
    chain.gc(network("1.1.0"), CALL, recorder, [("c1", "eth0"), ("c2", "net1")])
    attachments = [{"containerID": "c1", "ifname": "eth0"}, {"containerID": "c2", "ifname": "net1"}]
    assert recorder.story == ["GC a", "GC b", "GC c"]
    for call in recorder.calls:
        assert call.conf["cni.dev/valid-attachments"] == attachments
        assert call.conf["cni.dev/attachments"] == attachments
        assert call.invocation == Invocation("GC", path=("/opt/cni/bin",))


def test_6_4_an_absent_list_is_no_empty_list() -> None:
    recorder = Recorder()
    plugin = {"type": "a", "cni.dev/valid-attachments": []}
    chain.gc(network("1.1.0", plugin), CALL, recorder, None)
    chain.gc(network("1.1.0", plugin), CALL, recorder, [])
    assert "cni.dev/valid-attachments" not in recorder.calls[0].conf
    assert recorder.calls[1].conf["cni.dev/valid-attachments"] == []


def test_3_5_errors_are_collected() -> None:
    recorder = Recorder()
    recorder.answers["GC", "a"] = CNIError(11, "one", "more")
    recorder.answers["GC", "c"] = CNIError(5, "two")
    with pytest.raises(CNIError) as caught:
        chain.gc(network("1.1.0"), CALL, recorder, [])
    assert recorder.story == ["GC a", "GC b", "GC c"]
    assert caught.value.code == 11
    assert caught.value.msg == ('failed to GC plugin type="a": one; more\nfailed to GC plugin type="c": two')


@pytest.mark.parametrize("net", [network("1.0.0"), network("1.1.0", disableGC=True)])
def test_3_5_old_or_disabled(net: NetworkList) -> None:
    recorder = Recorder()
    chain.gc(net, CALL, recorder, [])
    assert recorder.calls == []


# --- 3.6 STATUS


def test_3_6_the_first_error_keeps_its_code() -> None:
    recorder = Recorder()
    recorder.answers["STATUS", "b"] = CNIError(50, "pool exhausted")
    with pytest.raises(CNIError) as caught:
        chain.status(network("1.1.0"), CALL, recorder)
    assert recorder.story == ["STATUS a", "STATUS b"]
    assert (caught.value.code, caught.value.msg) == (50, "pool exhausted")
    assert recorder.calls[0].conf == {"type": "a", "name": "net", "cniVersion": "1.1.0"}


def test_3_6_before_1_1_0() -> None:
    recorder = Recorder(STATUS=CNIError(50, "no"))
    chain.status(network("1.0.0"), CALL, recorder)
    assert recorder.calls == []


def test_a_call_is_a_value() -> None:
    assert PluginCall("ADD", "a", {}, CALL) == PluginCall("ADD", "a", {}, CALL, {}, None, None)

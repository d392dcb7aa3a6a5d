from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.netns import Netns
from multinet.bench.contenders import GoPlugins
from multinet.bench.failure import BenchError
from multinet.bench.measure import bursts, take_turns
from multinet.bench.profiling import profile
from multinet.bench.stage import Stage
from multinet.bench.tools import Tools

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("places")]
FOREVER = float("inf")


def state(netns: Netns) -> tuple[dict[str, tuple[object, ...]], list[str]]:
    """What contenders must agree on: links, prefix lengths of IPv4 addresses; where IPv4 routes lead."""
    with NetworkStack(netns) as stack:
        addresses = [address for address in stack.addresses() if ":" not in address.cidr]
        links = {
            link.name: (
                link.kind,
                link.mtu,
                link.up,
                [one.cidr.partition("/")[2] for one in addresses if one.index == link.index],
            )
            for link in stack.links()
            if link.name != "lo"
        }
        routes = [route for route in stack.routes() if ":" not in route.dst]
    return links, sorted(route.dst.partition("/")[2] for route in routes)


def test_all_contenders_make_the_same_of_a_sandbox_and_leave_it_empty(tools: Tools) -> None:
    with Stage(tools, 4) as stage:
        pods = [(one, stage.pod(slot)) for slot, one in enumerate(stage.contenders)]
        run = stage.driver.run([one.add(pod) for one, pod in pods])
        assert [outcome.failed_step for outcome in run.outcomes] == [None] * len(pods), run.errors
        states = [state(stage.lab.sandbox(pod.slot)) for _, pod in pods]
        assert set(states[0][0]) == {"eth0", "net1", "net2"}
        assert states[0][1] == ["0", "16", "16", "16"]
        assert all(one == states[0] for one in states)
        run = stage.driver.run([one.delete(pod) for one, pod in pods])
        assert [outcome.failed_step for outcome in run.outcomes] == [None] * len(pods), run.errors
        assert all(state(stage.lab.sandbox(pod.slot)) == ({}, []) for _, pod in pods)
        with NetworkStack(stage.lab.host) as stack:
            kinds = [link.kind for link in stack.links()]
        assert kinds.count("veth") == 2  # the uplink alone


def test_contenders_take_turns_and_are_all_counted(tools: Tools) -> None:
    with Stage(tools, 8) as stage:
        pid = stage.daemon.pid
        turns = take_turns(stage, stage.contenders, 3, 2, FOREVER)
        load = bursts(stage, (stage.ours, *stage.rivals), 4, 2, 2, FOREVER)
        assert stage.daemon.memory().peak >= stage.daemon.memory().now > 1
    assert not os.path.exists(f"/proc/{pid}")
    expected = {"ours", "floor", "floor_by_group"} | ({"go"} if GoPlugins.present() else set())
    assert set(turns) == expected
    assert all(
        len(series.times) == 3 and series.whole.cpu > 0
        for verbs in turns.values()
        for series in verbs.values()
    )
    assert turns["ours"]["ADD"].whole.daemon_cpu > 0
    assert turns["floor"]["ADD"].whole.daemon_cpu == 0
    assert set(load) == expected - {"floor", "floor_by_group"}
    assert all(
        len(series.times) == 8 and not series.failures for verbs in load.values() for series in verbs.values()
    )


def test_there_are_fewer_pods_when_time_is_short(tools: Tools) -> None:
    with Stage(tools, 8) as stage:
        turns = take_turns(stage, stage.contenders, 50, 2, time.monotonic())
        load = bursts(stage, (stage.ours, *stage.rivals), 2, 2, 50, time.monotonic())
    assert len(turns["ours"]["ADD"].times) == 2
    assert len(load["ours"]["ADD"].times) == 2


def test_without_the_reference_plugins_the_others_are_measured(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multinet.bench.stage.GoPlugins.present", lambda: False)
    with Stage(tools, 6) as stage:
        assert [one.name for one in stage.contenders] == ["floor_by_group", "floor", "ours"]
        turns = take_turns(stage, stage.contenders, 1, 1, FOREVER)
        load = bursts(stage, (stage.ours, *stage.rivals), 1, 1, 1, FOREVER)
    assert "go" not in turns
    assert set(load) == {"ours"}


def test_a_pod_that_fails_says_why_and_is_counted(tools: Tools) -> None:
    with Stage(tools, 2) as stage:
        (stage.lab.memory / "manifests" / "pods.json").unlink()
        load = bursts(stage, (stage.ours, *stage.rivals), 2, 2, 1, FOREVER)
        assert len(load["ours"]["ADD"].failures) == 2
        assert load["ours"]["DEL"].failures == []
        why = load["ours"]["ADD"].failures[0]
        assert why.startswith("ours: ADD of pod 0: multinet: exit 1: ")
        assert "pod-0" in why


def test_a_path_that_is_too_long_for_the_socket_is_named(
    tools: Tools, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = places / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    monkeypatch.setattr("multinet.bench.lab._MEMORY", "/no/such/directory")
    with pytest.raises(BenchError, match="set TMPDIR to a shorter one"), Stage(tools, 1):
        pass
    long.rmdir()


def test_a_profile_names_functions_and_leaves_statistics(tmp_path: Path) -> None:
    target = tmp_path / "add.prof"
    text = profile(4, target, 5)
    assert text.startswith("ADD: ")
    assert "DEL: " in text
    assert "Ordered by: internal time" in text
    assert target.stat().st_size > 1000
    assert (tmp_path / "add.prof.del").stat().st_size > 1000

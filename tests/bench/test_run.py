from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.netns import Netns
from multinet.bench.contenders import GoPlugins
from multinet.bench.failure import BenchError
from multinet.bench.figures import failures, figures, machine_facts
from multinet.bench.measure import bursts, take_turns
from multinet.bench.profiling import profile
from multinet.bench.run import Size, measure
from multinet.bench.stage import Stage
from multinet.cli import bench
from multinet.cli.failure import Failure, UsageError

pytestmark = pytest.mark.kernel
FOREVER = float("inf")


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where the labs' directories are made: nothing may be left there, nor a descriptor."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with tempfile.TemporaryDirectory(prefix="mb") as parent:  # short: a socket's path has a limit
        monkeypatch.setattr("tempfile.tempdir", parent)
        monkeypatch.setattr("multinet.bench.lab._MEMORY", parent)
        before = open_files()
        yield Path(parent)
        assert os.listdir(parent) == []
        left = open_files() - before
        for _ in range(100):  # a process that has ended may still be about to be waited for
            if not left:
                break
            time.sleep(0.05)
            left = open_files() - before
        assert not left


def open_files() -> Counter[str]:
    """What this process's descriptors lead to, each as often as it is open (numbers may be given anew)."""
    gc.collect()
    found: Counter[str] = Counter()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            found[os.readlink(f"/proc/self/fd/{descriptor}")] += 1
    return found


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


def test_all_contenders_make_the_same_of_a_sandbox_and_leave_it_empty() -> None:
    with Stage(4) as stage:
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


def test_contenders_take_turns_and_are_all_counted() -> None:
    with Stage(8) as stage:
        pid = stage.daemon.pid
        turns = take_turns(stage, 3, 2, FOREVER)
        load = bursts(stage, 4, 2, 2, FOREVER)
        assert stage.daemon.memory().peak >= stage.daemon.memory().now > 1
    assert not os.path.exists(f"/proc/{pid}")
    expected = {"ours", "floor", "floor_by_group"} | ({"go"} if GoPlugins.present() else set())
    assert set(turns) == expected
    assert all(
        len(series.times) == 3 and series.cpu > 0 for verbs in turns.values() for series in verbs.values()
    )
    assert turns["ours"]["ADD"].daemon_cpu > 0
    assert turns["floor"]["ADD"].daemon_cpu == 0
    assert set(load) == expected - {"floor", "floor_by_group"}
    assert all(
        len(series.times) == 8 and not series.failures for verbs in load.values() for series in verbs.values()
    )


def test_there_are_fewer_pods_when_time_is_short() -> None:
    with Stage(8) as stage:
        turns = take_turns(stage, 50, 2, time.monotonic())
        load = bursts(stage, 2, 2, 50, time.monotonic())
    assert len(turns["ours"]["ADD"].times) == 2
    assert len(load["ours"]["ADD"].times) == 2


def test_without_the_reference_plugins_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multinet.bench.stage.GoPlugins.present", lambda: False)
    with Stage(6) as stage:
        assert [one.name for one in stage.contenders] == ["floor_by_group", "floor", "ours"]
        turns = take_turns(stage, 1, 1, FOREVER)
        load = bursts(stage, 1, 1, 1, FOREVER)
    assert "go" not in turns
    assert set(load) == {"ours"}


def test_a_pod_that_fails_says_why_and_is_counted() -> None:
    with Stage(2) as stage:
        (stage.lab.memory / "manifests" / "pods.json").unlink()
        load = bursts(stage, 2, 2, 1, FOREVER)
        assert len(load["ours"]["ADD"].failures) == 2
        assert load["ours"]["DEL"].failures == []
        why = load["ours"]["ADD"].failures[0]
        assert why.startswith("ours: ADD of pod 0: multinet: exit 1: ")
        assert "pod-0" in why


def test_the_command_reports_a_small_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Size(
        quick=True,
        pods=2,
        block=2,
        pods_at_once=4,
        concurrency=50,
        rounds=1,
        turns_limit=9,
        load_limit=9,
        starts=3,
    )
    monkeypatch.setattr("multinet.bench.run.QUICK", small)
    target = tmp_path / "figures.json"
    arguments = argparse.Namespace(quick=True, json=str(target), pods=1, profile=None)
    assert bench.run(arguments) == 0
    report = json.loads(target.read_text())
    assert report["failures"] == 0
    assert report["one_at_a_time"]["ours"]["ADD"]["count"] == 1
    assert report["add_vs_floor"] > 0
    assert 5 < report["rss_idle_mib"] <= report["rss_peak_mib"]
    assert "ADD, 50 at once, 4 pods" in capsys.readouterr().out


def test_measuring_gives_findings_without_failures() -> None:
    small = Size(
        quick=True,
        pods=1,
        block=1,
        pods_at_once=2,
        concurrency=2,
        rounds=1,
        turns_limit=9,
        load_limit=9,
        starts=2,
    )
    findings = measure(small)
    assert failures(findings) == []
    assert len(findings.shim_times) == len(findings.true_times) == 2
    assert figures(findings, machine_facts())["shim"]["size_kb"] > 5


def test_a_path_that_is_too_long_for_the_socket_is_named(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = places / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    monkeypatch.setattr("multinet.bench.lab._MEMORY", "/no/such/directory")
    with pytest.raises(BenchError, match="set TMPDIR to a shorter one"), Stage(1):
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


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"pods": 0}, UsageError),
        ({"pods": 1001}, UsageError),
        ({"profile": "x", "quick": True}, UsageError),
        ({"profile": "x", "json": "y"}, UsageError),
        ({"json": "/no/such/directory/x"}, Failure),
    ],
)
def test_wrong_usage_is_found_before_anything_is_measured(
    given: dict[str, object], error: type[Exception]
) -> None:
    options: dict[str, object] = {"quick": False, "json": None, "pods": None, "profile": None}
    with pytest.raises(error):
        bench.run(argparse.Namespace(**{**options, **given}))

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from multinet.bench.figures import Findings, failures, figures, machine_facts
from multinet.bench.measure import Series, Taken
from multinet.bench.node_daemon import Memory
from multinet.bench.report import table

RATIOS = (
    "add_vs_floor",
    "del_vs_floor",
    "add_vs_go",
    "del_vs_go",
    "add_rate_50_vs_go",
    "del_rate_50_vs_go",
    "add_p99_over_p50",
    "cpu_per_add_vs_go",
)
MACHINE: dict[str, Any] = {"kernel": "6.1", "cores": 2, "load_1min": 0.5, "python": "3.11.7"}


def both(add: list[float], delete: list[float], cpu: float = 0.0, **loaded: Any) -> dict[str, Series]:
    return {
        "ADD": Series(times=add, cpu=cpu, daemon_cpu=cpu / 2, **loaded),
        "DEL": Series(times=delete, cpu=cpu, **loaded),
    }


TURNS: Taken = {
    "ours": both([10, 20, 300], [20, 21, 22], cpu=30),
    "floor": both([5, 5, 5], [63, 63, 63]),
    "floor_by_group": both([5, 5, 5], [20, 21, 22]),
    "go": both([40, 39, 41], [70, 70, 70], cpu=60),
}
LOAD: Taken = {
    "ours": both([100.0] * 99 + [200.0], [50.0] * 100, elapsed=1.0),
    "go": both([400.0] * 100, [500.0] * 100, elapsed=4.0),
}


def found(turns: Taken = TURNS, load: Taken = LOAD) -> Findings:
    return Findings(
        quick=True,
        seconds=12.3,
        filesystems={"files": "tmpfs", "journal": "ext4"},
        concurrency=50,
        turns=turns,
        load=load,
        memory_before=Memory(20.0, 22.0),
        memory_after=Memory(30.0, 35.5),
        shim_bytes=34_000,
        shim_times=[0.3, 0.2, 0.4],
        true_times=[0.1, 0.2, 0.1],
    )


def test_ratios_are_of_medians_ours_over_theirs() -> None:
    report = figures(found(), MACHINE)
    assert report["add_vs_floor"] == 4.0
    assert report["add_vs_go"] == 0.5
    assert report["del_vs_floor"] == pytest.approx(1 / 3, abs=1e-4)
    assert report["del_vs_go"] == 0.3
    assert report["del_vs_floor_by_group"] == 1.0


def test_rates_are_pods_a_second_ours_over_theirs() -> None:
    report = figures(found(), MACHINE)
    assert report["at_once"]["ours"]["ADD"]["pods_per_s"] == 100.0
    assert report["at_once"]["go"]["ADD"]["pods_per_s"] == 25.0
    assert report["add_rate_50_vs_go"] == report["del_rate_50_vs_go"] == 4.0


def test_failed_pods_count_neither_as_done_nor_as_nothing() -> None:
    load = {**LOAD, "ours": both([100.0] * 100, [50.0] * 100, elapsed=1.0, failures=["why"] * 25)}
    report = figures(found(load=load), MACHINE)
    assert report["at_once"]["ours"]["ADD"]["pods_per_s"] == 75.0
    assert report["at_once"]["ours"]["ADD"]["failures"] == 25
    assert report["failures"] == 50
    assert failures(found(load=load)) == ["why"] * 50


def test_the_spread_is_that_of_our_adds_under_load() -> None:
    assert figures(found(), MACHINE)["add_p99_over_p50"] == pytest.approx(1.01)


def test_processor_time_is_that_of_one_add() -> None:
    report = figures(found(), MACHINE)
    assert report["cpu_per_add_vs_go"] == 0.5
    assert report["one_at_a_time"]["ours"]["ADD"]["cpu_ms"] == 10.0
    assert report["one_at_a_time"]["ours"]["ADD"]["daemon_cpu_ms"] == 5.0


def test_memory_is_before_the_first_pod_and_at_its_most() -> None:
    report = figures(found(), MACHINE)
    assert (report["rss_idle_mib"], report["rss_peak_mib"]) == (20.0, 35.5)
    assert report["daemon"]["rss_after_mib"] == 30.0


def test_the_report_is_json_with_the_ratios_first() -> None:
    report = figures(found(), MACHINE)
    keys = list(json.loads(json.dumps(report)))
    assert keys[:10] == [*RATIOS, "rss_idle_mib", "rss_peak_mib"]
    assert report["one_at_a_time"]["floor"]["DEL"]["times_ms"] == [63, 63, 63]
    assert report["machine"]["filesystems"]["files"] == "tmpfs"


def test_without_the_reference_plugins_their_figures_are_null() -> None:
    turns = {name: verbs for name, verbs in TURNS.items() if name != "go"}
    report = figures(found(turns, {"ours": LOAD["ours"]}), MACHINE)
    absent = [key for key in RATIOS if report[key] is None]
    assert absent == [key for key in RATIOS if key.endswith("_go")]
    assert report["one_at_a_time"]["go"] is None
    assert report["at_once"]["go"] is None
    text = table(report)
    assert text.count("not installed (Debian: containernetworking-plugins)") == 5


def test_the_table_shows_ratios_and_percentiles() -> None:
    lines = table(figures(found(), MACHINE)).splitlines()
    add = next(number for number, line in enumerate(lines) if line.startswith("ADD, one at a time, 3 pods"))
    assert lines[add].split()[-6:] == ["min", "p50", "p90", "p99", "max", "ours/it"]
    assert lines[add + 1].split()[:3] == ["multinet", "10.00", "20.00"]
    assert lines[add + 2].split()[-1] == "4.00"
    assert lines[add + 4].split()[-1] == "0.50"
    load = next(number for number, line in enumerate(lines) if line.startswith("ADD, 50 at once, 100 pods"))
    assert lines[load + 1].split()[1:] == ["100.0", "100.0", "101.0", "1.01", "0"]
    assert lines[load + 2].split()[-1] == "4.00"


def test_no_line_of_the_table_is_too_wide_for_a_terminal() -> None:
    assert max(map(len, table(figures(found(), MACHINE)).splitlines())) <= 120


def test_the_machine_is_described() -> None:
    facts = machine_facts()
    assert facts["cores"] >= 1
    assert {"kernel", "python", "date", "architecture", "multinet"} <= facts.keys()


def test_findings_are_values() -> None:
    assert msgspec.json.decode(msgspec.json.encode(found()), type=Findings) == found()

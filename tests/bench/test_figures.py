"""How figures are read out of what was measured, and how they are shown: no machine needed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multinet.bench.document import document, machine_facts
from multinet.bench.figure import Found, Part, at_least, at_most, read
from multinet.bench.measure import Series, Stretch, Taken
from multinet.bench.node_daemon import Memory
from multinet.bench.parts.concurrency import CONCURRENCY, Levels, throughput
from multinet.bench.parts.growth import GROWTH
from multinet.bench.parts.load import LOAD, Load
from multinet.bench.parts.memory import MEMORY, Burst, Kept
from multinet.bench.parts.node_pods import Filling, latency
from multinet.bench.parts.shim import SHIM, Starts
from multinet.bench.parts.turns import TURNS
from multinet.bench.report import report
from multinet.bench.run import Measured
from multinet.bench.size import QUICK

MACHINE: dict[str, Any] = {
    "kernel": "6.1",
    "cores": 2,
    "load_1min": 0.5,
    "python": "3.11.7",
    "filesystems": {"files": "tmpfs", "journal": "ext4"},
}


def alone(times: list[float], cpu: float = 1.0) -> Series:
    return Series(times=times, stretches=[Stretch(pods=len(times), cpu=cpu, daemon_cpu=cpu / 2)])


def together(times: list[float], elapsed: float, failures: int = 0) -> Series:
    stretch = Stretch(pods=len(times), failed=failures, cpu=1.0, elapsed=elapsed)
    return Series(times=times, stretches=[stretch] * 3, failures=["why"] * failures * 3)


TAKEN: Taken = {
    "ours": {"ADD": alone([10, 20, 300], cpu=30), "DEL": alone([20, 21, 22])},
    "floor": {"ADD": alone([5, 5, 5]), "DEL": alone([63, 63, 63])},
    "floor_by_group": {"ADD": alone([5, 5, 5]), "DEL": alone([20, 21, 22])},
    "go": {"ADD": alone([40, 39, 41], cpu=60), "DEL": alone([70, 70, 70])},
}


def load(failures: int = 0, **taken: dict[str, Series]) -> Load:
    ours = {
        "ADD": together([100.0] * 99 + [200.0], 1.0, failures),
        "DEL": together([50.0] * 100, 1.0),
    }
    memory = Memory(30.0, 35.5)
    return Load(
        concurrency=50, taken={"ours": ours, **taken}, memory_before=Memory(20, 22), memory_after=memory
    )


GO_LOAD = {"ADD": together([400.0] * 100, 4.0), "DEL": together([500.0] * 100, 4.0)}


def measured(part: Part[Any], findings: Any) -> Measured:
    return Measured(part=part, findings=findings, found=read(part, findings), seconds=1.0)


def values(part: Part[Any], findings: Any) -> dict[str, float | None]:
    return {one.name: one.reading.value if one.reading else None for one in read(part, findings)}


def test_ratios_are_of_medians_ours_over_theirs() -> None:
    found = values(TURNS, TAKEN)
    assert found["add_vs_floor"] == 4.0
    assert found["add_vs_go"] == 0.5
    assert found["del_vs_floor"] == pytest.approx(1 / 3)
    assert found["del_vs_go"] == 0.3
    assert found["del_vs_floor_by_group"] == 1.0


def test_processor_time_is_ours_over_theirs() -> None:
    assert values(TURNS, TAKEN)["cpu_per_add_vs_go"] == 0.5


def test_rates_are_pods_a_second_ours_over_theirs() -> None:
    assert values(LOAD, load(go=GO_LOAD))["add_rate_50_vs_go"] == 4.0
    assert values(LOAD, load(go=GO_LOAD))["add_p99_over_p50"] == pytest.approx(1.0, abs=0.02)


def test_failed_pods_count_neither_as_done_nor_as_nothing() -> None:
    found = load(failures=25, go=GO_LOAD)
    assert values(LOAD, found)["add_rate_50_vs_go"] == 3.0
    assert values(LOAD, found)["failed_pods"] == 75
    assert document([measured(LOAD, found)], MACHINE, QUICK)["failures"] == 75


def test_without_the_reference_plugins_their_figures_are_null() -> None:
    without = {name: verbs for name, verbs in TAKEN.items() if name != "go"}
    both = [measured(TURNS, without), measured(LOAD, load())]
    written = document(both, MACHINE, QUICK)
    absent = {name for name, one in written["figures"].items() if one["value"] is None}
    assert absent == {name for name in written["figures"] if name.endswith("_go")}
    assert all(written["figures"][name]["met"] is None for name in absent)
    assert report(both, MACHINE).count("not installed (Debian: containernetworking-plugins)") == 5


def test_a_figure_says_whether_it_meets_its_target() -> None:
    written = document([measured(TURNS, TAKEN)], MACHINE, QUICK)["figures"]
    assert (written["add_vs_floor"]["met"], written["add_vs_go"]["met"]) == (False, True)
    lines = report([measured(TURNS, TAKEN)], MACHINE).splitlines()
    row = next(line for line in lines if line.startswith("ADD, p50, over the bare kernel's"))
    assert row.split()[-4:] == ["4", "≤", "2", "NO"]


def test_targets_know_which_way_is_better() -> None:
    assert at_most(2).met(2) and not at_most(2).met(2.1)
    assert at_least(2).met(2) and not at_least(2).met(1.9)
    assert at_most(2).loss(1, 3) == at_least(2).loss(3, 1) == 2


def test_the_report_is_json_with_the_figures_first() -> None:
    both = [measured(TURNS, TAKEN), measured(LOAD, load(go=GO_LOAD))]
    written = json.loads(json.dumps(document(both, MACHINE, QUICK)))
    names = [one.name for part in (TURNS, LOAD) for one in part.figures]
    assert list(written)[: len(names) + 1] == ["format", *names]
    assert written["parts"]["turns"]["ours"]["ADD"]["cpu_ms"] == 10.0
    assert written["parts"]["turns"]["ours"]["ADD"]["daemon_cpu_ms"] == 5.0
    assert written["parts"]["load"]["go"]["ADD"]["pods_per_s"] == 25.0


def test_the_tables_show_ratios_and_percentiles() -> None:
    lines = report([measured(TURNS, TAKEN), measured(LOAD, load(go=GO_LOAD))], MACHINE).splitlines()
    add = next(number for number, line in enumerate(lines) if line.startswith("ADD, one at a time, 3 pods"))
    assert lines[add].split()[-6:] == ["min", "p50", "p90", "p99", "max", "ours/it"]
    assert lines[add + 1].split()[:3] == ["multinet", "10.00", "20.00"]
    assert lines[add + 2].split()[-1] == "4.00"
    assert lines[add + 4].split()[-1] == "0.50"
    many = next(number for number, line in enumerate(lines) if line.startswith("ADD, 50 at once, 100 pods"))
    assert lines[many + 1].split()[1:] == ["100.0", "100.0", "100.0", "101.0", "1.01", "0"]
    assert lines[many + 2].split()[-1] == "4.00"
    assert max(map(len, lines)) <= 120


def test_the_shim_is_told_in_kilobytes_and_against_nothing() -> None:
    found = values(SHIM, Starts(size=34_000, shim=[0.3, 0.2, 0.4], true=[0.1, 0.2, 0.15]))
    assert found == {"shim_kb": 34.0, "shim_vs_true": pytest.approx(2.0)}


def test_growth_is_that_of_a_settled_daemon() -> None:
    climbing = [(pods, 10.0 + pods / 100) for pods in range(0, 1000, 100)]
    settled = [(pods, 20.0 + pods / 1000 / 1024) for pods in range(1000, 2001, 100)]
    kept = Kept(
        pods=250,
        definitions=1000,
        kubernetes=Burst(idle=57, peak=60),
        directory=Burst(idle=31, peak=34),
        churn=climbing + settled,
        failures=[],
    )
    assert values(MEMORY, kept)["rss_growth"] == pytest.approx(1.0)
    assert values(MEMORY, kept)["rss_peak_mib"] == 60


def filling(last: float) -> Filling:
    floor, ours = alone([4.0] * 40), alone([8.0] * 20 + [last] * 20)
    return Filling(
        steps=(1, 40), rounds=[{"floor": {"ADD": floor, "DEL": floor}, "ours": {"ADD": ours, "DEL": ours}}]
    )


def test_latency_is_told_in_multiples_of_the_bare_kernel() -> None:
    curves = latency(filling(16.0), "ADD")
    assert curves.relative("ours") == [2.0, 4.0]
    assert curves.relative("floor") == [1.0, 1.0]


def test_throughput_is_told_in_multiples_of_the_slowest_alone() -> None:
    def taken(ours: float, go: float) -> Taken:
        return {
            name: {verb: together([1.0] * 10, elapsed) for verb in ("ADD", "DEL")}
            for name, elapsed in (("ours", ours), ("go", go))
        }

    levels = Levels(taken={1: taken(1.0, 2.0), 8: taken(0.25, 1.0), 50: taken(0.5, 1.0)})
    curves = throughput(levels, "ADD")
    assert curves.relative("ours") == [2.0, 8.0, 4.0]
    assert curves.relative("go") == [1.0, 2.0, 2.0]
    assert values(CONCURRENCY, levels) == {"add_rate_gain": 4.0, "add_rate_kept": 0.5}


def test_the_machine_is_described() -> None:
    facts = machine_facts()
    assert facts["cores"] >= 1
    assert {"kernel", "python", "date", "architecture", "multinet", "filesystems"} <= facts.keys()


def test_a_figure_that_was_not_measured_has_no_reading() -> None:
    (first, *_) = read(TURNS, {name: verbs for name, verbs in TAKEN.items() if name != "go"})
    assert isinstance(first, Found)
    assert first.reading is not None


def test_what_grows_for_the_kernel_alone_is_taken_off() -> None:
    def node(ours: float, floor: float) -> Taken:
        return {
            name: {verb: alone([time] * 8) for verb in ("ADD", "DEL")}
            for name, time in (("ours", ours), ("floor", floor))
        }

    found = values(GROWTH, {"empty": node(10, 5), "crowded": node(30, 10), "filled": node(11, 0)})
    assert found["add_last_vs_first"] == 3.0
    assert found["add_last_vs_first_vs_floor"] == 1.5
    assert found["add_filled_vs_empty"] == pytest.approx(1.1)

"""How tables look: a label and right-aligned cells; and how series become JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from multinet.bench.measure import VERBS, Series, Taken
from multinet.bench.samples import ratio, summary

__all__ = ["ABSENT", "LABELS", "by_contender", "median_row", "row", "shown", "summed", "times_of"]

LABELS = {
    "ours": "multinet",
    "floor": "bare kernel (ip -batch)",
    "floor_by_group": "  … one delete by group",
    "go": "reference plugins (Go)",
}
ABSENT = "not installed (Debian: containernetworking-plugins)"


def row(label: str, *cells: str) -> str:
    """One line; a single cell is a remark."""
    if len(cells) == 1:
        return f"{label:<34} {cells[0]}"
    return f"{label:<34}" + "".join(f"{cell:>10}" for cell in cells)


def median_row(name: str, series: Series | None, ours: Series) -> str:
    """min, p50, p90, p99, max of one contender, and the ratio of the medians."""
    if series is None:
        return row(LABELS[name], ABSENT)
    found = summary(series.times)
    times = [f"{value:.2f}" for value in (found.min, found.p50, found.p90, found.p99, found.max)]
    against = None if series is ours else ratio(summary(ours.times).p50, found.p50)
    return row(LABELS[name], *times, shown(against))


def shown(value: float | None) -> str:
    """A ratio in a table; empty for none."""
    return "" if value is None else f"{value:.2f}"


def summed(times: Sequence[float]) -> dict[str, Any]:
    """A summary as JSON, ms."""
    found = summary(times)
    cells = {f"{key}_ms": round(getattr(found, key), 3) for key in ("min", "p50", "p90", "p99", "max")}
    return {"count": found.count, **cells}


def by_contender(taken: Taken) -> dict[str, Any]:
    """All series as JSON: percentiles, processor time a pod, failures, and the rate where it was alone."""
    return {name: {verb: _described(verbs[verb]) for verb in VERBS} for name, verbs in taken.items()}


def times_of(taken: Taken, name: str, verb: str) -> list[float]:
    """A contender's times; none when it wasn't there."""
    return taken[name][verb].times if name in taken else []


def _described(series: Series) -> dict[str, Any]:
    whole = series.whole
    described = {
        **summed(series.times),
        "failures": len(series.failures),
        "cpu_ms": round(whole.cpu_each, 3),
        "daemon_cpu_ms": round(whole.daemon_cpu / whole.pods, 3),
    }
    if whole.elapsed:
        described["pods_per_s"] = round(whole.rate, 2)
        described["driver_cpu_ms"] = round(whole.driver_cpu / whole.pods, 3)
    return described

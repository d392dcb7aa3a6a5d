"""From what was measured to the figures that are reported: the names and shape of the JSON document."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import Any

import msgspec

from multinet import __version__
from multinet.bench.contenders import GoPlugins, Ours
from multinet.bench.floor import Floor, GroupFloor
from multinet.bench.measure import VERBS, Series, Taken
from multinet.bench.node_daemon import Memory
from multinet.bench.samples import ratio, summary

__all__ = ["CONTENDERS", "Findings", "failures", "figures", "machine_facts"]

CONTENDERS = (Ours.name, Floor.name, GroupFloor.name, GoPlugins.name)


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """All that one run found out."""

    quick: bool
    seconds: float
    """How long the run took."""
    filesystems: dict[str, str]
    """What the pods' files, and the daemon's journal, were on."""
    concurrency: int
    turns: Taken
    """One pod at a time."""
    load: Taken
    """``concurrency`` pods at once."""
    memory_before: Memory
    """The daemon's, before the first pod."""
    memory_after: Memory
    shim_bytes: int
    shim_times: list[float]
    true_times: list[float]
    """ms from exec to exit of a static program that does nothing."""


def figures(findings: Findings, machine: dict[str, Any]) -> dict[str, Any]:
    """The report as JSON values; what could not be measured (no reference plugins) is null.

    The first ten are ratios, ours over theirs, and the daemon's memory. A ratio of times below 1 and one of
    rates above 1 say that ours is faster.
    """
    turns, load = findings.turns, findings.load
    ours = load[Ours.name]["ADD"]
    return {
        **{f"{verb.lower()}_vs_floor": _times(turns, verb, Floor.name) for verb in VERBS},
        **{f"{verb.lower()}_vs_go": _times(turns, verb, GoPlugins.name) for verb in VERBS},
        **{f"{verb.lower()}_rate_50_vs_go": _rates(load, verb) for verb in VERBS},
        "add_p99_over_p50": _spread(ours),
        "cpu_per_add_vs_go": _processor(turns),
        "rss_idle_mib": round(findings.memory_before.now, 2),
        "rss_peak_mib": round(findings.memory_after.peak, 2),
        "del_vs_floor_by_group": _times(turns, "DEL", GroupFloor.name),
        "failures": len(failures(findings)),
        "one_at_a_time": _by_contender(turns, _alone),
        "at_once": {"concurrency": findings.concurrency, **_by_contender(load, _loaded)},
        "daemon": {
            "rss_idle_mib": round(findings.memory_before.now, 2),
            "rss_after_mib": round(findings.memory_after.now, 2),
            "rss_peak_mib": round(findings.memory_after.peak, 2),
        },
        "shim": {
            "size_kb": round(findings.shim_bytes / 1000, 1),
            "version_ms": _summary(findings.shim_times),
            "true_ms": _summary(findings.true_times),
        },
        "quick": findings.quick,
        "seconds": round(findings.seconds, 1),
        "machine": {**machine, "filesystems": findings.filesystems},
    }


def failures(findings: Findings) -> list[str]:
    """Why pods failed, one text each."""
    return [
        text
        for taken in (findings.turns, findings.load)
        for verbs in taken.values()
        for series in verbs.values()
        for text in series.failures
    ]


def machine_facts() -> dict[str, Any]:
    """What the absolute numbers depend on."""
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "multinet": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _median(taken: Taken, name: str, verb: str) -> float | None:
    verbs = taken.get(name)
    return summary(verbs[verb].times).p50 if verbs else None


def _times(turns: Taken, verb: str, other: str) -> float | None:
    return _rounded(ratio(_median(turns, Ours.name, verb), _median(turns, other, verb)))


def _rates(load: Taken, verb: str) -> float | None:
    theirs = load.get(GoPlugins.name)
    return _rounded(ratio(load[Ours.name][verb].rate, theirs[verb].rate)) if theirs else None


def _processor(turns: Taken) -> float | None:
    ours, theirs = turns[Ours.name]["ADD"], turns.get(GoPlugins.name)
    return _rounded(ratio(_cpu_each(ours), _cpu_each(theirs["ADD"]))) if theirs else None


def _spread(series: Series) -> float | None:
    found = summary(series.times)
    return _rounded(ratio(found.p99, found.p50))


def _cpu_each(series: Series) -> float:
    return series.cpu / len(series.times)


def _by_contender(taken: Taken, described: Any) -> dict[str, Any]:
    return {
        name: {verb: described(taken[name][verb]) for verb in VERBS} if name in taken else None
        for name in CONTENDERS
        if name in taken or name == GoPlugins.name
    }


def _alone(series: Series) -> dict[str, Any]:
    return {**_summary(series.times), **_cpu(series), "times_ms": [round(time, 3) for time in series.times]}


def _loaded(series: Series) -> dict[str, Any]:
    return {
        "pods_per_s": round(series.rate, 2),
        "failures": len(series.failures),
        **_summary(series.times),
        "p99_over_p50": _spread(series),
        **_cpu(series),
        "driver_cpu_ms": round(series.driver_cpu / len(series.times), 3),
    }


def _cpu(series: Series) -> dict[str, float]:
    """ms a pod."""
    pods = len(series.times)
    return {"cpu_ms": round(series.cpu / pods, 3), "daemon_cpu_ms": round(series.daemon_cpu / pods, 3)}


def _summary(times: list[float]) -> dict[str, Any]:
    found = summary(times)
    row = {"count": found.count} | {
        f"{key}_ms": getattr(found, key) for key in ("min", "p50", "p90", "p99", "max")
    }
    return {key: round(value, 3) for key, value in row.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)

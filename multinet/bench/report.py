"""The figures as a table for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["table"]

_LABELS = {
    "ours": "multinet",
    "floor": "bare kernel (ip -batch)",
    "floor_by_group": "  … one delete by group",
    "go": "reference plugins (Go)",
}
_RATIOS = {
    ("ADD", "floor"): "add_vs_floor",
    ("DEL", "floor"): "del_vs_floor",
    ("ADD", "go"): "add_vs_go",
    ("DEL", "go"): "del_vs_go",
    ("DEL", "floor_by_group"): "del_vs_floor_by_group",
}
_ABSENT = "not installed (Debian: containernetworking-plugins)"


def table(figures: dict[str, Any]) -> str:
    """The report as text, without a last line break."""
    parts = (_heading(figures), _turns(figures), _load(figures), _processor(figures), _rest(figures))
    return "\n".join(line for part in parts for line in part)


def _heading(figures: dict[str, Any]) -> Iterator[str]:
    machine = figures["machine"]
    filesystems = machine["filesystems"]
    yield "pod: eth0 by bridge, net1 by macvlan, net2 by bridge; host-local; no masquerading"
    yield (
        f"Linux {machine['kernel']}, {machine['cores']} cores, load {machine['load_1min']}, "
        f"Python {machine['python']}; files on {filesystems['files']}, journal on {filesystems['journal']}; "
        f"{figures['seconds']} s{', quick' if figures['quick'] else ''}"
    )


def _turns(figures: dict[str, Any]) -> Iterator[str]:
    found = figures["one_at_a_time"]
    for verb in ("ADD", "DEL"):
        pods = found["ours"][verb]["count"]
        yield ""
        yield _row(f"{verb}, one at a time, {pods} pods, ms", "min", "p50", "p90", "p99", "max", "ours/it")
        for name, verbs in found.items():
            yield _timed(name, verbs and verbs[verb], figures.get(_RATIOS.get((verb, name), "")))


def _timed(name: str, row: dict[str, Any] | None, ratio: float | None) -> str:
    if row is None:
        return _row(_LABELS[name], _ABSENT)
    times = [f"{row[f'{key}_ms']:.2f}" for key in ("min", "p50", "p90", "p99", "max")]
    return _row(_LABELS[name], *times, _ratio(ratio))


def _load(figures: dict[str, Any]) -> Iterator[str]:
    found = dict(figures["at_once"])
    concurrency = found.pop("concurrency")
    for verb in ("ADD", "DEL"):
        what = f"{verb}, {concurrency} at once, {found['ours'][verb]['count']} pods"
        yield ""
        yield _row(what, "pods/s", "p50 ms", "p99 ms", "p99/p50", "failed", "ours/it")
        for name, verbs in found.items():
            if verbs is None:
                yield _row(_LABELS[name], _ABSENT)
                continue
            row = verbs[verb]
            numbers = [f"{row['pods_per_s']:.1f}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}"]
            ratio = figures[f"{verb.lower()}_rate_50_vs_go"] if name == "go" else None
            yield _row(
                _LABELS[name], *numbers, _ratio(row["p99_over_p50"]), str(row["failures"]), _ratio(ratio)
            )


def _processor(figures: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield _row("processor time a pod, ms", "ADD", "DEL", "daemon's", "50: ADD", "50: DEL", "ours/it")
    for name, verbs in figures["one_at_a_time"].items():
        if verbs is None:
            yield _row(_LABELS[name], _ABSENT)
            continue
        daemon = f"{verbs['ADD']['daemon_cpu_ms']:.2f}" if name == "ours" else ""
        loaded = figures["at_once"].get(name)
        at_once = [f"{loaded[verb]['cpu_ms']:.2f}" if loaded else "" for verb in ("ADD", "DEL")]
        alone = [f"{verbs[verb]['cpu_ms']:.2f}" for verb in ("ADD", "DEL")]
        ratio = figures["cpu_per_add_vs_go"] if name == "go" else None
        yield _row(_LABELS[name], *alone, daemon, *at_once, _ratio(ratio))


def _rest(figures: dict[str, Any]) -> Iterator[str]:
    daemon, shim = figures["daemon"], figures["shim"]
    yield ""
    yield (
        f"daemon's memory: {daemon['rss_idle_mib']:.1f} MiB before the first pod, "
        f"{daemon['rss_after_mib']:.1f} after the last, peak {daemon['rss_peak_mib']:.1f}"
    )
    yield (
        f"shim: {shim['size_kb']:.0f} KB; VERSION from exec to exit {shim['version_ms']['p50_ms']:.3f} ms, "
        f"a static program that does nothing {shim['true_ms']['p50_ms']:.3f} ms"
    )
    yield "ours/it: of times below 1, of rates above 1, is faster; only ratios of one run count"


def _row(label: str, *cells: str) -> str:
    if len(cells) == 1:
        return f"{label:<34} {cells[0]}"
    return f"{label:<34}" + "".join(f"{cell:>10}" for cell in cells)


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"

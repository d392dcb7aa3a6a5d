"""The figures as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from multinet.bench.compare import Change
from multinet.bench.figure import Found
from multinet.bench.run import Measured

__all__ = ["report"]


def report(
    measured: Sequence[Measured], machine: Mapping[str, Any], compared: Mapping[str, Change] | None = None
) -> str:
    """The report as text, without a last line break."""
    parts = [_heading(machine), *(one.part.lines(one.findings) for one in measured)]
    found = [figure for one in measured for figure in one.found]
    return "\n".join(line for part in [*parts, _figures(found, compared)] for line in part)


def _heading(machine: Mapping[str, Any]) -> Iterator[str]:
    on = machine["filesystems"]
    yield "pod: eth0 by bridge, net1 by macvlan, net2 by bridge; host-local; no masquerading"
    yield (
        f"Linux {machine['kernel']}, {machine['cores']} cores, load {machine['load_1min']}, "
        f"Python {machine['python']}; files on {on['files']}, journal on {on['journal']}"
    )


def _figures(found: Iterable[Found], compared: Mapping[str, Change] | None) -> Iterator[str]:
    yield ""
    yield _row("figure", "value", "±", "target", "met") + (
        "" if compared is None else _compared("before", "now/it", "")
    )
    for one in found:
        yield _figure(one) + ("" if compared is None else _change(compared.get(one.name)))
    yield ""
    yield "ours over theirs: of times below 1, of rates above 1, is faster; only ratios of one run count"


def _figure(found: Found) -> str:
    unit = "" if found.unit == "×" else f", {found.unit}"
    reading = found.reading
    if reading is None:
        return _row(found.title + unit, "–", "", str(found.target), "")
    noise = "" if reading.noise is None else _number(reading.noise)
    met = "yes" if found.target.met(reading.value) else "NO"
    return _row(found.title + unit, _number(reading.value), noise, str(found.target), met)


def _change(change: Change | None) -> str:
    if change is None:
        return _compared("", "", "new")
    factor = "" if change.factor is None else f"{change.factor:.2f}"
    return _compared(_number(change.before), factor, "" if change.verdict == "same" else change.verdict)


def _row(title: str, value: str, noise: str, target: str, met: str) -> str:
    return f"{title:<64}{value:>9}{noise:>8}{target:>8}  {met:<4}"


def _compared(before: str, factor: str, verdict: str) -> str:
    return f"{before:>9}{factor:>8}  {verdict:<6}".rstrip()


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"

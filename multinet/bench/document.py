"""The report as JSON values: figures first, then what each part found out."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from multinet import __version__
from multinet.bench.compare import Change
from multinet.bench.figure import FORMAT, Found
from multinet.bench.lab import filesystems
from multinet.bench.run import Measured
from multinet.bench.size import Size

__all__ = ["described", "document", "machine_facts"]

_DIGITS = 4


def document(
    measured: Sequence[Measured],
    machine: Mapping[str, Any],
    size: Size,
    compared: Mapping[str, Change] | None = None,
) -> dict[str, Any]:
    """What could not be measured (no reference plugins) is null."""
    found = [figure for one in measured for figure in one.found]
    values = {one.name: _rounded(one.reading.value if one.reading else None) for one in found}
    report = {
        "format": FORMAT,
        **values,
        "figures": {one.name: described(one) for one in found},
        "failures": sum(len(one.failures) for one in measured),
        "parts": {one.part.name: _part(one) for one in measured},
        "size": msgspec.to_builtins(size),
        "machine": dict(machine),
    }
    if compared is not None:
        report["compared"] = {name: _compared(one) for name, one in compared.items()}
    return report


def _part(measured: Measured) -> dict[str, Any]:
    return {"seconds": round(measured.seconds, 3), **measured.part.details(measured.findings)}


def _compared(change: Change) -> dict[str, Any]:
    percent = round(change.percent, 2) if math.isfinite(change.percent) else None
    return {
        "before": change.before,
        "now": change.now,
        "worse_percent": percent,
        "verdict": change.verdict,
    }


def described(found: Found) -> dict[str, Any]:
    """One figure with all that its reader, or a comparison, needs."""
    reading = found.reading
    return {
        "title": found.title,
        "unit": found.unit,
        "value": _rounded(reading.value if reading else None),
        "noise": _rounded(reading.noise if reading else None),
        "target": {"bound": found.target.bound, "limit": found.target.limit},
        "met": found.target.met(reading.value) if reading else None,
    }


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
        "filesystems": filesystems(),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)

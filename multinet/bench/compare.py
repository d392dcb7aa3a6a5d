"""This run beside an earlier one: what became better or worse, and whether more so than by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from multinet.bench.failure import BenchError
from multinet.bench.figure import FORMAT, Found
from multinet.bench.samples import Reading

__all__ = ["Change", "changes", "load_earlier", "worse_than"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One figure in both runs."""

    name: str
    before: float
    now: float
    percent: float
    """By how much it is worse, of the value before; negative: better. Infinite when that was 0."""
    verdict: Literal["better", "same", "worse"]
    """``same``: not further apart than the noise of both runs, or than what means anything."""

    @property
    def factor(self) -> float | None:
        """Now over before; of a ratio, a ratio of ratios."""
        return self.now / self.before if self.before else None


class _Figure(msgspec.Struct):
    value: float | None
    noise: float | None


class _Earlier(msgspec.Struct):
    format: int
    figures: dict[str, _Figure]


def load_earlier(path: str) -> dict[str, Reading]:
    """The figures of a JSON that an earlier run wrote. Raises BenchError."""
    try:
        with open(path, "rb") as file:
            earlier = msgspec.json.decode(file.read(), type=_Earlier)
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BenchError(f"{path} is not what multinet bench --json writes: {error}") from None
    if earlier.format != FORMAT:
        raise BenchError(
            f"{path} has format {earlier.format}, this multinet compares {FORMAT}: run the benchmark again"
        )
    return {
        name: Reading(one.value, one.noise) for name, one in earlier.figures.items() if one.value is not None
    }


def changes(found: Sequence[Found], earlier: dict[str, Reading]) -> dict[str, Change]:
    """Those figures that both runs have, by name."""
    both = {one.name: (one, one.reading, earlier.get(one.name)) for one in found}
    return {name: _change(one, now, before) for name, (one, now, before) in both.items() if now and before}


def worse_than(compared: dict[str, Change], percent: float) -> list[Change]:
    """Those that are worse by more than ``percent``, and not by chance."""
    return [one for one in compared.values() if one.verdict == "worse" and one.percent > percent]


def _change(found: Found, now: Reading, before: Reading) -> Change:
    loss = found.target.loss(before.value, now.value)
    doubt = max(math.hypot(_noise(now, found.doubt), _noise(before, found.doubt)), found.grain)
    verdict: Literal["better", "same", "worse"] = "same"
    if abs(loss) > doubt:
        verdict = "worse" if loss > 0 else "better"
    share = loss / abs(before.value) if before.value else math.copysign(math.inf, loss) if loss else 0.0
    return Change(name=found.name, before=before.value, now=now.value, percent=share * 100, verdict=verdict)


def _noise(reading: Reading, doubt: float) -> float:
    return abs(reading.value) * doubt if reading.noise is None else reading.noise

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from multinet.bench.compare import changes, load_earlier, worse_than
from multinet.bench.failure import BenchError
from multinet.bench.figure import FORMAT, Found, Target, Unit, at_least, at_most
from multinet.bench.samples import Reading

LESS = at_most(2)


def found(
    value: float,
    noise: float | None = 0.0,
    target: Target = LESS,
    grain: float = 0.0,
    unit: Unit = "×",
) -> list[Found]:
    reading = Reading(value, noise)
    return [Found(name="x", title="X", unit=unit, target=target, grain=grain, doubt=0.05, reading=reading)]


@pytest.mark.parametrize(
    ("now", "before", "verdict", "percent"),
    [
        (found(2.0), Reading(1.0, 0.0), "worse", 100),
        (found(1.0), Reading(2.0, 0.0), "better", -50),
        (found(2.0, target=at_least(1)), Reading(1.0, 0.0), "better", -100),
        (found(1.0, target=at_least(1)), Reading(2.0, 0.0), "worse", 50),
        (found(1.0), Reading(1.0, 0.0), "same", 0),
        (found(1.2, noise=0.3), Reading(1.0, 0.0), "same", 20),
        (found(1.2, noise=0.0), Reading(1.0, 0.3), "same", 20),
        (found(1.35, noise=0.3), Reading(1.0, 0.2), "same", 35),  # the noise of both
        (found(1.04, noise=None), Reading(1.0, 0.0), "same", 4),  # unknown noise: 5 %
        (found(1.1, noise=None), Reading(1.0, 0.0), "worse", 10),
        (found(1.1, grain=0.2), Reading(1.0, 0.0), "same", 10),
        (found(0.0), Reading(0.0, 0.0), "same", 0),
        (found(1.0), Reading(0.0, 0.0), "worse", math.inf),
    ],
)
def test_what_became_of_a_figure(now: list[Found], before: Reading, verdict: str, percent: float) -> None:
    change = changes(now, {"x": before})["x"]
    assert change.verdict == verdict
    assert change.percent == pytest.approx(percent)


def test_the_factor_is_a_ratio_of_ratios() -> None:
    assert changes(found(0.5), {"x": Reading(0.4, 0.0)})["x"].factor == pytest.approx(1.25)
    assert changes(found(1.0), {"x": Reading(0.0, 0.0)})["x"].factor is None


def test_only_what_both_runs_have_is_compared() -> None:
    assert changes(found(1.0), {"y": Reading(1.0, 0.0)}) == {}


def test_worse_beyond_noise_and_beyond_the_percentage() -> None:
    compared = changes(found(1.5), {"x": Reading(1.0, 0.0)})
    assert [one.name for one in worse_than(compared, 49)] == ["x"]
    assert worse_than(compared, 50) == []
    noisy = changes(found(1.5, noise=0.6), {"x": Reading(1.0, 0.0)})
    assert worse_than(noisy, 0) == []


def test_an_earlier_run_is_read(tmp_path: Path) -> None:
    file = tmp_path / "earlier.json"
    figures = {"x": {"value": 1.5, "noise": None, "met": True}, "y": {"value": None, "noise": None}}
    file.write_text(json.dumps({"format": FORMAT, "figures": figures, "parts": {}}))
    assert load_earlier(str(file)) == {"x": Reading(1.5, None)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not what multinet bench --json writes"),
        ("[]", "is not what multinet bench --json writes"),
        ('{"add_vs_floor": 1.5}', "missing required field `format`"),
        ('{"format": 2, "figures": {"x": {"value": "1", "noise": null}}}', "figures"),
        ('{"format": 1, "figures": {}}', "has format 1, this multinet compares 2"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "earlier.json"
    file.write_text(text)
    with pytest.raises(BenchError, match=problem):
        load_earlier(str(file))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(BenchError, match="cannot read /no/such/file: No such file"):
        load_earlier("/no/such/file")

"""``multinet bench`` as it is called."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from multinet.bench.parts import PARTS
from multinet.bench.size import Size
from multinet.cli import bench
from multinet.cli.failure import Failure, UsageError


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args(given)


def test_the_parts_are_those_that_the_help_names() -> None:
    assert tuple(one.name for one in PARTS) == bench.PART_NAMES


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (["--pods", "0"], UsageError),
        (["--pods", "1001"], UsageError),
        (["--churn", "0"], UsageError),
        (["--profile", "x", "--quick"], UsageError),
        (["--profile", "x", "--json", "y"], UsageError),
        (["--profile", "x", "--only", "load"], UsageError),
        (["--only", "turns,nothing"], UsageError),
        (["--only", "turns", "--chart", "x.svg"], UsageError),
        (["--quick", "--chart", "x.svg"], UsageError),
        (["--fail-worse", "5"], UsageError),
        (["--fail-worse", "-5", "--compare", "x"], UsageError),
        (["--fail-worse", "nan", "--compare", "x"], UsageError),
        (["--json", "/no/such/directory/x"], Failure),
        (["--chart", "/no/such/directory/x", "--only", "pods"], Failure),
        (["--compare", "/no/such/file"], Failure),
    ],
)
def test_wrong_usage_is_found_before_anything_is_measured(given: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        bench.run(arguments(*given))


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch, small: Size) -> None:
    monkeypatch.setattr("multinet.bench.size.QUICK", small)


@pytest.mark.kernel
@pytest.mark.usefixtures("places", "small_runs")
def test_two_runs_and_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, picture = (tmp_path / name for name in ("1.json", "2.json", "chart.svg"))
    chosen = ["--quick", "--only", "concurrency,shim", "--json"]
    assert bench.run(arguments(*chosen, str(first), "--chart", str(picture))) == 0
    assert picture.read_text().startswith("<svg")
    report = json.loads(first.read_text())
    assert list(report["parts"]) == ["shim", "concurrency"]
    assert report["failures"] == 0
    assert report["figures"]["shim_kb"]["target"] == {"bound": "at most", "limit": 64}
    halved: dict[str, Any] = {**report}
    halved["figures"]["shim_kb"]["value"] /= 2
    first.write_text(json.dumps(halved))
    capsys.readouterr()
    assert bench.run(arguments(*chosen, str(second), "--compare", str(first))) == 0
    shown = next(one for one in capsys.readouterr().out.splitlines() if one.startswith("size of the shim"))
    assert shown.split()[-2:] == ["2.00", "worse"]
    compared = json.loads(second.read_text())["compared"]["shim_kb"]
    assert (compared["verdict"], compared["worse_percent"]) == ("worse", 100)


@pytest.mark.kernel
@pytest.mark.usefixtures("places", "small_runs")
def test_a_run_that_is_worse_can_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    earlier = tmp_path / "earlier.json"
    figures = {"shim_kb": {"value": 1.0, "noise": 0.0}}
    earlier.write_text(json.dumps({"format": 2, "figures": figures}))
    given = ["--quick", "--only", "shim", "--compare", str(earlier), "--fail-worse"]
    assert bench.run(arguments(*given, "20")) == 1
    assert "shim_kb is worse: 1 before" in capsys.readouterr().err
    assert bench.run(arguments(*given, "1000000")) == 0

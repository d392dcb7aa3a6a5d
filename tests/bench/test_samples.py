from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.bench.samples import Reading, percentile, ratio, reading, slope, spread, summary

times = st.lists(st.floats(min_value=0, max_value=1e6), min_size=2, max_size=200)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 50, 7.0),
        ([7.0], 99, 7.0),
        ([1.0, 2.0], 50, 1.5),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 90, 4.6),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 0, 1.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 100, 5.0),
        ([float(n) for n in range(101)], 99, 99.0),
    ],
)
def test_a_percentile_lies_between_its_neighbours(
    values: list[float], percent: float, expected: float
) -> None:
    assert percentile(values, percent) == pytest.approx(expected)


@given(times)
def test_percentiles_are_those_of_the_standard_library(values: list[float]) -> None:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    for percent in (1, 50, 90, 99):
        assert percentile(values, percent) == pytest.approx(cuts[percent - 1])


@given(times)
def test_a_summary_is_ordered(values: list[float]) -> None:
    found = summary(values)
    assert found.count == len(values)
    ordered = [found.min, found.p50, found.p90, found.p99, found.max]
    assert ordered == pytest.approx(sorted(ordered))
    assert (found.min, found.max) == (min(values), max(values))


@pytest.mark.parametrize("percent", [-1, 100.5])
def test_no_percentile_outside_the_range(percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile([1.0], percent)


def test_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="0 values"):
        percentile([], 50)


def test_a_ratio_is_ours_over_theirs() -> None:
    assert ratio(3.0, 12.0) == 0.25


@pytest.mark.parametrize(("ours", "theirs"), [(None, 1.0), (1.0, None), (1.0, 0.0)])
def test_no_ratio_of_what_was_not_measured(ours: float | None, theirs: float | None) -> None:
    assert ratio(ours, theirs) is None


def medians(ours: list[float], theirs: list[float]) -> float | None:
    return ratio(percentile(ours, 50), percentile(theirs, 50)) if theirs else None


def test_a_reading_is_the_statistic_of_everything() -> None:
    assert reading(medians, [2.0] * 40, [1.0] * 40) == Reading(2.0, 0.0)


def test_what_the_machine_did_in_between_is_noise() -> None:
    calm, stormy = [1.0] * 80, [1.0] * 40 + [3.0] * 40
    found = reading(medians, stormy, calm)
    assert found is not None and found.noise is not None
    assert found.noise > 0.5
    # When both sides suffer alike, the ratio doesn't.
    assert reading(medians, stormy, stormy) == Reading(1.0, 0.0)


def test_a_few_measurements_give_a_value_without_noise() -> None:
    assert reading(medians, [2.0] * 5, [1.0] * 5) == Reading(2.0, None)


def test_no_reading_of_what_was_not_measured() -> None:
    assert reading(medians, [2.0] * 40, []) is None


def test_the_spread_is_that_of_the_mean() -> None:
    assert spread([1.0, 2.0]) is None
    assert spread([1.0, 1.0, 1.0]) == 0
    assert spread([0.0, 2.0] * 8) == pytest.approx(2 * statistics.stdev([0.0, 2.0] * 8) / 4)


def test_a_slope_is_told_with_its_error() -> None:
    assert slope([(0, 1), (1, 2)]) is None
    straight = slope([(number, 5 + 3 * number) for number in range(10)])
    assert straight is not None
    assert (straight.value, straight.noise) == pytest.approx((3, 0), abs=1e-6)
    flat = slope([(number, number % 2) for number in range(10)])
    assert flat is not None and flat.noise is not None
    assert abs(flat.value) < flat.noise

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.bench.charts import Panel, chart, ticks
from multinet.bench.curves import Curve, Curves

SVG = "{http://www.w3.org/2000/svg}"


def curves(**ys: list[float]) -> Curves:
    drawn = {name: Curve([1, 25, 50], values) for name, values in ys.items()}
    return Curves(unit="ms", curves=drawn, one=2.0, one_is="the <bare> kernel's")


def drawn(*rows: list[Panel]) -> ElementTree.Element:
    return ElementTree.fromstring(chart(rows))


def test_a_curve_is_drawn_in_multiples_of_one() -> None:
    root = drawn([Panel("ADD", "pods", curves(ours=[2.0, 4.0, 8.0]))])
    (line,) = root.iter(f"{SVG}polyline")
    points = [tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()]
    (one,) = (element for element in root.iter(f"{SVG}line") if element.get("class") == "one")
    assert points[0][1] == float(one.get("y1", ""))  # 2 ms are 1
    heights = [points[0][1] - y for _, y in points]
    assert heights[2] == pytest.approx(3 * heights[1], abs=0.3)
    assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_every_curve_is_named_where_it_ends_and_no_name_lies_on_another() -> None:
    root = drawn([Panel("ADD", "pods", curves(ours=[2, 2, 2.0], floor=[2, 2, 2.01], go=[2, 2, 2.02]))])
    labels = [one for one in root.iter(f"{SVG}text") if one.get("class") in ("ours", "floor", "go")]
    assert {one.text for one in labels} == {"multinet", "bare kernel", "Go plugins"}
    heights = sorted(float(one.get("y", "")) for one in labels)
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 12


def test_panels_stand_beside_and_below_one_another() -> None:
    panel = Panel("ADD", "pods", curves(ours=[1, 1, 1]))
    root = drawn([panel, panel], [panel])
    places = [group.get("transform") for group in root.iter(f"{SVG}g")]
    assert len(set(places)) == 3
    assert root.get("viewBox") == "0 0 900 600"


def test_the_picture_loads_nothing_and_is_the_same_each_time() -> None:
    rows = [[Panel("ADD", "pods", curves(ours=[1, 2, 3]))]]
    text = chart(rows)
    assert text == chart(rows)
    assert text.count("http") == 1  # the name space
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text
    assert "the &lt;bare&gt; kernel's" in text


@given(st.floats(min_value=0.01, max_value=1e6), st.integers(min_value=2, max_value=10))
def test_ticks_reach_just_beyond_the_most_in_round_steps(most: float, count: int) -> None:
    found = ticks(most, count)
    assert found[0] == 0
    assert found[-1] >= most * (1 - 1e-6)
    assert found[-2] < most
    assert len(found) <= count + 1


@pytest.mark.parametrize(
    ("most", "expected"),
    [(250, [0, 50, 100, 150, 200, 250]), (5, [0, 1, 2, 3, 4, 5]), (0.9, [0, 0.2, 0.4, 0.6, 0.8, 1.0])],
)
def test_ticks_are_round(most: float, expected: list[float]) -> None:
    assert ticks(most) == expected

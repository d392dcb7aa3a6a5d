"""The benchmark's chart: latency against pods on the node, throughput against pods at once; ADD left, DEL right.

All axes show ratios, so that runs on different machines can be laid side by side. The picture is one SVG that
follows the viewer's choice of light or dark, loads nothing and runs nothing; the same figures give the same
bytes, so that a repository sees no change where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from multinet.bench.curves import Curves

__all__ = ["Panel", "chart", "ticks"]

_NAMES = {"ours": "multinet", "floor": "bare kernel", "go": "Go plugins"}
_WIDTH, _HEIGHT = 450, 300
"""Of a panel."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 92, 58, 44
_LABEL_GAP = 15
_STYLE = """
text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
.title { font-size: 14px; font-weight: 600; }
.note, .tick { font-size: 11px; fill: #59636e; }
.grid { stroke: #d1d9e0; stroke-width: 1; }
.one { stroke: #818b98; stroke-width: 1; stroke-dasharray: 2 3; }
polyline { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.ours { stroke: #0969da; fill: #0969da; } .go { stroke: #bc4c00; fill: #bc4c00; }
.floor { stroke: #6e7781; fill: #6e7781; }
text.ours, text.go, text.floor { stroke: none; font-weight: 600; }
polyline.ours, polyline.go, polyline.floor { fill: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; } .note, .tick { fill: #9198a1; }
  .grid { stroke: #3d444d; } .one { stroke: #656c76; }
  .ours { stroke: #4493f8; fill: #4493f8; } .go { stroke: #f0883e; fill: #f0883e; }
  .floor { stroke: #9198a1; fill: #9198a1; }
}
"""


class Panel(NamedTuple):
    """One system of axes."""

    title: str
    x_title: str
    curves: Curves


def chart(rows: Sequence[Sequence[Panel]]) -> str:
    """The panels as one SVG document."""
    width, height = _WIDTH * max(map(len, rows)), _HEIGHT * len(rows)
    root = ElementTree.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height}", role="img"
    )
    titles = [panel.title for row in rows for panel in row]
    _add(root, "title", "multinet bench: " + "; ".join(titles))
    _add(root, "style", _STYLE)
    for down, row in enumerate(rows):
        for across, panel in enumerate(row):
            place = f"translate({across * _WIDTH} {down * _HEIGHT})"
            _draw(_add(root, "g", transform=place), panel)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def ticks(most: float, count: int = 5) -> list[float]:
    """From 0 to ``most`` or just beyond, in steps of 1, 2 or 5 times a power of ten, ``count`` steps at most."""
    rough = most / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [round(number * step, 10) for number in range(math.ceil(most / step - 1e-9) + 1)]


def _draw(group: ElementTree.Element, panel: Panel) -> None:
    curves = panel.curves
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    y_ticks = ticks(max(value for name in curves.curves for value in curves.relative(name)))
    last = max(x for curve in curves.curves.values() for x in curve.x)

    def x_of(value: float) -> float:
        return round(_LEFT + (right - _LEFT) * value / last, 1)

    def y_of(value: float) -> float:
        return round(bottom - (bottom - _TOP) * value / y_ticks[-1], 1)

    _text(group, _LEFT, 22, panel.title, "title")
    _text(group, _LEFT, 40, f"1 = {curves.one_is}", "note")
    for value in y_ticks:
        _line(group, (_LEFT, y_of(value)), (right, y_of(value)), "grid")
        _text(group, _LEFT - 8, y_of(value) + 4, f"{value:g}", "tick", "end")
    _line(group, (_LEFT, y_of(1)), (right, y_of(1)), "one")
    for value in ticks(last):
        if value <= last:
            _text(group, x_of(value), bottom + 17, f"{value:g}", "tick", "middle")
    _text(group, (_LEFT + right) / 2, bottom + 35, panel.x_title, "note", "middle")
    ends = {}
    for name, curve in curves.curves.items():
        points = [(x_of(x), y_of(y)) for x, y in zip(curve.x, curves.relative(name), strict=True)]
        _add(group, "polyline", points=" ".join(f"{x},{y}" for x, y in points), **{"class": name})
        for x, y in points:
            _add(group, "circle", cx=str(x), cy=str(y), r="2.5", **{"class": name})
        ends[name] = points[-1][1]
    for name, y in _apart(ends).items():
        _text(group, right + 8, y + 4, _NAMES[name], name)


def _apart(ends: dict[str, float]) -> dict[str, float]:
    """The heights of labels, moved down where they would lie on one another."""
    placed: dict[str, float] = {}
    lowest = -math.inf
    for name, y in sorted(ends.items(), key=lambda one: one[1]):
        lowest = placed[name] = max(y, lowest + _LABEL_GAP)
    return placed


def _add(parent: ElementTree.Element, tag: str, text: str = "", **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text or None
    return element


def _text(
    parent: ElementTree.Element, x: float, y: float, text: str, kind: str, anchor: str = "start"
) -> None:
    _add(parent, "text", text, x=f"{x:g}", y=f"{y:g}", **{"class": kind, "text-anchor": anchor})


def _line(
    parent: ElementTree.Element, start: tuple[float, float], end: tuple[float, float], kind: str
) -> None:
    ends = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
    _add(parent, "line", **{key: f"{value:g}" for key, value in ends.items()}, **{"class": kind})

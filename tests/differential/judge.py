"""The verdict on a case: no difference but the improvements that it lists, and each of those to be seen."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from tests.differential.case import Difference, Improvement

_DOCUMENT = Path(__file__).parents[2] / "docs/reference/differences.md"


def faults(found: list[Difference], improvements: tuple[Improvement, ...]) -> list[str]:
    """What is wrong, one text each: differences that nobody wants, improvements that don't show."""
    used: set[int] = set()
    wrong = []
    for difference in found:
        claimed = {number for number, one in enumerate(improvements) if one.claims(difference)}
        used |= claimed
        if not claimed:
            wrong.append(str(difference))
    idle = [one for number, one in enumerate(improvements) if number not in used]
    return wrong + [f"listed as an improvement, but there is no such difference: {one}" for one in idle]


@cache
def documented() -> frozenset[tuple[str, str]]:
    """Section and subject of each row in the document of differences."""
    found, section = set(), ""
    for line in _DOCUMENT.read_text().splitlines():
        if heading := re.fullmatch(r"##+ (.+)", line):
            section = heading.group(1)
        elif row := re.match(r"\| (.+?) \|", line):
            found.add((section, row.group(1)))
    return frozenset(found)

"""What both runs of pytest came to, from the junit XML that each wrote."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Lane:
    """One run of pytest."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """How often by reason."""
    seconds: float = 0
    problem: str = ""
    """What the figures don't say, e.g. why there are none."""
    broken: bool = False
    """The run itself went wrong, whatever its tests did."""


_USUAL_ENDS = (0, 1, 5)
"""pytest's exit codes for all passed, some failed, nothing to run."""


def read_lane(name: str, junit: Path, code: int, seconds: float) -> Lane:
    """The figures in ``junit``, of a pytest that took ``seconds`` and ended with ``code``; broken without them."""
    try:
        suites = list(ElementTree.parse(junit).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError) as error:
        return Lane(name, problem=f"no results, exit {code}: {error}", seconds=seconds, broken=True)
    # A test that fails and then can't tidy up is there twice.
    tests: defaultdict[tuple[str, str], list[ElementTree.Element]] = defaultdict(list)
    for suite in suites:
        for case in suite.iter("testcase"):
            tests[case.get("classname", ""), case.get("name", "")] += case
    failed = [
        events for events in tests.values() if any(event.tag in ("failure", "error") for event in events)
    ]
    skips = [
        event
        for events in tests.values()
        if events not in failed
        for event in events
        if event.tag == "skipped"
    ]
    return Lane(
        name,
        passed=len(tests) - len(failed) - len(skips),
        failed=len(failed),
        skipped=Counter(skip.get("message", "") for skip in skips),
        seconds=seconds,
        problem="" if code in _USUAL_ENDS else f"pytest ended with exit {code}",
        broken=code not in _USUAL_ENDS,
    )


def table(lanes: Iterable[Lane]) -> str:
    """A line for each lane, then the reasons of all that was skipped or not run."""
    lines = [f"{'lane':<18}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    reasons: list[str] = []
    for lane in lanes:
        skipped = lane.skipped.total()
        lines.append(f"{lane.name:<18}{lane.passed:>8}{lane.failed:>8}{skipped:>9}{lane.seconds:>9.0f}")
        reasons += [f"skipped {count}: {reason}" for reason, count in lane.skipped.most_common()]
        if lane.problem:
            reasons.append(f"{lane.name}: {lane.problem}")
    return "\n".join(lines + reasons)

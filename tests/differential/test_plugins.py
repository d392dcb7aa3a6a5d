"""Each case through the reference plugin and through ours: the same answers, the same kernel, or better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.differential import (
    cases_bandwidth,
    cases_bridge,
    cases_firewall,
    cases_host_device,
    cases_ipam,
    cases_ipvlan,
    cases_loopback,
    cases_macvlan,
    cases_portmap,
    cases_ptp,
    cases_sbr,
    cases_tuning,
    cases_vlan,
    cases_vrf,
)
from tests.differential.case import Case
from tests.differential.judge import documented, faults
from tests.differential.play import play

TABLES = (
    *(cases_bridge, cases_macvlan, cases_ipvlan, cases_ptp, cases_vlan, cases_host_device, cases_loopback),
    *(cases_ipam, cases_tuning, cases_portmap, cases_bandwidth, cases_firewall, cases_sbr, cases_vrf),
)
CASES = [case for table in TABLES for case in table.CASES]


def parameter(case: Case) -> Any:
    marks = [pytest.mark.needs_kind(*case.needs)] if case.needs else []
    return pytest.param(case, id=case.id, marks=marks)


@pytest.mark.reference
@pytest.mark.parametrize("case", [parameter(case) for case in CASES])
def test_same_answers_and_same_kernel(lab: Any, tmp_path: Path, case: Case) -> None:
    played = play(case, lab.sandbox, tmp_path)
    assert played.ours.added.refused == bool(case.refused), played.ours.added.output
    wrong = faults(played.differences(), case.improvements)
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_improvements_are_documented(case: Case) -> None:
    assert not {(one.section, one.subject) for one in case.improvements} - documented()

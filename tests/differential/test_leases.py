"""dhcp through the reference plugin and its daemon, and through ours: the same leases, or better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.differential.cases_dhcp import CASES
from tests.differential.dhcp_play import DhcpCase, play
from tests.differential.judge import documented, faults
from tests.differential.play import Played


def _sent(played: Played, step: str) -> list[str]:
    """Kinds of messages that ours sent then."""
    return [message.split()[-1] for message in played.ours.record["wire"].get(step, {})]


@pytest.mark.reference
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_same_leases_and_same_messages(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: DhcpCase
) -> None:
    monkeypatch.setenv("MULTINET_SOCKET", str(tmp_path / "no.sock"))
    monkeypatch.setenv("MULTINET_SPOOL", str(tmp_path / "spool"))
    played = play(case, lab.sandbox, tmp_path)
    if "ADD" in case.story:
        assert played.ours.added.refused == bool(case.refused), played.ours.added.output
        assert case.refused or "stop" in case.story or _sent(played, "DEL") == ["RELEASE"]
    assert not played.ours.record["leases"][case.story[-1]]
    wrong = faults(played.differences(), case.improvements)
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_improvements_are_documented(case: DhcpCase) -> None:
    assert not {(one.section, one.subject) for one in case.improvements} - documented()


@pytest.mark.reference
def test_servers_remember_leases_until_they_get_them_back(lab: Any, tmp_path: Path) -> None:
    """What a case says of leases is what the server says."""
    (case,) = (case for case in CASES if case.what == "dhcp two interfaces")
    played = play(case, lab.sandbox, tmp_path)
    for side in (played.ours, played.theirs):
        counts = [len(side.record["leases"][step]) for step in case.story]
        assert counts == [1, 2, 1, 1, 0]
        assert list(side.record["wire"]["ADD net1"]) == ["0 DISCOVER", "1 REQUEST"]


def test_names_of_cases_are_their_own() -> None:
    assert len({case.id for case in CASES}) == len(CASES)

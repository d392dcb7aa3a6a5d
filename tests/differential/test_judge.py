"""The judgement itself: what it must not let pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.differential.better import alike
from tests.differential.case import ABSENT, Case, Difference, Improvement, Setup, differs
from tests.differential.judge import documented, faults
from tests.differential.play import play
from tests.differential.test_plugins import CASES

_FOUND = Difference(("after ADD", "host", "links", "br0", "mtu"), 1500, 1400, ABSENT)


def test_a_difference_that_nobody_lists_is_a_fault() -> None:
    assert "after ADD > host > links > br0 > mtu" in faults([_FOUND], ())[0]


def test_an_improvement_that_does_not_show_is_a_fault() -> None:
    wanted = Improvement("bridge", "MTU", differs("after ADD > *", theirs=1400))
    assert faults([_FOUND], (wanted,)) == []
    assert "bridge | MTU" in faults([], (wanted,))[0]


def test_an_improvement_claims_by_path_and_both_values() -> None:
    assert differs("after ADD > host > *", theirs=1400, ours=1500)(_FOUND)
    assert not differs("after DEL > *")(_FOUND)
    assert not differs("*", theirs=1500)(_FOUND)
    assert not differs("*", ours=lambda value: value < 1500)(_FOUND)


def test_alike_texts_differ_in_nothing_else() -> None:
    claims = alike("*", lambda text: text.replace(" x", ""), "mine")
    assert claims(Difference(("a",), ["one x", "mine"], ["one"], ABSENT))
    assert not claims(Difference(("a",), ["two x"], ["one"], ABSENT))
    assert not claims(Difference(("a",), ["one", "one"], ["one"], ABSENT))


def test_rows_are_found_by_heading_and_subject() -> None:
    assert ("All of them", "failed ADD") in documented()
    assert ("bridge", "failed ADD") not in documented()


def test_names_of_cases_are_their_own() -> None:
    assert len({case.id for case in CASES}) == len(CASES)


def test_each_plugin_has_twenty_cases() -> None:
    plugins = {case.plugin for case in CASES}
    assert {name: count for name in plugins if (count := sum(c.plugin == name for c in CASES)) < 20} == {}


def test_a_state_that_differs_is_seen(lab: Any, tmp_path: Path) -> None:
    """Worlds that are not alike to begin with are refused."""
    setup = Setup(
        sandbox=("ip link set lo mtu $(echo {dir} | grep -q ours && echo 65000 || echo 65001)",),
        files={"note": "in {dir}"},
    )
    case = Case(plugin="loopback", what="x", ifname="lo", setup=setup)
    try:
        play(case, lab.sandbox, tmp_path)
    except AssertionError as error:
        assert "sandbox > links > lo > mtu" in str(error)
        assert "note" not in str(error)  # the world's own path is no difference
    else:
        raise AssertionError("two different worlds passed")

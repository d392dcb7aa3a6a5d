"""cni.md 1.1, 4.6, 4.7; multi-network.md 10.7, 10.8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.errors import CNIError
from multinet.cni.versions import (
    LATEST,
    SUPPORTED,
    at_least,
    negotiate,
    parse_version,
    read_version_output,
    require_supported,
    version_output,
)

numbers = st.integers(0, 10**6)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1.0.0", (1, 0, 0)), ("1.0", (1, 0, 0)), ("1", (1, 0, 0)), ("0.10.2", (0, 10, 2)), ("", (0, 1, 0))],
)
def test_4_7_spellings(text: str, numbers: tuple[int, int, int]) -> None:
    assert parse_version(text) == numbers


@pytest.mark.parametrize("text", ["1.0.0.0", "1.x", "v1.0.0", "1..0", "-1.0", "1.0.0 ", "1.0.0\n", "²", "."])
def test_4_7_no_versions(text: str) -> None:
    with pytest.raises(CNIError, match="invalid version") as caught:
        parse_version(text)
    assert caught.value.code == 1


@given(st.tuples(numbers, numbers, numbers), st.tuples(numbers, numbers, numbers))
def test_4_7_compare_by_numbers(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    spelled = [".".join(map(str, version)) for version in (left, right)]
    assert at_least(*spelled) == (left >= right)


def test_2_3_unknown_version_is_code_1_with_details() -> None:
    with pytest.raises(CNIError) as caught:
        require_supported("1.2.0")
    error = caught.value
    assert (error.code, error.msg) == (1, "incompatible CNI versions")
    assert error.details == (
        'config is "1.2.0", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]'
    )


@pytest.mark.parametrize("text", ["nonsense", "9", "0.3.2"])
def test_require_supported_refuses(text: str) -> None:
    with pytest.raises(CNIError, match="incompatible CNI versions"):
        require_supported(text)


@pytest.mark.parametrize(("text", "usual"), [("", "0.1.0"), ("1", "1.0.0"), ("0.4", "0.4.0")])
def test_require_supported_spells(text: str, usual: str) -> None:
    assert require_supported(text) == usual


@pytest.mark.parametrize(
    ("stated", "offered", "chosen"),
    [
        ("", [], "0.1.0"),
        ("0.4.0", [], "0.4.0"),
        ("0.4.0", ["0.3.1", "1.0.0"], "1.0.0"),
        ("1.0.0", ["0.3.1", "0.4.0"], "1.0.0"),
        ("0.4.0", ["1.1.0", "1.2.0", "2.0.0"], "1.1.0"),
        ("", ["9.0.0"], "0.1.0"),
        ("9.0.0", ["1.0.0"], "1.0.0"),
        ("9.0.0", [], "9.0.0"),
        ("1.0", [], "1.0.0"),
    ],
)
def test_1_1_negotiation(stated: str, offered: list[str], chosen: str) -> None:
    assert negotiate(stated, offered) == chosen


@given(st.lists(st.sampled_from([*SUPPORTED, "1.2.0", "3.0.0"])), st.sampled_from(["", *SUPPORTED]))
def test_1_1_negotiation_takes_the_highest_known(offered: list[str], stated: str) -> None:
    known = [version for version in [*offered, stated] if version in SUPPORTED]
    assert negotiate(stated, offered) == max(known, key=SUPPORTED.index, default="0.1.0")


def test_4_6_version_output() -> None:
    assert version_output() == {"cniVersion": LATEST, "supportedVersions": list(SUPPORTED)}
    assert read_version_output(version_output()) == SUPPORTED


@pytest.mark.parametrize(
    ("raw", "versions"),
    [
        ({"cniVersion": "0.2.0"}, ("0.1.0", "0.2.0")),
        ({"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}, ("0.4.0", "1.0.0")),
    ],
)
def test_4_6_reading(raw: dict[str, object], versions: tuple[str, ...]) -> None:
    assert read_version_output(raw) == versions


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({}, "$.cniVersion"),
        ({"supportedVersions": ["1.0.0"]}, "$.cniVersion"),
        ({"cniVersion": "1.0.0"}, "$.supportedVersions"),
        ({"cniVersion": "1.0.0", "supportedVersions": [1]}, "$.supportedVersions"),
    ],
)
def test_4_6_reading_faults(raw: dict[str, object], path: str) -> None:
    with pytest.raises(CNIError) as caught:
        read_version_output(raw)
    assert caught.value.code == 6
    assert caught.value.msg.startswith(path)

"""cni.md 2.3 and section 9: text that is no JSON is refused with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.jsontext import MalformedJSON, decode, encode

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(documents)
def test_reads_what_the_standard_library_writes(value: Any) -> None:
    assert decode(json.dumps(value)) == value


@given(documents)
def test_the_standard_library_reads_what_it_writes(value: Any) -> None:
    assert json.loads(encode(value)) == value


def test_whole_numbers_of_any_size_stay_whole() -> None:
    assert decode(b"123456789012345678901234567890") == 123456789012345678901234567890


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"", "line 1, column 1: "),
        (b'{\n "a": 1,\n}', "line 3, column 1: "),
        (b"{} {}", "line 1, column 4: "),
        (b'{"a": 1}\nwarning', "line 2, column 1: "),
        (b'{"a":\n"\xff"}', "line 2, column 2: not UTF-8"),
        (b"\xef\xbb\xbf{}", "line 1, column 1: "),
    ],
)
def test_place_of_a_fault(text: bytes, place: str) -> None:
    with pytest.raises(MalformedJSON) as caught:
        decode(text)
    assert str(caught.value).startswith(place)


@pytest.mark.parametrize("text", [b"[NaN]", b"[1e999]", b"[" * 100_000])
def test_what_only_other_readers_take(text: bytes) -> None:
    with pytest.raises(MalformedJSON):
        decode(text)


@given(st.binary())
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        decode(text)
    except MalformedJSON as error:
        assert str(error)

"""The wire format against Google's own implementation: what either writes, the other reads."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from multinet.adapters.protobuf import MalformedMessage, Number, decode, encode

_Proto = descriptor_pb2.FieldDescriptorProto


class Inner(msgspec.Struct, frozen=True):
    name: Annotated[str, Number(1)] = ""
    numbers: Annotated[tuple[int, ...], Number(3)] = ()


class Outer(msgspec.Struct, frozen=True):
    text: Annotated[str, Number(1)] = ""
    raw: Annotated[bytes, Number(2)] = b""
    flag: Annotated[bool, Number(3)] = False
    number: Annotated[int, Number(4)] = 0
    kind: Annotated[int, Number(5)] = 0
    short: Annotated[int, Number(6)] = 0
    inner: Annotated[Inner | None, Number(7)] = None
    texts: Annotated[tuple[str, ...], Number(8)] = ()
    numbers: Annotated[tuple[int, ...], Number(9)] = ()
    unpacked: Annotated[tuple[int, ...], Number(10)] = ()
    flags: Annotated[tuple[bool, ...], Number(11)] = ()
    inners: Annotated[tuple[Inner, ...], Number(500)] = ()
    labels: Annotated[dict[str, str], Number(13)] = {}
    counts: Annotated[dict[int, Inner], Number(14)] = {}


class Newer(msgspec.Struct, frozen=True):
    """As a later version of Outer would be: some fields gone, for a reader that knows only one."""

    flag: Annotated[bool, Number(3)] = False


def _declared(message: Any, name: str, number: int, kind: int, **more: Any) -> None:
    repeated = more.pop("repeated", False)
    label = _Proto.LABEL_REPEATED if repeated else _Proto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, type=kind, label=label, **more)
    if name == "unpacked":
        field.options.packed = False


def _google() -> Any:
    """The same messages as Google's library builds them from a description."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    inner = file.message_type.add(name="Inner")
    _declared(inner, "name", 1, _Proto.TYPE_STRING)
    _declared(inner, "numbers", 3, _Proto.TYPE_INT64, repeated=True)
    file.enum_type.add(name="Kind").value.add(name="ZERO", number=0)
    outer = file.message_type.add(name="Outer")
    _declared(outer, "text", 1, _Proto.TYPE_STRING)
    _declared(outer, "raw", 2, _Proto.TYPE_BYTES)
    _declared(outer, "flag", 3, _Proto.TYPE_BOOL)
    _declared(outer, "number", 4, _Proto.TYPE_INT64)
    _declared(outer, "kind", 5, _Proto.TYPE_ENUM, type_name=".t.Kind")
    _declared(outer, "short", 6, _Proto.TYPE_INT32)
    _declared(outer, "inner", 7, _Proto.TYPE_MESSAGE, type_name=".t.Inner")
    _declared(outer, "texts", 8, _Proto.TYPE_STRING, repeated=True)
    _declared(outer, "numbers", 9, _Proto.TYPE_INT64, repeated=True)
    _declared(outer, "unpacked", 10, _Proto.TYPE_INT64, repeated=True)
    _declared(outer, "flags", 11, _Proto.TYPE_BOOL, repeated=True)
    _declared(outer, "inners", 500, _Proto.TYPE_MESSAGE, type_name=".t.Inner", repeated=True)
    for name, number, key, value in (
        ("labels", 13, _Proto.TYPE_STRING, {"kind": _Proto.TYPE_STRING}),
        ("counts", 14, _Proto.TYPE_INT64, {"kind": _Proto.TYPE_MESSAGE, "type_name": ".t.Inner"}),
    ):
        entry = outer.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _declared(entry, "key", 1, key)
        _declared(entry, "value", 2, **value)
        type_name = f".t.Outer.{entry.name}"
        _declared(outer, name, number, _Proto.TYPE_MESSAGE, type_name=type_name, repeated=True)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Outer"))


GoogleOuter = _google()

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
int64 = st.integers(-(1 << 63), (1 << 63) - 1)
int32 = st.integers(-(1 << 31), (1 << 31) - 1)
inners = st.builds(Inner, name=texts, numbers=st.lists(int64).map(tuple))
outers = st.builds(
    Outer,
    text=texts,
    raw=st.binary(max_size=300),
    flag=st.booleans(),
    number=int64,
    kind=int32,
    short=int32,
    inner=st.none() | inners,
    texts=st.lists(texts).map(tuple),
    numbers=st.lists(int64).map(tuple),
    unpacked=st.lists(int64).map(tuple),
    flags=st.lists(st.booleans()).map(tuple),
    inners=st.lists(inners, max_size=4).map(tuple),
    labels=st.dictionaries(texts, texts),
    counts=st.dictionaries(int64, inners, max_size=4),
)


def as_google(message: Outer) -> Any:
    other = GoogleOuter()
    for name in ("text", "raw", "flag", "number", "kind", "short"):
        setattr(other, name, getattr(message, name))
    for name in ("texts", "numbers", "unpacked", "flags"):
        getattr(other, name).extend(getattr(message, name))
    other.labels.update(message.labels)
    if message.inner is not None:
        other.inner.SetInParent()
        fill(other.inner, message.inner)
    for inner in message.inners:
        fill(other.inners.add(), inner)
    for key, inner in message.counts.items():
        fill(other.counts[key], inner)
    return other


def fill(other: Any, inner: Inner) -> None:
    other.name = inner.name
    other.numbers.extend(inner.numbers)


@given(outers)
def test_what_google_writes_is_read(message: Outer) -> None:
    assert decode(as_google(message).SerializeToString(), Outer) == message


@given(outers)
def test_google_reads_what_is_written(message: Outer) -> None:
    assert GoogleOuter.FromString(encode(message)) == as_google(message)


@given(outers)
def test_unknown_fields_are_skipped(message: Outer) -> None:
    assert decode(encode(message), Newer) == Newer(message.flag)


@given(outers, outers)
def test_messages_one_after_the_other_are_merged_as_google_merges_them(first: Outer, second: Outer) -> None:
    joined = as_google(first).SerializeToString() + as_google(second).SerializeToString()
    assert as_google(decode(joined, Outer)) == GoogleOuter.FromString(joined)


@given(st.binary(max_size=60))
def test_rubbish_is_refused_or_read_as_google_reads_it(data: bytes) -> None:
    try:
        expected = GoogleOuter.FromString(data)
    except Exception:
        expected = None
    if expected is None:
        with pytest.raises(MalformedMessage):
            decode(data, Outer)
        return
    ours = as_google(decode(data, Outer))
    expected.DiscardUnknownFields()
    assert ours == expected


@given(outers, st.data())
def test_a_message_cut_off_is_refused_or_read_as_google_reads_it(message: Outer, data: Any) -> None:
    whole = encode(message)
    test_rubbish_is_refused_or_read_as_google_reads_it.hypothesis.inner_test(
        whole[: data.draw(st.integers(0, len(whole)))]
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x0a\x05abc", "ends 2 bytes early"),
        (b"\x0a\x02\xff\xfe", "text: text that is no UTF-8"),
        (b"\x3a\x03\x0a\x01\xff", "inner: Inner: name: text that is no UTF-8"),
        (b"\x20", "ends within a number"),
        (b"\x20" + b"\xff" * 10, "more than 10 bytes"),
        (b"\x00\x01", "field number 0"),
        (b"\x0f", "wire type 7"),
        (b"\xa3\x06", "ends within a group"),
        (b"\xa4\x06", "end of a group that hasn't begun"),
    ],
)
def test_faults_are_named(data: bytes, problem: str) -> None:
    with pytest.raises(MalformedMessage, match=problem):
        decode(data, Outer)


def test_groups_of_old_messages_are_skipped() -> None:
    assert decode(b"\xa3\x06\x0a\x01x\xa3\x06\xa4\x06\xa4\x06\x0a\x01y", Outer) == Outer(text="y")

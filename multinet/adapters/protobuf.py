"""Protocol Buffers' wire format for the few messages that node agents exchange, without generated code.

A message is a frozen struct whose fields say their numbers; the Python type says the rest:

    class ContainerDevices(msgspec.Struct, frozen=True):
        resource_name: Annotated[str, Number(1)] = ""
        device_ids: Annotated[tuple[str, ...], Number(2)] = ()

``str``, ``bytes``, ``bool``, ``int`` (int32, int64, uint32 and enums), another message or None,
``tuple[T, ...]`` for repeated fields and ``dict[K, V]`` for maps. As in proto3, what has its default value isn't
sent, and what isn't known is skipped.

Source: Protocol Buffers documentation, "Encoding".
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar, get_args, get_origin, get_type_hints

import msgspec

__all__ = ["MalformedMessage", "Number", "decode", "encode"]

T = TypeVar("T", bound=msgspec.Struct)

_VARINT, _EIGHT_BYTES, _LENGTH, _GROUP, _END_GROUP, _FOUR_BYTES = range(6)
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_LONGEST_VARINT = 10
_64_BITS = (1 << 64) - 1


class MalformedMessage(ValueError):
    """Bytes that are no such message; the text names the field."""


class Number(NamedTuple):
    """A field's number in its message."""

    value: int


def encode(message: msgspec.Struct) -> bytes:
    """The message's bytes, its fields in the order of their numbers."""
    fields = sorted(_fields(type(message)).items())
    return b"".join(field.write(number, getattr(message, field.name)) for number, field in fields)


def decode(data: bytes, to: type[T]) -> T:
    """The message in ``data``. Raises MalformedMessage."""
    fields = _fields(to)
    found: dict[str, Any] = {}
    try:
        for number, wire, raw in _pieces(data):
            field = fields.get(number)
            if field is not None:
                field.read(found, wire, raw)
        for field in fields.values():
            if field.name in found:
                found[field.name] = field.whole(found[field.name])
    except MalformedMessage as error:
        raise MalformedMessage(f"{to.__name__}: {error}") from None
    return to(**found)


class _Kind(NamedTuple):
    """A scalar: its wire type, what absence means, and its bytes (of texts, without their length)."""

    wire: int
    default: Any
    write: Any
    read: Any


class _Field(Protocol):
    @property
    def name(self) -> str: ...

    def write(self, number: int, value: Any) -> bytes: ...

    def read(self, found: dict[str, Any], wire: int, raw: Any) -> None:
        """Put what came into ``found``; another wire type than the field's is as good as an unknown field."""

    def whole(self, value: Any) -> Any:
        """What was collected, as the struct has it."""


class _Single(NamedTuple):
    name: str
    kind: _Kind

    def write(self, number: int, value: Any) -> bytes:
        return _tagged(number, self.kind, value) if value != self.kind.default else b""

    def read(self, found: dict[str, Any], wire: int, raw: Any) -> None:
        if wire == self.kind.wire:
            found[self.name] = _scalar(self.name, self.kind, raw)

    def whole(self, value: Any) -> Any:
        return value


class _Nested(NamedTuple):
    name: str
    type: Any

    def write(self, number: int, value: Any) -> bytes:
        return _delimited(number, encode(value)) if value is not None else b""

    def read(self, found: dict[str, Any], wire: int, raw: Any) -> None:
        if wire == _LENGTH:  # a message in parts: joined they are the whole
            found[self.name] = found.get(self.name, b"") + raw

    def whole(self, value: Any) -> Any:
        return _message(self.name, value, self.type)


class _Repeated(NamedTuple):
    name: str
    kind: _Kind

    def write(self, number: int, value: Any) -> bytes:
        if self.kind.wire == _LENGTH or not value:
            return b"".join(_tagged(number, self.kind, item) for item in value)
        return _delimited(number, b"".join(map(self.kind.write, value)))

    def read(self, found: dict[str, Any], wire: int, raw: Any) -> None:
        items = found.setdefault(self.name, [])
        if wire == self.kind.wire:
            items.append(_scalar(self.name, self.kind, raw))
        elif wire == _LENGTH:  # packed
            items.extend(_scalar(self.name, self.kind, one) for one in _unpacked(self.name, self.kind, raw))

    def whole(self, value: Any) -> Any:
        return tuple(value)


class _RepeatedNested(NamedTuple):
    name: str
    type: Any

    def write(self, number: int, value: Any) -> bytes:
        return b"".join(_delimited(number, encode(item)) for item in value)

    def read(self, found: dict[str, Any], wire: int, raw: Any) -> None:
        if wire == _LENGTH:
            found.setdefault(self.name, []).append(_message(self.name, raw, self.type))

    def whole(self, value: Any) -> Any:
        return tuple(value)


class _Map(NamedTuple):
    name: str
    entry: Any
    """Struct of ``key`` (1) and ``value`` (2): that is how a map travels."""

    def write(self, number: int, value: Any) -> bytes:
        return b"".join(
            _delimited(number, encode(self.entry(key=key, value=item))) for key, item in value.items()
        )

    def read(self, found: dict[str, Any], wire: int, raw: Any) -> None:
        if wire == _LENGTH:
            entry = _message(self.name, raw, self.entry)
            found.setdefault(self.name, {})[entry.key] = entry.value

    def whole(self, value: Any) -> Any:
        return value


def _varint(number: int) -> bytes:
    number &= _64_BITS
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


_KINDS: dict[type, _Kind] = {
    int: _Kind(_VARINT, 0, _varint, _signed),
    bool: _Kind(_VARINT, False, _varint, bool),
    str: _Kind(_LENGTH, "", str.encode, bytes.decode),
    bytes: _Kind(_LENGTH, b"", bytes, bytes),
}


@cache
def _fields(message: type[msgspec.Struct]) -> dict[int, _Field]:
    fields: dict[int, _Field] = {}
    for name, hint in get_type_hints(message, include_extras=True).items():
        if get_origin(hint) is Annotated:
            inner, *notes = get_args(hint)
            fields.update({note.value: _field(name, inner) for note in notes if isinstance(note, Number)})
    return fields


def _field(name: str, hint: Any) -> _Field:
    args = get_args(hint)
    if get_origin(hint) is dict:
        return _Map(name, _entry(*args))
    if get_origin(hint) is tuple:
        return _Repeated(name, _KINDS[args[0]]) if args[0] in _KINDS else _RepeatedNested(name, args[0])
    if isinstance(hint, types.UnionType):
        (hint,) = (one for one in args if one is not type(None))
    return _Single(name, _KINDS[hint]) if hint in _KINDS else _Nested(name, hint)


def _entry(key: Any, value: Any) -> Any:
    default = _KINDS[value].default if value in _KINDS else value()
    return msgspec.defstruct(
        "entry",
        [
            ("key", Annotated[key, Number(1)], _KINDS[key].default),
            ("value", Annotated[value, Number(2)], default),
        ],
        frozen=True,
    )


def _tagged(number: int, kind: _Kind, value: Any) -> bytes:
    written: bytes = kind.write(value)
    if kind.wire == _LENGTH:
        return _delimited(number, written)
    return _varint(number << 3 | kind.wire) + written


def _delimited(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(content)) + content


def _scalar(name: str, kind: _Kind, raw: Any) -> Any:
    try:
        return kind.read(raw)
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"{name}: text that is no UTF-8: {error.reason}") from None


def _message(name: str, raw: bytes, to: type[T]) -> T:
    try:
        return decode(raw, to)
    except MalformedMessage as error:
        raise MalformedMessage(f"{name}: {error}") from None


def _unpacked(name: str, kind: _Kind, raw: bytes) -> Iterator[Any]:
    place = 0
    while place < len(raw):
        value, place = _value(raw, place, kind.wire)
        yield value


def _pieces(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Field number, wire type and raw value of each field; fields inside groups, which nobody has, are left out."""
    place = 0
    groups: list[int] = []
    while place < len(data):
        tag, place = _read_varint(data, place)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise MalformedMessage(f"field number {number} at byte {place}")
        if wire == _GROUP:
            groups.append(number)
        elif wire == _END_GROUP:
            if not groups or groups.pop() != number:
                raise MalformedMessage(f"end of a group that hasn't begun at byte {place}")
        else:
            value, place = _value(data, place, wire)
            if not groups:
                yield number, wire, value
    if groups:
        raise MalformedMessage("ends within a group")


def _value(data: bytes, place: int, wire: int) -> tuple[Any, int]:
    if wire == _VARINT:
        return _read_varint(data, place)
    if wire == _LENGTH:
        length, place = _read_varint(data, place)
    elif wire in _FIXED:
        length = _FIXED[wire]
    else:
        raise MalformedMessage(f"wire type {wire} at byte {place}")
    end = place + length
    if end > len(data):
        raise MalformedMessage(f"ends {end - len(data)} bytes early")
    return data[place:end], end


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    number = 0
    for index in range(_LONGEST_VARINT):
        if place + index >= len(data):
            raise MalformedMessage("ends within a number")
        byte = data[place + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number & _64_BITS, place + index + 1
    raise MalformedMessage(f"a number of more than {_LONGEST_VARINT} bytes at byte {place}")

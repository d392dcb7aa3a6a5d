"""Keys that nobody reads, in an object and in the typed objects within it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from multinet.cli.validation.findings import Subject
from multinet.cni.decode import unknown_keys

__all__ = ["name_strange_keys"]


def name_strange_keys(
    raw: Mapping[str, Any],
    known: type[msgspec.Struct],
    subject: Subject,
    also: Iterable[str] = (),
    path: str = "$",
) -> None:
    """A warning for each key that ``known`` lacks, at any depth; ``also`` are read by others, and keys with a dot or
    a slash are other people's. ``path`` is where ``raw`` stands.
    """
    allowed = frozenset(also)
    for key, near in unknown_keys(raw, known).items():
        if key not in allowed and not any(mark in key for mark in "./"):
            hint = f', did you mean "{near}"?' if near else ""
            subject.warning(f"{path}.{key}", f'unknown key "{key}"{hint}')
    info = msgspec.inspect.type_info(known)
    assert isinstance(info, msgspec.inspect.StructType)
    types = {field.encode_name.lower(): field.type for field in info.fields}
    for key, value in raw.items():
        if key.lower() in types:
            for at, inner, kind in _objects(value, types[key.lower()], f"{path}.{key}"):
                name_strange_keys(inner, kind, subject, allowed, at)


def _objects(
    value: Any, info: msgspec.inspect.Type, path: str
) -> Iterator[tuple[str, Mapping[str, Any], type[msgspec.Struct]]]:
    """Path, object and type of each typed object in a value."""
    match info:
        case msgspec.inspect.UnionType():
            for one in info.types:
                yield from _objects(value, one, path)
        case msgspec.inspect.StructType() if isinstance(value, Mapping):
            yield path, value, info.cls
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType() if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _objects(item, info.item_type, f"{path}[{index}]")
        case _:
            return

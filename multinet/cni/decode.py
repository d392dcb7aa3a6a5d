"""From JSON objects to typed configuration, with faults that name the JSON path.

Rules of the reference plugins (their JSON library): keys match exactly first, then in any case; ``null`` is
absent; unknown keys are tolerated. Beyond them: all faults of one object are reported at once, and an
unknown key that is close to a known one is named in a warning.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from multinet.cni.errors import Code, InvalidConfig

T = TypeVar("T", bound=msgspec.Struct)

__all__ = ["convert", "prepare", "unknown_keys"]

_PLAIN = re.compile(r"[A-Za-z_][\w-]*")
"""Keys that need no quotes in a path."""
_AT = re.compile(r"^(?P<problem>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELDS: dict[type[msgspec.Struct], dict[str, tuple[str, Any]]] = {}
_prepared: set[Any] = set()
_preparing = threading.Lock()
_SCALARS = frozenset({str, int, bool, float, type(None)})


def prepare(kind: Any) -> None:
    """Have msgspec work out a type now, in one thread at a time.

    It does so when a type is first used, and crashes the process if two threads use one for the first time
    together (seen with 0.22: a segmentation fault).
    """
    if kind not in _prepared:
        with _preparing:
            msgspec.json.Decoder(kind)
            _prepared.add(kind)


def convert(raw: Mapping[str, Any], to: type[T], path: str = "$", code: int = Code.INVALID_CONFIG) -> T:
    """The object ``raw`` as the struct type ``to``; unknown keys are ignored.

    Raises InvalidConfig with the JSON path of every fault (several are joined by ``; ``), and with ``code``.
    """
    if not isinstance(raw, Mapping):
        raise InvalidConfig(path, f"expected an object, got {type(raw).__name__}", code)
    prepare(to)
    shaped = raw if type(raw) is dict and _is_plain(raw, to) else _shape(raw, to)
    try:
        return msgspec.convert(shaped, to)
    except msgspec.ValidationError:
        faults = list(_faults(shaped, to, path))
    first, rest = faults[0], faults[1:]
    raise InvalidConfig(first[0], "; ".join([first[1], *(f"{p}: {problem}" for p, problem in rest)]), code)


def unknown_keys(raw: Mapping[str, Any], to: type[msgspec.Struct]) -> dict[str, str | None]:
    """Keys of ``raw`` that ``to`` doesn't know, each with the nearest known key, if one is near."""
    known = _fields(to)
    strange = [key for key in raw if key.lower() not in known]
    if not strange:
        return {}
    import difflib  # a millisecond that only configurations with unknown keys pay

    names = [name for name, _ in known.values()]
    return {key: next(iter(difflib.get_close_matches(key, names, 1, 0.75)), None) for key in strange}


def _faults(value: Any, hint: Any, path: str) -> Iterator[tuple[str, str]]:
    """One (path, problem) for each innermost fault: msgspec itself stops at the first."""
    found = False
    for inner in _inner_faults(value, hint, path):
        found = True
        yield inner
    if found:
        return
    prepare(hint)
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError as error:  # of its own: a type, or a rule that spans fields
        match = _AT.match(str(error))
        assert match is not None
        yield path + (match["path"] or "$")[1:], _wording(match["problem"])


def _inner_faults(value: Any, hint: Any, path: str) -> Iterator[tuple[str, str]]:
    struct = _struct_in(hint)
    if struct is not None and isinstance(value, dict):
        for field in msgspec.structs.fields(struct):
            key = field.encode_name
            if key in value:
                yield from _faults(value[key], _fields(struct)[key.lower()][1], f"{path}.{key}")
            elif field.required:
                yield f"{path}.{key}", "is required"
    elif isinstance(value, list):
        item = _item_hint(hint, list, tuple)
        for i, inner in enumerate(value):
            yield from _faults(inner, item, f"{path}[{i}]")
    elif isinstance(value, dict):
        item = _item_hint(hint, dict)
        for key, inner in value.items():
            yield from _faults(inner, item, path + (f".{key}" if _PLAIN.fullmatch(key) else f'["{key}"]'))


def _wording(problem: str) -> str:
    text = problem.replace("`", "")
    return text[:1].lower() + text[1:]


def _is_plain(raw: Mapping[str, Any], to: type[msgspec.Struct]) -> bool:
    """Whether ``raw`` can be taken as it is: no null, no known key in another case, nothing typed within."""
    known = _fields(to)
    for key, value in raw.items():
        if value is None:
            return False
        name, hint = known.get(key) or known.get(key.lower()) or (key, Any)
        if name != key or (type(value) not in _SCALARS and not _is_opaque(hint)):
            return False
    return True


@cache
def _is_opaque(hint: Any) -> bool:
    """Whether no struct is in values of this type, at any depth: then nothing in them is put into shape."""
    return _struct_in(hint) is None and all(_is_opaque(inner) for inner in get_args(hint))


def _shape(value: Any, hint: Any) -> Any:
    """``value`` with the keys that ``hint`` knows in their exact spelling, and without nulls."""
    if type(value) in _SCALARS:
        return value
    struct = _struct_in(hint)
    if struct is not None and isinstance(value, Mapping):
        known = _fields(struct)
        shaped: dict[str, Any] = {}
        for key, item in value.items():
            if item is None:
                continue
            name, inner = known.get(key.lower(), (key, Any))
            if key != name and (value.get(name) is not None or name in shaped):
                continue  # the exact spelling wins
            shaped[name] = _shape(item, inner)
        return shaped
    if isinstance(value, list):
        inner = _item_hint(hint, list, tuple)
        return [_shape(item, inner) for item in value]
    if isinstance(value, Mapping) and (inner := _item_hint(hint, dict)) is not Any:
        return {key: _shape(item, inner) for key, item in value.items()}
    return value


@cache
def _item_hint(hint: Any, *containers: type) -> Any:
    """The type of the items of a list or ``tuple[X, ...]``, or of the values of a dict; Any if it isn't said."""
    for alternative in _alternatives(hint):
        arguments = get_args(alternative)
        if get_origin(alternative) in containers and arguments:
            return arguments[-1] if get_origin(alternative) is dict else arguments[0]
    return Any


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) in (list, tuple, dict):
        return (hint,)
    return get_args(hint) or (hint,)


@cache
def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    for alternative in _alternatives(hint):
        if isinstance(alternative, type) and issubclass(alternative, msgspec.Struct):
            return alternative
    return None


def _fields(struct: type[msgspec.Struct]) -> dict[str, tuple[str, Any]]:
    """Lower-case key → (exact key, type) of a struct; worked out once a type."""
    known = _FIELDS.get(struct)
    if known is None:
        hints = get_type_hints(struct)
        known = {
            f.encode_name.lower(): (f.encode_name, hints[f.name]) for f in msgspec.structs.fields(struct)
        }
        _FIELDS[struct] = known
    return known

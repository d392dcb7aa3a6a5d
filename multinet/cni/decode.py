"""From JSON objects to typed configuration, with faults that name the JSON path.

Rules of the reference plugins (their JSON library): keys match exactly first, then in any case; ``null`` is
absent; unknown keys are tolerated. Beyond them: all faults of one object are reported at once, and an
unknown key that is close to a known one is named in a warning.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from multinet.cni.errors import Code, InvalidConfig

T = TypeVar("T", bound=msgspec.Struct)

__all__ = ["convert", "unknown_keys"]

_AT = re.compile(r"^(?P<problem>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELDS: dict[type[msgspec.Struct], dict[str, tuple[str, Any]]] = {}


def convert(raw: Mapping[str, Any], to: type[T], path: str = "$", code: int = Code.INVALID_CONFIG) -> T:
    """The object ``raw`` as the struct type ``to``; unknown keys are ignored.

    Raises InvalidConfig with the JSON path of every fault (several are joined by ``; ``), and with ``code``.
    """
    if not isinstance(raw, Mapping):
        raise InvalidConfig(path, f"expected an object, got {type(raw).__name__}", code)
    shaped = _shape(raw, to)
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
    names = [name for name, _ in known.values()]
    return {key: next(iter(difflib.get_close_matches(key, names, 1, 0.75)), None) for key in strange}


def _faults(shaped: dict[str, Any], to: type[msgspec.Struct], path: str) -> Iterator[tuple[str, str]]:
    """One (path, problem) for each faulty field: each alone, as msgspec stops at the first."""
    found = False
    for name, (key, hint) in {f.name: (f.encode_name, f.type) for f in msgspec.structs.fields(to)}.items():
        if key not in shaped:
            if next(f.required for f in msgspec.structs.fields(to) if f.name == name):
                found = True
                yield f"{path}.{key}", "is required"
            continue
        try:
            msgspec.convert(shaped[key], hint)
        except msgspec.ValidationError as error:
            match = _AT.match(str(error))
            assert match is not None
            found = True
            below = (match["path"] or "$")[1:]
            yield f"{path}.{key}{below}", _wording(match["problem"])
    if not found:  # a rule that spans fields (``__post_init__``)
        try:
            msgspec.convert(shaped, to)
        except msgspec.ValidationError as error:
            match = _AT.match(str(error))
            assert match is not None
            yield path + (match["path"] or "$")[1:], _wording(match["problem"])


def _wording(problem: str) -> str:
    text = problem.replace("`", "")
    return text[:1].lower() + text[1:]


def _shape(value: Any, hint: Any) -> Any:
    """``value`` with the keys that ``hint`` knows in their exact spelling, and without nulls."""
    struct = _struct_in(hint)
    if struct is not None and isinstance(value, Mapping):
        known = _fields(struct)
        shaped: dict[str, Any] = {}
        for key, item in value.items():
            if item is None:
                continue
            name, inner = known.get(key.lower(), (key, Any))
            if key != name and (name in value or name in shaped):
                continue  # the exact spelling wins
            shaped[name] = _shape(item, inner)
        return shaped
    if isinstance(value, list):
        inner = next((get_args(h)[0] for h in _alternatives(hint) if get_origin(h) in (list, tuple)), Any)
        return [_shape(item, inner) for item in value]
    return value


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) in (list, tuple, dict):
        return (hint,)
    return get_args(hint) or (hint,)


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

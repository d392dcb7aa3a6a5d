"""JSON text that people write into annotations and manifests: what is broken in it, and where."""

from __future__ import annotations

import json
from typing import Any

import msgspec

__all__ = ["BadJSON", "kind_of", "parse_json"]

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    str: "a string",
    list: "an array",
    dict: "an object",
}


class BadJSON(ValueError):
    """Text that is no JSON: ``place`` says where (``line 2, column 7``), ``problem`` what."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


def parse_json(text: str) -> Any:
    """The value that ``text`` holds. Raises BadJSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise _located(text, error) from None


def kind_of(value: Any) -> str:
    """What JSON calls the value (``an array``)."""
    return _KINDS.get(type(value), "a number")


def _located(text: str, error: Exception) -> BadJSON:
    """The standard library tells line and column, but takes more than JSON allows: NaN, lone surrogates."""
    if isinstance(error, UnicodeEncodeError):
        before = text[: error.start]
        line, column = before.count("\n") + 1, error.start - before.rfind("\n")
        return BadJSON(f"line {line}, column {column}", "not a Unicode character")
    try:
        json.loads(text)
    except json.JSONDecodeError as fault:
        return BadJSON(f"line {fault.lineno}, column {fault.colno}", fault.msg[:1].lower() + fault.msg[1:])
    except RecursionError:
        return BadJSON("$", "nested too deeply")
    return BadJSON("$", f"not strictly JSON: {error}")

"""JSON text that people write into annotations and manifests: what is broken in it, and where."""

from __future__ import annotations

import re
from typing import Any

import msgspec

__all__ = ["BadJSON", "kind_of", "parse_json"]

_AT_BYTE = re.compile(r"^(?:JSON is malformed: )?(?P<problem>.*?) \(byte (?P<byte>\d+)\)$", re.DOTALL)
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
        data = text.encode()
    except UnicodeEncodeError as error:
        raise BadJSON(_place(text[: error.start]), "not a Unicode character") from None
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError as error:  # a number that no float holds; the decoder knows its path
        problem, _, path = str(error).partition(" - at ")
        raise BadJSON(path.strip("`") or "$", _lower(problem)) from None
    except msgspec.DecodeError as error:
        match = _AT_BYTE.match(str(error))
        if match is None:
            raise BadJSON(_place(text), "the text ends too early") from None
        before = data[: int(match["byte"])].decode(errors="ignore")
        raise BadJSON(_place(before), _lower(match["problem"])) from None
    except RecursionError:
        raise BadJSON("$", "nested too deeply") from None


def kind_of(value: Any) -> str:
    """What JSON calls the value (``an array``)."""
    return _KINDS.get(type(value), "a number")


def _place(before: str) -> str:
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return f"line {line}, column {column}"


def _lower(problem: str) -> str:
    return problem[:1].lower() + problem[1:]

"""JSON text that people write into annotations and manifests: where it is broken, as line and column."""

from __future__ import annotations

import re
from typing import Any

import msgspec

__all__ = ["BadJSON", "parse_json"]

_AT_BYTE = re.compile(r"^(?:JSON is malformed: )?(?P<problem>.*?)(?: \(byte (?P<byte>\d+)\))?$", re.DOTALL)


class BadJSON(ValueError):
    """Text that is no JSON: ``problem`` says what, ``line`` and ``column`` (from 1) where."""

    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {problem}")
        self.problem = problem
        self.line = line
        self.column = column


def parse_json(text: str) -> Any:
    """The value that ``text`` holds. Raises BadJSON."""
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise _bad(text[: error.start], "not a Unicode character") from None
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        match = _AT_BYTE.match(str(error))
        assert match is not None
        problem = match["problem"][:1].lower() + match["problem"][1:]
        position = int(match["byte"]) if match["byte"] else len(data)
        raise _bad(data[:position].decode(errors="replace"), problem) from None
    except RecursionError:
        raise BadJSON("nested too deeply", 1, 1) from None


def _bad(before: str, problem: str) -> BadJSON:
    line_start = before.rfind("\n") + 1
    return BadJSON(problem, before.count("\n") + 1, len(before) - line_start + 1)

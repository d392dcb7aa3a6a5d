"""JSON text to objects, with faults that say the line and the column."""

from __future__ import annotations

import json
from typing import Any

import msgspec

__all__ = ["MalformedJSON", "decode", "encode"]


class MalformedJSON(ValueError):
    """Text that isn't JSON; says where (``line 3, column 5: …``) wherever that is known."""


def decode(text: bytes | str) -> Any:
    """The value that ``text`` holds. Raises MalformedJSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MalformedJSON(_place(text) or str(error)) from None


def encode(value: Any) -> bytes:
    """Compact JSON of plain objects."""
    return msgspec.json.encode(value)


def _place(text: bytes | str) -> str:
    """Line and column of the first fault, by the standard library's slower reader; "" if it finds none."""
    try:
        json.loads(text if isinstance(text, str) else text.decode())
    except json.JSONDecodeError as error:
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        return f"line {before.count(10) + 1}, column {len(before) - before.rfind(10)}: not UTF-8"
    except (RecursionError, ValueError):
        pass
    return ""

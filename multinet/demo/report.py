"""The demo on the terminal: numbered steps, what each does, and how it went."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

__all__ = ["Report"]

_WIDTH = 100
_INDENT = " " * 4
_BOLD, _DIM, _GREEN, _RED = "1", "2", "32", "31"


class Report:
    """Prints as things happen; colours only for a terminal (and not with ``NO_COLOR``)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self._colours = stream.isatty() and not plain
        self._done, self._failed = ("✓", "✗") if _can_print("✓✗", stream) else ("ok:", "FAILED:")
        self.step_name = ""
        """The step that runs, or ran last: ``step 3 (start the daemon)``; empty before the first."""

    @contextmanager
    def step(self, number: int, title: str) -> Iterator[None]:
        """One step: its title before, its time after; an exception passes through."""
        self.step_name = f"step {number} ({title})"
        self._line(f"\n{number:>2}  " + self._in(_BOLD, title))
        started = time.monotonic()
        yield
        elapsed = f"{(time.monotonic() - started) * 1000:.0f} ms"
        self._line(_INDENT + self._in(_DIM, f"{elapsed}"))

    def command(self, text: str) -> None:
        """A command as it could be typed; a long one on several lines."""
        lines = textwrap.wrap(
            text, _WIDTH - 8, break_long_words=False, break_on_hyphens=False, subsequent_indent="    "
        )
        for position, line in enumerate(lines):
            start = "$ " if position == 0 else "  "
            end = " \\" if position < len(lines) - 1 else ""
            self._line(_INDENT + self._in(_DIM, start + line + end))

    def say(self, text: str) -> None:
        """What came of it, or why; lines are kept as they are."""
        for line in text.splitlines():
            self._line(_INDENT + line)

    def done(self, text: str) -> None:
        """Something that was to be shown is as it should be."""
        self._line(f"{_INDENT}{self._in(_GREEN, self._done)} {text}")

    def failed(self, text: str) -> None:
        """Something isn't."""
        self._line(f"{_INDENT}{self._in(_RED, self._failed)} {text}")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as their widest cell."""
        widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
        for position, row in enumerate([headings, *rows]):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            self._line(_INDENT + (self._in(_DIM, line) if position == 0 else line))

    def heading(self, text: str) -> None:
        """A line that belongs to no step."""
        self._line(text)

    def _in(self, style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colours else text

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def _can_print(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True

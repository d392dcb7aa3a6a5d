"""Executable Python scripts that find this very installation of multinet, wherever they are put."""

from __future__ import annotations

import os
import sys

import multinet

__all__ = ["python_script"]

# BINPRM_BUF_SIZE of Linux since 5.1: a longer first line is cut off, or refused
_FIRST_LINE_LIMIT = 255


def python_script(body: str, flags: str) -> bytes:
    """A script that runs ``body`` with the current interpreter, given ``flags`` (one word: ``-I``).

    Raises ValueError when the interpreter's path can't stand in a script's first line.
    """
    python = sys.executable
    first_line = f"#!{python} {flags}"
    if not python or any(character.isspace() for character in python):
        raise ValueError(
            f"no script can name the interpreter {python!r}: its path is empty or has white space"
        )
    if len(os.fsencode(first_line)) > _FIRST_LINE_LIMIT:
        raise ValueError(f"the interpreter's path {python!r} is too long for a script's first line")
    root = os.path.dirname(os.path.dirname(os.path.abspath(multinet.__file__)))
    text = f"{first_line}\nimport sys\n\nsys.path.insert(0, {root!r})\n{body}"
    return text.encode("utf-8", "surrogateescape")

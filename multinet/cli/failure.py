"""How a command ends when it can't do what it was asked: one line, and an exit code."""

from __future__ import annotations

__all__ = ["FAILED", "OK", "USAGE", "Failure", "UsageError", "one_line"]

OK = 0
FAILED = 1
USAGE = 2


class Failure(Exception):
    """The command failed; the text says what, on which object, and what to do."""

    exit_code = FAILED


class UsageError(Failure):
    """The command can't be understood: an option is missing, or doesn't go with another."""

    exit_code = USAGE


def one_line(text: str) -> str:
    """``text`` with its lines joined by ``; ``."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())

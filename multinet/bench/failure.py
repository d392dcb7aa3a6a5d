"""Why a benchmark can't be run, or is worth nothing."""

from __future__ import annotations

__all__ = ["BenchError"]


class BenchError(Exception):
    """Ends the benchmark; the text is what the user reads."""

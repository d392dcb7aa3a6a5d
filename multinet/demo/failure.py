"""Why the demo ends before its end."""

from __future__ import annotations

__all__ = ["DemoFailure"]


class DemoFailure(Exception):
    """Something isn't as the demo says it is; the text says what."""

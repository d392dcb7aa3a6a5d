"""Log records on standard error, each on one line: time (UTC), level, where from, message."""

from __future__ import annotations

import logging
import sys
import time

__all__ = ["log_to_stderr"]


class _OneLine(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """A traceback's lines are joined, so that whoever collects logs line by line keeps it whole."""
        return super().format(record).replace("\n", "\\n")


def log_to_stderr(level: str) -> None:
    """Write all records of at least ``level`` (``info``)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())

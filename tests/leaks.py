"""What a piece of code leaves open in its own process: descriptors and threads."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE = 5.0
"""Seconds for what is on its way out, such as a thread that has been told to stop."""


def descriptors() -> Counter[str]:
    """What this process has open, by what it leads to."""
    found: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[os.readlink(f"/proc/self/fd/{fd}")] += 1
        except FileNotFoundError:
            continue  # the listing's own
    return found


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Fails if the block leaves a descriptor or a thread that it opened; what others close meanwhile is theirs."""
    before, threads = descriptors(), set(threading.enumerate())
    yield
    until = time.monotonic() + _PATIENCE
    while fresh := [*(descriptors() - before), *(set(threading.enumerate()) - threads)]:
        assert time.monotonic() < until, f"left open: {fresh}"
        time.sleep(0.01)

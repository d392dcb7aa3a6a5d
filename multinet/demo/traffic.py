"""Packets between pods, and how long they take."""

from __future__ import annotations

import re

from multinet.demo.failure import DemoFailure
from multinet.demo.stage import run_in

__all__ = ["ping"]

_COUNT = 3
_AVERAGE = re.compile(r"= [\d.]+/([\d.]+)/")
"""In iputils' last line: ``rtt min/avg/max/mdev = 0.026/0.046/0.082/0.025 ms``."""


def ping(netns: str, interface: str, address: str) -> float:
    """Mean round-trip time, milliseconds, of three pings sent by ``interface``; all are answered.

    Raises DemoFailure.
    """
    said = run_in(
        netns, "ping", "-n", "-q", "-c", str(_COUNT), "-i", "0.05", "-W", "2", "-I", interface, address
    )
    average = _AVERAGE.search(said)
    if f" {_COUNT} received" not in said or average is None:
        raise DemoFailure(f"ping {address}: {' '.join(said.split())}")
    return float(average[1])

"""What is measured, one module a part. Each declares its figures, with their targets."""

from __future__ import annotations

from typing import Any

from multinet.bench.figure import Part
from multinet.bench.parts.api import API
from multinet.bench.parts.concurrency import CONCURRENCY
from multinet.bench.parts.growth import GROWTH
from multinet.bench.parts.load import LOAD
from multinet.bench.parts.memory import MEMORY
from multinet.bench.parts.node_pods import NODE_PODS
from multinet.bench.parts.shim import SHIM
from multinet.bench.parts.standalone import STANDALONE
from multinet.bench.parts.start import START
from multinet.bench.parts.turns import TURNS

__all__ = ["PARTS", "QUICK_PARTS"]

PARTS: tuple[Part[Any], ...] = (
    TURNS,
    LOAD,
    SHIM,
    STANDALONE,
    API,
    START,
    GROWTH,
    NODE_PODS,
    CONCURRENCY,
    MEMORY,
)
"""In the order in which they are measured."""
QUICK_PARTS: tuple[Part[Any], ...] = (TURNS, LOAD, SHIM, STANDALONE, API)
"""Those that are done within seconds."""

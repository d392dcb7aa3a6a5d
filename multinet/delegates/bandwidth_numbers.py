"""From bits per second to what the kernel's token bucket filter wants: the reference plugin's arithmetic.

Source: specification of the chained plugins, 2.3; tc-tbf(8); psched(5) for ``/proc/net/psched``.
"""

from __future__ import annotations

from typing import NamedTuple

from multinet.cni.errors import CNIError, Code
from multinet.core.desired import TokenBucket

CLOCK_FILE = "/proc/net/psched"
_LATENCY = 25_000
"""Microseconds that a packet may wait for tokens."""
_MICROSECONDS = 1e6
_LARGEST = 0xFFFF_FFFF


class Limit(NamedTuple):
    """What may pass in one direction, in bits per second and bits; both 0: anything."""

    rate: int = 0
    burst: int = 0


def ticks_per_microsecond(psched: str | None) -> float:
    """The packet scheduler's clock, from the text of ``/proc/net/psched``: four hexadecimal numbers (ticks to
    microseconds, microseconds to ticks, resolution, timer's resolution). Raises CNIError code 5.
    """
    try:
        ticks, microseconds, resolution, _ = (int(word, 16) for word in (psched or "").split())
        if resolution == 1_000_000_000:  # as iproute2 does
            ticks = microseconds
        return ticks / microseconds * (resolution / _MICROSECONDS)
    except (ValueError, ZeroDivisionError):
        raise CNIError(Code.IO_FAILURE, f"{CLOCK_FILE} doesn't say how the kernel's clock runs") from None


def token_bucket(link: str, limit: Limit, clock: float) -> TokenBucket:
    """The bucket that holds a link to ``limit``; ``clock`` is in ticks a microsecond.

    Fractions are cut off, and what the kernel's 32 bits can't hold becomes the most that they can.
    """
    rate, burst = limit.rate // 8, limit.burst // 8
    microseconds = _fitting(burst * _MICROSECONDS / rate)
    return TokenBucket(
        place="host",
        link=link,
        rate=rate,
        limit=_fitting(_fitting(rate * _LATENCY / _MICROSECONDS) + burst),
        buffer=_fitting(microseconds * clock),
    )


def _fitting(number: float) -> int:
    return min(int(number), _LARGEST)

"""What is done about pods without their networks."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["BootPlan", "BootTimes", "Policy"]

Policy = Literal["report", "repair", "evict"]
"""``report``: tell it, by an Event, the log and ``multinet status``. ``repair``: attach what is lacking to the running
pod. ``evict``: have the pod replaced. The latter two tell it as well."""


class BootPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for, and what is done then."""

    policy: Policy = "report"
    runtime_socket: str = ""
    """The container runtime's (CRI); empty: whichever usual one there is."""


class BootTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    period: float = 5.0
    """Between looks at the pods, which are in memory; the runtime is asked only when one may lack something."""
    full: float = 60.0
    """Between questions to the runtime in any case."""
    grace: float = 10.0
    """From the first time that a pod is seen without its networks to the one that counts."""
    again: float = 3600.0
    """Until what nobody did anything about is told again."""
    evicted: float = 60.0
    """Until a pod that was evicted, and still runs, is evicted again."""
    first_retry: float = 10.0
    """After a repair or an eviction that failed; doubled each time."""
    longest_retry: float = 600.0

"""How the slot is, for those who look at the node."""

from __future__ import annotations

import msgspec

__all__ = ["SlotReport"]


class SlotReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The slot's file and the network behind it."""

    path: str
    in_place: bool = False
    """The runtime comes to multinet."""
    primary: str = ""
    """Path of the primary's configuration."""
    lost: int = 0
    """How often somebody took the file away or wrote over it since the daemon started."""
    problem: str = ""

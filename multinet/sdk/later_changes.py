"""What a later plugin of a chain has changed on an earlier one's link: CHECK compares it there, once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from msgspec.structs import replace

from multinet.core.desired import AnyItem, LinkSettings, NoRoute, Route

_ANY = {"mac": "", "mtu": 0}
"""What a link item says when it may have any."""


def without_changed(items: Iterable[AnyItem], others: Collection[AnyItem]) -> tuple[AnyItem, ...]:
    """``items`` without the MACs and MTUs that ``others`` of the chain have given their sandbox links, and without
    the routes that these have moved elsewhere.
    """
    moved = {(gone.link, gone.dst, gone.table) for gone in others if isinstance(gone, NoRoute)}
    left = [
        item for item in items if not (isinstance(item, Route) and (item.link, item.dst, item.table) in moved)
    ]
    settings = [other for other in others if isinstance(other, LinkSettings) and other.place == "sandbox"]
    return tuple(_without_changed(item, settings) for item in left)


def _without_changed(item: AnyItem, settings: Iterable[LinkSettings]) -> AnyItem:
    changed: dict[str, Any] = {}
    for setting in settings:
        if item.place == "sandbox" and setting.link == getattr(item, "name", ""):
            changed |= {
                field: value
                for field, value in _ANY.items()
                if getattr(setting.want, field) is not None and hasattr(item, field)
            }
    return replace(item, **changed) if changed else item

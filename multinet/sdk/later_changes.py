"""What a later plugin of a chain has changed on an earlier one's link, as CHECK must expect it there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from multinet.core.desired import AnyItem, LinkSettings


def as_changed(items: Iterable[AnyItem], others: Iterable[AnyItem]) -> tuple[AnyItem, ...]:
    """``items`` with the MAC and MTU that ``others`` of the chain have given their links in the sandbox."""
    settings = [other for other in others if isinstance(other, LinkSettings) and other.place == "sandbox"]
    return tuple(_changed(item, settings) for item in items)


def _changed(item: AnyItem, settings: Iterable[LinkSettings]) -> AnyItem:
    name = getattr(item, "name", "")
    changes: dict[str, Any] = {}
    for setting in settings:
        if setting.link == name and item.place == "sandbox":
            wanted = {"mac": setting.want.mac, "mtu": setting.want.mtu}
            changes |= {key: value for key, value in wanted.items() if value and hasattr(item, key)}
    return replace(item, **changes) if changes else item

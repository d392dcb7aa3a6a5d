"""What later plugins of a chain have changed of an earlier one's: CHECK compares it there, once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from msgspec.structs import asdict, replace

from multinet.core.desired import AnyItem, LinkSettings, NoRoute, Route, Sysctl

_ANY = {"mac": "", "mtu": 0}
"""What a link item says when it may have any."""


def without_changed(items: Iterable[AnyItem], later: Collection[AnyItem]) -> tuple[AnyItem, ...]:
    """``items`` without what ``later`` ones of the chain say anew: attributes of sandbox links, sysctls, and routes
    that have been moved elsewhere.
    """
    moved = {(gone.link, gone.dst, gone.table) for gone in later if isinstance(gone, NoRoute)}
    keys = {(other.place, other.key) for other in later if isinstance(other, Sysctl)}
    settings = [other for other in later if isinstance(other, LinkSettings) and other.place == "sandbox"]
    left = [
        item
        for item in items
        if not (isinstance(item, Route) and (item.link, item.dst, item.table) in moved)
        and not (isinstance(item, Sysctl) and (item.place, item.key) in keys)
    ]
    return tuple(_without_changed(item, settings) for item in left)


def _without_changed(item: AnyItem, settings: Iterable[LinkSettings]) -> AnyItem:
    if item.place != "sandbox":
        return item
    if isinstance(item, LinkSettings):
        names = _changed(item.link, settings)
        return replace(item, want=replace(item.want, **dict.fromkeys(names))) if names else item
    names = _changed(getattr(item, "name", ""), settings)
    changed: dict[str, Any] = {
        name: value for name, value in _ANY.items() if name in names and hasattr(item, name)
    }
    return replace(item, **changed) if changed else item


def _changed(link: str, settings: Iterable[LinkSettings]) -> set[str]:
    """Names of the attributes of a link that are set anew."""
    return {
        name
        for setting in settings
        if setting.link == link
        for name, value in asdict(setting.want).items()
        if value is not None
    }

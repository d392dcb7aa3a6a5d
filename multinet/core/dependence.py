"""Which attachments of a pod wait for which: those that name another's interface."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["dependences"]

_NOT_AN_INTERFACE = frozenset(("cniVersion", "name", "type"))
"""Keys of a plugin object that name its network or executable."""


def dependences(attachments: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> list[frozenset[int]]:
    """For each attachment (its interface name, its plugins' objects), in order: the places of those to wait for.

    Of two attachments the later one waits, if the configuration of either names the interface of the other: as a
    word in any string or key (``master``, ``links``, ``net/ipv4/conf/net1/…``), since nobody knows the keys of all
    plugins. So the two are made in the order in which they were asked for, and nobody waits in a circle.
    """
    names = [re.compile(rf"(?<![\w-]){re.escape(ifname)}(?![\w-])") for ifname, _ in attachments]
    texts = [
        "\n".join(text for plugin in plugins for text in _plugin_texts(plugin)) for _, plugins in attachments
    ]
    return [
        frozenset(
            earlier
            for earlier in range(place)
            if names[earlier].search(texts[place]) or names[place].search(texts[earlier])
        )
        for place in range(len(attachments))
    ]


def _plugin_texts(plugin: Mapping[str, Any]) -> Iterator[str]:
    return _texts({key: value for key, value in plugin.items() if key not in _NOT_AN_INTERFACE})


def _texts(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)

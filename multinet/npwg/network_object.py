"""The least that a CNI configuration object must be before anything is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multinet.cni.errors import InvalidConfig

__all__ = ["check_network_object", "plugins_of"]


def check_network_object(network: Mapping[str, Any], path: str = "$") -> None:
    """A single plugin (``type``) or a list (``plugins``, each with a ``type``).

    Every plugin is looked at, not the first alone, so that the fault shows before anything is attached.
    Raises InvalidConfig (code 7).
    """
    for key in ("name", "cniVersion", "type"):
        value = network.get(key)
        if value is not None and not isinstance(value, str):
            raise InvalidConfig(f"{path}.{key}", f"expected str, got {type(value).__name__}")
    if network.get("type"):
        return
    plugins = network.get("plugins")
    if not plugins or not isinstance(plugins, list):
        raise InvalidConfig(
            f"{path}.plugins", "LoadDelegateNetConfList: delegate must have the 'type' or 'plugin' field"
        )
    for index, plugin in enumerate(plugins):
        kind = plugin.get("type") if isinstance(plugin, Mapping) else None
        if not kind or not isinstance(kind, str):
            raise InvalidConfig(
                f"{path}.plugins[{index}].type",
                "LoadDelegateNetConfList: a plugin delegate must have the 'type' field",
            )


def plugins_of(network: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The plugin objects of a list, or the one that the object itself is."""
    return [network] if network.get("type") else list(network.get("plugins") or ())

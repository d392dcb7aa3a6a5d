"""The shape of a network configuration: each key that means the same in every network, read and checked.

Every function raises InvalidConfig (code 7) with the JSON path. Source: CNI specification 1.1.0, "Network
configuration format"; texts as libcni's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, InvalidConfig
from multinet.cni.names import validate_network_name
from multinet.cni.result import DNS
from multinet.cni.versions import negotiate, parse_version

__all__ = [
    "LIST_FAULT",
    "PLUGIN_FAULT",
    "chosen_version",
    "flag",
    "network_name",
    "require_object",
    "require_plugin",
]

LIST_FAULT = "error parsing configuration list: "
PLUGIN_FAULT = "error parsing configuration: "


class _Ipam(msgspec.Struct):
    type: str = ""


class _Plugin(msgspec.Struct):
    """The keys that mean the same in every plugin object."""

    type: str
    capabilities: dict[str, bool] = {}
    ipam: _Ipam | None = None
    dns: DNS | None = None


def require_plugin(plugin: Any, path: str) -> None:
    """A plugin object: ``type`` is there and no path; the well-known keys have their shape."""
    require_object(plugin, path)
    if not plugin.get("type"):
        raise InvalidConfig(f"{path}.type", f"{PLUGIN_FAULT}missing 'type'")
    convert(plugin, _Plugin, path)
    if "/" in plugin["type"] or "\0" in plugin["type"]:
        raise InvalidConfig(f"{path}.type", f"invalid plugin name: {plugin['type']}")


def require_object(value: Any, path: str) -> None:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise InvalidConfig(path, f"expected an object, got {type(value).__name__}")


def network_name(raw: Mapping[str, Any]) -> str:
    """``name``, required and valid."""
    name = raw.get("name")
    if name is None or name == "":
        kind = LIST_FAULT if raw.get("type") is None else PLUGIN_FAULT
        raise InvalidConfig("$.name", f"{kind}no name")
    if not isinstance(name, str):
        raise InvalidConfig("$.name", f"expected str, got {type(name).__name__}")
    try:
        validate_network_name(name)
    except CNIError as error:
        raise InvalidConfig("$.name", str(error)) from None
    return name


def chosen_version(raw: Mapping[str, Any]) -> str:
    """The version to call the plugins in, from ``cniVersion`` and ``cniVersions``."""
    stated = raw.get("cniVersion") or ""
    if not isinstance(stated, str):
        raise InvalidConfig("$.cniVersion", f"expected str, got {type(stated).__name__}")
    offered = raw.get("cniVersions") or []
    if not isinstance(offered, list):
        raise InvalidConfig("$.cniVersions", f"expected a list, got {type(offered).__name__}")
    for i, version in enumerate(offered):
        if not isinstance(version, str):
            raise InvalidConfig(f"$.cniVersions[{i}]", f"expected str, got {type(version).__name__}")
        _require_version(version, f"$.cniVersions[{i}]")
    _require_version(stated, "$.cniVersion")
    return negotiate(stated, offered)


def _require_version(version: str, path: str) -> None:
    try:
        parse_version(version)
    except CNIError as error:
        raise InvalidConfig(path, error.msg) from None


def flag(raw: Mapping[str, Any], key: str) -> bool:
    """A boolean that may also be written as a string, in any case."""
    value = raw.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise InvalidConfig(f"$.{key}", f"{LIST_FAULT}expected true or false, got {value!r}")

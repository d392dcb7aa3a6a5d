"""The text of the slot's file, from the primary's configuration and the plan. Pure.

Keys and their order are those of Multus' generated file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError, Code
from multinet.cni.versions import at_least, require_supported
from multinet.daemon.pods import POD_ANNOTATIONS
from multinet.daemon.slot.plan import SlotPlan
from multinet.daemon.slot.primary import Primary

__all__ = ["compose", "declared_capabilities", "undeclared_capabilities"]

_UNSTATED_PRIMARY = "1.0.0"
"""The version where neither the plan nor the primary says any."""
_CHANGED_AT = "0.4.0"
_BEFORE_NAME = ("binDir", "capabilities", "cniVersion", "logFile", "logLevel", "logToStderr", "logOptions")
_AFTER_NAME = ("name", "clusterNetwork", "namespaceIsolation", "globalNamespaces", "type", "cniDir")
_LAST = ("auxiliaryCNIChainName", "daemonSocketDir", "overrideNetworkName")
_ORDER = (*_BEFORE_NAME, *_AFTER_NAME, *_LAST)
_OF_THE_LIST = ("cniVersion", "name")


def compose(primary: Primary, plan: SlotPlan) -> bytes:
    """The file's content: a list, or one plugin if the file is to end in ``.conf``.

    Raises CNIError code 1 or 7 when the primary's version doesn't go with the one that is asked for.
    """
    capabilities = {
        **{name: True for name, wanted in plan.capabilities.items() if wanted},
        **dict.fromkeys(declared_capabilities(primary.network), True),
        POD_ANNOTATIONS: True,
    }
    given: dict[str, Any] = {
        **plan.keys,
        "capabilities": dict(sorted(capabilities.items())),
        "cniVersion": _version(primary, plan.cni_version),
        "name": _name(primary, plan),
        "clusterNetwork": primary.path,
        "type": plan.type,
        "overrideNetworkName": plan.override_network_name,
    }
    plugin = {key: given[key] for key in _ORDER if _says_something(given.get(key))}
    if plan.file.endswith(".conf"):
        return json.dumps(plugin, separators=(",", ":")).encode() + b"\n"
    whole = {key: plugin.pop(key) for key in _OF_THE_LIST}
    return json.dumps({**whole, "plugins": [plugin]}, indent=2).encode() + b"\n"


def declared_capabilities(network: NetworkList) -> tuple[str, ...]:
    """What the network's plugins can be given by the runtime, in order; those set to false don't count."""
    declared: dict[str, None] = {}
    for plugin in network.plugins:
        given: Mapping[str, bool] = plugin.get("capabilities") or {}
        declared |= {name: None for name, value in given.items() if value}
    return tuple(declared)


def undeclared_capabilities(slot: NetworkList, primary: NetworkList) -> tuple[str, ...]:
    """What the primary can be given but a hand-written configuration doesn't have the runtime hand over."""
    asked = set(declared_capabilities(slot))
    return tuple(name for name in declared_capabilities(primary) if name not in asked)


def _version(primary: Primary, wanted: str) -> str:
    declared = primary.declared_version
    if not wanted:
        return declared or _UNSTATED_PRIMARY
    try:
        version = require_supported(wanted)
    except CNIError as error:
        raise error.prefixed("couldn't get top level cni version: ") from None
    if not declared:
        raise _mismatch("couldn't get cni version of delegate")
    if at_least(version, _CHANGED_AT) and not at_least(declared, _CHANGED_AT):
        raise _mismatch(f"delegate cni version is {declared} while top level cni version is {version}")
    return version


def _mismatch(problem: str) -> CNIError:
    return CNIError(
        Code.INVALID_CONFIG,
        f"failed to load the primary CNI configuration as a multus delegate with error '{problem}'",
        "set cniVersion to the primary's own, or leave it out",
    )


def _name(primary: Primary, plan: SlotPlan) -> str:
    """Distinct from the primary's unless asked otherwise: runtimes know attachments by it."""
    theirs = primary.network.name
    if plan.override_network_name:
        return theirs
    return plan.name if plan.name != theirs else f"{plan.name}-multinet"


def _says_something(value: Any) -> bool:
    """What is empty or false is left out, as Multus does; all of these keys mean the same when they are absent."""
    return bool(value)

"""Runs a plugin of a chain wherever it lives: in process if it is one of ours, else as an executable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cni.chain import PluginCall
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import AnyItem
from multinet.sdk import registry
from multinet.sdk.later_changes import without_changed
from multinet.sdk.measured import measured
from multinet.sdk.node import Node
from multinet.sdk.plugin import Plugin

PINNED = "multinet/executable"
"""Key of a plugin object that has an executable run even if the type is one of ours: ``true``, or which one.

Only an executable in a folder of ``CNI_PATH``, by name or whole path: whoever may write a network must not
thereby run any file of the host.
"""


class DelegateExecutor:
    """The ``Executor`` of a node. One per attachment: it remembers what each plugin of the chain applied."""

    def __init__(self, node: Node, applied: dict[str, tuple[AnyItem, ...]] | None = None) -> None:
        self._node = node
        self.applied = dict(applied or {})
        """Place and type of a plugin (``0:bridge``) → items; as recorded at ADD, for DEL."""

    def run(self, call: PluginCall) -> dict[str, Any] | None:
        """One verb of one plugin; the result object of an ADD. Raises CNIError."""
        plugin = None if is_pinned(call.conf) else registry.plugin(call.type)
        if plugin is None:
            return self._node.external.run(located(call, call.conf))
        return self._run_in_process(plugin, call)

    def run_called(self, call: PluginCall) -> dict[str, Any] | None:
        """As ``run``, for a plugin that was called by its own name: never as an executable.

        Else one that is installed under that name, or that the configuration pins, would call itself for ever.
        Raises CNIError code 7 for a type that is none of ours.
        """
        plugin = registry.plugin(call.type)
        if plugin is None:
            raise CNIError(
                Code.INVALID_CONFIG,
                f'"{call.type}" is no plugin of multinet, but its executable is installed under that name',
                f"put another executable there; multinet has {', '.join(registry.types())}",
            )
        return self._run_in_process(plugin, call)

    def _run_in_process(self, plugin: Plugin, call: PluginCall) -> dict[str, Any] | None:
        with measured(self._node.measures.plugin, call.type, call.verb):
            return self._carry_out(plugin, call)

    def _carry_out(self, plugin: Plugin, call: PluginCall) -> dict[str, Any] | None:
        match call.verb:
            case "ADD":
                outcome = plugin.add(call, self._node)
                self.applied[call.place] = outcome.items
                return outcome.result
            case "CHECK":
                plugin.check(call, self._node, self._expected(call.place))
            case "DEL":
                plugin.delete(call, self._node, self.applied.get(call.place))
            case "GC":
                plugin.gc(call, self._node)
            case "STATUS":
                plugin.status(call, self._node)
            case _:
                raise CNIError(Code.INVALID_ENVIRONMENT, f"unknown CNI_COMMAND: {call.verb}")
        return None

    def _expected(self, place: str) -> tuple[AnyItem, ...] | None:
        """What a plugin applied, but for what later ones of the chain have changed since."""
        items = self.applied.get(place)
        if items is None:
            return None
        position = _position(place)
        later = [item for at, applied in self.applied.items() if _position(at) > position for item in applied]
        return without_changed(items, later)


def _position(place: str) -> int:
    """The number in ``0:bridge``."""
    return int(place.partition(":")[0])


def located(call: PluginCall, plugin: Mapping[str, Any]) -> PluginCall:
    """The call with the executable that the object ``plugin`` pins, if it does. Raises CNIError code 7."""
    pinned = plugin.get(PINNED)
    if not isinstance(pinned, str):
        return call
    folder, name = os.path.split(pinned)
    if folder and folder not in call.invocation.path:
        raise CNIError(
            Code.INVALID_CONFIG,
            f'"{PINNED}": "{pinned}" is not in a folder of CNI_PATH ({":".join(call.invocation.path)})',
        )
    return msgspec.structs.replace(call, type=name)


def is_pinned(conf: Mapping[str, Any]) -> bool:
    """True when the plugin object insists on an executable."""
    return bool(conf.get(PINNED))


def runs_in_process(conf: Mapping[str, Any]) -> bool:
    """True when a plugin object and the address manager it names both run in process."""
    ipam = conf.get("ipam") or {}
    own_ipam = not ipam.get("type") or (not is_pinned(ipam) and registry.plugin(ipam["type"]) is not None)
    return own_ipam and not is_pinned(conf) and registry.plugin(str(conf.get("type"))) is not None

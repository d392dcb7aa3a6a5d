"""Which executables a network needs: looked for before anything is attached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from multinet.cni.chain import PluginCall
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError
from multinet.cni.execution import find_executable
from multinet.cni.invocation import Invocation
from multinet.sdk import registry
from multinet.sdk.executor import is_pinned, located


def require_executables(networks: Sequence[NetworkList], path: Sequence[str]) -> None:
    """Every plugin of the networks that doesn't run in process is in a folder of ``path``.

    What can't be started can't be undone either: found out in the middle, it would leave an attachment that
    no DEL removes. Raises CNIError code 103 or 7 that names the network and the plugin.
    """
    invocation = Invocation("ADD", path=tuple(path))
    for network in networks:
        for kind, conf in (needed for plugin in network.plugins for needed in _external(plugin)):
            try:
                find_executable(located(PluginCall("ADD", kind, dict(conf), invocation), conf).type, path)
            except CNIError as error:
                raise error.prefixed(f'network "{network.name}": ') from None


def _external(plugin: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The plugin itself, or else the address manager that it is to run (an executable finds its own)."""
    if _is_external(plugin):
        yield plugin["type"], plugin
        return
    ipam = plugin.get("ipam")
    if (
        isinstance(ipam, Mapping)
        and isinstance(ipam.get("type"), str)
        and ipam["type"]
        and _is_external(ipam)
    ):
        yield ipam["type"], ipam


def _is_external(conf: Mapping[str, Any]) -> bool:
    return is_pinned(conf) or registry.plugin(conf["type"]) is None

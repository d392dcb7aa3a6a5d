"""Which plugin types run in process, found by name; others are executables."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from multinet.cni.errors import CNIError, Code
from multinet.ports import Ipam
from multinet.sdk.ipam_plugin import IpamPlugin
from multinet.sdk.plugin import Plugin

GROUP = "multinet.delegates"

# Our own are listed, so that a plain executable needn't search all installed packages when it starts.
_OWN = {
    "bandwidth": "multinet.delegates.bandwidth:bandwidth",
    "bridge": "multinet.delegates.bridge:bridge",
    "dhcp": "multinet.delegates.dhcp:dhcp",
    "dummy": "multinet.delegates.dummy:dummy",
    "firewall": "multinet.delegates.firewall:firewall",
    "flannel": "multinet.delegates.flannel:flannel",
    "host-device": "multinet.delegates.host_device:host_device",
    "host-local": "multinet.delegates.host_local:host_local",
    "ipvlan": "multinet.delegates.ipvlan:ipvlan",
    "loopback": "multinet.delegates.loopback:loopback",
    "macvlan": "multinet.delegates.macvlan:macvlan",
    "passthru": "multinet.delegates.passthru:passthru",
    "portmap": "multinet.delegates.portmap:portmap",
    "ptp": "multinet.delegates.ptp:ptp",
    "sbr": "multinet.delegates.sbr:sbr",
    "static": "multinet.delegates.static:static",
    "tuning": "multinet.delegates.tuning:tuning",
    "tap": "multinet.delegates.tap:tap",
    "vlan": "multinet.delegates.vlan:vlan",
    "vrf": "multinet.delegates.vrf:vrf",
}


_loaded: dict[str, Plugin] = {}
_others: dict[str, Any] | None = None


def plugin(kind: str) -> Plugin | None:
    """The in-process plugin for a ``type``, or None: then it is an executable.

    Raises CNIError code 103 when a package offers the type but can't be loaded.
    """
    if kind not in _loaded:
        found = _load(kind)
        if found is None:
            return None
        _loaded[kind] = found
    return _loaded[kind]


def register(kind: str, plugin: Plugin | Ipam) -> None:
    """Have ``plugin`` serve a ``type`` in this process, without an entry point (a file run by itself, a test)."""
    _loaded[kind] = _as_plugin(plugin)


def types() -> tuple[str, ...]:
    """All types that run in process, sorted."""
    return tuple(sorted({*_OWN, *_loaded, *_entry_points()}))


def _load(kind: str) -> Plugin | None:
    if kind in _OWN:
        module, _, name = _OWN[kind].partition(":")
        found = getattr(import_module(module), name)
    else:
        entry = _entry_points().get(kind)
        if entry is None:
            return None
        try:
            found = entry.load()
        except Exception as error:  # somebody else's code
            raise CNIError(
                Code.DELEGATE_FAILED,
                f'delegate "{kind}" ({entry.value}) cannot be loaded: {type(error).__name__}: {error}',
            ) from error
    return _as_plugin(found)


def _as_plugin(found: Any) -> Plugin:
    """An address manager behind the verbs of a plugin; a plugin as it is."""
    return IpamPlugin(found) if hasattr(found, "allocate") else found


def _entry_points() -> Mapping[str, Any]:
    global _others
    if _others is None:
        from importlib.metadata import entry_points  # slow to import; only third-party types need it

        _others = {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in _OWN}
    return _others

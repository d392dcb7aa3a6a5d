"""Where an attachment's addresses come from: an IPAM in process, or an executable, behind one face."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import msgspec

from multinet.cni.chain import PluginCall
from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Result
from multinet.core.desired import Difference
from multinet.ports import Ipam, never
from multinet.sdk import registry
from multinet.sdk.delegate import DelegateConf
from multinet.sdk.executor import is_pinned, located
from multinet.sdk.ipam import member
from multinet.sdk.ipam_plugin import IpamPlugin, previous_result, request_of, version_of
from multinet.sdk.measured import measured
from multinet.sdk.node import Node
from multinet.sdk.previous import own_part

_RELEASE_TIME = 10.0
"""Seconds."""


class IpamSource(Protocol):
    """One attachment's address manager, bound to its call."""

    needs_link: bool
    """True when the interface must be there before addresses can be asked for (DHCP and its like)."""

    def allocate(self) -> Result:
        """Take addresses."""

    def release(self) -> None:
        """Give them back."""

    def check(self) -> list[Difference]:
        """What of the reservation is missing."""

    def collect(self, valid: Collection[tuple[str, str]]) -> None:
        """Release what isn't valid."""

    def status(self) -> None:
        """Raises CNIError when there would be no address."""


def ipam_source(call: PluginCall, conf: DelegateConf | None, node: Node) -> IpamSource | None:
    """The address manager that a configuration names, None for L2.

    Without ``conf`` (DEL, GC) the raw object is trusted as far as it can be read.
    """
    raw = conf.ipam if conf is not None else member(call.conf, "ipam")
    if not isinstance(raw, dict):
        return None
    kind = member(raw, "type")
    if not kind or not isinstance(kind, str):
        return None
    plugin = None if is_pinned(raw) else registry.plugin(kind)
    if isinstance(plugin, IpamPlugin):
        return _InProcess(kind, plugin.ipam, call, node)
    if plugin is not None:
        raise CNIError(Code.INVALID_CONFIG, f'$.ipam.type: "{kind}" is no address manager')
    return _External(kind, call, node)


def needs_link(conf: Mapping[str, Any]) -> bool:
    """Whether the address manager of a plugin object gives addresses back by the link, so that it must go last."""
    raw = member(conf, "ipam")
    kind = member(raw, "type")
    if not kind or not isinstance(kind, str):
        return False
    plugin = None if is_pinned(raw) else registry.plugin(kind)
    return not isinstance(plugin, IpamPlugin) or _needs_link(plugin.ipam)


def _needs_link(ipam: Ipam) -> bool:
    return bool(getattr(ipam, "needs_link", False))


class _InProcess:
    def __init__(self, kind: str, ipam: Ipam, call: PluginCall, node: Node) -> None:
        self.needs_link = _needs_link(ipam)
        self._kind = kind
        self._tell = node.measures.plugin
        self._ipam = ipam
        self._call = call
        self._request = request_of(call, node)

    def allocate(self) -> Result:
        with self._measured("ADD"):
            return self._ipam.allocate(self._request)

    def release(self) -> None:
        deadline = _unhurried(self._call).deadline
        with self._measured("DEL"):
            self._ipam.release(msgspec.structs.replace(self._request, deadline=deadline, cancelled=never))

    def check(self) -> list[Difference]:
        previous = previous_result(self._call.conf)
        own = own_part(previous, self._call.invocation.ifname) if previous else None
        with self._measured("CHECK"):
            return self._ipam.check(self._request, own)

    def collect(self, valid: Collection[tuple[str, str]]) -> None:
        with self._measured("GC"):
            self._ipam.collect(self._request, valid)

    def status(self) -> None:
        with self._measured("STATUS"):
            self._ipam.status(self._request)

    def _measured(self, verb: str) -> measured:
        return measured(self._tell, self._kind, verb)


class _External:
    """The executable of ``ipam.type`` gets the whole configuration and the same environment (spec, section 4)."""

    needs_link = True

    def __init__(self, kind: str, call: PluginCall, node: Node) -> None:
        self._kind = kind
        self._call = call
        self._node = node

    def allocate(self) -> Result:
        return Result.from_json(self._run("ADD") or {}, version_of(self._call.conf))

    def release(self) -> None:
        self._run("DEL", _unhurried(self._call))

    def check(self) -> list[Difference]:
        self._run("CHECK")
        return []

    def collect(self, valid: Collection[tuple[str, str]]) -> None:
        self._run("GC")

    def status(self) -> None:
        self._run("STATUS")

    def _run(self, verb: str, call: PluginCall | None = None) -> dict[str, Any] | None:
        call = call or self._call
        invocation = msgspec.structs.replace(call.invocation, command=verb)
        call = msgspec.structs.replace(call, verb=verb, type=self._kind, invocation=invocation)
        return self._node.external.run(located(call, member(call.conf, "ipam") or {}))


def _unhurried(call: PluginCall) -> PluginCall:
    """The call with time enough to give addresses back, even when the ADD has run out of time or its caller."""
    deadline = None if call.deadline is None else max(call.deadline, time.monotonic() + _RELEASE_TIME)
    return msgspec.structs.replace(call, deadline=deadline, cancel_fd=None)

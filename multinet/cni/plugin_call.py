"""One call of one plugin: what it is asked, and who runs it.

Source: CNI specification 1.1.0, "Section 3", "Deriving request configuration".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypedDict

import msgspec

from multinet.cni.conf import NetworkList
from multinet.cni.invocation import Invocation

__all__ = ["Executor", "PluginCall", "Terms", "description", "plugin_call", "request_conf"]


class PluginCall(msgspec.Struct, frozen=True):
    """One plugin to run."""

    verb: str
    type: str
    conf: dict[str, Any]
    """The complete request configuration: what an executable gets on standard input."""
    invocation: Invocation
    env: Mapping[str, str] = {}
    """Further environment variables (``TRACEPARENT``, ``CNI_NETNS_OVERRIDE``)."""
    deadline: float | None = None
    """Monotonic time (seconds) by which the plugin must be done."""
    cancel_fd: int | None = None
    """A descriptor that becomes readable, or hangs up, when nobody waits for the answer any more."""
    position: int = 0
    """Place of the plugin in its network's list."""

    @property
    def place(self) -> str:
        """Which plugin of the network it is: one type may stand in a list several times."""
        return f"{self.position}:{self.type}"


class Executor(Protocol):
    """Something that runs plugins."""

    def run(self, call: PluginCall) -> dict[str, Any] | None:
        """The result object of an ADD, as the plugin printed it; other verbs have none.

        Raises CNIError when the plugin fails, can't be run, or isn't done in time.
        """


class Terms(TypedDict, total=False):
    """What all calls of one operation share; see the fields of ``PluginCall``."""

    capability_args: Mapping[str, Any]
    """Capability name to argument; a plugin gets those that it declares as ``true``."""
    env: Mapping[str, str]
    deadline: float | None
    cancel_fd: int | None


def request_conf(
    network: NetworkList,
    plugin: Mapping[str, Any],
    previous: Mapping[str, Any] | None = None,
    capability_args: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The request configuration of one plugin: its object, with what is the runtime's to say.

    ``prevResult`` and ``cni.dev/…`` keys of the object itself are dropped: they are reserved, and a
    stale list of valid attachments would let a GC delete live ones.
    """
    conf = {key: value for key, value in plugin.items() if not _reserved(key)}
    conf["cniVersion"] = network.cni_version
    conf["name"] = network.name
    if previous is not None:
        conf["prevResult"] = previous
    declared = plugin.get("capabilities") or {}
    given = {key: value for key, value in (capability_args or {}).items() if declared.get(key) is True}
    if given:
        conf["runtimeConfig"] = given
    return conf


def plugin_call(
    verb: str,
    network: NetworkList,
    plugin: dict[str, Any],
    invocation: Invocation,
    previous: dict[str, Any] | None,
    terms: Terms,
) -> PluginCall:
    """The call of one plugin of a network, with everything that the runtime adds."""
    return PluginCall(
        verb=verb,
        type=plugin["type"],
        conf=request_conf(network, plugin, previous, terms.get("capability_args")),
        invocation=msgspec.structs.replace(invocation, command=verb),
        env=terms.get("env", {}),
        deadline=terms.get("deadline"),
        cancel_fd=terms.get("cancel_fd"),
        position=next((at for at, one in enumerate(network.plugins) if one is plugin), 0),
    )


def description(plugin: Mapping[str, Any]) -> str:
    """A plugin as libcni's messages call it: ``type="bridge" name="x"``."""
    name = plugin.get("name")
    return f'type="{plugin["type"]}"' + (f' name="{name}"' if name else "")


def _reserved(key: str) -> bool:
    return key == "prevResult" or key.startswith("cni.dev/")

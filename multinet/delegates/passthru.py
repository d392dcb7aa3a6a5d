"""passthru: does nothing, so that a list of plugins which only adjust things has a first one."""

from __future__ import annotations

from multinet.cni.chain import PluginCall
from multinet.core.desired import AnyItem
from multinet.sdk import DelegateConf
from multinet.sdk.node import Node
from multinet.sdk.plugin import Outcome


class PassthruConf(DelegateConf, frozen=True, kw_only=True):
    """No options of its own."""


class Passthru:
    """The five verbs, none of which touches anything: the interface, if there is one, is another plugin's."""

    conf = PassthruConf

    def add(self, call: PluginCall, node: Node) -> Outcome:
        """An empty result; a previous one is handed on as it is."""
        previous = call.conf.get("prevResult") or {}
        return Outcome({"cniVersion": call.conf.get("cniVersion") or "0.1.0", **previous})

    def check(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """There is nothing to differ."""

    def delete(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """There is nothing to remove."""

    def gc(self, call: PluginCall, node: Node) -> None:
        """There is nothing to collect."""

    def status(self, call: PluginCall, node: Node) -> None:
        """Always ready."""


passthru = Passthru()

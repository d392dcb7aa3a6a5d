"""A chained delegate as a CNI plugin: it adjusts what earlier plugins of the list made."""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec.structs import replace

from multinet.cni.chain import PluginCall
from multinet.cni.decode import convert
from multinet.cni.result import Result
from multinet.core.desired import AnyItem, PacketRule
from multinet.engine.compare import compare
from multinet.engine.undo import Undo
from multinet.sdk.delegate_plugin import C, DelegatePlugin, DesiredState, known_result
from multinet.sdk.ipam_plugin import check_failure
from multinet.sdk.node import Node
from multinet.sdk.plugin import Outcome

__all__ = ["ChainedPlugin", "chained_delegate"]

_MISSING = "must be called as chained plugin"


def chained_delegate(
    conf: type[C],
    *,
    rules: Collection[type[PacketRule]] = (),
    known_args: Collection[str] | None = None,
    missing: str = _MISSING,
    missing_in_check: str = "",
) -> Callable[[DesiredState[C]], ChainedPlugin[C]]:
    """Make a plugin of a function ``(conf, pod, host) -> Desired`` that adjusts what is there.

    ``pod.previous`` is the result so far, in CHECK also ``pod.made``. A ``Desired`` without a result hands it
    on as it is. ``missing`` is what to say when there is no ``prevResult``.
    """
    return lambda desired: ChainedPlugin(
        conf, desired, rules, known_args, missing, missing_in_check or missing
    )


class ChainedPlugin(DelegatePlugin[C]):
    """The five verbs of a delegate that makes no interface."""

    def __init__(
        self,
        conf: type[C],
        desired: DesiredState[C],
        rules: Collection[type[PacketRule]],
        known_args: Collection[str] | None,
        missing: str,
        missing_in_check: str,
    ) -> None:
        super().__init__(conf, desired, rules, known_args)
        self._missing = {"ADD": missing, "CHECK": missing_in_check}

    def add(self, call: PluginCall, node: Node) -> Outcome:
        """Decide and apply; whatever fails, what was done is undone."""
        conf = convert(call.conf, self.conf)
        previous = known_result(call, self._missing["ADD"])
        pod = self._pod(call, conf)
        with node.scene(call, pod.owner) as scene, node.turn(scene), Undo() as undo:
            previous.as_version(conf.cni_version)  # what can't be said fails before the kernel is touched
            desired = self._bring_about(conf, pod, node, scene, undo)
            result = desired.result if desired.result != Result() else previous
            return Outcome(result.as_version(conf.cni_version), desired.items)

    def check(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """Compare what was recorded, or what configuration and previous result say, with the kernel."""
        conf = convert(call.conf, self.conf)
        previous = known_result(call, self._missing["CHECK"])
        pod = replace(self._pod(call, conf), previous=previous, made=previous)
        with node.scene(call, pod.owner) as scene:
            if items is None:
                items = self.desired(conf, pod, scene.facts).items
            found = compare(items, scene)
        if found:
            raise check_failure(found)

    def delete(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """Take back what was recorded, or else what carries the owner's mark; needs no previous result."""
        failures = self._removed(call, node, items)
        if failures:
            raise failures[0]

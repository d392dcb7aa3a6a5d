"""A delegate as a CNI plugin: what all delegates' verbs have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Generic, TypeVar

from msgspec.structs import replace

from multinet.cni.chain import PluginCall
from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, Code
from multinet.cni.invocation import parse_args, require_known_args
from multinet.cni.result import Result
from multinet.core.desired import AnyItem, PacketRule
from multinet.engine.apply import apply
from multinet.engine.attempts import attempt
from multinet.engine.facts import Facts
from multinet.engine.remove import collect, remove, sweep
from multinet.engine.scene import Scene
from multinet.engine.stage import FactsChanged
from multinet.engine.undo import Undo
from multinet.sdk.delegate import DelegateConf, Desired, Sandbox
from multinet.sdk.ipam_plugin import owner_of, previous_result, valid_attachments
from multinet.sdk.mac import requested_mac
from multinet.sdk.node import Node

C = TypeVar("C", bound=DelegateConf)

Valid = frozenset[tuple[str, str]]
"""Attachments that GC must keep: pairs of container id and interface name."""
DesiredState = Callable[[C, Sandbox, Facts], Desired]
Leftovers = Callable[[C | None, Sandbox, Facts], Iterable[AnyItem]]
Stale = Callable[[C | None, str, Valid, Facts], Iterable[AnyItem]]
Ready = Callable[[C, Facts], None]

_DECISIONS = 5
"""How often a decision is taken again because the host changed under it."""


class DelegatePlugin(Generic[C]):
    """What follows from a function that says what is desired, and from the few words that can be added to it."""

    makes_link = False
    """Whether the link ``CNI_IFNAME`` is the delegate's own, to be removed by name when nothing is recorded."""

    def __init__(
        self,
        conf: type[C],
        desired: DesiredState[C],
        rules: Collection[type[PacketRule]] = (),
        known_args: Collection[str] | None = None,
    ) -> None:
        """``rules``: the kinds of packet rules it makes; ``known_args``: keys of ``CNI_ARGS``, None for any."""
        self.conf = conf
        self.desired = desired
        self.rules = tuple(rules)
        self.known_args = known_args
        self._leftovers: Leftovers[C] | None = None
        self._stale: Stale[C] | None = None
        self._ready: Ready[C] | None = None
        self.__doc__ = desired.__doc__

    def leftovers(self, function: Leftovers[C]) -> Leftovers[C]:
        """Decorator: ``(conf, pod, host)`` → what a DEL with no record removes, beside links and rules that carry
        the owner's mark. ``conf`` is None when it can't be read.
        """
        self._leftovers = function
        return function

    def stale(self, function: Stale[C]) -> Stale[C]:
        """Decorator: ``(conf, network, valid, host)`` → what a GC removes, beside host links and rules that carry
        the mark of an attachment that isn't ``valid``.
        """
        self._stale = function
        return function

    def ready(self, function: Ready[C]) -> Ready[C]:
        """Decorator: ``(conf, host)`` → raises CNIError when an ADD now would fail; for STATUS."""
        self._ready = function
        return function

    def gc(self, call: PluginCall, node: Node) -> None:
        """Remove links and rules of attachments that aren't valid."""
        valid = valid_attachments(call.conf)
        if valid is None:
            return
        network = str(call.conf.get("name") or "")
        failures: list[CNIError] = []
        with node.scene(call, owner_of(call)) as scene:
            attempt(failures, lambda: collect(network, valid, scene, self.rules))
            if self._stale is not None:
                stale = self._stale(self._readable(call), network, valid, scene.facts)
                attempt(failures, lambda: remove(tuple(stale), scene))
        if failures:
            raise failures[0]

    def status(self, call: PluginCall, node: Node) -> None:
        """What an ADD needs of the host is there."""
        conf = convert(call.conf, self.conf)
        if self._ready is None:
            return
        with node.scene(call, owner_of(call)) as scene:
            try:
                self._ready(conf, scene.facts)
            except CNIError as error:
                raise CNIError(Code.NOT_AVAILABLE, error.msg, error.details) from None

    def _removed(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> list[CNIError]:
        """Remove what was recorded, or else what can be found; what went wrong."""
        failures: list[CNIError] = []
        with node.scene(call, owner_of(call)) as scene:
            if items is not None:
                attempt(failures, lambda: remove(items, scene))
                return failures
            if self._leftovers is not None:
                pod = self._pod(call, None)
                left = tuple(self._leftovers(self._readable(call), pod, scene.facts))
                attempt(failures, lambda: remove(left, scene))
            attempt(failures, lambda: sweep(scene, self.rules, links=self.makes_link))
        return failures

    def _readable(self, call: PluginCall) -> C | None:
        try:
            return convert(call.conf, self.conf)
        except CNIError:
            return None

    def _pod(self, call: PluginCall, conf: C | None) -> Sandbox:
        """The pod as the call describes it; without ``conf`` (DEL) nothing of it is a fault."""
        pod = Sandbox(owner=owner_of(call), netns=call.invocation.netns)
        if conf is None:
            try:
                return replace(pod, previous=previous_result(call.conf))
            except CNIError:
                return pod
        args: dict[str, str] = {}
        if self.known_args is not None:
            args = parse_args(call.invocation.args)
            if call.verb in ("ADD", "CHECK"):
                require_known_args(args, self.known_args)
        return replace(
            pod,
            requested_mac=requested_mac(conf, args.get("MAC", "")),
            previous=previous_result(call.conf) if call.verb == "ADD" else None,
        )

    def _bring_about(
        self,
        conf: C,
        pod: Sandbox,
        node: Node,
        scene: Scene,
        undo: Undo,
        done: tuple[AnyItem, ...] = (),
    ) -> Desired:
        """Decide and apply what isn't ``done``; decide again when the host changed meanwhile."""
        for decision in range(_DECISIONS):
            desired = self.desired(conf, pod, scene.facts)
            try:
                with Undo() as attempt:
                    apply([item for item in desired.items if item not in done], scene, attempt)
                    attempt.hand_over(undo)
                return desired
            except FactsChanged as changed:
                if decision == _DECISIONS - 1:
                    raise CNIError(Code.TRY_AGAIN, f"{changed} keeps changing on the host") from None
                node.look_again(scene)
        raise AssertionError("unreachable")


def known_result(call: PluginCall, missing: str) -> Result:
    """``prevResult``. Raises CNIError code 7 with the sentence ``missing`` when there is none."""
    previous = previous_result(call.conf)
    if previous is None:
        raise CNIError(Code.INVALID_CONFIG, missing)
    return previous

"""An interface delegate as a CNI plugin: all verbs from one function that says what is desired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec.structs import replace

from multinet.cni.chain import PluginCall
from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, Code
from multinet.cni.invocation import parse_args, require_known_args
from multinet.cni.result import Result
from multinet.core.desired import AnyItem, LinkUp, Route
from multinet.engine.apply import apply
from multinet.engine.compare import compare
from multinet.engine.facts import Facts
from multinet.engine.remove import collect, remove, sweep
from multinet.engine.scene import Scene
from multinet.engine.stage import FactsChanged
from multinet.engine.undo import Undo
from multinet.sdk.delegate import DelegateConf, Desired, Sandbox
from multinet.sdk.ipam_plugin import (
    check_failure,
    owner_of,
    previous_result,
    valid_attachments,
)
from multinet.sdk.ipam_source import IpamSource, ipam_source
from multinet.sdk.mac import requested_mac
from multinet.sdk.node import Node
from multinet.sdk.older_results import route_differences, says_routes_in_full
from multinet.sdk.plugin import Outcome
from multinet.sdk.previous import interface_differences, is_reported, own_part

C = TypeVar("C", bound=DelegateConf)

_KNOWN_ARGS = ("IgnoreUnknown", "MAC", "IP", "GATEWAY")
_DECISIONS = 5
"""How often a decision is taken again because the host changed under it."""


def interface_delegate(
    conf: type[C], existing: str = ""
) -> Callable[[Callable[[C, Sandbox, Facts], Desired]], InterfacePlugin[C]]:
    """Make a plugin of a function ``(conf, pod, host) -> Desired``.

    ``existing`` names the link of a delegate that makes none but adjusts this one (``lo``).
    """
    return lambda desired: InterfacePlugin(conf, desired, existing)


class InterfacePlugin(Generic[C]):
    """The five verbs of a delegate that makes an interface."""

    def __init__(
        self, conf: type[C], desired: Callable[[C, Sandbox, Facts], Desired], existing: str = ""
    ) -> None:
        self.conf = conf
        self.desired = desired
        self.existing = existing
        self.__doc__ = desired.__doc__

    def add(self, call: PluginCall, node: Node) -> Outcome:
        """Decide, allocate, apply; whatever fails, what was done is undone."""
        conf = convert(call.conf, self.conf)
        pod = self._pod(call, conf)
        source = ipam_source(call, conf, node)
        with node.scene(call, pod.owner) as scene, Undo() as undo:
            if not self.existing:
                _require_free(pod, scene)
            ipam: Result | None = None
            done: tuple[AnyItem, ...] = ()
            if source is not None:
                # What can be known to fail is found before an address is taken.
                self.desired(conf, pod, scene.facts)
                if source.needs_link:
                    scene.waits = None  # the address manager needs a link that works
                    done = self._bring_about(conf, pod, node, scene, undo).items
                ipam = self._allocate(source, undo)
            if not self.existing:  # what can't be said in the version fails before the kernel is touched
                Result(ips=ipam.ips if ipam else ()).as_version(conf.cni_version)
            desired = self._bring_about(conf, replace(pod, ipam=ipam), node, scene, undo, done)
            return Outcome(desired.result.as_version(conf.cni_version), desired.items)

    def check(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """Compare what was recorded, or what configuration and previous result say, with the kernel."""
        conf = convert(call.conf, self.conf)
        pod = self._pod(call, conf)
        source = ipam_source(call, conf, node)
        found = source.check() if source is not None else []
        previous = previous_result(call.conf)
        if previous is None and not self.existing:
            raise CNIError(Code.INVALID_CONFIG, "Required prevResult missing")
        with node.scene(call, pod.owner) as scene:
            if previous is not None and not self.existing:
                found += interface_differences(pod, previous, scene)
                pod = replace(pod, made=previous, ipam=own_part(previous, pod) if source else None)
            if items is None:
                items = self.desired(conf, pod, scene.facts).items
                if not says_routes_in_full(conf.cni_version):
                    items = tuple(item for item in items if not isinstance(item, Route))
                    found += route_differences(pod, scene)
            found += [d for d in compare(items, scene) if not is_reported(d, pod)]
        if found:
            raise check_failure(found)

    def delete(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """Release addresses and remove links and rules; a faulty configuration is no obstacle."""
        owner = owner_of(call)
        failures: list[CNIError] = []
        with node.scene(call, owner) as scene:
            try:
                if items is not None:
                    remove(items, scene)
                elif self.existing:
                    remove([LinkUp(name=self.existing, whose="borrowed")], scene)
                else:
                    sweep(scene)
            except CNIError as error:
                failures.append(error)
        try:
            source = ipam_source(call, None, node)
            if source is not None:
                source.release()
        except CNIError as error:
            failures.append(error)
        if failures:
            raise failures[0]

    def gc(self, call: PluginCall, node: Node) -> None:
        """Remove links and rules of attachments that aren't valid, and have the IPAM do the same."""
        valid = valid_attachments(call.conf)
        if valid is None:
            return
        with node.scene(call, owner_of(call)) as scene:
            collect(str(call.conf.get("name") or ""), valid, scene)
        source = ipam_source(call, None, node)
        if source is not None:
            source.collect(valid)

    def status(self, call: PluginCall, node: Node) -> None:
        """What an ADD needs of the host is there, and so are addresses."""
        conf = convert(call.conf, self.conf)
        try:
            if not self.existing:
                with node.scene(call, owner_of(call)) as scene:
                    self.desired(conf, self._pod(call, conf), scene.facts)
        except CNIError as error:
            if error.code != Code.INVALID_NETNS:  # what lies in a sandbox can't be known before there is one
                raise CNIError(Code.NOT_AVAILABLE, error.msg, error.details) from None
        source = ipam_source(call, conf, node)
        if source is not None:
            source.status()

    def _pod(self, call: PluginCall, conf: C) -> Sandbox:
        args = {} if self.existing else parse_args(call.invocation.args)
        if call.verb in ("ADD", "CHECK"):
            require_known_args(args, _KNOWN_ARGS)
        previous = previous_result(call.conf) if call.verb == "ADD" else None
        return Sandbox(
            owner=owner_of(call),
            netns=call.invocation.netns,
            requested_mac=requested_mac(conf, args.get("MAC", "")),
            previous=previous,
        )

    def _allocate(self, source: IpamSource, undo: Undo) -> Result:
        undo.push("addresses", source.release)
        try:
            result = source.allocate()
        except CNIError:
            if not source.needs_link:
                undo.drop_last()  # ours reserves nothing when it fails, and may hold an earlier ADD's
            raise
        if not result.ips:
            raise CNIError(Code.IPAM, "IPAM plugin returned missing IP config")
        return result

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


def _require_free(pod: Sandbox, scene: Scene) -> None:
    """Raises CNIError before an address is taken for an interface name that is occupied."""
    if scene.facts.is_taken(pod.ifname):
        raise CNIError(
            Code.KERNEL,
            f'interface name {pod.ifname} already exists: container veth name ("{pod.ifname}") '
            f'peer provided ("{pod.host_ifname}") already exists',
        )

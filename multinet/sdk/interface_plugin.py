"""An interface delegate as a CNI plugin: all verbs from one function that says what is desired."""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec.structs import replace

from multinet.cni.chain import PluginCall
from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Result
from multinet.core.desired import AnyItem, LinkUp, MacGuard, Masquerade, PacketRule, Route
from multinet.engine.compare import compare
from multinet.engine.scene import Scene
from multinet.engine.undo import Undo
from multinet.sdk.delegate import Sandbox
from multinet.sdk.delegate_plugin import C, DelegatePlugin, DesiredState, known_result
from multinet.sdk.ipam_plugin import check_failure, owner_of, previous_result, valid_attachments
from multinet.sdk.ipam_source import IpamSource, ipam_source, needs_link
from multinet.sdk.node import Node
from multinet.sdk.older_results import is_unsaid, route_differences, says_routes_in_full
from multinet.sdk.plugin import Outcome
from multinet.sdk.previous import interface_differences, is_reported, own_part, where_moved, where_reported

_KNOWN_ARGS = ("IgnoreUnknown", "MAC", "IP", "GATEWAY")


def interface_delegate(
    conf: type[C],
    existing: str = "",
    rules: Collection[type[PacketRule]] = (Masquerade, MacGuard),
    borrows: bool = False,
) -> Callable[[DesiredState[C]], InterfacePlugin[C]]:
    """Make a plugin of a function ``(conf, pod, host) -> Desired``.

    ``existing`` names the link of a delegate that makes none but adjusts this one (``lo``); ``rules`` the
    kinds of packet rules that it makes. One that ``borrows`` its link has it never deleted, not even when
    nothing is recorded.
    """
    return lambda desired: InterfacePlugin(conf, desired, existing, rules, borrows)


class InterfacePlugin(DelegatePlugin[C]):
    """The five verbs of a delegate that makes an interface."""

    def __init__(
        self,
        conf: type[C],
        desired: DesiredState[C],
        existing: str = "",
        rules: Collection[type[PacketRule]] = (),
        borrows: bool = False,
    ) -> None:
        super().__init__(conf, desired, () if existing else rules, None if existing else _KNOWN_ARGS)
        self.existing = existing
        self.makes_link = not existing and not borrows

    def add(self, call: PluginCall, node: Node) -> Outcome:
        """Decide, allocate, apply; whatever fails, what was done is undone."""
        conf = convert(call.conf, self.conf)
        pod = self._pod(call, conf)
        source = self._source(call, conf, node)
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
        source = self._source(call, conf, node)
        found = source.check() if source is not None else []
        if self.existing:
            previous = previous_result(call.conf)
        else:
            previous = known_result(call, "Required prevResult missing")
        with node.scene(call, pod.owner) as scene:
            if previous is not None and not self.existing:
                found += interface_differences(pod, previous, scene)
                pod = replace(pod, made=previous, ipam=own_part(previous, pod.ifname) if source else None)
            recorded = items is not None
            if items is None:
                items = where_moved(self.desired(conf, pod, scene.facts).items, pod, scene.facts)
                if not says_routes_in_full(conf.cni_version):
                    items = tuple(item for item in items if not isinstance(item, Route))
                    found += route_differences(pod, scene)
            found += [
                difference
                for difference in compare(where_reported(items, pod), scene)
                if not is_reported(difference, pod) and (recorded or not is_unsaid(difference, pod))
            ]
        if found:
            raise check_failure(found)

    def delete(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """Release addresses and remove links and rules; a faulty configuration is no obstacle."""
        if items is None and self.existing:
            items = (LinkUp(name=self.existing, whose="borrowed"),)
        release_first = needs_link(call.conf)  # while there is a link to say it over
        failures = self._released(call, node) if release_first else []
        failures += self._removed(call, node, items)
        if not release_first:
            failures += self._released(call, node)
        if failures:
            raise failures[0]

    def gc(self, call: PluginCall, node: Node) -> None:
        """Remove links and rules of attachments that aren't valid, and have the IPAM do the same."""
        valid = valid_attachments(call.conf)
        try:
            super().gc(call, node)
        finally:  # addresses are given back whatever could not be removed
            source = self._source(call, None, node)
            if source is not None and valid is not None:
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
        source = self._source(call, conf, node)
        if source is not None:
            source.status()

    def _source(self, call: PluginCall, conf: C | None, node: Node) -> IpamSource | None:
        """Where addresses come from; a link that was there already (``lo``) gets none."""
        return None if self.existing else ipam_source(call, conf, node)

    def _released(self, call: PluginCall, node: Node) -> list[CNIError]:
        """Give addresses back; what went wrong."""
        try:
            source = self._source(call, None, node)
            if source is not None:
                source.release()
        except CNIError as error:
            return [error]
        return []

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


def _require_free(pod: Sandbox, scene: Scene) -> None:
    """Raises CNIError before an address is taken for an interface name that is occupied."""
    if scene.facts.is_taken(pod.ifname):
        raise CNIError(
            Code.KERNEL,
            f'interface name {pod.ifname} already exists: container veth name ("{pod.ifname}") '
            f'peer provided ("{pod.host_ifname}") already exists',
        )

"""Links built on another one: macvlan, ipvlan, vlan. Each is born in the sandbox, from its parent's namespace."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TypeVar

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import LinkInfo
from multinet.core.desired import Difference, Ipvlan, Macvlan, Place, Vlan
from multinet.engine.kinds.base import Kind, NewLink, Placed
from multinet.engine.kinds.sandbox_link import (
    creation_step,
    link_differences,
    raised,
    remove_sandbox_link,
)
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import Act, Step
from multinet.engine.views import Views
from multinet.engine.vlan_holder import vlan_holder

Child = TypeVar("Child", Macvlan, Ipvlan, Vlan)


class ChildKind(Kind[Child]):
    """What they have in common; ``name`` is what the kernel calls the kind."""

    name = ""

    def new_links(self, item: Child) -> Iterable[NewLink]:
        """Asked for in the parent's namespace, where a low index may well be in use: there it counts too."""
        return (NewLink("sandbox", item.name),)

    def occupied(self, item: Child) -> str:
        """With the kind."""
        return f"failed to create {self.name}: interface name {item.name} already exists in the sandbox"

    def create(self, item: Child, stage: Stage) -> Iterable[tuple[Place, Step | Act]]:
        """On its parent, which may itself be in the sandbox."""
        failure = f'failed to create {self.name} "{item.name}" on "{item.parent}"'
        fd = stage.scene.stack("sandbox").netns.fd if item.parent_place == "host" else -1
        parent = stage.indexes[item.parent_place, item.parent]
        message = self.message(item, stage.indexes["sandbox", item.name], parent, fd, stage.scene.owner.group)
        step = creation_step(item, message, failure, stage)
        yield item.parent_place, step._replace(explain=partial(self.refusal, item, stage.scene))

    def message(self, item: Child, index: int, parent: int, fd: int, group: int) -> bytes:
        """The request that creates it."""
        raise NotImplementedError

    def refusal(self, item: Child, scene: Scene, number: int) -> str:
        """What the kernel means by refusing it with an errno: a parent has room for one kind of user."""
        if number != errno.EBUSY:
            return ""
        parent = scene.stack(item.parent_place).link(item.parent)
        if parent is not None and parent.master:
            above = scene.stack(item.parent_place).link_at(parent.master)
            port = f' of "{above.name}"' if above else ""
            return f'"{item.parent}" is a port{port}, and a port can be no master'
        return (
            f'"{item.parent}" has links of another kind already (macvlan and ipvlan exclude each other on '
            "one master, and macvlan's passthru everything): use the same kind, or another master"
        )

    def configure(self, item: Child, stage: Stage) -> Iterable[Placed]:
        """Up."""
        yield raised(item, stage)

    def compare(self, item: Child, views: Views) -> Iterator[Difference]:
        """Kind, MAC, MTU, state, parent, and what is the kind's own."""
        link = views["sandbox"].link(item.name)
        yield from link_differences(item, link, self.name)
        parent = None
        if item.parent:
            parent = views[item.parent_place].link(item.parent)
            if parent is None:
                yield Difference(item.name, "master", item.parent, "")
        if link is None or link.kind != self.name:
            return
        if parent is not None and link.parent != parent.index:
            yield Difference(item.name, "master", item.parent, f"link {link.parent}")
        yield from self.own_differences(item, link)

    def own_differences(self, item: Child, link: LinkInfo) -> Iterator[Difference]:
        """What only this kind has."""
        return iter(())

    def remove(self, item: Child, scene: Scene) -> None:
        """From the sandbox; nothing else is looked at."""
        remove_sandbox_link(item.name, scene)


class MacvlanKind(ChildKind[Macvlan]):
    """Macvlan links."""

    name = "macvlan"

    def message(self, item: Macvlan, index: int, parent: int, fd: int, group: int) -> bytes:
        """See ``create_macvlan``."""
        return messages.create_macvlan(item, index, parent, fd, group)

    def configure(self, item: Macvlan, stage: Stage) -> Iterable[Placed]:
        """A passthru link is born with its master's MAC, whatever was asked for, and changes it with its own;
        the kernel gives the master its own back in the end.
        """
        yield raised(item, stage, item.mac if item.mode == "passthru" else "")

    def own_differences(self, item: Macvlan, link: LinkInfo) -> Iterator[Difference]:
        """Mode, and length of the broadcast queue."""
        if link.mode != item.mode:
            words = f"container macvlan mode {link.mode} does not match expected value: {item.mode}"
            yield Difference(item.name, "mode", item.mode, link.mode, words)
        if item.bc_queue_len and link.bc_queue_len != item.bc_queue_len:
            have = str(link.bc_queue_len)
            yield Difference(item.name, "broadcast queue", str(item.bc_queue_len), have)


class IpvlanKind(ChildKind[Ipvlan]):
    """Ipvlan links."""

    name = "ipvlan"

    def message(self, item: Ipvlan, index: int, parent: int, fd: int, group: int) -> bytes:
        """See ``create_ipvlan``."""
        return messages.create_ipvlan(item, index, parent, fd, group)

    def own_differences(self, item: Ipvlan, link: LinkInfo) -> Iterator[Difference]:
        """The mode, which all ipvlan links of one master share: the newest one's counts."""
        if link.mode != item.mode:
            words = f"Container IPVlan mode {link.mode} does not match expected value: {item.mode}"
            yield Difference(item.name, "mode", item.mode, link.mode, words)


class VlanKind(ChildKind[Vlan]):
    """802.1Q links."""

    name = "vlan"

    def message(self, item: Vlan, index: int, parent: int, fd: int, group: int) -> bytes:
        """See ``create_vlan``."""
        return messages.create_vlan(item, index, parent, fd, group)

    def refusal(self, item: Vlan, scene: Scene, number: int) -> str:
        """One link for each id of a master, in all namespaces together."""
        if number != errno.EEXIST:
            return ""
        holder = vlan_holder(item, scene)
        return f'VLAN {item.vlan_id} of "{item.parent}" is held by {holder}: a master has one link a VLAN'

    def own_differences(self, item: Vlan, link: LinkInfo) -> Iterator[Difference]:
        """The VLAN id."""
        if link.vlan_id != item.vlan_id:
            yield Difference(item.name, "VLAN id", str(item.vlan_id), str(link.vlan_id))

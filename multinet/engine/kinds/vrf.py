"""VRFs in a sandbox, and links that are ports of a master."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import AddressInfo, LinkInfo
from multinet.adapters.rtnetlink import IFF_UP
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Address, Difference, Member, NoRoute, Place, Vrf, select
from multinet.engine.kinds.base import Kind, NewLink, Placed, Rank
from multinet.engine.scene import Scene
from multinet.engine.settle import wait_for_addresses
from multinet.engine.stage import FactsChanged, Stage
from multinet.engine.steps import EXISTS, GONE, Act, Step, perform
from multinet.engine.undo import Undo
from multinet.engine.views import Views


class VrfKind(Kind[Vrf]):
    """VRFs. One that was made for a container carries its interface group, from the beginning; others are an
    administrator's.
    """

    def new_links(self, item: Vrf) -> Iterable[NewLink]:
        """Shared by all of the container's interfaces."""
        return (NewLink("sandbox", item.name, shared=True),)

    def existing(self, item: Vrf, scene: Scene) -> LinkInfo | None:
        """It must be a VRF, with the table that the decision was taken on."""
        found = scene.facts.link(item.name, "sandbox")
        if found is not None and found.kind != "vrf":
            raise CNIError(Code.INVALID_CONFIG, f"Netlink {item.name} is not a VRF")
        if found is not None and found.table != item.table:
            raise FactsChanged(item.name)
        return found

    def create(self, item: Vrf, stage: Stage) -> Iterable[tuple[Place, Step | Act]]:
        """Made only if it isn't there; taken back only while nobody uses it."""
        if not stage.is_new("sandbox", item.name):
            return
        index = stage.indexes["sandbox", item.name]
        message = messages.create_vrf(item, index, stage.scene.owner.group)
        undo = partial(_remove_if_unused, stage.scene.stack("sandbox"), index)
        yield "sandbox", Step(message, f"failed to make VRF: could not add VRF {item.name}", undo=undo)

    def configure(self, item: Vrf, stage: Stage) -> Iterable[Placed]:
        """Up; a new one is told to be ours in words, too."""
        found = stage.found["sandbox", item.name]
        if found is not None and found.up:
            return
        index = stage.indexes["sandbox", item.name]
        back = None
        if found is not None:
            down = messages.set_link(index, 0, IFF_UP)
            back = partial(stage.scene.stack("sandbox").send, [down])
        alias = stage.scene.owner.mark if found is None else None
        message = messages.set_link(index, IFF_UP, IFF_UP, alias=alias)
        # Before its members come: they find their routes' table in use.
        words = f"failed to make VRF: could not set link up for VRF {item.name}"
        yield Placed("sandbox", Rank.SETTING, Step(message, words, undo=back))

    def compare(self, item: Vrf, views: Views) -> Iterator[Difference]:
        """Kind, table, state."""
        link = views["sandbox"].link(item.name)
        if link is None:
            yield Difference(item.name, "link", "present", "", f"could not get link by name {item.name}")
            return
        if link.kind != "vrf":
            words = f"Netlink {item.name} is not a VRF"
            yield Difference(item.name, "kind", "vrf", link.kind or "device", words)
            return
        if link.table != item.table:
            yield Difference(item.name, "table", str(item.table), str(link.table))
        if not link.up:
            yield Difference(item.name, "state", "up", "down")

    def remove(self, item: Vrf, scene: Scene) -> None:
        """With its last member, if it was made for the container."""
        if scene.sandbox is None:
            return
        link = scene.sandbox.link(item.name)
        if link is not None and link.kind == "vrf" and link.group == scene.owner.group:
            _remove_if_unused(scene.sandbox, link.index)


class MemberKind(Kind[Member]):
    """Ports of a master. When a VRF takes or releases one, the kernel takes it down and up again, and with that its
    routes, and its IPv6 addresses unless ``keep_addr_on_down`` is set: these come back here.
    """

    def configure(self, item: Member, stage: Stage) -> Iterable[Placed]:
        """Joined, with all addresses, and these usable."""
        stack = stage.scene.stack(item.place)
        index, master = stage.indexes[item.place, item.link], stage.indexes[item.place, item.master]
        now = stack.link_at(index)
        if now is not None and now.master == master:
            return
        addresses = _endangered(stack, index)
        again = [messages.address(_as_item(found, item), index) for found in addresses]
        words = f"could not set {item.master} as master of {item.link}"
        routes = [gone for gone in select(stage.items, NoRoute) if gone.link == item.link]
        former = [messages.route(gone, index) for gone in reversed(routes)]
        back = partial(stack.send, [messages.set_link(index, master=0), *again, *former])
        join = Step(messages.set_link(index, master=master), f"failed to join: {words}", undo=back)
        yield Placed(item.place, Rank.MEMBER, join)
        for found, message in zip(addresses, again, strict=True):
            words = f"failed to keep address: could not restore address {found.cidr} of {item.link}"
            yield Placed(item.place, Rank.ADDRESS, Step(message, words, EXISTS))
        if addresses and item.place == "sandbox":
            settled = [_as_item(found, item) for found in addresses]
            wait = partial(wait_for_addresses, settled, stage.scene, stage.indexes)
            yield Placed(item.place, Rank.QUEUE, Act(wait, f"failed to settle addresses of {item.link}"))

    def compare(self, item: Member, views: Views) -> Iterator[Difference]:
        """That very master."""
        view = views[item.place]
        link, master = view.link(item.link), view.link(item.master)
        if link is None:
            yield Difference(item.link, "link", "present", "", f"could not get link by name {item.link}")
            return
        if master is None or link.master != master.index:
            other = view.stack.link_at(link.master) if link.master else None
            words = f"failed to find {item.link} associated to vrf {item.master}"
            phrase = "" if master is not None and master.kind != "vrf" else words
            yield Difference(item.link, "master", item.master, other.name if other else "", phrase)

    def remove(self, item: Member, scene: Scene) -> None:
        """Released, if it is still this master's."""
        if item.place == "sandbox" and scene.sandbox is None:
            return
        stack = scene.stack(item.place)
        link, master = stack.link(item.link), stack.link(item.master)
        if link is None or master is None or link.master != master.index:
            return
        again = [messages.address(_as_item(a, item), link.index) for a in _endangered(stack, link.index)]
        step = Step(messages.set_link(link.index, master=0), f"failed to release {item.link}", GONE)
        perform([step], stack, Undo())
        if again:
            stack.send(again)  # those that the kernel has kept it refuses


def _remove_if_unused(stack: NetworkStack, index: int) -> None:
    if not any(link.master == index for link in stack.links()):
        step = Step(messages.delete_link(index), "failed to remove a VRF without members", GONE)
        perform([step], stack, Undo())


def _endangered(stack: NetworkStack, index: int) -> list[AddressInfo]:
    """The link's permanent IPv6 addresses but the link-local one, which the kernel makes anew."""
    return [a for a in stack.addresses(index) if ":" in a.cidr and a.permanent and a.scope == 0]


def _as_item(found: AddressInfo, member: Member) -> Address:
    """To be added again: nobody else has taken it in this moment."""
    return Address(
        place=member.place,
        link=member.link,
        cidr=found.cidr,
        detect=False,
        prefix_route=found.prefix_route,
    )

"""Tap devices in the sandbox: made by ioctl, everything else by netlink."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.tun import make_tap
from multinet.core.desired import Difference, Place, Tap
from multinet.engine.kinds.base import Kind, NewLink, Placed, Rank
from multinet.engine.kinds.sandbox_link import link_differences, raised, remove_sandbox_link
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import Act, Step
from multinet.engine.views import Views

_KIND = "tun"
"""What the kernel calls taps, too."""


class TapKind(Kind[Tap]):
    """Persistent taps, without packet information, with virtio's header."""

    def new_links(self, item: Tap) -> Iterable[NewLink]:
        """In the sandbox alone."""
        return (NewLink("sandbox", item.name, near=True),)

    def occupied(self, item: Tap) -> str:
        """With the kind."""
        return f"failed to create tap: interface name {item.name} already exists in the sandbox"

    def create(self, item: Tap, stage: Stage) -> Iterable[tuple[Place, Step | Act]]:
        """Under its final name; the kernel chooses the index."""
        sandbox = stage.scene.stack("sandbox")

        def make() -> None:
            make_tap(item, sandbox.netns)
            del stage.indexes["sandbox", item.name]  # from now on it's the real one, looked up by name

        gone = partial(sandbox.send, [messages.delete_link(name=item.name)])
        yield "sandbox", Act(make, f'failed to create tap "{item.name}"', undo=gone)

    def configure(self, item: Tap, stage: Stage) -> Iterable[Placed]:
        """MAC, MTU, its container's group; a port of its master; up."""
        index = stage.indexes["sandbox", item.name]
        settings = messages.set_link(index, mac=item.mac, mtu=item.mtu, group=stage.scene.owner.group)
        step = Step(settings, f'failed to set MAC and MTU of "{item.name}"')
        yield Placed("sandbox", Rank.SETTING, step)
        if item.master:
            joined = messages.set_link(index, master=stage.indexes["sandbox", item.master])
            words = f'failed to make "{item.name}" a port of "{item.master}"'
            yield Placed("sandbox", Rank.MEMBER, Step(joined, words))
        yield raised(item, stage)

    def compare(self, item: Tap, views: Views) -> Iterator[Difference]:
        """Kind, MAC, MTU, state, master, who may open it, and how."""
        view = views["sandbox"]
        link = view.link(item.name)
        yield from link_differences(item, link, _KIND)
        if link is None or link.tun is None:
            return
        if item.master:
            master = view.link(item.master)
            if master is None or link.master != master.index:
                yield Difference(item.name, "master", item.master, "another" if link.master else "")
        pairs = {
            "mode": ("tap", "tap" if link.tun.tap else "tun"),
            "owner": (_number(item.uid), _number(link.tun.owner)),
            "group": (_number(item.gid), _number(link.tun.group)),
            "multi_queue": (str(item.multi_queue), str(link.tun.multi_queue)),
            "vnet_header": (str(True), str(link.tun.vnet_header)),
            "packet_info": (str(False), str(link.tun.packet_info)),
            "persistent": (str(True), str(link.tun.persistent)),
        }
        for field, (want, have) in pairs.items():
            if want != have:
                yield Difference(item.name, field, want, have)

    def remove(self, item: Tap, scene: Scene) -> None:
        """From the sandbox, whoever has it open."""
        remove_sandbox_link(item.name, scene)


def _number(value: int | None) -> str:
    return "any" if value is None else str(value)

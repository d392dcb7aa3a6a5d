"""A pair from the sandbox to the host, and its port on a bridge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.rtnetlink import IFF_UP
from multinet.core.desired import Difference, Place, Veth
from multinet.engine.kinds.base import Kind, NewLink, Placed, Rank
from multinet.engine.kinds.port_vlans import port_vlan_differences, port_vlan_steps
from multinet.engine.kinds.sandbox_link import (
    link_differences,
    raised,
    remove_host_link,
    remove_sandbox_link,
)
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import Act, Step
from multinet.engine.views import Views


class VethKind(Kind[Veth]):
    """Veth pairs."""

    def new_links(self, item: Veth) -> Iterable[NewLink]:
        """Both ends."""
        return NewLink("host", item.host_name), NewLink("sandbox", item.name, near=True)

    def occupied(self, item: Veth) -> str:
        """In the reference plugins' words."""
        return f'container veth name ("{item.name}") peer provided ("{item.host_name}") already exists'

    def create(self, item: Veth, stage: Stage) -> Iterable[tuple[Place, Step | Act]]:
        """One request on the host; the other end is born in the sandbox."""
        host, sandbox = stage.scene.host, stage.scene.stack("sandbox")
        index = stage.indexes["host", item.host_name]
        master = stage.indexes["host", item.master] if item.master else 0
        message = messages.create_veth(
            item,
            index,
            stage.indexes["sandbox", item.name],
            sandbox.netns.fd,
            master,
            stage.scene.owner.group,
        )
        pair = f'("{item.name}") peer provided ("{item.host_name}")'
        undo = partial(host.send, [messages.delete_link(index)])
        yield "host", Step(message, f"failed to make veth pair {pair}", undo=undo)

    def configure(self, item: Veth, stage: Stage) -> Iterable[Placed]:
        """Port flags and VLANs, both ends up."""
        index = stage.indexes["host", item.host_name]
        if item.hairpin or item.isolated:
            flags = messages.set_port(index, item.hairpin, item.isolated)
            step = Step(flags, f'failed to set port flags of "{item.host_name}"')
            yield Placed("host", Rank.SETTING, step)
        if item.vlans is not None:
            yield from port_vlan_steps(item.vlans, item.host_name, index)
        up = messages.set_link(index, IFF_UP, IFF_UP, alias=stage.scene.owner.mark)
        yield Placed("host", Rank.UP, Step(up, f'failed to set "{item.host_name}" UP'))
        yield raised(item, stage)

    def compare(self, item: Veth, views: Views) -> Iterator[Difference]:
        """Both ends, that they belong together, and the port."""
        end = views["sandbox"].link(item.name)
        yield from link_differences(item, end, "veth")
        peer = views["host"].link(item.host_name)
        if peer is None or (end is not None and (peer.parent != end.index or end.parent != peer.index)):
            words = f"CNI veth created for bridge {item.master} was not found" if item.master else ""
            yield Difference(item.host_name, "link", f"other end of {item.name}", "", words)
            return
        if item.host_mac and peer.mac != item.host_mac:
            yield Difference(item.host_name, "mac", item.host_mac, peer.mac)
        if item.mtu and peer.mtu != item.mtu:
            yield Difference(item.host_name, "mtu", str(item.mtu), str(peer.mtu))
        if not peer.up:
            yield Difference(item.host_name, "state", "up", "down")
        if item.master:
            master = views["host"].link(item.master)
            if master is None or peer.master != master.index:
                yield Difference(item.host_name, "master", item.master, "another" if peer.master else "")
        if peer.hairpin != item.hairpin:
            yield Difference(item.host_name, "hairpin", str(item.hairpin), str(peer.hairpin))
        if peer.isolated != item.isolated:
            yield Difference(item.host_name, "isolated", str(item.isolated), str(peer.isolated))
        if item.vlans is not None:
            yield from port_vlan_differences(item.vlans, peer, views)

    def remove(self, item: Veth, scene: Scene) -> None:
        """Either end takes the other with it; the host end is looked for when the sandbox's isn't there."""
        if not remove_sandbox_link(item.name, scene):
            remove_host_link(item.host_name, scene)

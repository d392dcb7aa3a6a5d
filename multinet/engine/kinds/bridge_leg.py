"""The host's leg into one VLAN of a bridge: a pair on the host, made with the first pod that needs it.

It stays when the last pod has left, as the reference plugin's does: its addresses are the VLAN's gateway, for what
isn't a pod as well, and a leg that comes and goes would have other addresses and neighbours each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import LinkInfo
from multinet.adapters.rtnetlink import IFF_UP
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import BridgeLeg, Difference, Place, PortVlans
from multinet.engine.kinds.base import Kind, NewLink, Placed, Rank
from multinet.engine.kinds.port_vlans import port_vlan_differences, port_vlan_steps
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import Act, Step
from multinet.engine.views import Views


class BridgeLegKind(Kind[BridgeLeg]):
    """Legs."""

    def new_links(self, item: BridgeLeg) -> Iterable[NewLink]:
        """The leg, shared; its port goes with it."""
        return NewLink("host", item.name, shared=True), NewLink("host", item.port)

    def existing(self, item: BridgeLeg, scene: Scene) -> LinkInfo | None:
        """The leg as it is: a pair to a port of the bridge, or a VLAN link on the bridge that someone else made."""
        found = scene.facts.link(item.name)
        if found is None:
            return None
        bridge = scene.facts.link(item.bridge)
        if _leads_into(item, found, bridge.index if bridge else 0, scene):
            return found
        raise CNIError(
            Code.INVALID_CONFIG,
            f'$.vlan: "{item.name}" already exists but is no leg into VLAN {item.vlan} of "{item.bridge}" '
            f"({found.kind or 'device'}): remove or rename it",
        )

    def create(self, item: BridgeLeg, stage: Stage) -> Iterable[tuple[Place, Step | Act]]:
        """Both ends at once, the port in the bridge; taken back only while no pod is in the VLAN."""
        if not stage.is_new("host", item.name):
            return
        bridge, port = stage.indexes["host", item.bridge], stage.indexes["host", item.port]
        message = messages.create_leg(item, stage.indexes["host", item.name], port, bridge, group=0)
        words = f'failed to create the leg "{item.name}" into VLAN {item.vlan} of "{item.bridge}"'
        undo = partial(_remove_if_unused, item, bridge, port, stage.scene)
        yield "host", Step(message, words, undo=undo)

    def configure(self, item: BridgeLeg, stage: Stage) -> Iterable[Placed]:
        """The port is in the VLAN alone; both ends are up."""
        found = stage.found["host", item.name]
        leg = stage.indexes["host", item.name]
        bridge = stage.indexes["host", item.bridge]
        port = found.parent if found else stage.indexes["host", item.port]
        if found is None or _is_astray(found, bridge, stage.scene):
            joined = messages.set_link(port, master=bridge)
            words = f'failed to make "{item.port}" a port of "{item.bridge}"'
            yield Placed("host", Rank.SETTING, Step(joined, words))
            yield from port_vlan_steps(PortVlans(item.vlan), item.port, port)
            up = messages.set_link(port, IFF_UP, IFF_UP)
            yield Placed("host", Rank.UP, Step(up, f'failed to set "{item.port}" UP'))
        if found is None or not found.up:
            up = messages.set_link(leg, IFF_UP, IFF_UP)
            yield Placed("host", Rank.UP, Step(up, f'failed to set "{item.name}" UP'))

    def compare(self, item: BridgeLeg, views: Views) -> Iterator[Difference]:
        """MAC, state, MTU, and that it leads into the VLAN."""
        view = views["host"]
        leg, bridge = view.link(item.name), view.link(item.bridge)
        if leg is None:
            yield Difference(item.name, "link", "present", "")
            return
        if item.mac and leg.mac != item.mac:
            yield Difference(item.name, "mac", item.mac, leg.mac)
        if item.mtu and leg.mtu != item.mtu:
            yield Difference(item.name, "mtu", str(item.mtu), str(leg.mtu))
        if not leg.up:
            yield Difference(item.name, "state", "up", "down")
        if bridge is None:
            yield Difference(item.name, "bridge", item.bridge, "")
        elif leg.kind == "vlan":
            if (leg.parent, leg.vlan_id) != (bridge.index, item.vlan):
                yield Difference(item.name, "VLAN id", str(item.vlan), str(leg.vlan_id))
        else:
            yield from _port_differences(item, leg, bridge, views)


def _port_differences(item: BridgeLeg, leg: LinkInfo, bridge: LinkInfo, views: Views) -> Iterator[Difference]:
    port = views["host"].stack.link_at(leg.parent) if leg.kind == "veth" else None
    if port is None or port.master != bridge.index:
        yield Difference(item.name, "other end", f"a port of {item.bridge}", "")
        return
    if not port.up:
        yield Difference(port.name, "state", "up", "down")
    yield from port_vlan_differences(PortVlans(item.vlan), port, views)


def _leads_into(item: BridgeLeg, found: LinkInfo, bridge: int, scene: Scene) -> bool:
    """Of a leg that was left behind when its bridge went, only the name of its port is ours."""
    if found.kind == "vlan":
        return (found.parent, found.vlan_id) == (bridge, item.vlan)
    port = scene.host.link_at(found.parent) if found.kind == "veth" and not found.parent_elsewhere else None
    if port is None:
        return False
    if not port.master:
        return port.name == item.port
    return port.master == bridge and scene.host.port_vlans(port.index).pvid == item.vlan


def _is_astray(found: LinkInfo, bridge: int, scene: Scene) -> bool:
    """Whether its port is in no bridge any more."""
    port = scene.host.link_at(found.parent) if found.kind == "veth" else None
    return port is not None and port.master != bridge


def _remove_if_unused(item: BridgeLeg, bridge: int, port: int, scene: Scene) -> None:
    """Another ADD may have found the leg meanwhile, and count on it."""
    host = scene.host
    others = [link.index for link in host.links() if link.master == bridge and link.index != port]
    if not any(host.port_vlans(index).pvid == item.vlan for index in others):
        host.send([messages.delete_link(port)])

"""The bridge on the host: made if absent, never removed, with a MAC that doesn't change."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import LinkInfo
from multinet.adapters.rtnetlink import IFF_PROMISC, IFF_UP
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Address, Bridge, Difference, Place, Veth, select
from multinet.engine.kinds.base import Kind, NewLink, Placed, Rank
from multinet.engine.scene import Scene
from multinet.engine.stage import FactsChanged, Stage
from multinet.engine.steps import Act, Step
from multinet.engine.views import Views


class BridgeKind(Kind[Bridge]):
    """Bridges."""

    def new_links(self, item: Bridge) -> Iterable[NewLink]:
        """The bridge, shared."""
        return (NewLink("host", item.name, shared=True),)

    def existing(self, item: Bridge, scene: Scene) -> LinkInfo | None:
        """The bridge as it is; it must be one, with the MAC that the decision was taken on."""
        found = scene.facts.link(item.name)
        if found is None:
            return None
        if found.kind != "bridge":
            raise CNIError(
                Code.INVALID_CONFIG,
                f'$.bridge: "{item.name}" already exists but is not a bridge ({found.kind or "device"})',
            )
        if item.mac and found.mac != item.mac:
            raise FactsChanged(item.name)
        return found

    def create(self, item: Bridge, stage: Stage) -> Iterable[tuple[Place, Step | Act]]:
        """Made only if it isn't there; taken back only while nobody uses it."""
        if not stage.is_new("host", item.name):
            return
        host, index = stage.scene.host, stage.indexes["host", item.name]

        def remove_if_unused() -> None:
            if not any(link.master == index for link in host.links()):
                host.send([messages.delete_link(index)])

        message = messages.create_bridge(item, index)
        words = f'failed to create bridge "{item.name}"'
        explain = _why_no_vlans if item.vlan_filtering else None
        yield "host", Step(message, words, undo=remove_if_unused, explain=explain)

    def configure(self, item: Bridge, stage: Stage) -> Iterable[Placed]:
        """Up, promiscuous if wanted, with the MAC it had before this attachment's port came."""
        found = stage.found["host", item.name]
        if found is not None and item.vlan_filtering and not found.vlan_filtering:
            # Before a frame of this attachment can pass; and it stays on when the ADD fails later, since another's
            # may count on it by then.
            message = messages.set_vlan_filtering(found.index)
            words = f'failed to switch VLAN filtering on at "{item.name}"'
            yield Placed("host", Rank.SETTING, Step(message, words, explain=_why_no_vlans))
        if found is not None and self._lost_its_mac(item, found, stage):
            yield self._pinned(found, stage)
        wanted = IFF_UP | (IFF_PROMISC if item.promisc else 0)
        have = 0 if found is None else (IFF_UP if found.up else 0) | (IFF_PROMISC if found.promisc else 0)
        if not wanted & ~have:
            return
        index = stage.indexes["host", item.name]
        back = None
        if found is not None and wanted & ~have & IFF_PROMISC:
            # It stays up: going down again would cost it its IPv6 addresses.
            back = partial(stage.scene.host.send, [messages.set_link(index, 0, IFF_PROMISC)])
        message = messages.set_link(index, wanted, wanted)
        yield Placed("host", Rank.UP, Step(message, f'failed to set bridge "{item.name}" UP', undo=back))

    def share(self, item: Bridge, stage: Stage) -> Iterable[Placed]:
        """A bridge that was there before and becomes a gateway keeps its MAC from now on, whatever ports come
        and go.
        """
        found = stage.found["host", item.name]
        if found is None:
            return
        wanted = {a.cidr for a in select(stage.items, Address) if (a.place, a.link) == ("host", item.name)}
        if wanted.difference(stage.scene.facts.addresses(found) if wanted else ()):
            yield self._pinned(found, stage)

    def compare(self, item: Bridge, views: Views) -> Iterator[Difference]:
        """Kind, state, MAC, promiscuity, VLAN filtering."""
        subject = f"bridge {item.name}"
        link = views["host"].link(item.name)
        if link is None:
            yield Difference(subject, "link", "present", "")
            return
        if link.kind != "bridge":
            yield Difference(subject, "kind", "bridge", link.kind or "device")
        if not link.up:
            yield Difference(subject, "state", "up", "down")
        if item.mac and link.mac != item.mac:
            words = f"Bridge interface {item.name} Mac doesn't match: {link.mac} (expected {item.mac})"
            yield Difference(subject, "mac", item.mac, link.mac, words)
        if item.promisc and not link.promisc:
            words = (
                f"Bridge interface {item.name} configured Promisc Mode {item.promisc} "
                f"doesn't match current state: {link.promisc} "
            )
            yield Difference(subject, "promisc", "true", "false", words)
        if item.vlan_filtering and not link.vlan_filtering:
            yield Difference(subject, "VLAN filtering", "on", "off")

    def _lost_its_mac(self, item: Bridge, found: LinkInfo, stage: Stage) -> bool:
        """A bridge whose MAC nobody has set takes its lowest port's."""
        new_ports = [veth.host_mac for veth in select(stage.items, Veth) if veth.master == item.name]
        if found.carries and all(mac > found.mac for mac in new_ports):
            return False  # it has a port whose MAC is lower than the new ones'
        now = stage.scene.host.link_at(stage.indexes["host", item.name])
        return now is not None and now.mac != found.mac

    def _pinned(self, found: LinkInfo, stage: Stage) -> Placed:
        message = messages.set_link(found.index, mac=found.mac)
        # Set once more in the end: also when this is refused, and right when the new port has left again.
        stage.undo.push(f'keep the MAC of "{found.name}"', partial(stage.scene.host.send, [message]))
        return Placed("host", Rank.SETTING, Step(message, f'failed to keep the MAC of "{found.name}"'))


def _why_no_vlans(number: int) -> str:
    if number != errno.EOPNOTSUPP:
        return ""
    return "the kernel was built without CONFIG_BRIDGE_VLAN_FILTERING, which vlan and vlanTrunk need"

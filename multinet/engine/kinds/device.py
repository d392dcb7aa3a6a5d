"""A device that a sandbox borrows from the host: moved there, and home again under its own name."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import LinkInfo
from multinet.adapters.rtnetlink import IFF_UP
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import MAIN_TABLE, Device, Difference, Place
from multinet.engine.kinds.base import Kind, Placed, Rank
from multinet.engine.kinds.device_return import bring_home, is_that_device
from multinet.engine.kinds.sandbox_link import link_differences
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import Act, Step, refusal
from multinet.engine.views import Views
from multinet.npwg.default_routes import DESTINATIONS

_log = logging.getLogger(__name__)


class DeviceKind(Kind[Device]):
    """Borrowed devices. They never get the owner's mark or group: what carries those is deleted in the end."""

    def create(self, item: Device, stage: Stage) -> Iterable[tuple[Place, Step | Act]]:
        """Moved, if it is still the one that was decided on. Raises CNIError code 100 when it is gone."""
        scene = stage.scene
        link = scene.host.link(item.host_name)
        if link is None or not is_that_device(link, item):
            raise CNIError(
                Code.KERNEL,
                f'failed to find host device: Link not found: "{item.host_name}" has just left the host',
            )
        _warn_of_default_route(link, scene)
        failure = f'failed to move link "{item.host_name}" into the sandbox as "{item.name}"'
        yield (
            "host",
            Act(partial(_lend, item, link, scene, failure), failure, partial(bring_home, item, scene)),
        )

    def configure(self, item: Device, stage: Stage) -> Iterable[Placed]:
        """Up: the move took it down."""
        if not item.up:
            return
        message = messages.set_link(stage.indexes["sandbox", item.name], IFF_UP, IFF_UP)
        yield Placed("sandbox", Rank.UP, Step(message, f'failed to set "{item.name}" UP'))

    def compare(self, item: Device, views: Views) -> Iterator[Difference]:
        """Presence, kind, MAC, MTU, state, and that it is this device and no other of its name."""
        link = views["sandbox"].link(item.name)
        yield from link_differences(item, link, item.link_kind)
        if link is None:
            return
        for field, want, have in (
            ("permanent MAC", item.permanent_mac, link.permanent_mac),
            ("PCI address", item.pci_id, link.pci_id or item.pci_id),
            ("alias", item.host_name, link.alias),
        ):
            if want and have != want:
                yield Difference(item.name, field, want, have)

    def remove(self, item: Device, scene: Scene) -> None:
        """Home, wherever it is now and whatever it is called."""
        bring_home(item, scene)


def _lend(item: Device, link: LinkInfo, scene: Scene, failure: str) -> None:
    """Alias, then one request that moves and renames. The kernel may refuse the new name after it has moved it."""
    sandbox = scene.stack("sandbox").netns.fd
    alias = messages.set_link(link.index, alias=item.host_name, group=0 if link.group else None)
    batch = [alias, messages.move_link(link.index, sandbox, item.name)]
    refused = [error for error in scene.host.send(batch) if error is not None]
    if refused:
        error = refusal(Step(b"", failure), refused[0])
        try:
            bring_home(item, scene)
        except CNIError as left:
            error.details = f"undo failed for {item.host_name}: {left}"
        raise error


def _warn_of_default_route(link: LinkInfo, scene: Scene) -> None:
    for route in scene.facts.routes():
        hops = {index for _, index in route.hops}
        if route.dst in DESTINATIONS.values() and route.table == MAIN_TABLE and link.index in hops:
            _log.warning("%s has the host's default route and leaves the host now", link.name)
            return

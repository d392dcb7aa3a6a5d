"""Make the kernel what an attachment desires: few batches, in an order that never needs a second look.

1. host, then sandbox: links are created, each in its final namespace, under a chosen index;
2. sysctls that must be there before a link goes up;
3. host: port flags, links up;
4. sandbox: addresses, links up (so that the kernel announces the addresses), routes;
5. waiting: IPv6 duplicate address detection, bridge ports;
6. packet rules: after the detection, since the rules of a duplicate would take the place of its holder's;
7. what others share, a bridge's addresses and forwarding.

What each kind of item contributes is in ``kinds``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from multinet.core.desired import Address, AnyItem, PacketRule, Place, Sysctl, Veth, select
from multinet.engine.creation import create_links
from multinet.engine.kinds import kind_of
from multinet.engine.kinds.base import Placed
from multinet.engine.kinds.settings import write_sysctls
from multinet.engine.scene import Scene
from multinet.engine.settle import wait_for_addresses, wait_for_ports
from multinet.engine.stage import Stage
from multinet.engine.steps import perform
from multinet.engine.undo import Undo

_PLACES: tuple[Place, ...] = ("host", "sandbox")


def apply(items: Sequence[AnyItem], scene: Scene, undo: Undo) -> None:
    """Bring ``items`` about; what was done is pushed on ``undo`` as it is done.

    Raises CNIError (code 100 with the object and the kernel's reason) or FactsChanged; the caller then runs
    ``undo``.
    """
    scene.proceed()
    stage = create_links(items, scene, undo)
    own, shared = _by_sharing(stage)
    write_sysctls(own, scene, undo)
    scene.proceed()
    _perform([placed for item in items for placed in kind_of(item).configure(item, stage)], stage, undo)
    scene.wait(lambda: wait_for_ports(select(items, Veth), scene, stage.indexes))
    wait_for_addresses(select(items, Address), scene, stage.indexes)
    scene.proceed()
    rules = [item for item in items if isinstance(item, PacketRule)]
    if rules:
        undo.push("packet rules", lambda: scene.firewall.remove(rules))
        scene.firewall.apply(rules)
    _perform([placed for item in items for placed in kind_of(item).share(item, stage)], stage, undo)
    write_sysctls(shared, scene, undo)


def _perform(steps: Iterable[Placed], stage: Stage, undo: Undo) -> None:
    """Each place's steps by rank; those of one rank in the order of their items."""
    ordered = sorted(steps, key=lambda placed: placed.rank)
    for place in _PLACES:
        chosen = [placed.step for placed in ordered if placed.place == place]
        if chosen:
            stage.scene.proceed()
            perform(chosen, stage.scene.stack(place), undo)


def _by_sharing(stage: Stage) -> tuple[list[Sysctl], list[Sysctl]]:
    """The sysctls that go away with what was made just now (``net/ipv6/conf/LINK/…``), and the host's others."""
    new = {
        link.name
        for item in stage.items
        for link in kind_of(item).new_links(item)
        if link.place == "host" and stage.is_new("host", link.name)
    }
    own: list[Sysctl] = []
    shared: list[Sysctl] = []
    for sysctl in select(stage.items, Sysctl):
        parts = sysctl.key.split("/")
        is_own = sysctl.place == "sandbox" or (len(parts) == 5 and parts[3] in new)
        (own if is_own else shared).append(sysctl)
    return own, shared

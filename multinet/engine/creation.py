"""Links come into being: each in its final namespace, under an index that is chosen rather than looked up."""

from __future__ import annotations

import errno
import random
import re
from collections.abc import Sequence

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import LinkInfo
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import AnyItem, Bridge, Macvlan, Place, Veth, select
from multinet.engine.scene import Scene
from multinet.engine.steps import Step, perform
from multinet.engine.undo import Undo

# Indexes chosen for the host lie far above those that the kernel gives out in order.
_LOWEST, _HIGHEST = 0x2000_0000, 0x7000_0000
_FIRST = 2
"""Index of a sandbox's first interface, after its loopback; ``net3`` gets three more."""
_NUMBERED = re.compile(r"(?:eth|net)([0-9]{1,3})")
_TRIES = 3


class FactsChanged(Exception):
    """The host is no longer as the decision found it (a bridge came or went): decide again."""


class Indexes(dict[tuple[Place, str], int]):
    """Interface index by place and name; one that wasn't chosen here is looked up when it is asked for."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene

    def __missing__(self, key: tuple[Place, str]) -> int:
        place, name = key
        found = self._scene.stack(place).link(name)
        if found is None:
            raise CNIError(Code.KERNEL, f'failed to lookup "{name}": Link not found in the {place}')
        self[key] = found.index
        return found.index


def create_links(
    items: Sequence[AnyItem], scene: Scene, undo: Undo
) -> tuple[Indexes, dict[str, LinkInfo | None]]:
    """Create the links among ``items``; returns the indexes, and each bridge as it was before (None: made now).

    Raises CNIError when a name is taken or the kernel refuses, FactsChanged when a bridge came or went
    since the decision.
    """
    indexes = Indexes(scene)
    bridges = {bridge.name: _existing(bridge, scene) for bridge in select(items, Bridge)}
    links = [item for item in items if isinstance(item, Veth | Macvlan)]
    _require_free(links, scene)
    for attempt in range(_TRIES):
        indexes.update(_chosen(items, bridges, scene, wary=attempt > 0))
        try:
            with Undo() as made:
                _create(items, bridges, scene, indexes, made)
                made.hand_over(undo)
            return indexes, bridges
        except CNIError as error:
            # How the kernel says that an index is in use (EEXIST of one in the namespace that it is asked in).
            # It says the same of a master in use and of a name that is taken, so the last refusal stands.
            taken = getattr(error.__cause__, "errno", 0) in (errno.EBUSY, errno.EEXIST)
            if not taken or attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _existing(bridge: Bridge, scene: Scene) -> LinkInfo | None:
    found = scene.facts.link(bridge.name)
    if found is None:
        return None
    if found.kind != "bridge":
        raise CNIError(
            Code.INVALID_CONFIG,
            f'$.bridge: "{bridge.name}" already exists but is not a bridge ({found.kind or "device"})',
        )
    if bridge.mac and found.mac != bridge.mac:
        raise FactsChanged(bridge.name)
    return found


def _require_free(links: Sequence[Veth | Macvlan], scene: Scene) -> None:
    """Raises CNIError when a wanted name is taken in the sandbox."""
    for link in links:
        if not scene.facts.is_taken(link.name):
            continue
        if isinstance(link, Veth):
            text = f'container veth name ("{link.name}") peer provided ("{link.host_name}") already exists'
        else:
            text = f"failed to create macvlan: interface name {link.name} already exists in the sandbox"
        raise CNIError(Code.KERNEL, text)


def _chosen(
    items: Sequence[AnyItem], bridges: dict[str, LinkInfo | None], scene: Scene, wary: bool
) -> dict[tuple[Place, str], int]:
    """Indexes: random high ones on the host; for a pair's end in the sandbox by its name, so that nothing need
    be read, or (``wary``, after a collision) the next after those in use.
    """
    chosen: dict[tuple[Place, str], int] = {}
    following = max((link.index for link in scene.stack("sandbox").links()), default=1) + 1 if wary else 0
    for item in items:
        if isinstance(item, Bridge):
            found = bridges[item.name]
            chosen["host", item.name] = found.index if found else random.randint(_LOWEST, _HIGHEST)
        elif isinstance(item, Veth):
            chosen["host", item.host_name] = random.randint(_LOWEST, _HIGHEST)
            chosen["sandbox", item.name] = following or _usual_index(item.name)
            following += wary
        elif isinstance(item, Macvlan):
            # Asked for in the master's namespace, where a low index may well be in use: there it counts too.
            chosen["sandbox", item.name] = random.randint(_LOWEST, _HIGHEST)
    return chosen


def _usual_index(name: str) -> int:
    """2 for ``eth0``, 2 + n for ``net{n}``: what they would get in order; any other name a random one."""
    numbered = _NUMBERED.fullmatch(name)
    return _FIRST + int(numbered[1]) if numbered else random.randint(_LOWEST, _HIGHEST)


def _create(
    items: Sequence[AnyItem], bridges: dict[str, LinkInfo | None], scene: Scene, indexes: Indexes, made: Undo
) -> None:
    by_place: dict[Place, list[Step]] = {"host": [], "sandbox": []}
    for item in items:
        if isinstance(item, Bridge) and bridges[item.name] is None:
            by_place["host"].append(_bridge_step(item, scene, indexes["host", item.name]))
        elif isinstance(item, Veth):
            by_place["host"].append(_veth_step(item, scene, indexes))
        elif isinstance(item, Macvlan):
            by_place[item.parent_place].append(_macvlan_step(item, scene, indexes))
    for place, steps in by_place.items():
        if not steps:
            continue
        try:
            perform(steps, scene.stack(place), made)
        except CNIError as error:
            _note_change(items, bridges, scene, indexes, error)
            raise


def _note_change(
    items: Sequence[AnyItem],
    bridges: dict[str, LinkInfo | None],
    scene: Scene,
    indexes: Indexes,
    error: CNIError,
) -> None:
    """A bridge that another ADD made or removed meanwhile is no failure: the decision is taken again."""
    for bridge in select(items, Bridge):
        now = scene.host.link(bridge.name)
        expected = indexes["host", bridge.name]  # what was found, or what this ADD has just made
        exists = getattr(error.__cause__, "errno", 0) == errno.EEXIST
        is_expected = now is not None and now.index == expected
        if not is_expected and (bridges[bridge.name] is not None or (exists and now is not None)):
            raise FactsChanged(bridge.name) from error


def _bridge_step(bridge: Bridge, scene: Scene, index: int) -> Step:
    host = scene.host

    def remove_if_unused() -> None:
        if not any(link.master == index for link in host.links()):
            host.send([messages.delete_link(index)])

    return Step(
        messages.create_bridge(bridge, index),
        f'failed to create bridge "{bridge.name}"',
        undo=remove_if_unused,
    )


def _veth_step(veth: Veth, scene: Scene, indexes: Indexes) -> Step:
    host_index, sandbox_index = indexes["host", veth.host_name], indexes["sandbox", veth.name]
    master = indexes["host", veth.master] if veth.master else 0
    message = messages.create_veth(
        veth, host_index, sandbox_index, scene.stack("sandbox").netns.fd, master, scene.owner.group
    )
    remove = messages.delete_link(host_index)
    pair = f'("{veth.name}") peer provided ("{veth.host_name}")'
    return Step(message, f"failed to make veth pair {pair}", undo=lambda: scene.host.send([remove]))


def _macvlan_step(macvlan: Macvlan, scene: Scene, indexes: Indexes) -> Step:
    sandbox = scene.stack("sandbox")
    index = indexes["sandbox", macvlan.name]
    parent = indexes[macvlan.parent_place, macvlan.parent]
    fd = sandbox.netns.fd if macvlan.parent_place == "host" else -1
    message = messages.create_macvlan(macvlan, index, parent, fd, scene.owner.group)
    remove = messages.delete_link(index)
    return Step(
        message,
        f'failed to create macvlan "{macvlan.name}" on "{macvlan.parent}"',
        undo=lambda: sandbox.send([remove]),
    )


__all__ = ["FactsChanged", "Indexes", "create_links"]

"""Take an attachment away: by what was recorded, or by the identity that everything owned carries."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import LinkInfo
from multinet.adapters.netlink import IFF_UP
from multinet.cni.errors import CNIError
from multinet.core.desired import Address, AnyItem, LinkUp, MacGuard, Macvlan, Masquerade, Owner, Route, Veth
from multinet.engine.scene import Scene
from multinet.engine.steps import GONE, Step, perform
from multinet.engine.undo import Undo


def remove(items: Sequence[AnyItem], scene: Scene) -> None:
    """Remove what is owned among ``items`` and put back what was borrowed; shared things stay.

    What is gone already is success. Everything is tried; raises the first CNIError in the end.
    """
    failures: list[CNIError] = []
    rules = [item for item in items if isinstance(item, Masquerade | MacGuard)]
    if rules:
        _attempt(failures, lambda: scene.firewall.remove(rules))
    for item in items:
        _attempt(failures, partial(_remove_link, item, scene))
    host = [item for item in items if isinstance(item, Address | Route) and item.place == "host"]
    _attempt(failures, lambda: _remove_from_host([i for i in host if i.whose == "owned"], scene))
    if failures:
        raise failures[0]


def sweep(scene: Scene) -> None:
    """Remove whatever carries the owner's identity, with no record at all: links by name, rules by mark."""
    failures: list[CNIError] = []
    _attempt(failures, lambda: _remove_veth(scene.owner.ifname, scene.owner.host_ifname, scene))
    _attempt(failures, lambda: scene.firewall.sweep(scene.owner))
    if failures:
        raise failures[0]


def drop_sandbox_links(scene: Scene) -> None:
    """Remove all links of the container in one go (by interface group), veth peers included.

    Twenty links one by one cost more than ten times as much: each waits for the kernel's grace period.
    """
    if scene.sandbox is not None:
        perform(
            [Step(messages.delete_group(scene.owner.group), "failed to remove the sandbox's links", GONE)],
            scene.sandbox,
            Undo(),
        )


def collect(network: str, valid: Collection[tuple[str, str]], scene: Scene) -> None:
    """Remove host links and rules of all attachments of ``network`` that aren't ``valid`` (container id, ifname).

    Their sandboxes are gone or about to go, and take what was in them along.
    """
    keep = {Owner(network, container_id, ifname).mark for container_id, ifname in valid}
    prefix = Owner(network, "", "").mark[:-1]
    stale = [link for link in scene.host.links() if link.alias.startswith(prefix) and link.alias not in keep]
    steps = [
        Step(messages.delete_link(link.index), f'failed to delete "{link.name}"', GONE) for link in stale
    ]
    failures: list[CNIError] = []
    _attempt(failures, lambda: perform(steps, scene.host, Undo()))
    _attempt(failures, lambda: scene.firewall.collect(network, valid))
    if failures:
        raise failures[0]


def _attempt(failures: list[CNIError], action: Callable[[], object]) -> None:
    try:
        action()
    except CNIError as error:
        failures.append(error)


def _remove_link(item: AnyItem, scene: Scene) -> None:
    match item:
        case Veth():
            _remove_veth(item.name, item.host_name, scene)
        case Macvlan():
            _remove_sandbox_link(item.name, scene)
        case LinkUp():
            _take_down(item.name, scene)
        case _:
            pass  # addresses and routes of a sandbox go with their link


def _remove_veth(name: str, host_name: str, scene: Scene) -> None:
    """Either end takes the other with it; the host end is looked for when the sandbox's isn't there."""
    if not _remove_sandbox_link(name, scene):
        _delete(host_name, scene, "host")


def _remove_sandbox_link(name: str, scene: Scene) -> bool:
    """True if the link was there. One that carries another owner's mark is left alone."""
    if scene.sandbox is None:
        return False
    link = scene.sandbox.link(name)
    if link is None or (link.alias.startswith("multinet:") and link.alias != scene.owner.mark):
        return False
    if link.kind == "" and link.name == "lo":
        return False
    if not link.alias and _lies_elsewhere(link, scene):
        return False
    return _delete(name, scene, "sandbox")


def _lies_elsewhere(link: LinkInfo, scene: Scene) -> bool:
    """Whether our pair's host end is there with another link at its other end: this sandbox is another one."""
    ours = scene.host.link(scene.owner.host_ifname)
    if ours is None or ours.alias != scene.owner.mark:
        return False
    return (ours.parent, link.parent) != (link.index, ours.index)


def _delete(name: str, scene: Scene, place: str) -> bool:
    stack = scene.host if place == "host" else scene.sandbox
    assert stack is not None
    step = Step(messages.delete_link(name=name), f'failed to delete "{name}" in the {place}', GONE)
    return bool(perform([step], stack, Undo()))


def _take_down(name: str, scene: Scene) -> None:
    if scene.sandbox is None:
        return
    link = scene.sandbox.link(name)
    if link is not None and link.up:
        step = Step(messages.set_link(link.index, 0, IFF_UP), f'failed to set "{name}" DOWN', GONE)
        perform([step], scene.sandbox, Undo())


def _remove_from_host(items: Sequence[Address | Route], scene: Scene) -> None:
    steps = []
    for item in items:
        link = scene.host.link(item.link)
        if link is None:
            continue
        if isinstance(item, Route):
            message = messages.delete_route(item, link.index)
        else:
            message = messages.delete_address(item, link.index)
        steps.append(Step(message, f"failed to remove {type(item).__name__.lower()} from {item.link}", GONE))
    perform(steps, scene.host, Undo())

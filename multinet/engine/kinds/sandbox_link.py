"""What all links in a sandbox have in common: marked and up, compared, and removed if they are ours."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import LinkInfo
from multinet.adapters.rtnetlink import IFF_UP
from multinet.core.desired import Device, Difference, Dummy, Ipvlan, Macvlan, Tap, Veth, Vlan
from multinet.engine.kinds.base import Placed, Rank
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import GONE, Step, perform
from multinet.engine.undo import Undo

SandboxLink = Veth | Macvlan | Ipvlan | Vlan | Dummy | Tap | Device


def creation_step(item: SandboxLink, message: bytes, failure: str, stage: Stage) -> Step:
    """A link is born in the sandbox, under its chosen index."""
    sandbox = stage.scene.stack("sandbox")
    gone = messages.delete_link(stage.indexes["sandbox", item.name])
    return Step(message, failure, undo=partial(sandbox.send, [gone]))


def raised(item: SandboxLink, stage: Stage, mac: str = "") -> Placed:
    """The link carries its owner's mark, and is up if it is to be."""
    index = stage.indexes["sandbox", item.name]
    flags = IFF_UP if item.up else 0
    message = messages.set_link(index, flags, IFF_UP, alias=stage.scene.owner.mark, mac=mac)
    return Placed("sandbox", Rank.UP, Step(message, f'failed to set "{item.name}" UP'))


def link_differences(item: SandboxLink, link: LinkInfo | None, kind: str) -> Iterator[Difference]:
    """Presence, kind, MAC, MTU, state."""
    if link is None:
        yield Difference(item.name, "link", "present", "", f"Cannot find container link {item.name}")
        return
    if link.kind != kind:
        words = f"Error: Container interface {item.name} not of type {kind} (is {link.kind or 'device'})"
        yield Difference(item.name, "kind", kind, link.kind or "device", words)
        return
    if item.mac and link.mac != item.mac:
        words = f"Interface {item.name} Mac {item.mac} doesn't match container Mac: {link.mac}"
        yield Difference(item.name, "mac", item.mac, link.mac, words)
    if item.mtu and link.mtu != item.mtu:
        yield Difference(item.name, "mtu", str(item.mtu), str(link.mtu))
    if item.up and not link.up:
        yield Difference(item.name, "state", "up", "down", f"Interface {item.name} is down")


def remove_sandbox_link(name: str, scene: Scene) -> bool:
    """True if the link was there. One that carries another owner's mark is left alone, and so is one with any other
    alias: a device that was lent by the host has its home name there, and deleting it would destroy it.
    """
    if scene.sandbox is None:
        return False
    link = scene.sandbox.link(name)
    if link is None or link.alias not in ("", scene.owner.mark):
        return False
    if link.kind == "" and link.name == "lo":
        return False
    if not link.alias and _lies_elsewhere(link, scene):
        return False
    step = Step(messages.delete_link(name=name), f'failed to delete "{name}" in the sandbox', GONE)
    return bool(perform([step], scene.sandbox, Undo()))


def _lies_elsewhere(link: LinkInfo, scene: Scene) -> bool:
    """Whether our pair's host end is there with another link at its other end: this sandbox is another one."""
    ours = scene.host.link(scene.owner.host_ifname)
    if ours is None or ours.alias != scene.owner.mark:
        return False
    return (ours.parent, link.parent) != (link.index, ours.index)


def remove_host_link(name: str, scene: Scene) -> None:
    """Remove a link of the host's, if it is there."""
    step = Step(messages.delete_link(name=name), f'failed to delete "{name}" in the host', GONE)
    perform([step], scene.host, Undo())

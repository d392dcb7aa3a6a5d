"""Home again: a lent device is looked for in the sandbox and on the host, and becomes what it was.

When a namespace vanishes with a device in it, the kernel itself returns a network card to the host, down and
under the name that it had in the sandbox (or ``dev`` and its index if that is taken).
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Iterator

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import LinkInfo
from multinet.adapters.rtnetlink import IFF_UP
from multinet.core.desired import Address, Device
from multinet.engine.scene import Scene
from multinet.engine.steps import EXISTS, GONE, Step, perform, refusal
from multinet.engine.undo import Undo

__all__ = ["bring_home", "is_that_device"]

_log = logging.getLogger(__name__)
_LONGEST_NAME = 15
_SUFFIXES = 100
_TRIES = 3


def is_that_device(link: LinkInfo, item: Device) -> bool:
    """Whether nothing that can't be changed speaks against it, and it isn't another attachment's."""
    if link.name == "lo" or link.alias.startswith("multinet:") or link.kind != item.link_kind:
        return False
    if item.permanent_mac and link.permanent_mac != item.permanent_mac:
        return False
    return not item.pci_id or link.pci_id in ("", item.pci_id)  # of a virtio card only /sys has it


def bring_home(item: Device, scene: Scene) -> None:
    """Move it out of the sandbox if it is there, and put back what it was; gone is success.

    Raises CNIError code 100 with the kernel's reason.
    """
    home = None
    if scene.sandbox is not None:
        lent = _in_sandbox(item, scene.sandbox.links()) or _by_index(item, scene)
        if lent is not None:
            home = scene.host.link(_move_out(item, lent, scene))
    if home is None:
        home = _on_host(item, scene.host.links())
    if home is not None:
        _put_back(item, home, scene)


def _in_sandbox(item: Device, links: Iterable[LinkInfo]) -> LinkInfo | None:
    """By its hardware, its alias or its MAC; by its name alone only if nothing says that it is something else."""
    found = [(_likeness(item, link), link) for link in links if is_that_device(link, item)]
    likely = [
        (likeness, link)
        for likeness, link in found
        if any(likeness[:3]) or (link.name == item.name and not link.alias)
    ]
    return max(likely, key=lambda both: both[0])[1] if likely else None


def _by_index(item: Device, scene: Scene) -> LinkInfo | None:
    """The last resort for virtual links, of which a pod can change everything else. Not while the host has a link
    of that index, which then is the device itself: it was never lent, or is home.
    """
    if not item.index or scene.sandbox is None or scene.host.link_at(item.index) is not None:
        return None
    link = scene.sandbox.link_at(item.index)
    return link if link is not None and not link.alias and is_that_device(link, item) else None


def _likeness(item: Device, link: LinkInfo) -> tuple[bool, bool, bool, bool]:
    return (
        bool(item.permanent_mac) and link.permanent_mac == item.permanent_mac,
        link.alias == item.host_name,
        bool(item.mac) and link.mac == item.mac,
        link.name == item.name,
    )


def _on_host(item: Device, links: Iterable[LinkInfo]) -> LinkInfo | None:
    """One that is home but not yet what it was: its alias says so, or the name that it had in the sandbox."""
    found: list[tuple[tuple[bool, bool, bool, bool], LinkInfo]] = []
    for link in links:
        likeness = _likeness(item, link)
        hardware, alias, mac, name = likeness
        foreign_name = name or link.name == f"dev{link.index}"
        known = hardware or (alias and (mac or name or not item.mac)) or (mac and name)
        if is_that_device(link, item) and known and (alias or foreign_name):
            found.append((likeness, link))
    return max(found, key=lambda both: both[0])[1] if found else None


def _move_out(item: Device, link: LinkInfo, scene: Scene) -> str:
    """One request that moves and renames; the name that it got. Raises CNIError."""
    sandbox, home = scene.stack("sandbox"), scene.host.netns.fd
    for attempt in range(_TRIES):
        name = _free_name(item, {one.name for one in scene.host.links()})
        # Marked before it leaves: the host's side is to know it, whoever changed its alias meanwhile.
        mark = messages.set_link(link.index, alias=item.host_name)
        _, error = sandbox.send([mark, messages.move_link(link.index, home, name)])
        if error is None:
            return name
        if error.errno in GONE or (error.errno == errno.EEXIST and sandbox.link_at(link.index) is None):
            return ""  # it has moved, but somebody took the name just now: put right like one that came by itself
        if error.errno != errno.EEXIST or attempt == _TRIES - 1:
            raise refusal(Step(b"", f'failed to move link "{link.name}" home as "{name}"'), error)
    raise AssertionError("unreachable")


def _put_back(item: Device, link: LinkInfo, scene: Scene) -> None:
    name = _free_name(item, {one.name for one in scene.host.links() if one.index != link.index})
    if name != item.host_name:
        _log.warning('device %s comes home as %s: there is another "%s" now', link.name, name, item.host_name)
    perform(list(_steps(item, link, name, scene)), scene.host, Undo())


def _steps(item: Device, link: LinkInfo, name: str, scene: Scene) -> Iterator[Step]:
    """The alias comes last: whoever sees it there knows that the rest isn't done."""
    index = link.index

    def step(what: str, message: bytes, fine: tuple[int, ...] = GONE) -> Step:
        return Step(message, f'failed to restore {what} of device "{name}"', fine)

    if link.name != name:
        yield step("state", messages.set_link(index, 0, IFF_UP))
        yield step("name", messages.set_link(index, name=name))
    elif link.up and not item.was_up:
        yield step("state", messages.set_link(index, 0, IFF_UP))
    if item.mac and link.mac != item.mac:
        yield step("MAC", messages.set_link(index, mac=item.mac))
    if item.mtu and link.mtu != item.mtu:
        yield step("MTU", messages.set_link(index, mtu=item.mtu))
    if link.group != item.group:
        yield step("group", messages.set_link(index, group=item.group))
    master = scene.host.link(item.master) if item.master else None
    if master is not None and link.master != master.index:
        yield step("master", messages.set_link(index, master=master.index))
    if item.was_up:
        yield step("state", messages.set_link(index, IFF_UP, IFF_UP))
    for cidr in item.addresses:
        address = Address(link=name, cidr=cidr, place="host")
        yield step(f"address {cidr}", messages.address(address, index), GONE + EXISTS)
    yield step("alias", messages.set_link(index, alias=item.alias))


def _free_name(item: Device, taken: set[str]) -> str:
    """Its own name, or with the first suffix that nobody has."""
    names = [item.host_name]
    for number in range(1, _SUFFIXES):
        suffix = f"-{number}"
        names.append(item.host_name[: _LONGEST_NAME - len(suffix)] + suffix)
    return next((name for name in names if name not in taken), item.host_name)

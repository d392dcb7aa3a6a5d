"""Take an attachment away: by what was recorded, or by the identity that everything owned carries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.cni.errors import CNIError
from multinet.core.desired import AnyItem, Owner, PacketRule, StateFile
from multinet.engine.attempts import attempt
from multinet.engine.kinds import kind_of
from multinet.engine.kinds.sandbox_link import remove_host_link, remove_sandbox_link
from multinet.engine.scene import Scene
from multinet.engine.steps import GONE, Step, perform
from multinet.engine.undo import Undo


def remove(items: Sequence[AnyItem], scene: Scene) -> None:
    """Remove what is owned among ``items`` and put back what was borrowed; shared things stay.

    What is gone already is success. Everything is tried; raises the first CNIError in the end. After a failure
    state files stay: the next try needs them.
    """
    failures: list[CNIError] = []
    rules = [item for item in items if isinstance(item, PacketRule)]
    if rules:
        attempt(failures, lambda: scene.firewall.remove(rules))
    for item in reversed(items):  # what was changed twice gets its first value back
        if failures and isinstance(item, StateFile):
            continue
        attempt(failures, partial(kind_of(item).remove, item, scene))
    if failures:
        raise failures[0]


def sweep(scene: Scene, rules: Collection[type[PacketRule]], links: bool = True) -> None:
    """Remove whatever carries the owner's identity, with no record at all: its link and the pair's host end
    (unless the caller makes none), and packet rules of the kinds ``rules``, by their mark.
    """
    failures: list[CNIError] = []
    if links:
        attempt(failures, partial(_remove_links, scene))
    if rules:
        attempt(failures, lambda: scene.firewall.sweep(scene.owner, rules))
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


def collect(
    network: str,
    valid: Collection[tuple[str, str]],
    scene: Scene,
    rules: Collection[type[PacketRule]],
) -> None:
    """Remove host links, and rules of the kinds ``rules``, of all attachments of ``network`` that aren't ``valid``
    (container id, ifname).

    Their sandboxes are gone or about to go, and take what was in them along.
    """
    keep = {Owner(network, container_id, ifname).mark for container_id, ifname in valid}
    prefix = Owner(network, "", "").mark[:-1]
    stale = [link for link in scene.host.links() if link.alias.startswith(prefix) and link.alias not in keep]
    steps = [
        Step(messages.delete_link(link.index), f'failed to delete "{link.name}"', GONE) for link in stale
    ]
    failures: list[CNIError] = []
    attempt(failures, lambda: perform(steps, scene.host, Undo()))
    if rules:
        attempt(failures, lambda: scene.firewall.collect(network, valid, rules))
    if failures:
        raise failures[0]


def _remove_links(scene: Scene) -> None:
    if not remove_sandbox_link(scene.owner.ifname, scene):
        remove_host_link(scene.owner.host_ifname, scene)

"""What exists and is only set: sysctls, and a link that is to be up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.rtnetlink import IFF_UP
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Difference, LinkUp, Place, Sysctl
from multinet.engine.kinds.base import Kind, Placed, Rank
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import GONE, Step, perform
from multinet.engine.undo import Undo
from multinet.engine.views import Views

_PLACES: tuple[Place, ...] = ("host", "sandbox")


def write_sysctls(sysctls: Sequence[Sysctl], scene: Scene, undo: Undo) -> None:
    """Write them, each place's in one go and in their order. Raises CNIError code 100 with the key."""
    for place in _PLACES:
        settings = [(s.key, s.value, s.tolerant) for s in sysctls if s.place == place]
        if not settings:
            continue
        stack = scene.stack(place)
        for sysctl in sysctls:
            if sysctl.place == place and sysctl.whose == "borrowed" and sysctl.before is not None:
                back = partial(stack.write_sysctls, [(sysctl.key, sysctl.before, True)])
                undo.push(f"sysctl {sysctl.key}", back)
            elif sysctl.place == place and sysctl.key.startswith("net/ipv6/conf/lo/"):
                # The sandbox's own; others' go away with their link.
                before = stack.read_sysctl(sysctl.key)
                if before is not None:
                    undo.push(
                        f"sysctl {sysctl.key}",
                        partial(stack.write_sysctls, [(sysctl.key, before, True)]),
                    )
        try:
            stack.write_sysctls(settings)
        except OSError as error:
            raise CNIError(
                Code.KERNEL, f"failed to write sysctl {error.filename} in the {place}: {error.strerror}"
            ) from None


class SysctlKind(Kind[Sysctl]):
    """Sysctls; ``apply`` writes them by ``write_sysctls``."""

    def compare(self, item: Sysctl, views: Views) -> Iterator[Difference]:
        """Word by word: the kernel separates several values by tabs."""
        try:
            value = views[item.place].stack.read_sysctl(item.key)
        except OSError:  # it can only be written
            return
        if value is None and item.tolerant:
            return
        if value is None or value.split() != item.value.split():
            words = ""
            if item.whose == "borrowed" and item.place == "sandbox":  # somebody asked for it by its name
                words = (
                    f"Error: Tuning configured value of /proc/sys/{item.key} is {item.value}, "
                    f"current value is {value or ''}"
                )
            yield Difference(f"{item.place} sysctl {item.key}", "value", item.value, value or "", words)

    def remove(self, item: Sysctl, scene: Scene) -> None:
        """A borrowed one gets its former value back, if it still has ours."""
        if item.whose != "borrowed" or item.before is None:
            return
        if item.place == "sandbox" and scene.sandbox is None:
            return
        stack = scene.stack(item.place)
        present = stack.read_sysctl(item.key)
        if present is not None and present.split() == item.value.split():
            stack.write_sysctls([(item.key, item.before, True)])


class LinkUpKind(Kind[LinkUp]):
    """A link that is there already."""

    def configure(self, item: LinkUp, stage: Stage) -> Iterable[Placed]:
        """Up; taken back only if it was down."""
        index = stage.indexes["sandbox", item.name]
        stack = stage.scene.stack("sandbox")
        found = stack.link_at(index)
        back = None
        if found is None or not found.up:
            back = partial(stack.send, [messages.set_link(index, 0, IFF_UP)])
        message = messages.set_link(index, IFF_UP, IFF_UP)
        yield Placed("sandbox", Rank.UP, Step(message, f'failed to set "{item.name}" UP', undo=back))

    def compare(self, item: LinkUp, views: Views) -> Iterator[Difference]:
        """Up."""
        link = views["sandbox"].link(item.name)
        if link is None or not link.up:
            words = "loopback interface is down" if item.name == "lo" else ""
            yield Difference(item.name, "state", "up", "down" if link else "", words)

    def remove(self, item: LinkUp, scene: Scene) -> None:
        """Down."""
        if scene.sandbox is None:
            return
        link = scene.sandbox.link(item.name)
        if link is not None and link.up:
            step = Step(messages.set_link(link.index, 0, IFF_UP), f'failed to set "{item.name}" DOWN', GONE)
            perform([step], scene.sandbox, Undo())

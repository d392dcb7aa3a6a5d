"""Token buckets that only the traffic of some subnets must pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_messages.hierarchy import LIMITED, ROOT, UNLIMITED, subnet_keys
from multinet.adapters.kernel_values import ClassInfo, FilterInfo
from multinet.core.desired import Difference, SubnetBucket
from multinet.engine.kinds.base import Kind, Placed, Rank
from multinet.engine.kinds.shaping import remove_root, root_qdisc
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import Step
from multinet.engine.views import View, Views


class SubnetBucketKind(Kind[SubnetBucket]):
    """Hierarchies of two classes, and filters by subnet."""

    def configure(self, item: SubnetBucket, stage: Stage) -> Iterable[Placed]:
        """The root goes with all that is on it."""
        index = stage.indexes[item.place, item.link]
        back = partial(stage.scene.stack(item.place).send, [messages.delete_root_qdisc(index)])
        words = f'failed to limit "{item.link}"'
        root, *rest = messages.subnet_bucket(item, index)
        yield Placed(item.place, Rank.QUEUE, Step(root, f"{words}: create qdisc", undo=back))
        for message in rest:
            yield Placed(item.place, Rank.QUEUE, Step(message, f"{words}: add class or filter"))

    def compare(self, item: SubnetBucket, views: Views) -> Iterator[Difference]:
        """Kind and default of the root, the limited class, the filters in their order."""
        view = views[item.place]
        link, root = view.link(item.link), root_qdisc(view, item.link)
        if link is None or root is None:
            yield Difference(item.link, "qdisc", "htb", "", "Failed to find qdisc")
            return
        if root.kind != "htb":
            yield Difference(item.link, "qdisc", "htb", root.kind)
            return
        default = UNLIMITED if item.shaped == "inside" else LIMITED
        if root.default_class != default:
            yield Difference(item.link, "default class", f"1:{default}", f"1:{root.default_class}")
        yield from _class_differences(item, _limited(view, link.index))
        filters = view.stack.filters(link.index, ROOT)
        want = sorted(subnet_keys(subnet, item.match) for subnet in item.subnets)
        have = sorted(_keys_of(found) for found in filters)
        if want != have or any(f.class_handle == ROOT | default for f in filters):
            yield Difference(item.link, "subnet filters", _listed(want), _listed(have))

    def remove(self, item: SubnetBucket, scene: Scene) -> None:
        """Back to the kernel's default, if it is still there."""
        remove_root(item.place, item.link, "htb", scene)


def _limited(view: View, index: int) -> ClassInfo | None:
    return next((c for c in view.stack.classes(index) if c.handle == ROOT | LIMITED), None)


def _class_differences(item: SubnetBucket, found: ClassInfo | None) -> Iterator[Difference]:
    subject = f"{item.link} class 1:{LIMITED}"
    if found is None:
        yield Difference(subject, "class", "present", "")
        return
    if (found.rate, found.ceiling) != (item.rate, item.rate):
        words = f"Rate doesn't match: {item.link} has {found.rate}, expected {item.rate}"
        yield Difference(subject, "rate", str(item.rate), f"{found.rate}..{found.ceiling}", words)
    if found.buffer != item.buffer:
        words = f"Buffer doesn't match: {item.link} has {found.buffer}, expected {item.buffer}"
        yield Difference(subject, "buffer", str(item.buffer), str(found.buffer), words)


def _keys_of(found: FilterInfo) -> tuple[int, tuple[tuple[int, int, int], ...]]:
    return found.protocol, tuple(key for key in found.keys if key[0])


def _listed(filters: Iterable[tuple[int, tuple[tuple[int, int, int], ...]]]) -> str:
    return "; ".join(
        f"{protocol:#06x} " + " ".join(f"{value:08x}/{mask:08x} at {at}" for mask, value, at in keys)
        for protocol, keys in filters
    )

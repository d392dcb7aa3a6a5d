"""Queueing: token buckets, the ifb that a pod's outgoing traffic passes, and the way there."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters import rtnetlink as rt
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import FilterInfo, LinkInfo, QdiscInfo
from multinet.adapters.rtnetlink import IFF_UP
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Difference, Ifb, Place, Redirect, TokenBucket
from multinet.engine.kinds.base import Kind, NewLink, Placed, Rank
from multinet.engine.scene import Scene
from multinet.engine.stage import FactsChanged, Stage
from multinet.engine.steps import GONE, Act, Step, perform
from multinet.engine.undo import Undo
from multinet.engine.views import View, Views

INGRESS = rt.TC_H_INGRESS & 0xFFFF_0000
"""Handle of the ingress discipline, ffff:0."""
NO_QDISC = (*GONE, errno.EINVAL)
_ALL_PROTOCOLS = 3
_PRIORITY = 1


class IfbKind(Kind[Ifb]):
    """Ifbs: known as this attachment's by their alias, as those of the reference plugin by having none."""

    def new_links(self, item: Ifb) -> Iterable[NewLink]:
        """One that an earlier ADD of the same attachment left is as good."""
        return (NewLink("host", item.name, shared=True),)

    def existing(self, item: Ifb, scene: Scene) -> LinkInfo | None:
        """Only this attachment's own; another's takes the name, so that the decision must choose the next."""
        found = scene.facts.link(item.name)
        if found is not None and (found.kind != "ifb" or found.alias != scene.owner.mark):
            raise FactsChanged(item.name)
        return found

    def create(self, item: Ifb, stage: Stage) -> Iterable[tuple[Place, Step | Act]]:
        """On the host."""
        if not stage.is_new("host", item.name):
            return
        index = stage.indexes["host", item.name]
        undo = partial(stage.scene.host.send, [messages.delete_link(index)])
        message = messages.create_ifb(item, index, stage.scene.owner.group)
        yield "host", Step(message, f'failed to create ifb "{item.name}": adding link', undo=undo)

    def configure(self, item: Ifb, stage: Stage) -> Iterable[Placed]:
        """Up, with its owner's mark."""
        index = stage.indexes["host", item.name]
        message = messages.set_link(index, IFF_UP, IFF_UP, alias=stage.scene.owner.mark, mtu=item.mtu)
        yield Placed("host", Rank.UP, Step(message, f'failed to set "{item.name}" UP'))

    def compare(self, item: Ifb, views: Views) -> Iterator[Difference]:
        """Kind, MAC, MTU, state."""
        link = views["host"].link(item.name)
        if link is None:
            yield Difference(item.name, "link", "present", "", f"get ifb device: Link not found: {item.name}")
            return
        if link.kind != "ifb":
            yield Difference(item.name, "kind", "ifb", link.kind or "device")
        if item.mac and link.mac != item.mac:
            yield Difference(item.name, "mac", item.mac, link.mac)
        if item.mtu and link.mtu != item.mtu:
            yield Difference(item.name, "mtu", str(item.mtu), str(link.mtu))
        if link.tx_queue_len != item.tx_queue_len:
            have = str(link.tx_queue_len)
            yield Difference(item.name, "transmit queue length", str(item.tx_queue_len), have)
        if not link.up:
            yield Difference(item.name, "state", "up", "down")

    def remove(self, item: Ifb, scene: Scene) -> None:
        """Unless it is another attachment's by now."""
        link = scene.host.link(item.name)
        if link is None or link.kind != "ifb" or link.alias not in ("", scene.owner.mark):
            return
        step = Step(messages.delete_link(link.index), f'failed to delete "{item.name}" in the host', GONE)
        perform([step], scene.host, Undo())


class TokenBucketKind(Kind[TokenBucket]):
    """Token buckets at the root of a link's queueing."""

    def configure(self, item: TokenBucket, stage: Stage) -> Iterable[Placed]:
        """In place of whatever is there, which on a link made for a pod is the kernel's default."""
        index = stage.indexes[item.place, item.link]
        back = partial(stage.scene.stack(item.place).send, [messages.delete_root_qdisc(index)])
        step = Step(
            messages.token_bucket(item, index), f'failed to limit "{item.link}": create qdisc', undo=back
        )
        yield Placed(item.place, Rank.QUEUE, step)

    def compare(self, item: TokenBucket, views: Views) -> Iterator[Difference]:
        """Kind, rate, burst, length; no peak rate."""
        found = root_qdisc(views[item.place], item.link)
        if found is None:
            yield Difference(item.link, "qdisc", "tbf", "", "Failed to find qdisc")
            return
        if found.kind != "tbf":
            yield Difference(item.link, "qdisc", "tbf", found.kind)
            return
        for field, want, have in (
            ("rate", item.rate, found.rate),
            ("limit", item.limit, found.limit),
            ("buffer", item.buffer, found.buffer),
        ):
            if want != have:
                words = f"{field.capitalize()} doesn't match: {item.link} has {have}, expected {want}"
                yield Difference(item.link, field, str(want), str(have), words)
        if found.peak_rate:
            yield Difference(item.link, "peak rate", "none", str(found.peak_rate))

    def remove(self, item: TokenBucket, scene: Scene) -> None:
        """Back to the kernel's default, if it is still there."""
        remove_root(item.place, item.link, "tbf", scene)


class RedirectKind(Kind[Redirect]):
    """What a link receives goes through another one."""

    def configure(self, item: Redirect, stage: Stage) -> Iterable[Placed]:
        """The ingress discipline and its filter, ahead of all others."""
        stack = stage.scene.stack(item.place)
        index, to = stage.indexes[item.place, item.link], stage.indexes[item.place, item.to]
        was_there = any(qdisc.kind == "ingress" for qdisc in stack.qdiscs(index))
        if was_there:
            _require_free(item, stack.filters(index, INGRESS), to)
        words = f'failed to redirect what "{item.link}" receives'
        qdisc_back = partial(stack.send, [messages.delete_ingress_qdisc(index)])
        qdisc = Step(
            messages.ingress_qdisc(index),
            f"{words}: create ingress qdisc",
            undo=None if was_there else qdisc_back,
        )
        filter_back = partial(stack.send, [messages.delete_redirect_filter(index)])
        redirection = Step(messages.redirect_filter(index, to), f"{words}: add filter", undo=filter_back)
        yield Placed(item.place, Rank.QUEUE, qdisc)
        yield Placed(item.place, Rank.QUEUE, redirection)

    def compare(self, item: Redirect, views: Views) -> Iterator[Difference]:
        """The first filter takes everything, and leads to the right link."""
        view = views[item.place]
        link, to = view.link(item.link), view.link(item.to)
        if link is None:
            yield Difference(item.link, "link", "present", "")
            return
        qdiscs = _qdiscs(view, link)
        if not any(qdisc.kind == "ingress" for qdisc in qdiscs):
            yield Difference(item.link, "ingress qdisc", "ingress", "", "Failed to find qdisc")
            return
        filters = view.once(("filters", link.index), lambda: view.stack.filters(link.index, INGRESS))
        if not filters or not _leads(filters[0], to.index if to else -1):
            yield Difference(item.link, "redirection", f"to {item.to}", _described(filters, view))

    def remove(self, item: Redirect, scene: Scene) -> None:
        """The discipline too, unless others have filters on it."""
        stack = scene.stack(item.place)
        link, to = stack.link(item.link), stack.link(item.to)
        if link is None or not any(qdisc.kind == "ingress" for qdisc in stack.qdiscs(link.index)):
            return
        filters = stack.filters(link.index, INGRESS)
        ours = [found for found in filters if _leads(found, to.index if to else 0)]
        if filters and not ours:
            return
        alone = len(ours) == len(filters)
        remove_all = messages.delete_ingress_qdisc if alone else messages.delete_redirect_filter
        words = f'failed to end the redirection of "{item.link}"'
        perform([Step(remove_all(link.index), words, NO_QDISC)], stack, Undo())


def root_qdisc(view: View, name: str) -> QdiscInfo | None:
    """The discipline that someone gave a link; None for the kernel's default, or without the link."""
    link = view.link(name)
    return _root_of(_qdiscs(view, link)) if link else None


def remove_root(place: Place, name: str, kind: str, scene: Scene) -> None:
    """Remove a link's root discipline, if it is of ``kind``."""
    stack: NetworkStack = scene.stack(place)
    link = stack.link(name)
    if link is None:
        return
    root = _root_of(stack.qdiscs(link.index))
    if root is not None and root.kind == kind:
        step = Step(messages.delete_root_qdisc(link.index), f'failed to unlimit "{name}"', NO_QDISC)
        perform([step], stack, Undo())


def _root_of(qdiscs: Iterable[QdiscInfo]) -> QdiscInfo | None:
    return next((q for q in qdiscs if q.parent == rt.TC_H_ROOT and q.handle), None)


def _qdiscs(view: View, link: LinkInfo) -> list[QdiscInfo]:
    return view.once(("qdiscs", link.index), lambda: view.stack.qdiscs(link.index))


def _leads(found: FilterInfo, to: int) -> bool:
    """Whether it is our filter; ``to`` 0: the link that it led to is gone."""
    return (found.protocol, found.match_all, found.redirect_to) == (_ALL_PROTOCOLS, True, to)


def _require_free(item: Redirect, filters: Iterable[FilterInfo], to: int) -> None:
    for found in filters:
        if found.priority == _PRIORITY and not _leads(found, to):
            raise CNIError(
                Code.KERNEL,
                f'failed to redirect what "{item.link}" receives: add filter: it has a {found.kind} filter of '
                f"priority {_PRIORITY} already: remove it, or give it another priority",
            )


def _described(filters: list[FilterInfo], view: View) -> str:
    if not filters:
        return ""
    first = filters[0]
    to = view.stack.link_at(first.redirect_to) if first.redirect_to else None
    return f"first a {first.kind} filter" + (f" that leads to {to.name}" if to else "")

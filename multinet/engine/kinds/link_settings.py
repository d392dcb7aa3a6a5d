"""Attributes of a link that is there: changed, compared, and put back."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from msgspec.structs import asdict

from multinet.adapters import kernel_messages as messages
from multinet.core.desired import Difference, LinkAttributes, LinkSettings
from multinet.engine.kinds.base import Kind, Placed, Rank
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import Step
from multinet.engine.views import Views

_log = logging.getLogger(__name__)
_WORDS = {"mac": "MAC", "mtu": "MTU", "promisc": "promiscuous mode"}
_WORDS |= {"allmulti": "all-multicast mode", "tx_queue_len": "transmit queue length"}


class LinkSettingsKind(Kind[LinkSettings]):
    """Link settings: one message for each attribute, so that a refusal says which."""

    def configure(self, item: LinkSettings, stage: Stage) -> Iterable[Placed]:
        """Change what is wanted."""
        index = stage.indexes[item.place, item.link]
        stack = stage.scene.stack(item.place)
        former = asdict(item.before)
        for name, value in _given(item.want):
            back = None
            if former[name] is not None:
                back = partial(stack.send, [_message(index, name, former[name])])
            failure = f'failed to set {_WORDS[name]} of "{item.link}" to {_text(value)}'
            yield Placed(item.place, Rank.SETTING, Step(_message(index, name, value), failure, undo=back))

    def compare(self, item: LinkSettings, views: Views) -> Iterator[Difference]:
        """Each attribute that is wanted; what isn't may be anything."""
        link = views[item.place].link(item.link)
        if link is None:
            yield Difference(item.link, "link", "present", "", f"Cannot find container link {item.link}")
            return
        for name, want in _given(item.want):
            have = getattr(link, name)
            if have != want:
                yield Difference(
                    item.link, name, _text(want), _text(have), _phrase(item.link, name, want, have)
                )

    def remove(self, item: LinkSettings, scene: Scene) -> None:
        """Put back what was. What the kernel refuses is logged: the link goes with its sandbox, and a pod must not
        be kept for its MTU.
        """
        if item.place == "sandbox" and scene.sandbox is None:
            return
        stack = scene.stack(item.place)
        link = stack.link(item.link)
        if link is None:
            return
        changes = [(name, value) for name, value in _given(item.before) if getattr(link, name) != value]
        outcome = stack.send([_message(link.index, name, value) for name, value in changes])
        for (name, value), error in zip(changes, outcome, strict=True):
            if error is not None:
                _log.warning(
                    "%s of %s could not be set back to %s: %s", _WORDS[name], item.link, value, error
                )


def _given(attributes: LinkAttributes) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in asdict(attributes).items() if value is not None]


def _message(index: int, name: str, value: Any) -> bytes:
    return messages.set_attributes(index, LinkAttributes(**{name: value}))


def _phrase(link: str, name: str, want: Any, have: Any) -> str:
    """As the reference says it."""
    if name == "promisc":
        return f"Error: Tuning link {link} configured promisc is {_text(want)}, current value is {int(have)}"
    what = {"mac": "Ethernet", "mtu": "MTU", "allmulti": "all-multicast mode"}.get(
        name, "Transmit Queue Length"
    )
    return f"Error: Tuning configured {what} of {link} is {_text(want)}, current value is {_text(have)}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

"""What a CNI plugin in process is: one method a verb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import msgspec

from multinet.cni.chain import PluginCall
from multinet.core.desired import AnyItem
from multinet.sdk.node import Node


class Outcome(msgspec.Struct, frozen=True):
    """What an ADD gave: the CNI result object, and the items that were applied (for the journal)."""

    result: dict[str, Any]
    items: tuple[AnyItem, ...] = ()


class Plugin(Protocol):
    """A CNI plugin in process: one method a verb."""

    def add(self, call: PluginCall, node: Node) -> Outcome:
        """Make the attachment; on CNIError nothing is left."""

    def check(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """Raises CNIError code 102 that lists every difference from what was recorded, or else from what the
        configuration and the previous result say.
        """

    def delete(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """Remove the attachment, by what was recorded or else by its identity; gone already is success."""

    def gc(self, call: PluginCall, node: Node) -> None:
        """Remove what belongs to attachments that aren't listed as valid."""

    def status(self, call: PluginCall, node: Node) -> None:
        """Raises CNIError (code 50) when an ADD now would fail."""


@runtime_checkable
class HandsOn(Protocol):
    """A plugin that has another one do the work: it composes that one's configuration."""

    conf: type[msgspec.Struct]

    def example(self, conf: Mapping[str, Any]) -> dict[str, Any]:
        """What the other plugin gets on some node, for the complete configuration ``conf``.

        Raises CNIError when it would get nothing on any.
        """

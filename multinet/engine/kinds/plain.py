"""Links that stand alone in the sandbox: dummy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from multinet.adapters import kernel_messages as messages
from multinet.core.desired import Difference, Dummy, Place
from multinet.engine.kinds.base import Kind, NewLink, Placed
from multinet.engine.kinds.sandbox_link import (
    creation_step,
    link_differences,
    raised,
    remove_sandbox_link,
)
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import Act, Step
from multinet.engine.views import Views


class DummyKind(Kind[Dummy]):
    """Dummy links."""

    def new_links(self, item: Dummy) -> Iterable[NewLink]:
        """In the sandbox alone."""
        return (NewLink("sandbox", item.name, near=True),)

    def occupied(self, item: Dummy) -> str:
        """In the reference plugin's words."""
        return f"failed to create dummy: file exists (interface name {item.name} in the sandbox)"

    def create(self, item: Dummy, stage: Stage) -> Iterable[tuple[Place, Step | Act]]:
        """Under its final name."""
        index = stage.indexes["sandbox", item.name]
        message = messages.create_dummy(item, index, stage.scene.owner.group)
        yield "sandbox", creation_step(item, message, f'failed to create dummy "{item.name}"', stage)

    def configure(self, item: Dummy, stage: Stage) -> Iterable[Placed]:
        """Up."""
        yield raised(item, stage)

    def compare(self, item: Dummy, views: Views) -> Iterator[Difference]:
        """Kind, MAC, MTU, state."""
        yield from link_differences(item, views["sandbox"].link(item.name), "dummy")

    def remove(self, item: Dummy, scene: Scene) -> None:
        """From the sandbox."""
        remove_sandbox_link(item.name, scene)

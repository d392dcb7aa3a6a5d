"""What the kinds of items see while they are applied: the scene, and which link has which index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from multinet.adapters.kernel_values import LinkInfo
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import AnyItem, Place
from multinet.engine.scene import Scene
from multinet.engine.undo import Undo


class FactsChanged(Exception):
    """The host is no longer as the decision found it (a bridge came or went): decide again."""


class Indexes(dict[tuple[Place, str], int]):
    """Interface index by place and name; one that wasn't chosen here is looked up when it is asked for."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene

    def __missing__(self, key: tuple[Place, str]) -> int:
        place, name = key
        found = self._scene.stack(place).link(name)
        if found is None:
            raise CNIError(Code.KERNEL, f'failed to lookup "{name}": Link not found in the {place}')
        self[key] = found.index
        return found.index


@dataclass(slots=True)
class Stage:
    """One call of ``apply``: all its items, and what is known of their links."""

    scene: Scene
    items: Sequence[AnyItem]
    indexes: Indexes
    undo: Undo
    """For what must be taken back whether or not its step succeeds."""
    found: dict[tuple[Place, str], LinkInfo | None] = field(default_factory=dict)
    """Each shared link as it was before; None: made now."""

    def is_new(self, place: Place, name: str) -> bool:
        """Whether a shared link came into being just now."""
        return self.found.get((place, name)) is None

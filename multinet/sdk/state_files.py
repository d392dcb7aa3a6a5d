"""State files of plugins that aren't delegates themselves, but wrap one."""

from __future__ import annotations

from multinet.core.desired import StateFile
from multinet.engine.apply import apply
from multinet.engine.remove import remove
from multinet.engine.scene import Scene
from multinet.engine.undo import Undo

__all__ = ["drop", "keep"]


def keep(file: StateFile, scene: Scene) -> None:
    """Write it, whole or not at all. Raises CNIError."""
    apply([file], scene, Undo())


def drop(file: StateFile, scene: Scene) -> None:
    """Remove it; gone already is success. Raises CNIError."""
    remove([file], scene)

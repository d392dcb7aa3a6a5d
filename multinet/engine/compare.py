"""Compare desired state with the kernel, field by field: what CHECK reports, and repair and diagnosis later."""

from __future__ import annotations

from collections.abc import Sequence

from multinet.core.desired import AnyItem, Difference, PacketRule
from multinet.engine.kinds import kind_of
from multinet.engine.scene import Scene
from multinet.engine.views import Views


def compare(items: Sequence[AnyItem], scene: Scene) -> list[Difference]:
    """Every difference between ``items`` and the kernel; what others added is none."""
    views = Views(scene)
    found: list[Difference] = []
    for item in items:
        try:
            found += kind_of(item).compare(item, views)
        except KeyError:  # the sandbox's view
            subject = f"{item.place} of {type(item).__name__.lower()}"
            found.append(Difference(subject, "namespace", "present", ""))
    rules = [item for item in items if isinstance(item, PacketRule)]
    return found + (scene.firewall.compare(rules) if rules else [])

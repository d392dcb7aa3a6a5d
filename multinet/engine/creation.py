"""Links come into being: each in its final namespace, under an index that is chosen rather than looked up."""

from __future__ import annotations

import errno
import random
import re
from collections.abc import Iterable, Sequence

from multinet.cni.errors import CNIError, Code
from multinet.core.desired import AnyItem, Place
from multinet.engine.kinds import kind_of
from multinet.engine.kinds.base import NewLink
from multinet.engine.scene import Scene
from multinet.engine.stage import FactsChanged, Indexes, Stage
from multinet.engine.steps import Act, Step, perform
from multinet.engine.undo import Undo

__all__ = ["create_links"]

# Indexes chosen for the host lie far above those that the kernel gives out in order.
_LOWEST, _HIGHEST = 0x2000_0000, 0x7000_0000
_FIRST = 2
"""Index of a sandbox's first interface, after its loopback; ``net3`` gets three more."""
_NUMBERED = re.compile(r"(?:eth|net)([0-9]{1,3})")
_TRIES = 3


def create_links(items: Sequence[AnyItem], scene: Scene, undo: Undo) -> Stage:
    """Create the links among ``items``; the stage says under which index each is, and what was there before.

    Raises CNIError when a name is taken or the kernel refuses, FactsChanged when a shared link came or went
    since the decision.
    """
    stage = Stage(scene, items, Indexes(scene), undo)
    links = [(item, link) for item in items for link in kind_of(item).new_links(item)]
    for item, link in links:
        if link.shared:
            stage.found[link.place, link.name] = kind_of(item).existing(item, scene)
        elif link.place == "sandbox" and scene.facts.is_taken(link.name):
            raise CNIError(Code.KERNEL, kind_of(item).occupied(item))
    wanted = [link for _, link in links]
    for attempt in range(_TRIES):
        stage.indexes.update(_chosen(wanted, stage, wary=attempt > 0))
        try:
            with Undo() as made:
                _create(wanted, stage, made)
                made.hand_over(undo)
            return stage
        except CNIError as error:
            # How the kernel says that an index is in use (EEXIST of one in the namespace that it is asked in).
            # It says the same of a master in use and of a name that is taken, so the last refusal stands.
            taken = getattr(error.__cause__, "errno", 0) in (errno.EBUSY, errno.EEXIST)
            if not taken or attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _chosen(links: Iterable[NewLink], stage: Stage, wary: bool) -> dict[tuple[Place, str], int]:
    """Indexes: random high ones; for one that is near by its name, so that nothing need be read, or (``wary``,
    after a collision) the next after those in use.
    """
    chosen: dict[tuple[Place, str], int] = {}
    sandbox = stage.scene.sandbox
    following = 0
    if wary and sandbox is not None:
        following = max((link.index for link in sandbox.links()), default=1) + 1
    for link in links:
        found = stage.found.get((link.place, link.name))
        if found is not None:
            chosen[link.place, link.name] = found.index
        elif link.near:
            chosen[link.place, link.name] = following or _usual_index(link.name)
            following += wary
        else:
            chosen[link.place, link.name] = random.randint(_LOWEST, _HIGHEST)
    return chosen


def _usual_index(name: str) -> int:
    """2 for ``eth0``, 2 + n for ``net{n}``: what they would get in order; any other name a random one."""
    numbered = _NUMBERED.fullmatch(name)
    return _FIRST + int(numbered[1]) if numbered else random.randint(_LOWEST, _HIGHEST)


def _create(links: Sequence[NewLink], stage: Stage, made: Undo) -> None:
    by_place: dict[Place, list[Step | Act]] = {"host": [], "sandbox": []}
    for item in stage.items:
        for place, step in kind_of(item).create(item, stage):
            by_place[place].append(step)
    for place, steps in by_place.items():
        if not steps:
            continue
        try:
            perform(steps, stage.scene.stack(place), made)
        except CNIError as error:
            _note_change(links, stage, error)
            raise


def _note_change(links: Iterable[NewLink], stage: Stage, error: CNIError) -> None:
    """A shared link that another ADD made or removed meanwhile is no failure: the decision is taken again."""
    for link in links:
        if not link.shared:
            continue
        now = stage.scene.stack(link.place).link(link.name)
        expected = stage.indexes[link.place, link.name]  # what was found, or what this ADD has just made
        exists = getattr(error.__cause__, "errno", 0) == errno.EEXIST
        is_expected = now is not None and now.index == expected
        was_there = stage.found[link.place, link.name] is not None
        if not is_expected and (was_there or (exists and now is not None)):
            raise FactsChanged(link.name) from error

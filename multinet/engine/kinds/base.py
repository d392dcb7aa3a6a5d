"""What the engine must know of a kind of item: how it comes about, how it is compared, how it goes."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

from multinet.adapters.kernel_values import LinkInfo
from multinet.core.desired import Difference, Item, Place
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import Act, Step
from multinet.engine.views import Views

I_contra = TypeVar("I_contra", bound=Item, contravariant=True)


class Rank(IntEnum):
    """Order of the steps within one place."""

    SETTING = 0
    """Attributes of a link, flags of a port."""
    MEMBER = 1
    """A port joins its master."""
    ADDRESS = 2
    """Before the link is up: the kernel announces what is there by then."""
    UP = 3
    NEIGHBOUR = 4
    RULE = 5
    """Policy rules. A table that is still empty sends one on to the next rule; and by the rule a DEL with no record
    finds the table.
    """
    ROUTE = 6
    AWAY = 7
    """What stands elsewhere now is taken away."""
    QUEUE = 8


class Placed(NamedTuple):
    """A step, where it is taken, and when."""

    place: Place
    rank: Rank
    step: Step | Act


class NewLink(NamedTuple):
    """A link that an item makes. ``shared``: one that is there is as good."""

    place: Place
    name: str
    shared: bool = False
    near: bool = False
    """Its index may be a low one: it isn't looked for in another namespace as well."""


class Kind(Generic[I_contra]):
    """What the engine knows of one kind of item. Each method's default is: nothing."""

    def new_links(self, item: I_contra) -> Iterable[NewLink]:
        """The links that it makes; each gets an index before ``create``."""
        return ()

    def existing(self, item: I_contra, scene: Scene) -> LinkInfo | None:
        """Of a shared link: the one that is there, if any.

        Raises CNIError when it is something else, FactsChanged when it isn't as the decision found it.
        """
        return None

    def occupied(self, item: I_contra) -> str:
        """What to say when the sandbox has a link of the name already."""
        return "interface name already exists in the sandbox"

    def create(self, item: I_contra, stage: Stage) -> Iterable[tuple[Place, Step | Act]]:
        """Steps by which it comes into being; its indexes are chosen."""
        return ()

    def configure(self, item: I_contra, stage: Stage) -> Iterable[Placed]:
        """Steps once all links are there."""
        return ()

    def share(self, item: I_contra, stage: Stage) -> Iterable[Placed]:
        """Steps on what others use too. They come last, when little can fail any more: once it is there others
        rely on it, and taking it back with this attachment would break theirs.
        """
        return ()

    def compare(self, item: I_contra, views: Views) -> Iterable[Difference]:
        """What isn't as desired."""
        return ()

    def remove(self, item: I_contra, scene: Scene) -> None:
        """Take it away, or put back what was; gone already is success. Raises CNIError.

        Addresses and routes of a sandbox go with their link.
        """

"""What all items have in common: where they live, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

import msgspec

Place = Literal["host", "sandbox"]
Whose = Literal["owned", "shared", "borrowed"]


class Item(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One thing in the kernel."""

    place: Place = "sandbox"
    whose: Whose = "owned"


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as desired: on which object, which field, what was wanted and what is there."""

    subject: str
    field: str
    want: str
    have: str
    phrase: str = ""
    """How the reference plugins say it, where callers look for their words."""

    def __str__(self) -> str:
        if self.phrase:
            return self.phrase
        return f"{self.subject}: {self.field} is {self.have or 'absent'}, expected {self.want}"


_T = TypeVar("_T", bound=Item)


def select(items: Iterable[Item], kind: type[_T]) -> list[_T]:
    """The items of one kind, in order."""
    return [item for item in items if isinstance(item, kind)]

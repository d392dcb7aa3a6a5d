"""Files on the host in which a delegate keeps what a DEL with no record needs."""

from __future__ import annotations

from multinet.core.desired.item import Item, Place


class StateFile(Item, frozen=True, kw_only=True, tag="state-file"):
    """A file on the host, its folders made if absent. One that is there is kept as it is: an ADD that is repeated
    must not replace what the first one remembered (unless it ``replaces``: what is there is about the past).
    """

    path: str
    content: str = ""
    mode: int = 0o600
    replaces: bool = False
    place: Place = "host"

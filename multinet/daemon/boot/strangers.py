"""Sandboxes that were attached before multinet came, without any meta-plugin: their removal will come to us.

So that it gives back what their network holds (an address, a host port), the journal gets to know them. Pure but for
the call that does it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable

from multinet.cni.errors import CNIError
from multinet.ports import PodSandbox

__all__ = ["Strangers"]

_log = logging.getLogger(__name__)


class Strangers:
    """Running sandboxes of which the journal has nothing."""

    def __init__(self, adopt: Callable[[PodSandbox], None], grace: float) -> None:
        """``adopt`` writes one into the journal, unless it is there by then; it may raise CNIError.

        ``grace``: seconds from the first time that one is seen to the one that counts.
        """
        self._adopt = adopt
        self._grace = grace
        self._since: dict[str, float] = {}
        self._tried: frozenset[str] = frozenset()

    def meet(self, sandboxes: Iterable[PodSandbox], recorded: Collection[str], now: float) -> bool:
        """Adopt those that are due, each once; whether others have to be seen again.

        ``recorded``: container ids that the journal has anything of.
        """
        unknown = [one for one in sandboxes if one.ready and one.netns and one.container_id not in recorded]
        self._since = {one.container_id: self._since.get(one.container_id, now) for one in unknown}
        self._tried &= self._since.keys()
        new = [one for one in unknown if one.container_id not in self._tried]
        due = [one for one in new if now - self._since[one.container_id] >= self._grace]
        for one in due:
            self._tried |= {one.container_id}
            try:
                self._adopt(one)
            except CNIError as error:
                _log.info(
                    "pod %s/%s was attached by others; its removal will have to do without us: %s",
                    one.namespace,
                    one.name,
                    error,
                )
        return len(due) < len(new)

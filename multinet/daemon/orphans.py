"""Attachments whose sandbox is gone, and for which no DEL came: a lost store of the runtime's, a reboot, force.

Runtimes of CNI 1.1 send GC for that; this does without, so that addresses come back whatever the runtime's age.
"""

from __future__ import annotations

import logging

from multinet.daemon.collection import sandbox_is_gone
from multinet.daemon.shared import Shared
from multinet.ports import RuntimeUnavailable, Sandboxes

__all__ = ["Orphans"]

_log = logging.getLogger(__name__)


class Orphans:
    """Finds them and removes them. For one thread at a time."""

    def __init__(self, shared: Shared, sandboxes: Sandboxes) -> None:
        self._shared = shared
        self._sandboxes = sandboxes
        self._seen: frozenset[str] = frozenset()
        self._problem = ""

    def remove(self) -> bool:
        """Remove the containers that were orphans at the last look and still are; whether any are doubtful yet.

        An orphan is a container whose network namespace is gone and that the runtime doesn't list. One sign alone
        doesn't count: a daemon in a container may not see the node's namespaces, and not all that runs on a node is
        the runtime's. The runtime is asked only when a namespace is gone.
        """
        gone = {record.container_id for record in self._shared.journal.all() if sandbox_is_gone(record)}
        orphans = frozenset(gone - self._listed()) if gone else frozenset()
        certain, self._seen = orphans & self._seen, orphans - self._seen
        for container_id in sorted(certain):
            _log.info("container %s is gone without a DEL: what it held is given back", container_id)
            with self._shared.turns.of(container_id):
                self._shared.removal.detach_container(container_id, unwanted=sandbox_is_gone)
        return bool(self._seen)

    def _listed(self) -> frozenset[str]:
        """Containers that the runtime knows, ended ones too: their DEL will come. All of ours, if it doesn't answer."""
        try:
            listed = frozenset(one.container_id for one in self._sandboxes.sandboxes())
        except RuntimeUnavailable as error:
            self._tell(str(error))
            return frozenset(record.container_id for record in self._shared.journal.all())
        self._tell("")
        return listed

    def _tell(self, problem: str) -> None:
        """Once for each problem: there need not be such a runtime at all."""
        if problem and problem != self._problem:
            _log.info("containers that are gone can't be told from others: %s", problem)
        self._problem = problem

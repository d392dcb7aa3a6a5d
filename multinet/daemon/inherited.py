"""Pods that Multus attached before multinet came to the node: taken over when they are first asked for.

What its files say becomes rows of the journal; from then on nothing is special about those pods. The files go
when the pods go.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterator

from msgspec.structs import replace

from multinet.adapters.multus_cache import MultusCache
from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError
from multinet.core.record import AttachmentRecord
from multinet.core.takeover import Takeover
from multinet.daemon.call import Call
from multinet.daemon.networks import META_TYPES
from multinet.ports import Journal

_log = logging.getLogger(__name__)
_USUAL = "eth0"
"""The default network's interface, where no runtime says it."""


class Inherited:
    """Multus' files on this node, and the journal that inherits from them."""

    def __init__(self, journal: Journal, directory: str, path: tuple[str, ...] = ()) -> None:
        """``directory`` is Multus' ``cniDir``, ``path`` the folders of its plugins."""
        self._journal = journal
        self._directory = directory
        self._path = path
        self._seen_dead: frozenset[str] = frozenset()

    def take_over(self, call: Call) -> None:
        """Write the call's container into the journal, unless it is there or Multus doesn't know it.

        Files that say nothing are told to the log: what they stood for can't be found any more.
        """
        container_id = call.invocation.container_id
        cache = self._cache(call)
        if not cache.has(container_id) or self._journal.of(container_id):
            return
        whose = Takeover(
            container_id=container_id,
            ifname=_default_ifname(call),
            netns=call.invocation.netns,
            args=call.invocation.args,
            path=call.invocation.path_after(*self._path),
        )
        self._inherit(cache, whose, call.namespace())

    def forget(self, call: Call) -> None:
        """Remove the files of the call's container once nothing of it is in the journal any more."""
        cache = self._cache(call)
        if cache.has(call.invocation.container_id):
            self._remove(cache, call.invocation.container_id, _default_ifname(call))

    def take_over_live(self, containers: Collection[str]) -> None:
        """Write those of the runtime's containers that Multus attached into the journal: GC must not take what
        their secondary interfaces hold.
        """
        cache = MultusCache(self._directory)
        known = {record.container_id for record in self._journal.all()}
        for container_id in set(cache.containers()).intersection(containers) - known:
            self._inherit(cache, self._whose(container_id), None)

    def dead(self, live: Collection[str] | None = None) -> list[str]:
        """Containers that left files but no sandbox, seen so a second time: Multus may be in the middle of an ADD
        when one is seen first. They are in the journal now, to be removed from there.

        ``live``: what the runtime knows; without it a sandbox is gone when its namespace is.
        """
        cache = MultusCache(self._directory)
        found = frozenset(
            one
            for one in cache.containers()
            if (one not in live if live is not None else _is_gone(cache.netns_paths(one)))
        )
        twice, self._seen_dead = found & self._seen_dead, found
        for container_id in twice:
            if not self._journal.of(container_id):
                self._inherit(cache, self._whose(container_id), None)
        return sorted(twice)

    def bury(self, container_id: str) -> None:
        """Remove a dead container's files once nothing of it is in the journal any more."""
        self._remove(MultusCache(self._directory), container_id, _USUAL)

    def _inherit(self, cache: MultusCache, whose: Takeover, netns: Netns | None) -> None:
        try:
            records = cache.records(whose)
        except CNIError as error:
            _log.error("container %s, attached by Multus: %s", whose.container_id, error)
            return
        self._journal.ready([_settled(record, netns) for record in records])
        _log.info(
            "container %s, attached by Multus: %d attachments taken over", whose.container_id, len(records)
        )

    def _remove(self, cache: MultusCache, container_id: str, ifname: str) -> None:
        if self._journal.of(container_id):
            return
        try:
            cache.remove(container_id, ifname)
        except CNIError as error:  # they do no harm, and are tried again as a dead container's
            _log.warning("%s", error)

    def _whose(self, container_id: str) -> Takeover:
        return Takeover(container_id=container_id, path=self._path)

    def _cache(self, call: Call) -> MultusCache:
        """A network's own configuration comes from users: it doesn't say where the node's files are."""
        given = call.conf.get("cniDir") if call.program in META_TYPES else None
        return MultusCache(given if isinstance(given, str) and given else self._directory)


def left_by_multus(
    cache: MultusCache, known: Collection[str], path: tuple[str, ...]
) -> Iterator[tuple[str, tuple[AttachmentRecord, ...] | CNIError]]:
    """Each container that has a scratch file and isn't among ``known``: what the journal would have of it, or why
    nobody can say.
    """
    for container_id in cache.containers():
        if container_id in known:
            continue
        try:
            records = cache.records(Takeover(container_id=container_id, path=path))
        except CNIError as error:
            yield container_id, error
        else:
            yield container_id, tuple(_settled(record, None) for record in records)


def _default_ifname(call: Call) -> str:
    """A runtime names the default network's interface; who plugs in another one names that."""
    return call.invocation.ifname if call.program in META_TYPES else _USUAL


def _settled(record: AttachmentRecord, netns: Netns | None) -> AttachmentRecord:
    """The record with the identity of its namespace, if that is still there: ``netns``, or by its path."""
    identity = netns.identity if netns is not None else identity_of(record.netns)
    return replace(record, netns_identity=identity, created=time.time())


def identity_of(path: str) -> tuple[int, int]:
    """Device and inode of the namespace at ``path``; (0, 0) when there is none."""
    try:
        with Netns.open(path) as netns:
            return netns.identity
    except CNIError:
        return 0, 0


def _is_gone(paths: Collection[str]) -> bool:
    """Whether all the files are missing from folders that are there: a folder that isn't may not be mounted."""
    return bool(paths) and all(
        os.path.isdir(os.path.dirname(path)) and not os.path.lexists(path) for path in paths
    )

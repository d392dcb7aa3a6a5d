"""GC: which containers are gone, what of each network is still in use, and what the runtime can't know.

The runtime's list has the default network's interface of each of its containers and nothing else; the journal has
all that this node attached. Neither is believed alone when something is to be taken away.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence

import msgspec

from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError
from multinet.core.record import AttachmentRecord
from multinet.daemon.attachments import network_of

_log = logging.getLogger(__name__)

Pairs = Collection[tuple[str, str]]
"""Attachments as (container id, interface name)."""


class Missing(msgspec.Struct, frozen=True):
    """Containers of the journal that the runtime's list lacks."""

    forsaken: frozenset[str] = frozenset()
    """To be removed now."""
    doubtful: frozenset[str] = frozenset()
    """Missing for the first time: removed if the next list lacks them, too."""


def missing(
    records: Sequence[AttachmentRecord],
    listed: Collection[str],
    doubtful: Collection[str],
    is_gone: Callable[[AttachmentRecord], bool],
) -> Missing:
    """What is to become of the containers that the runtime doesn't list.

    A list may be older than a container, or may be cut short: once missing is no proof. Forsaken is one that
    was ``doubtful`` after the list before, whose sandbox ``is_gone``, or that is being removed anyway. One that
    is being added is neither.
    """
    unlisted = [record for record in records if record.container_id not in listed]
    adding = {record.container_id for record in unlisted if record.phase == "adding"}
    candidates = {record.container_id for record in unlisted} - adding
    forsaken = {
        record.container_id
        for record in unlisted
        if record.container_id in candidates
        and (record.container_id in doubtful or record.phase == "deleting" or is_gone(record))
    }
    return Missing(frozenset(forsaken), frozenset(candidates - forsaken))


def sandbox_is_gone(record: AttachmentRecord) -> bool:
    """Whether the namespace that the attachment was made in certainly isn't at its path any more.

    A daemon in a container may not see the namespaces of the node, or only the files that they are mounted on:
    that says nothing.
    """
    if not record.netns or record.netns_identity == (0, 0):
        return False
    try:
        found = os.stat(record.netns)
    except FileNotFoundError:
        return os.path.isdir(os.path.dirname(record.netns))
    except OSError:
        return False
    is_namespace = found.st_dev == os.stat("/proc/self/ns/net").st_dev
    return is_namespace and (found.st_dev, found.st_ino) != record.netns_identity


def collect(
    default: NetworkList | None,
    records: Sequence[AttachmentRecord],
    valid: Pairs,
    run: Callable[[NetworkList, Pairs], None],
) -> None:
    """``run`` GC of the default network and of every network in use, each with the attachments to keep.

    To keep are those of the runtime's list, ``valid``, and all of the journal's ``records``, whatever network
    they are of: one plugin, or one address manager, may serve several. Where the runtime lists containers that
    the journal doesn't know (its file was lost), only the default network is collected: how their other
    interfaces are called nobody knows. All networks are tried; raises one CNIError for all failures.
    """
    networks: dict[bytes, NetworkList] = {}
    strangers = {container for container, _ in valid} - {record.container_id for record in records}
    if strangers:
        _log.info(
            "only the default network is collected: %d containers aren't in the journal", len(strangers)
        )
    else:
        networks = {record.network: network_of(record) for record in records}
    if default is not None:
        networks[default.raw] = default
    kept = {(record.container_id, record.ifname) for record in records}.union(valid)
    failures: list[CNIError] = []
    for network in networks.values():
        try:
            run(network, kept)
        except CNIError as error:
            failures.append(error)
    if failures:
        raise CNIError(failures[0].code, "\n".join(str(error) for error in failures))

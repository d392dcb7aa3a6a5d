"""GC of whole networks: what the runtime knows of, and what it can't know."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError
from multinet.core.record import AttachmentRecord
from multinet.daemon.attachments import network_of

Pairs = Collection[tuple[str, str]]
"""Attachments as (container id, interface name)."""


def collect(
    default: NetworkList | None,
    records: Sequence[AttachmentRecord],
    valid: Pairs,
    run: Callable[[NetworkList, Pairs], None],
) -> None:
    """``run`` GC of the default network and of every network in use, each with the attachments to keep.

    The runtime's list, ``valid``, lacks the secondary interfaces, which the journal's ``records`` have; and it
    has pods from before the journal. All networks are tried; raises one CNIError for all failures.
    """
    networks: dict[bytes, NetworkList] = {record.network: network_of(record) for record in records}
    if default is not None:
        networks[default.raw] = default
    failures: list[CNIError] = []
    for network in networks.values():
        own = {(r.container_id, r.ifname) for r in records if r.network_name == network.name}
        try:
            run(network, own.union(valid))
        except CNIError as error:
            failures.append(error)
    if failures:
        raise CNIError(failures[0].code, "\n".join(str(error) for error in failures))

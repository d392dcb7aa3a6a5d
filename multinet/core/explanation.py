"""Why a pod has, or lacks, each of its interfaces: what it asks for beside what is recorded of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from multinet.core.planned import PlannedAttachment
from multinet.core.record import AttachmentRecord
from multinet.npwg.selection import DEFAULT_NETWORK, NETWORKS

__all__ = ["Asked", "Finding", "LastFailure", "PodExplanation", "State", "asked_for", "findings"]

State = Literal["attached", "changed", "attaching", "removing", "missing"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One interface that the pod is to have."""

    ifname: str
    network: str
    """Display name, or what the pod calls it when it can't be loaded."""
    by: str
    """Who asks for it: an annotation's key, or a key of the node's configuration."""
    fault: str = ""
    """Why an ADD now would fail at it; empty when nothing is known to hinder it."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One interface: what became of it, and why."""

    ifname: str = msgspec.field(name="interface")
    network: str
    by: str
    state: State
    reason: str = ""
    """Why it isn't there, or isn't as ADD made it."""
    container_id: str = msgspec.field(name="containerID", default="")
    plugins: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    device: str = ""
    created: float = 0.0
    """Unix time, seconds; 0 for one that isn't there."""


class LastFailure(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The last ADD of a pod, if that failed."""

    at: float
    """Unix time, seconds."""
    container_id: str = msgspec.field(name="containerID")
    code: int
    reason: str
    """As the pod's event has it; empty without one."""
    message: str


class PodExplanation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All that the node knows of one pod's interfaces."""

    namespace: str
    name: str
    uid: str = ""
    annotations: Mapping[str, str] = {}
    """Those that choose networks."""
    problem: str = ""
    """What concerns the pod as a whole: it isn't known, or its annotations can't be understood."""
    interfaces: tuple[Finding, ...] = ()
    last_failure: LastFailure | None = None
    node_problem: str = ""
    """What is wrong with the node itself; empty when nothing is known to be."""

    @property
    def is_well(self) -> bool:
        """Whether the pod has all that it asks for, as ADD made it, and is about to lose none of it."""
        return not self.problem and all(one.state == "attached" for one in self.interfaces)


def asked_for(planned: PlannedAttachment, network: str, fault: str = "") -> Asked:
    """The interface that ``planned`` is to become; ``network`` is its display name, if it could be loaded."""
    if planned.selection is not None:
        by = DEFAULT_NETWORK if planned.is_default else NETWORKS
    else:
        by = "clusterNetwork" if planned.is_default else "defaultNetworks"
    return Asked(ifname=planned.ifname, network=network or planned.name, by=by, fault=fault)


def findings(
    asked: Iterable[Asked],
    records: Sequence[AttachmentRecord],
    differences: Mapping[tuple[str, str], str],
    otherwise: str,
) -> tuple[Finding, ...]:
    """One finding for each interface asked for, then those that nobody asks for (any more).

    ``differences``: (container id, interface) → how a ready attachment differs from what ADD made; absent or empty
    for one that doesn't. ``otherwise`` is the reason why something is missing that nothing else hinders.
    """
    left = list(records)
    found = []
    for one in asked:
        record = next((record for record in left if record.ifname == one.ifname), None)
        if record is None:
            reason = one.fault or otherwise
            found.append(
                Finding(ifname=one.ifname, network=one.network, by=one.by, state="missing", reason=reason)
            )
            continue
        left.remove(record)
        found.append(_recorded(record, one.by, differences))
    return (*found, *(_recorded(record, "", differences) for record in left))


def _recorded(record: AttachmentRecord, by: str, differences: Mapping[tuple[str, str], str]) -> Finding:
    difference = differences.get((record.container_id, record.ifname), "")
    match record.phase:
        case "ready":
            state: State = "changed" if difference else "attached"
        case "adding":
            state = "attaching"
        case "deleting":
            state, difference = "removing", record.failure
    return Finding(
        ifname=record.ifname,
        network=record.name,
        by=by,
        state=state,
        reason=difference,
        container_id=record.container_id,
        plugins=_plugins(record),
        addresses=tuple(ip.address for ip in record.parsed_result().ips),
        device=record.device_id,
        created=record.created,
    )


def _plugins(record: AttachmentRecord) -> tuple[str, ...]:
    conf = msgspec.json.decode(record.network)
    return tuple(str(plugin.get("type", "")) for plugin in conf.get("plugins") or [conf])

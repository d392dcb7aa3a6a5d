"""An address manager as a CNI plugin of its own name: for upper plugins that run it as an executable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multinet import ports
from multinet.cni.chain import PluginCall
from multinet.cni.errors import CNIError, Code
from multinet.cni.invocation import parse_args
from multinet.cni.result import Result
from multinet.core.desired import AnyItem, Difference, Owner
from multinet.ports import Ipam, IpamRequest
from multinet.sdk.node import Node
from multinet.sdk.plugin import Outcome

VALID_ATTACHMENTS = "cni.dev/valid-attachments"


class IpamPlugin:
    """The five verbs of an IPAM (CNI specification, "Delegated plugins")."""

    def __init__(self, ipam: Ipam) -> None:
        self.ipam = ipam

    def add(self, call: PluginCall, node: Node) -> Outcome:
        """Allocate."""
        return Outcome(self.ipam.allocate(request_of(call, node)).as_version(version_of(call.conf)))

    def check(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """Compare the reservation."""
        found = self.ipam.check(request_of(call, node), previous_result(call.conf))
        if found:
            raise check_failure(found)

    def delete(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """Release."""
        self.ipam.release(request_of(call, node))

    def gc(self, call: PluginCall, node: Node) -> None:
        """Release what isn't valid; without a list nothing."""
        valid = valid_attachments(call.conf)
        if valid is not None:
            self.ipam.collect(request_of(call, node), valid)

    def status(self, call: PluginCall, node: Node) -> None:
        """Whether an allocation would succeed."""
        self.ipam.status(request_of(call, node))


def owner_of(call: PluginCall) -> Owner:
    """Whose attachment a call is about."""
    return Owner(str(call.conf.get("name") or ""), call.invocation.container_id, call.invocation.ifname)


def request_of(call: PluginCall, node: Node) -> IpamRequest:
    """The call as an IPAM sees it. On DEL unreadable ``CNI_ARGS`` are ignored, else code 4."""
    try:
        args = parse_args(call.invocation.args)
    except CNIError:
        if call.verb != "DEL":
            raise
        args = {}
    netns = node.netns if node.netns is not None else node.sandbox.netns if node.sandbox is not None else None
    return IpamRequest(
        conf=call.conf,
        owner=owner_of(call),
        args=args,
        deadline=call.deadline,
        netns=call.invocation.netns,
        netns_fd=None if netns is None else netns.fd,
        cancelled=node.cancelled,
    )


def version_of(conf: Mapping[str, Any]) -> str:
    """The configuration's ``cniVersion``; absent means 0.1.0."""
    return str(conf.get("cniVersion") or "0.1.0")


def previous_result(conf: Mapping[str, Any]) -> Result | None:
    """``prevResult``, converted, or None. Raises CNIError code 6 with the JSON path."""
    raw = conf.get("prevResult")
    if raw is None:
        return None
    try:
        return Result.from_json(raw, version_of(conf))
    except CNIError as error:
        raise error.prefixed("could not parse prevResult: ") from None


def valid_attachments(conf: Mapping[str, Any]) -> frozenset[tuple[str, str]] | None:
    """The attachments that GC must keep, or None when there is no list (which isn't an empty list)."""
    raw = conf.get(VALID_ATTACHMENTS)
    if raw is None:
        raw = conf.get("cni.dev/attachments")
    if raw is None:
        return None
    try:
        return ports.owners(raw)
    except (TypeError, KeyError) as error:
        raise CNIError(
            Code.INVALID_CONFIG,
            f'$["{VALID_ATTACHMENTS}"]: expected a list of objects with containerID and ifname ({error})',
        ) from None


def check_failure(found: list[Difference]) -> CNIError:
    """All differences in one error: the first in the message, every one in the details."""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    details = "; ".join(f"{d.subject} {d.field}: want {d.want}, have {d.have or 'none'}" for d in found)
    return CNIError(Code.CHECK_FAILED, f"{found[0]}{more}", details)

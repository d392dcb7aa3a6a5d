"""What the users of a pod are told of its networks: which events, under which reasons.

Reasons are stable, since alerts match on them; docs/reference/events.md lists them. ``AddedInterface`` and
``NoNetworkFound``, and the text of the former, are those of Multus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from multinet.cni.errors import CNIError, Code
from multinet.core.record import AttachmentRecord
from multinet.daemon.call import Call
from multinet.daemon.pods import named_pod
from multinet.ports import Event, Events, Pod

__all__ = ["EventLevel", "NoEvents", "PodEvents", "added_interface", "failed_attachment"]

EventLevel = Literal["all", "warnings", "none"]
"""Which events are told: ``all`` of them, or no Normal ones, which say what the network-status says anyway."""

_INVALID = "InvalidNetworkConfig"
_MISSING = "NoNetworkFound"
_FAILED = "FailedAddingInterface"
_NOT_READY = "NetworkNotReady"

_REASONS: Mapping[int, str] = {
    Code.INCOMPATIBLE_VERSION: _INVALID,
    Code.UNSUPPORTED_FIELD: _INVALID,
    Code.DECODING_FAILURE: _INVALID,
    Code.INVALID_CONFIG: _INVALID,
    Code.TRY_AGAIN: _NOT_READY,
    Code.NOT_AVAILABLE: _NOT_READY,
    Code.IPAM: "NoAddressAvailable",
    Code.ATTACHMENT: _MISSING,
    Code.CLUSTER: "ClusterUnavailable",
    Code.CANCELLED: "AttachmentTimedOut",
}
"""CNI code → reason; every other code is ``FailedAddingInterface``."""
_SILENT = frozenset({Code.POD})
"""The pod is gone, or another one has its name: there is nobody to tell."""
_ISOLATED = ("namespace isolation enabled", "NetworkForbidden")
_FORBIDDEN = ("may not be used by pods of namespace", "NetworkForbidden")
_UNSERVED = ("is asked for, but no plugin", _INVALID)
_WITHOUT_DEVICE = ('of resource "', "DeviceNotAssigned")
_OF_ATTACHMENT = (_ISOLATED, _FORBIDDEN, _UNSERVED, _WITHOUT_DEVICE)
"""Code 105 has five causes: the texts are as stable as codes (Multus' callers match on them) and tell which."""


class NoEvents:
    """For clusters that keep no events."""

    def record(self, pod: Pod, event: Event) -> None:
        """See Events.record: nobody is told; a failure is in the daemon's log and in the runtime's answer."""

    def close(self, timeout: float = 1.0) -> None:
        """Nothing is waiting."""


class PodEvents:
    """Tells the users of pods what becomes of calls."""

    def __init__(self, events: Events, level: EventLevel = "warnings") -> None:
        self._events = events
        self._level = level

    @contextmanager
    def failure_of(self, call: Call) -> Iterator[None]:
        """One Warning, with the cause and what to do, when what is done within fails."""
        try:
            yield
        except CNIError as error:
            event = failed_attachment(error)
            if event is not None and self._level != "none":
                self._tell(call, event)
            raise

    def added(self, pod: Pod, made: Iterable[AttachmentRecord]) -> None:
        """A Normal event for each interface, where those are wanted."""
        if self._level != "all" or not pod.name:
            return
        for record in made:
            event = added_interface(record)
            if event is not None:
                self._events.record(pod, event)

    def without_device(self, pod: Pod, warnings: Iterable[str]) -> None:
        """A Warning for each network that is attached without the device that its resource should have brought."""
        self._warn(pod, _WITHOUT_DEVICE[1], warnings)

    def unserved(self, pod: Pod, warnings: Iterable[str]) -> None:
        """A Warning for each request of the pod that no plugin of its network takes."""
        self._warn(pod, _UNSERVED[1], warnings)

    def _warn(self, pod: Pod, reason: str, texts: Iterable[str]) -> None:
        if self._level == "none" or not pod.name:
            return
        for text in texts:
            self._events.record(pod, Event(reason=reason, message=text))

    def _tell(self, call: Call, event: Event) -> None:
        try:
            pod = call.pod or named_pod(call)
        except CNIError:  # CNI_ARGS that can't be read name nobody
            return
        if pod.name:
            self._events.record(pod, event)


def added_interface(record: AttachmentRecord) -> Event | None:
    """``Add eth0 [10.244.1.5/24] from cbr0``; None for a result with neither interfaces nor addresses."""
    result = record.parsed_result()
    if not result.interfaces and not result.ips:
        return None
    addresses = " ".join(ip.address for ip in result.ips)
    source = f" from {record.name}" if record.name else ""
    return Event(reason="AddedInterface", message=f"Add {record.ifname} [{addresses}]{source}", warning=False)


def failed_attachment(error: CNIError) -> Event | None:
    """The Warning for a failed ADD; None where nobody is left to tell."""
    if error.code in _SILENT:
        return None
    reason = _REASONS.get(error.code, _FAILED)
    if error.code == Code.ATTACHMENT:
        reason = next((name for text, name in _OF_ATTACHMENT if text in error.msg), reason)
    return Event(reason=reason, message=" ".join(str(error).split()))

"""What the core needs of the world, as protocols. Adapters implement them; fakes exist only here, in tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from multinet.cni.result import Result
from multinet.core.desired import Difference, Owner, PacketRule
from multinet.core.record import AttachmentRecord
from multinet.npwg.attachment_definition import NetworkAttachmentDefinition


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """The few facts of a pod that networking needs; ``static`` pods have another UID in the API (mirror pods)."""

    namespace: str
    name: str
    uid: str = ""
    annotations: Mapping[str, str] = {}
    static: bool = False
    deleting: bool = False
    """It has been deleted, and only its end is awaited."""


class NotFound(Exception):
    """The cluster has no such object; ``what`` names it (``pod default/web``)."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} not found")
        self.what = what


class ClusterUnavailable(Exception):
    """The cluster did not answer (well) in time; the operation may be tried again."""


class UIDMismatch(Exception):
    """The pod of this name is another one than the runtime means (it was deleted and made anew)."""

    def __init__(self, pod: str, want: str, got: str) -> None:
        super().__init__(f'expected pod {pod} UID "{want}" but got "{got}"')
        self.want, self.got = want, got


class Cluster(Protocol):
    """Where pods and NetworkAttachmentDefinitions come from, and where the network-status goes."""

    def pod(self, namespace: str, name: str, uid: str = "", timeout: float = 10.0) -> Pod:
        """The pod; with ``uid`` it must be that very one, unless it is static.

        A cached pod of another UID is looked up afresh before that is believed.
        Raises NotFound, UIDMismatch, ClusterUnavailable. ``timeout`` in seconds, for the whole look-up.
        """

    def attachment_definition(
        self, namespace: str, name: str, timeout: float = 10.0
    ) -> NetworkAttachmentDefinition:
        """The NetworkAttachmentDefinition. Raises NotFound, ClusterUnavailable."""

    def publish_status(self, pod: Pod, status: str, timeout: float = 10.0) -> None:
        """Write the network-status annotation, one write; everything else in the pod stays as it is.

        Raises NotFound when the pod is gone, UIDMismatch when it is another one now, ClusterUnavailable.
        """

    def pods(self) -> list[Pod]:
        """The pods of this node, as far as they are known now. Raises ClusterUnavailable before the first list."""

    def close(self) -> None:
        """End watches and connections; the object isn't used afterwards."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the users of a pod should learn (``kubectl describe pod``)."""

    reason: str
    """Stable, in CamelCase: alerts match on it."""
    message: str
    """What happened, to which object and field, and what to do."""
    warning: bool = True


class Events(Protocol):
    """Where events go. Recording never fails and never waits: what can't be delivered is dropped and counted."""

    def record(self, pod: Pod, event: Event) -> None:
        """Tell it; the same event of a pod told again within a while counts up, and isn't written each time."""


class NodeControl(Protocol):
    """What the boot safety does to the node and its pods through the cluster."""

    def remove_taint(self, key: str, timeout: float = 10.0) -> bool:
        """Take the taint off this node; whether it was there. Raises ClusterUnavailable."""

    def evict(self, pod: Pod, timeout: float = 10.0) -> None:
        """Have the pod replaced, disruption budgets honoured (Eviction API).

        Raises NotFound, UIDMismatch, ClusterUnavailable (also when a budget forbids it now).
        """


class PodSandbox(msgspec.Struct, frozen=True, kw_only=True):
    """A pod's sandbox as the container runtime knows it."""

    container_id: str
    namespace: str
    name: str
    uid: str
    ready: bool
    netns: str = ""
    """Path of its network namespace; empty for a pod in the host's own."""


class RuntimeUnavailable(Exception):
    """The container runtime did not answer (well) in time."""


class Sandboxes(Protocol):
    """The pod sandboxes of this node, asked of the container runtime (CRI)."""

    def sandboxes(self, timeout: float = 10.0) -> list[PodSandbox]:
        """All of them, with their namespaces. Raises RuntimeUnavailable."""


class DevicesUnavailable(Exception):
    """Nobody says which devices a pod was given; the text names the socket or file and what is wrong."""


class Devices(Protocol):
    """Which devices kubelet and DRA gave to a pod."""

    def allocated(self, pod: Pod, timeout: float = 10.0) -> Mapping[str, Sequence[str]]:
        """Resource name → device ids, in the order of the pod's containers. Raises DevicesUnavailable."""


class Journal(Protocol):
    """What this node has attached, on disk: written before the kernel is touched, and after."""

    def begin(self, records: Sequence[AttachmentRecord]) -> None:
        """Remember that these are about to be made (phase ``adding``), all or none.

        Raises CNIError code 7 when the container already has an attachment under one of the names.
        """

    def ready(self, records: Sequence[AttachmentRecord]) -> None:
        """They are made: keep what was applied and the results (phase ``ready``)."""

    def deleting(self, records: Sequence[AttachmentRecord]) -> None:
        """These are to go (phase ``deleting``), whatever happens next."""

    def failed(self, record: AttachmentRecord, failure: str) -> None:
        """Removing it failed for now; it stays in phase ``deleting``."""

    def forget(self, records: Sequence[AttachmentRecord]) -> None:
        """They are gone."""

    def of(self, container_id: str) -> list[AttachmentRecord]:
        """A container's attachments in the order in which they were made."""

    def all(self) -> list[AttachmentRecord]:
        """Every attachment, by container and position."""

    def doubtful(self) -> frozenset[str]:
        """Containers that the runtime's last list lacked, as ``doubt`` was told."""

    def doubt(self, container_ids: Collection[str]) -> None:
        """Remember these containers, and no others, as doubtful: the next list decides."""


class Firewall(Protocol):
    """Packet rules of one network namespace (the host's), kept in tables of multinet's own, or where iptables has them.

    Of two claims to one thing (an address, a host port) the newer one holds; the older one's removal leaves it
    alone. The isolation of a bridge is shared by its attachments and stays as long as any of them needs it.
    """

    def apply(self, items: Sequence[PacketRule]) -> None:
        """Make the rules, in one transaction a backend and table; repeating it changes nothing. Raises CNIError."""

    def remove(self, items: Sequence[PacketRule]) -> None:
        """Remove the rules; ones that are gone already are no failure. Raises CNIError."""

    def compare(self, items: Sequence[PacketRule]) -> list[Difference]:
        """Everything of the rules that is missing or different."""

    def sweep(self, owner: Owner, kinds: Collection[type[PacketRule]]) -> None:
        """Remove every rule of an attachment that is of one of ``kinds``, known by its mark alone, in every
        backend that is in use, those that the reference Go plugins made for it included."""

    def collect(
        self, network: str, valid: Collection[tuple[str, str]], kinds: Collection[type[PacketRule]]
    ) -> None:
        """Remove the rules of ``kinds`` of all attachments of ``network`` that aren't in ``valid`` (container id,
        ifname)."""


class Measures(Protocol):
    """What is told of each call as it ends. Telling never fails and never waits; ``code`` is 0 for success."""

    def request(self, kind: str, verb: str, seconds: float, code: int) -> None:
        """A whole call: for a ``pod``, for one ``attachment`` (plugged in or out), or for one ``plugin`` alone."""

    def plugin(self, kind: str, verb: str, seconds: float, code: int) -> None:
        """One verb of one plugin of the type ``kind``, in process or as an executable."""

    def multus(self, handler: str, method: str, status: int) -> None:
        """A reply on Multus' socket, by path."""


class Unmeasured:
    """Nobody wants to know."""

    def request(self, kind: str, verb: str, seconds: float, code: int) -> None:
        """See Measures."""

    def plugin(self, kind: str, verb: str, seconds: float, code: int) -> None:
        """See Measures."""

    def multus(self, handler: str, method: str, status: int) -> None:
        """See Measures."""


UNMEASURED = Unmeasured()


def never() -> bool:
    """No: for callers that can't hang up."""
    return False


class IpamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call of an IPAM: the upper plugin's whole request configuration, and for whom."""

    conf: Mapping[str, Any]
    owner: Owner
    args: Mapping[str, str] = {}
    """``CNI_ARGS`` as pairs."""
    deadline: float | None = None
    """Monotonic time (seconds) by which an answer must be there; None: no limit."""
    netns: str = ""
    """``CNI_NETNS``, for address managers that need the link."""
    netns_fd: int | None = None
    """The open namespace, if the caller has it; it stays the caller's."""
    cancelled: Callable[[], bool] = never
    """True once the caller has hung up."""


class Ipam(Protocol):
    """One address manager: host-local, static and later ones stand behind it alike.

    One that can't do without the interface says so by a class attribute ``needs_link = True`` (DHCP): then
    ``allocate`` comes when the link is there and up, and ``release`` before it goes.
    """

    def allocate(self, request: IpamRequest) -> Result:
        """Addresses, routes and DNS for one attachment. Raises CNIError; then nothing stays reserved."""

    def release(self, request: IpamRequest) -> None:
        """Give back whatever the owner holds; nothing held is success."""

    def check(self, request: IpamRequest, previous: Result | None) -> list[Difference]:
        """What of the reservation is missing or different. ``previous`` is the result of the ADD, if known."""

    def collect(self, request: IpamRequest, valid: Collection[tuple[str, str]]) -> None:
        """Release whatever belongs to attachments of the network that aren't in ``valid`` (container id, ifname)."""

    def status(self, request: IpamRequest) -> None:
        """Raises CNIError (code 50) when an allocation now would fail. ``request.owner`` may be empty."""


def owners(pairs: Iterable[Mapping[str, str]]) -> frozenset[tuple[str, str]]:
    """``cni.dev/valid-attachments`` as a set of (container id, ifname)."""
    return frozenset((pair["containerID"], pair["ifname"]) for pair in pairs)

"""Attachments of one pod made, all or none: what its ADD, its late completion and a plug-in have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError
from multinet.core.outcome import after_route_plan, attached, pod_status
from multinet.core.planned import PlannedAttachment
from multinet.core.record import AttachmentRecord
from multinet.core.routes import Attached, plan_default_routes
from multinet.core.settings import Settings
from multinet.daemon.attachments import Attachments
from multinet.daemon.call import Call
from multinet.daemon.devices import DeviceDesk
from multinet.daemon.late_status import LateStatus
from multinet.daemon.networks import LoadedNetwork
from multinet.daemon.pods import publish
from multinet.daemon.records import new_record
from multinet.daemon.removal import Removal
from multinet.engine.routes import settle_default_routes
from multinet.ports import Cluster, Journal, Pod

Begun = Sequence[tuple[AttachmentRecord, NetworkList]]
"""Attachments that the journal has, each with its network."""


class Attaching:
    """Makes attachments of one container. Callers have the container's turn."""

    def __init__(
        self,
        cluster: Cluster,
        journal: Journal,
        attachments: Attachments,
        devices: DeviceDesk,
        late: LateStatus,
    ) -> None:
        self._cluster = cluster
        self._journal = journal
        self._attachments = attachments
        self._devices = devices
        self._late = late
        self._removal = Removal(journal, attachments)

    def begin(
        self,
        pod: Pod,
        plan: Sequence[PlannedAttachment],
        loaded: Sequence[LoadedNetwork],
        settings: Settings,
        call: Call,
        path: tuple[str, ...],
    ) -> Begun:
        """The journal has them from now on, and they have their devices; ``path`` is where executables are.

        Raises CNIError; then the journal has none.
        """
        with self._devices.given(pod, plan, loaded, settings, call) as given:
            records = [new_record(*both, pod, call, path) for both in zip(plan, given, strict=True)]
            self._journal.begin(records)
        return [(record, one.network) for record, one in zip(records, given, strict=True)]

    @contextmanager
    def all_or_none(self, begun: Begun, call: Call) -> Iterator[list[AttachmentRecord]]:
        """Gives the list for what the body makes of ``begun``; if the body fails, all of it is taken back."""
        made: list[AttachmentRecord] = []
        try:
            yield made
        except BaseException as failure:
            self._removal.take_back([record for record, _ in begun], made, call.netns, failure)
            raise

    def attach(self, begun: Begun, call: Call, made: list[AttachmentRecord]) -> list[Attached]:
        """Make them; what came of each, for the route plan. Raises CNIError that says which network failed."""
        self._attachments.require_free([record.ifname for record, _ in begun], call)
        for record, network in begun:
            self._attach(record, network, call, made)
        return [attached(record) for record in made]

    def settle(
        self, pod: Pod, whole: Sequence[AttachmentRecord], results: Sequence[Attached], call: Call
    ) -> None:
        """Default routes, journal and network-status of all that the pod has.

        ``results`` are the records as the route plan sees them. Raises CNIError.
        """
        routes = plan_default_routes(results)
        sandbox = call.sandbox(self._attachments.kernel)
        if sandbox is not None:
            settle_default_routes(routes, sandbox)
        self._journal.ready([after_route_plan(record, routes) for record in whole])
        call.await_links()
        status = pod_status(whole, results, self._attachments.devices(whole))
        if not publish(self._cluster, pod, status, call):
            self._late.keep(call.invocation.container_id, pod, status)

    def _attach(
        self, record: AttachmentRecord, network: NetworkList, call: Call, made: list[AttachmentRecord]
    ) -> None:
        call.proceed()
        try:
            self._attachments.attach(record, network, call, made)
        except CNIError as error:
            who = f"{record.pod}/{record.pod_uid}:{record.name}"
            text = f'[{who}]: error adding container to network "{network.name}": '
            raise error.prefixed(text) from error

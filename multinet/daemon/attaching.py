"""Attachments of one pod made, all or none: what its ADD, its late completion and a plug-in have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError
from multinet.core.dependence import dependences
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
from multinet.daemon.steps import Step, Threads, run_steps
from multinet.engine.routes import settle_default_routes
from multinet.ports import Cluster, Journal, Pod
from multinet.sdk.executor import runs_in_process
from multinet.sdk.node import Node

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
        threads: Threads,
    ) -> None:
        self._cluster = cluster
        self._journal = journal
        self._attachments = attachments
        self._devices = devices
        self._late = late
        self._threads = threads
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

    def attach(
        self, begun: Begun, settings: Settings, call: Call, made: list[AttachmentRecord]
    ) -> list[Attached]:
        """Make them; what came of each, for the route plan. Raises CNIError that says which network failed.

        The default network is first and alone; of the others, executables run at once where nothing forbids it.
        """
        self._attachments.require_free([record.ifname for record, _ in begun], call)
        rest = [one for one in begun if one[0].position]
        external = sum(_is_external(network) for _, network in rest)
        if external < 2 or settings.sequential_attachments:
            self._one_after_another(begun, call, made)
        else:
            self._one_after_another(begun[: len(begun) - len(rest)], call, made)
            with self._threads.taken(external) as threads:
                if threads:
                    self._at_once(rest, threads, call, made)
                else:
                    self._one_after_another(rest, call, made)
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

    def _one_after_another(self, begun: Begun, call: Call, made: list[AttachmentRecord]) -> None:
        node = self._node(call)
        for record, network in begun:
            self._attach(record, network, call, node, made)

    def _at_once(self, begun: Begun, threads: int, call: Call, made: list[AttachmentRecord]) -> None:
        """Networks with executables by threads, the others here. ``made`` is in order, whoever was first."""
        node = self._node(call)
        node.alone = False
        after = dependences([(record.ifname, network.plugins) for record, network in begun])
        parts: list[list[AttachmentRecord]] = [[] for _ in begun]
        steps: list[Step] = []
        for (record, network), earlier, part in zip(begun, after, parts, strict=True):
            if _is_external(network):
                steps.append(Step(partial(self._attach_apart, record, network, call, part), True, earlier))
            else:
                steps.append(Step(partial(self._attach, record, network, call, node, part), False, earlier))
        failures = run_steps(steps, threads)
        made += [record for part in parts for record in part]
        if failures:
            raise _with_details(failures[0], failures[1:])

    def _node(self, call: Call) -> Node:
        node = self._attachments.node(call)
        node.waits = call.waits
        return node

    def _attach_apart(
        self, record: AttachmentRecord, network: NetworkList, call: Call, made: list[AttachmentRecord]
    ) -> None:
        with self._attachments.node_apart(call) as node:
            self._attach(record, network, call, node, made)

    def _attach(
        self,
        record: AttachmentRecord,
        network: NetworkList,
        call: Call,
        node: Node,
        made: list[AttachmentRecord],
    ) -> None:
        call.proceed()
        try:
            self._attachments.attach(record, network, call, node, made)
        except CNIError as error:
            who = f"{record.pod}/{record.pod_uid}:{record.name}"
            text = f'[{who}]: error adding container to network "{network.name}": '
            raise error.prefixed(text) from error


def _is_external(network: NetworkList) -> bool:
    """Whether an executable is needed, be it only for the addresses."""
    return not all(runs_in_process(plugin) for plugin in network.plugins)


def _with_details(failure: BaseException, others: Sequence[BaseException]) -> BaseException:
    """The failure, which also tells of the others."""
    tell = failure.tell_also if isinstance(failure, CNIError) else failure.add_note
    for other in others:
        tell(str(other))
    return failure

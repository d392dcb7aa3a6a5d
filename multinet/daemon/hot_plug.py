"""Single attachments of running pods: attached and detached while the pod's others stay as they are.

Whoever asks (a controller) writes the pod's network-status himself, and no routes are planned anew. The journal
has the attachment as it has those of the pod's ADD, so that the pod's DEL takes it along, whatever else happens.
"""

from __future__ import annotations

from typing import Any

from multinet.cni import chain
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError, Code
from multinet.core.outcome import attached
from multinet.core.planned import InlineNetwork, PlannedAttachment
from multinet.core.record import AttachmentRecord
from multinet.core.selection import display_name, prepare
from multinet.daemon.call import Call
from multinet.daemon.executables import require_executables
from multinet.daemon.networks import LoadedNetwork, is_meta
from multinet.daemon.pods import named_pod, pod_of
from multinet.daemon.records import new_record
from multinet.daemon.shared import Shared
from multinet.npwg.selection import NetworkSelection
from multinet.ports import Pod
from multinet.sdk.executor import DelegateExecutor


class HotPlug:
    """Attaches, compares and detaches single attachments; the configuration of the call is the network's."""

    def __init__(self, shared: Shared, bin_dir: str = "") -> None:
        """``bin_dir`` is searched for executables before the caller's ``CNI_PATH``."""
        self._shared = shared
        self._bin_dir = bin_dir

    def serve(self, call: Call, asked: NetworkSelection) -> dict[str, Any] | None:
        """The result object of an ADD, None for the other verbs; ``asked``: what the interface shall have.

        Raises CNIError.
        """
        shared = self._shared
        container_id = call.invocation.container_id
        match call.verb:
            case "ADD":
                with (
                    shared.events.failure_of(call),
                    shared.turns.of(container_id, call.deadline),
                    shared.adding.passing(call.deadline),
                ):
                    return self.attach(call, asked)
            case "CHECK":
                with shared.turns.of(container_id, call.deadline):
                    self.check(call)
            case "DEL":
                with shared.turns.of(container_id, call.deadline):
                    self.detach(call, asked)
            case "STATUS":
                executor = DelegateExecutor(shared.attachments.node(call))
                network = NetworkList.from_object(call.conf)
                chain.status(network, call.invocation, executor, deadline=call.deadline)
        return None

    def attach(self, call: Call, asked: NetworkSelection) -> dict[str, Any]:
        """Attach the container to the network; the result, in the network's version."""
        call.proceed()
        shared = self._shared
        pod = named_pod(call)
        if not pod.uid:
            pod = pod_of(call, shared.cluster)
        call.pod = pod
        self._clear_leftover(call)
        record, network = self._record(call, asked, pod)
        require_executables([network], record.path)
        shared.journal.begin([record])
        with shared.attaching.all_or_none([(record, network)], call) as made:
            shared.attachments.require_free([record.ifname], call)
            node = shared.attachments.node(call)
            node.waits = call.waits
            shared.attachments.attach(record, network, call, node, made)
            shared.journal.ready(made)
            call.await_links()
        shared.events.added(pod, made)
        return attached(made[0]).result.as_version(network.cni_version)

    def check(self, call: Call) -> None:
        """The attachment is still as ADD made it."""
        container_id, ifname = call.invocation.container_id, call.invocation.ifname
        self._shared.inherited.take_over(call)
        for record in self._shared.journal.of(container_id):
            if record.ifname == ifname:
                return self._shared.attachments.check(record, call)
        raise CNIError(
            Code.UNKNOWN_CONTAINER,
            f"container {container_id} has no attachment {ifname} on this node: nothing to check",
        )

    def detach(self, call: Call, asked: NetworkSelection) -> None:
        """Remove the attachment by what ADD recorded, or if nothing is recorded, by the call's configuration.

        Raises CNIError when it is still there; that is also retried later, and at the pod's DEL.
        """
        shared = self._shared
        container_id, ifname = call.invocation.container_id, call.invocation.ifname
        call.namespace()
        shared.inherited.take_over(call)
        if not any(record.ifname == ifname for record in shared.journal.of(container_id)):
            shared.journal.ready([self._record(call, asked, named_pod(call))[0]])
        failures = self._remove(call)
        if ifname in failures:
            raise failures[ifname]

    def _remove(self, call: Call) -> dict[str, CNIError]:
        ifname = call.invocation.ifname
        return self._shared.removal.detach_container(
            call.invocation.container_id, call.netns, lambda record: record.ifname == ifname
        )

    def _clear_leftover(self, call: Call) -> None:
        """Of an earlier try to attach or detach it. Raises CNIError when it can't be removed now."""
        container_id, ifname = call.invocation.container_id, call.invocation.ifname
        self._shared.inherited.take_over(call)
        for record in self._shared.journal.of(container_id):
            if record.ifname == ifname and record.phase != "ready":
                failures = self._remove(call)
                if failures:
                    raise failures[ifname].prefixed(
                        f"{ifname}: what an earlier try left can't be removed yet: "
                    )

    def _record(self, call: Call, asked: NetworkSelection, pod: Pod) -> tuple[AttachmentRecord, NetworkList]:
        """The attachment as the journal keeps it; it comes after those that the container has.

        Raises CNIError code 7 for a configuration that can't be.
        """
        there = self._shared.journal.of(call.invocation.container_id)
        planned = PlannedAttachment(
            position=max((record.position for record in there), default=0) + 1,
            name=display_name(call.conf, None),
            ifname=call.invocation.ifname,
            source=InlineNetwork(call.conf),
            selection=asked,
        )
        network = NetworkList.from_object(prepare(call.conf, planned))
        if is_meta(network):
            raise CNIError(
                Code.INVALID_CONFIG, f"network {network.name} is multinet itself: it can't be plugged in"
            )
        path = call.invocation.path_after(self._bin_dir)
        return new_record(planned, LoadedNetwork(planned.name, network), pod, call, path), network

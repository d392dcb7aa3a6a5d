"""What a call does, from top to bottom: one method a verb, and each line is one step of the story."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from multinet.cni import chain
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError, Code
from multinet.cni.invocation import Invocation
from multinet.core.record import AttachmentRecord
from multinet.core.selection import select_networks
from multinet.core.settings import Settings
from multinet.daemon.call import Call
from multinet.daemon.collection import Pairs, collect, missing, sandbox_is_gone
from multinet.daemon.executables import require_executables
from multinet.daemon.networks import META_TYPES, auxiliary_chain, load_network
from multinet.daemon.pods import pod_of
from multinet.daemon.readiness import require_ready
from multinet.daemon.shared import Shared
from multinet.daemon.tolerated import warn_of
from multinet.sdk.executor import DelegateExecutor
from multinet.sdk.ipam_plugin import valid_attachments


class Handler:
    """Serves calls of the meta-plugin, and of single delegates by their own names."""

    def __init__(self, shared: Shared, defaults: Mapping[str, Any]) -> None:
        """``defaults`` are keys of the meta-plugin's configuration that a call's own override."""
        self._cluster = shared.cluster
        self._journal = shared.journal
        self._attachments = shared.attachments
        self._inherited = shared.inherited
        self._attaching = shared.attaching
        self._removal = shared.removal
        self._events = shared.events
        self._failures = shared.failures
        self._late = shared.late
        self._turns = shared.turns
        self._adding = shared.adding
        self._defaults = defaults
        self.require_node: Callable[[Code], None] = lambda _: None
        """What ADD and STATUS ask besides the configuration's own condition: raises CNIError with the code while
        the node has no default network.
        """

    def serve(self, call: Call) -> dict[str, Any] | None:
        """The result object of an ADD, None for the other verbs. Raises CNIError."""
        if call.program not in META_TYPES:
            return self.delegate(call)
        match call.verb:
            case "ADD":
                with (
                    self._events.failure_of(call),
                    self._failures.of(call),
                    self._turns.of(call.invocation.container_id, call.deadline),
                    self._adding.passing(call.deadline),
                ):
                    return self.add(call)
            case "CHECK":
                with self._turns.of(call.invocation.container_id, call.deadline):
                    self.check(call)
            case "DEL":
                with self._turns.of(call.invocation.container_id, call.deadline):
                    self.delete(call)
            case "GC":
                self.gc(call)
            case "STATUS":
                self.status(call)
        return None

    def add(self, call: Call) -> dict[str, Any]:
        """Attach the pod to its default network and to those it asks for; all, or none.

        The default network's result, in the caller's version.
        """
        call.proceed()
        settings = self._settings(call)
        self.require_node(Code.TRY_AGAIN)
        require_ready(settings, Code.TRY_AGAIN)
        self._clear_leftovers(call)
        pod = call.pod = pod_of(call, self._cluster)
        last = auxiliary_chain(settings)
        plan = select_networks(pod.annotations, pod.namespace, settings, call.invocation.ifname, last)
        loaded = [load_network(one, settings, self._cluster, call.cluster_time) for one in plan]
        self._events.unserved(pod, warn_of(call, pod, plan, loaded, settings))
        path = self._path(call)
        require_executables([one.network for one in loaded], path)
        begun = self._attaching.begin(pod, plan, loaded, settings, call, path)
        with self._attaching.all_or_none(begun, call) as made:
            results = self._attaching.attach(begun, settings, call, made)
            answer = results[0].result.as_version(call.cni_version)
            self._attaching.settle(pod, made, results, call)
        self._events.added(pod, made)
        return answer

    def check(self, call: Call) -> None:
        """Every attachment is still as ADD made it."""
        self._inherited.take_over(call)
        records = self._journal.of(call.invocation.container_id)
        if not records:
            raise CNIError(
                Code.UNKNOWN_CONTAINER,
                f"container {call.invocation.container_id} has no attachments on this node: nothing to check",
            )
        for record in records:
            self._attachments.check(record, call)

    def delete(self, call: Call) -> None:
        """Remove the container's attachments by what ADD recorded; what can't be done now is retried later."""
        self._inherited.take_over(call)
        self._late.forget(call.invocation.container_id)
        self._removal.detach_container(call.invocation.container_id, call.netns)
        self._inherited.forget(call)

    def gc(self, call: Call) -> None:
        """Remove whatever belongs to containers that are gone, by the runtime's list and not by that alone.

        No list: nothing.
        """
        valid = valid_attachments(call.conf)
        if valid is None:
            return
        containers = {container_id for container_id, _ in valid}
        self._inherited.take_over_live(containers)
        found = missing(self._journal.all(), containers, self._journal.doubtful(), sandbox_is_gone)
        self._journal.doubt(found.doubtful)
        for container_id in found.forsaken:
            with self._turns.of(container_id, call.deadline):
                self._removal.detach_container(container_id)
        self.bury_dead(containers)
        # What an ADD takes after the list was made would be collected with the rubbish.
        with self._adding.closed(call.deadline):
            self._collect(call, valid)

    def status(self, call: Call) -> None:
        """An ADD now would find its default network ready."""
        self.require_node(Code.NOT_AVAILABLE)
        require_ready(self._settings(call), Code.NOT_AVAILABLE)
        chain.status(
            self._default_network(call), self._invocation(call), self._executor(call), deadline=call.deadline
        )

    def delegate(self, call: Call) -> dict[str, Any] | None:
        """One plugin alone, called by its own name, as a runtime or another plugin calls an executable."""
        plugin_call = chain.PluginCall(
            verb=call.verb,
            type=call.program,
            conf=call.conf,
            invocation=call.invocation,
            env=call.trace,
            deadline=call.deadline,
            cancel_fd=call.cancel_fd,
        )
        return self._executor(call).run_called(plugin_call)

    def recover(self) -> None:
        """After a start: what was half made or half removed when the daemon died is removed now."""
        self._remove_all(lambda record: record.phase != "ready")

    def retry_removals(self) -> int:
        """Try again what could not be removed; how many attachments are still left."""
        self._remove_all(lambda record: record.phase == "deleting")
        return sum(record.phase == "deleting" for record in self._journal.all())

    def publish_late(self) -> None:
        """Write the network-status of static pods whose mirror pod has appeared since their ADD."""
        self._late.publish(self._cluster)

    def bury_dead(self, live: Collection[str] | None = None) -> None:
        """Remove what Multus left of containers that are gone; ``live`` are those that the runtime knows."""
        for container_id in self._inherited.dead(live):
            with self._turns.of(container_id):
                self._removal.detach_container(container_id)
                self._inherited.bury(container_id)

    def _remove_all(self, unwanted: Callable[[AttachmentRecord], bool]) -> None:
        for container_id in {record.container_id for record in self._journal.all() if unwanted(record)}:
            with self._turns.of(container_id):
                # A call may have finished or replaced it meanwhile.
                self._removal.detach_container(container_id, unwanted=unwanted)

    def _clear_leftovers(self, call: Call) -> None:
        """What is left of this container is removed before a new try begins, unless it is whole and lives.

        Raises CNIError code 11 when that can't be done now.
        """
        container_id = call.invocation.container_id
        records = self._journal.of(container_id)
        if not records:
            return
        with self._attachments.sandbox_of(records, call.netns) as sandbox:
            if sandbox is not None and all(record.phase == "ready" for record in records):
                return
        self._removal.detach_container(container_id, call.netns)
        left = [f"{record.ifname}: {record.failure}" for record in self._journal.of(container_id)]
        if left:
            raise CNIError(
                Code.TRY_AGAIN,
                f"container {container_id}: what an earlier try left can't be removed yet: {'; '.join(left)}",
            )

    def _settings(self, call: Call) -> Settings:
        return Settings.of_call(call.conf, self._defaults)

    def _path(self, call: Call) -> tuple[str, ...]:
        """Where executables are looked for: ``binDir``, if it is set, before the caller's ``CNI_PATH``."""
        return call.invocation.path_after(call.conf.get("binDir") or self._defaults.get("binDir") or "")

    def _executor(self, call: Call) -> DelegateExecutor:
        return DelegateExecutor(self._attachments.node(call))

    def _default_network(self, call: Call) -> NetworkList:
        settings = self._settings(call)
        default = select_networks({}, "", settings, "eth0")[0]
        return load_network(default, settings, self._cluster, call.cluster_time).network

    def _invocation(self, call: Call) -> Invocation:
        """The call's, with all folders that executables are looked for in."""
        return replace(call.invocation, path=self._path(call))

    def _collect(self, call: Call, valid: Pairs) -> None:
        default: NetworkList | None = None
        with suppress(CNIError):  # it need not be there for the others
            default = self._default_network(call)
        invocation, executor = self._invocation(call), self._executor(call)
        collect(
            default,
            self._journal.all(),
            valid,
            lambda network, keep: chain.gc(network, invocation, executor, keep, deadline=call.deadline),
        )

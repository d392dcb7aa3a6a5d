"""What keeps pods of this node from running without their networks, put together: slot, guard, taint."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.netns import Netns
from multinet.adapters.plugin_directory import InstallationError
from multinet.cni.errors import CNIError
from multinet.daemon.boot.guard import Guard
from multinet.daemon.boot.plan import BootPlan, BootTimes
from multinet.daemon.boot.remedies import Evict, Remedy, Repair, Report, call_for
from multinet.daemon.boot.taint import TaintRemoval
from multinet.daemon.boot.unserved import Unserved
from multinet.daemon.call import Call
from multinet.daemon.completion import Completion
from multinet.daemon.node_report import NodeReport, ReportFile, UnservedPod
from multinet.daemon.own_configuration import own_configuration
from multinet.daemon.slot.keeper import Slot
from multinet.daemon.slot.plan import SlotPlan
from multinet.ports import ClusterUnavailable, Event, Pod, PodSandbox, Sandboxes

if TYPE_CHECKING:
    from multinet.daemon.application import Application

__all__ = ["Safety", "SafetyPlan"]

_log = logging.getLogger(__name__)


class SafetyPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What of it there is to be; nothing by default, as on a node whose configuration was written by hand."""

    slot: SlotPlan | None = None
    slot_at_exit: str = "keep"
    """``keep``, so that pods wait for the next daemon, or ``remove`` (``cleanupConfigOnExit``)."""
    boot: BootPlan | None = None
    taint: str = ""
    """Key of the taint that is taken off the node once all is in place; empty: none is looked for."""
    times: BootTimes = BootTimes()


class Safety:
    """The parts of one daemon."""

    def __init__(
        self, application: Application, plan: SafetyPlan, sandboxes: Sandboxes | None = None
    ) -> None:
        """``sandboxes``: the container runtime's; by default it is asked over the socket of the plan."""
        self._application = application
        self._plan = plan
        self._completion = Completion(application.shared, application.options.defaults)
        self._report = ReportFile(application.options.state_dir)
        self.slot = self._slot(plan.slot) if plan.slot else None
        self.guard = self._guard(plan.boot, sandboxes or _runtime(plan.boot)) if plan.boot else None
        self.taint = self._taint(plan.taint) if plan.taint else None
        if self.slot is not None:
            application.handler.require_node = self.slot.require_ready

    def start(self) -> None:
        """Begin with it all, once the daemon serves: from now on the runtime may come to it."""
        for part in (self.slot, self.guard, self.taint):
            if part is not None:
                part.start()

    def stop(self) -> None:
        """End it all, before the daemon stops serving."""
        for part in (self.taint, self.guard, self.slot):
            if part is not None:
                part.stop()
        if self.slot is not None and self._plan.slot_at_exit == "remove":
            try:
                self.slot.release()
            except InstallationError as error:
                _log.error("%s", error)

    def is_ready(self) -> bool:
        """Whether a pod may come to this node: it would get its networks, and those that are there were looked at."""
        if self.slot is not None and not self.slot.report.in_place:
            return False
        if self.guard is not None and not self.guard.looked.is_set():
            return False
        try:
            self._application.cluster.pods()
        except ClusterUnavailable:
            return False
        return True

    def configuration(self) -> dict[str, Any]:
        """The meta-plugin's configuration, as the runtime would hand it to an ADD now."""
        options, slot = self._application.options, self._plan.slot
        return own_configuration(options.conf_dir, slot.path if slot else "") | options.overrides

    @property
    def report(self) -> NodeReport:
        """What was found out about the node."""
        return self._report.report

    def _slot(self, plan: SlotPlan) -> Slot:
        def tell(event: Event) -> None:
            if own is not None:
                events.record(own, event)

        own, events = own_pod(), self._application.access.events
        return Slot(plan, tell, lambda report: self._report.update(slot=report))

    def _guard(self, plan: BootPlan, sandboxes: Sandboxes) -> Guard:
        application = self._application
        return Guard(
            application.cluster,
            sandboxes,
            application.journal,
            _links,
            self._remedy(plan),
            self._remember,
            application.access.events,
            self._publish,
            self._plan.times,
        )

    def _remedy(self, plan: BootPlan) -> Remedy:
        application, times = self._application, self._plan.times
        events, control = application.access.events, application.access.control
        if plan.policy == "repair":
            return Repair(events, times, self._completion, self._call)
        if plan.policy == "evict" and control is not None:
            return Evict(events, times, control, self._remember, self._is_in_place)
        if plan.policy == "evict":
            _log.warning(
                "without Kubernetes no pod can be evicted: those without their networks are reported"
            )
        return Report(events, times)

    def _remember(self, sandbox: PodSandbox) -> None:
        with closing(self._call(sandbox)) as call:
            self._completion.remember(call)

    def _taint(self, key: str) -> TaintRemoval | None:
        control = self._application.access.control
        if control is None:
            _log.warning("without Kubernetes the node has no taints: %s isn't looked for", key)
            return None
        return TaintRemoval(control, key, self.is_ready)

    def _is_in_place(self) -> bool:
        return self.slot is None or self.slot.report.in_place

    def _call(self, sandbox: PodSandbox) -> Call:
        return call_for(sandbox, self.configuration(), self._application.options.plugin_path)

    def _publish(self, unserved: Sequence[Unserved]) -> None:
        self._report.update(
            unserved=tuple(
                UnservedPod(
                    namespace=one.pod.namespace,
                    name=one.pod.name,
                    container_id=one.sandbox.container_id,
                    networks=one.networks,
                )
                for one in unserved
            )
        )


def own_pod() -> Pod | None:
    """The pod that the daemon runs in, by the environment that its manifest sets; None: it runs in none."""
    name, namespace = os.environ.get("MULTINET_POD_NAME"), os.environ.get("MULTINET_POD_NAMESPACE")
    if not name or not namespace:
        return None
    return Pod(namespace=namespace, name=name, uid=os.environ.get("MULTINET_POD_UID", ""))


def _runtime(plan: BootPlan | None) -> Sandboxes:
    # Only a daemon that guards its node speaks gRPC.
    from multinet.adapters.cri import CriSandboxes

    return CriSandboxes(plan.runtime_socket if plan else "")


def _links(sandbox: PodSandbox) -> Collection[str]:
    """Names of the interfaces in a sandbox; none when it is gone."""
    try:
        with Netns.open(sandbox.netns) as netns, NetworkStack(netns) as stack:
            return frozenset(link.name for link in stack.links())
    except CNIError:
        return frozenset()

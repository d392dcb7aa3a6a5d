"""A running pod gets the networks that it asks for and started without; its default network stays as it is.

The plan and the names are those of the ADD that never came. All are attached, or none: a pod that is left as it was
can still be evicted. Its default network goes into the journal before anything else: the pod's DEL, which will come
to multinet, has to give back what that network holds, and no clean-up may take its interface for one of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from multinet.adapters.kernel import NetworkStack
from multinet.cni.errors import CNIError, Code
from multinet.core.outcome import attached
from multinet.core.planned import PlannedAttachment
from multinet.core.record import AttachmentRecord
from multinet.core.routes import DefaultRoutePlan
from multinet.core.selection import select_networks
from multinet.core.settings import Settings
from multinet.daemon.call import Call
from multinet.daemon.executables import require_executables
from multinet.daemon.networks import LoadedNetwork, auxiliary_chain, load_network
from multinet.daemon.pods import pod_of
from multinet.daemon.records import new_record
from multinet.daemon.shared import Shared
from multinet.daemon.standing import as_it_stands
from multinet.engine.routes import settle_default_routes
from multinet.npwg.default_routes import default_routes
from multinet.npwg.selection import DEFAULT_NETWORK
from multinet.ports import Pod

__all__ = ["Completion"]


class Completion:
    """Completes pods of this node, in the container's turn: never beside an ADD or DEL."""

    def __init__(self, shared: Shared, defaults: Mapping[str, Any]) -> None:
        """``defaults`` are keys of the meta-plugin's configuration that a call's own override."""
        self._shared = shared
        self._defaults = defaults

    def complete(self, call: Call) -> tuple[str, ...]:
        """Attach what is lacking; the new interfaces, none if a call has attached the container meanwhile.

        ``call`` is the ADD that the container runtime would have made. Raises CNIError; then the pod is as before.
        """
        with self._turn(call):
            if any(record.position for record in self._shared.journal.of(call.invocation.container_id)):
                return ()
            call.proceed()
            settings = self._settings(call)
            pod = pod_of(call, self._shared.cluster)
            _refuse_other_default(pod)
            ifname = call.invocation.ifname
            plan = select_networks(
                pod.annotations, pod.namespace, settings, ifname, auxiliary_chain(settings)
            )
            standing = self._standing(pod, plan[0], settings, call)
            rest = plan[1:]
            loaded = [load_network(one, settings, self._shared.cluster, call.cluster_time) for one in rest]
            return self._attach(pod, standing, rest, loaded, settings, call) if rest else ()

    def remember(self, call: Call) -> None:
        """Write the default network of a pod that nobody attached through multinet into the journal, for its DEL.

        Raises CNIError when there is none.
        """
        with self._turn(call):
            if self._shared.journal.of(call.invocation.container_id):
                return
            settings = self._settings(call)
            pod = pod_of(call, self._shared.cluster)
            default = select_networks({}, pod.namespace, settings, call.invocation.ifname)[0]
            self._standing(pod, default, settings, call)

    @contextmanager
    def _turn(self, call: Call) -> Iterator[None]:
        shared = self._shared
        with (
            shared.turns.of(call.invocation.container_id, call.deadline),
            shared.adding.passing(call.deadline),
        ):
            shared.inherited.take_over(call)
            yield

    def _settings(self, call: Call) -> Settings:
        return Settings.of_call(call.conf, self._defaults)

    def _standing(
        self, pod: Pod, planned: PlannedAttachment, settings: Settings, call: Call
    ) -> AttachmentRecord:
        """The default network as it is in the sandbox, in the journal from now on."""
        loaded = load_network(planned, settings, self._shared.cluster, call.cluster_time)
        record = new_record(planned, loaded, pod, call, call.invocation.path)
        standing = as_it_stands(record, self._stack(call), loaded.network.cni_version)
        self._shared.journal.ready([standing])
        return standing

    def _stack(self, call: Call) -> NetworkStack:
        stack = call.sandbox(self._shared.attachments.kernel)
        if stack is None:
            raise CNIError(Code.INVALID_NETNS, f"{call.invocation.netns} is the node's own network")
        return stack

    def _attach(
        self,
        pod: Pod,
        standing: AttachmentRecord,
        plan: Sequence[PlannedAttachment],
        loaded: Sequence[LoadedNetwork],
        settings: Settings,
        call: Call,
    ) -> tuple[str, ...]:
        attaching, path = self._shared.attaching, call.invocation.path
        require_executables([one.network for one in loaded], path)
        begun = attaching.begin(pod, plan, loaded, settings, call, path)
        with self._left_as_it_was(standing, call), attaching.all_or_none(begun, call) as made:
            results = [attached(standing), *attaching.attach(begun, settings, call, made)]
            attaching.settle(pod, (standing, *made), results, call)
        return tuple(record.ifname for record in made)

    @contextmanager
    def _left_as_it_was(self, standing: AttachmentRecord, call: Call) -> Iterator[None]:
        """If the body fails, the default network has again what the route plan may have taken from it."""
        stack = self._stack(call)
        try:
            yield
        except BaseException:
            _give_back_routes(standing, stack)
            self._shared.journal.ready([standing])
            raise


def _refuse_other_default(pod: Pod) -> None:
    if pod.annotations.get(DEFAULT_NETWORK, "").strip():
        raise CNIError(
            Code.ATTACHMENT,
            f"pod {pod.namespace}/{pod.name} asks for a default network of its own ({DEFAULT_NETWORK}), and that of "
            "a running pod can't be replaced: delete the pod, so that it is started anew",
        )


def _give_back_routes(standing: AttachmentRecord, stack: NetworkStack) -> None:
    """The default routes that the route plan may have taken from the default network."""
    routes = default_routes(standing.parsed_result())
    with suppress(CNIError):  # the sandbox may be gone, which may be why all failed
        settle_default_routes(
            DefaultRoutePlan(install=tuple((standing.ifname, one) for one in routes)), stack
        )

"""What may be done about a pod without its networks: one class a policy. Each tells the pod's users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any, Protocol

from multinet.cni.errors import CNIError
from multinet.cni.invocation import Invocation
from multinet.daemon.boot.plan import BootTimes
from multinet.daemon.boot.unserved import Unserved
from multinet.daemon.call import Call
from multinet.daemon.completion import Completion
from multinet.ports import ClusterUnavailable, Event, Events, NodeControl, NotFound, PodSandbox, UIDMismatch

__all__ = ["MISSING", "REPAIRED", "Evict", "Remedy", "Repair", "Report", "call_for"]

MISSING, REPAIRED = "NetworksMissing", "NetworksRepaired"
"""Reasons of the events; alerts match on the first."""
_IFNAME = "eth0"
"""What container runtimes call a pod's first interface."""


class Remedy(Protocol):
    """One policy."""

    def apply(self, one: Unserved) -> float:
        """Do it; seconds until it may be done again, if the pod is still without its networks then.

        Raises CNIError or ClusterUnavailable when it couldn't be done now.
        """


class Report:
    """Tells it, and leaves the pod alone."""

    def __init__(self, events: Events, times: BootTimes) -> None:
        self._events = events
        self._times = times

    def apply(self, one: Unserved) -> float:
        """See Remedy.apply."""
        _tell_missing(self._events, one, "delete the pod to have it started anew")
        return self._times.again


class Repair:
    """Attaches what the running pod lacks."""

    def __init__(
        self, events: Events, times: BootTimes, completion: Completion, call: Callable[[PodSandbox], Call]
    ) -> None:
        """``call`` makes the ADD that the container runtime would have made; it may raise CNIError."""
        self._events = events
        self._times = times
        self._completion = completion
        self._call = call

    def apply(self, one: Unserved) -> float:
        """See Remedy.apply."""
        _tell_missing(self._events, one, "they are attached now")
        with closing(self._call(one.sandbox)) as call:
            ifnames = self._completion.complete(call)
        if ifnames:
            text = f"attached to the running pod: {', '.join(ifnames)} ({', '.join(one.networks)})"
            self._events.record(one.pod, Event(reason=REPAIRED, message=text, warning=False))
        return self._times.again


class Evict:
    """Has the pod replaced by another, which will start with its networks."""

    def __init__(
        self,
        events: Events,
        times: BootTimes,
        control: NodeControl,
        remember: Callable[[PodSandbox], None],
        in_place: Callable[[], bool],
    ) -> None:
        """``remember`` has the pod's DEL give back what its default network holds; it may raise CNIError.

        ``in_place`` tells whether a new pod would get its networks: until then nothing is evicted.
        """
        self._events = events
        self._times = times
        self._control = control
        self._remember = remember
        self._in_place = in_place

    def apply(self, one: Unserved) -> float:
        """See Remedy.apply. Static pods can't be evicted: for them it is told only."""
        if one.pod.static:
            _tell_missing(self._events, one, "a static pod can't be evicted: restart it")
            return self._times.again
        _tell_missing(self._events, one, "it is evicted")
        if not self._in_place():
            raise ClusterUnavailable(
                "multinet isn't the runtime's network yet: the next pod would lack them too"
            )
        with suppress(CNIError):  # no reason to let the pod run on
            self._remember(one.sandbox)
        with suppress(NotFound, UIDMismatch):  # it is gone, which is what was wanted
            self._control.evict(one.pod)
        return self._times.evicted


def call_for(sandbox: PodSandbox, conf: Mapping[str, Any], path: tuple[str, ...]) -> Call:
    """The ADD of the sandbox as its container runtime would make it. Raises CNIError when the sandbox is gone.

    ``conf`` is the meta-plugin's configuration, ``path`` are the folders of plugins.
    """
    args = {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": sandbox.namespace,
        "K8S_POD_NAME": sandbox.name,
        "K8S_POD_INFRA_CONTAINER_ID": sandbox.container_id,
        "K8S_POD_UID": sandbox.uid,
    }
    invocation = Invocation(
        command="ADD",
        container_id=sandbox.container_id,
        netns=sandbox.netns,
        ifname=_IFNAME,
        args=";".join(f"{key}={value}" for key, value in args.items() if value),
        path=path,
    )
    return Call.of_our_own(invocation, conf)


def _tell_missing(events: Events, one: Unserved, then: str) -> None:
    text = f"the pod runs without networks that it asks for ({', '.join(one.networks)}): "
    text += f"it was started while multinet was not in place; {then}"
    events.record(one.pod, Event(reason=MISSING, message=text))

"""Looks for pods that run without their networks: at the start, when new pods come, and from time to time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence

from multinet.cni.errors import CNIError
from multinet.daemon.boot.agenda import Agenda
from multinet.daemon.boot.plan import BootTimes
from multinet.daemon.boot.remedies import Remedy
from multinet.daemon.boot.strangers import Strangers
from multinet.daemon.boot.unserved import Suspects, Unserved, asked_networks, find_unserved
from multinet.ports import (
    Cluster,
    ClusterUnavailable,
    Event,
    Events,
    Journal,
    PodSandbox,
    RuntimeUnavailable,
    Sandboxes,
)

__all__ = ["FAILED", "Guard"]

FAILED = "NetworksRemedyFailed"
"""Reason of the event when a repair or an eviction didn't work; the message says why."""

_log = logging.getLogger(__name__)


class Guard:
    """One node's. ``look`` is for one thread at a time; the rest may be asked by any."""

    def __init__(
        self,
        cluster: Cluster,
        sandboxes: Sandboxes,
        journal: Journal,
        links: Callable[[PodSandbox], Collection[str]],
        remedy: Remedy,
        adopt: Callable[[PodSandbox], None],
        events: Events,
        publish: Callable[[Sequence[Unserved]], object] = lambda _: None,
        times: BootTimes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``links``: names of the interfaces in a sandbox; ``adopt``: see Strangers; ``publish`` gets the pods
        whenever they are others.
        """
        self._cluster = cluster
        self._sandboxes = sandboxes
        self._journal = journal
        self._links = links
        self._remedy = remedy
        self._events = events
        self._publish = publish
        self._times = times or BootTimes()
        self._clock = clock
        self._suspects = Suspects(self._times.grace)
        self._strangers = Strangers(adopt, self._times.grace)
        self._agenda = Agenda(self._times.first_retry, self._times.longest_retry)
        self._published: list[Unserved] | None = None
        self._known: frozenset[tuple[str, str, str]] = frozenset()
        self._next_full = 0.0
        self._problem = ""
        self.looked = threading.Event()
        """Set once all pods of the node have been looked at."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="boot-guard", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End after what is being done."""
        self._stop.set()
        self._thread.join(timeout)

    def look(self) -> list[Unserved]:
        """Look at all pods and do what is due; those that are without their networks for certain.

        Raises ClusterUnavailable, RuntimeUnavailable, CNIError.
        """
        now = self._clock()
        pods = self._cluster.pods()
        sandboxes, records = self._sandboxes.sandboxes(), self._journal.all()
        attached = {record.container_id for record in records if record.position}
        found = find_unserved(pods, sandboxes, attached, self._links)
        confirmed = self._suspects.confirm(found, now)
        self._known = self._asking()
        is_early = self._strangers.meet(sandboxes, {record.container_id for record in records}, now)
        again = self._times.grace if is_early or len(found) > len(confirmed) else self._times.full
        self._next_full = now + again
        self._agenda.keep([one.sandbox.container_id for one in confirmed])
        if confirmed != self._published:
            self._publish(confirmed)
        self._published = confirmed
        self.looked.set()
        for one in confirmed:
            if self._agenda.is_due(one.sandbox.container_id, now) and not self._stop.is_set():
                self._act(one)
        return confirmed

    def is_due(self) -> bool:
        """Whether anything calls for a look: time, a pod not seen before, or what is to be tried again.

        Raises ClusterUnavailable.
        """
        now = self._clock()
        due = self._agenda.next()
        return (
            now >= self._next_full or (due is not None and due <= now) or bool(self._asking() - self._known)
        )

    def _asking(self) -> frozenset[tuple[str, str, str]]:
        pods = self._cluster.pods()
        return frozenset((pod.namespace, pod.name, pod.uid) for pod in pods if asked_networks(pod))

    def _act(self, one: Unserved) -> None:
        container_id = one.sandbox.container_id
        who = f"pod {one.who} ({container_id[:12]}) runs without {', '.join(one.networks)}"
        try:
            pause = self._remedy.apply(one)
        except (CNIError, ClusterUnavailable) as error:
            pause = self._agenda.failed(container_id, self._clock())
            _log.warning("%s: %s; the next try is in %.0f s", who, error, pause)
            self._events.record(one.pod, Event(reason=FAILED, message=str(error)))
        else:
            self._agenda.done(container_id, self._clock() + pause)
            _log.warning("%s; policy %s", who, type(self._remedy).__name__.lower())

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self.is_due():
                    self.look()
                self._say("")
            except (ClusterUnavailable, RuntimeUnavailable, CNIError) as error:
                self._say(str(error))
            except Exception:  # a fault of ours must not end the looking unseen
                _log.exception("looking for pods without their networks")
            self._stop.wait(self._times.period)

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            _log.warning("pods can't be looked at now: %s", problem)
        self._problem = problem

"""Events of pods in the Kubernetes API, written behind the back of the calls that tell them.

Source: Kubernetes API reference, Event v1 (core): the form that ``kubectl describe pod`` and Multus use.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from typing import Any
from urllib.parse import quote

from multinet.adapters.event_correlation import EventCorrelation, EventLimits, Note
from multinet.adapters.kubernetes_backoff import Backoff
from multinet.adapters.kubernetes_call import Call, Refused, Unreachable
from multinet.adapters.kubernetes_session import Session
from multinet.ports import Event, Pod

__all__ = ["COMPONENT", "KubernetesEvents"]

log = logging.getLogger(__name__)

COMPONENT = "multus"
"""``source.component``, as it has always been: alerts and field selectors match on it."""
_REPORTER = "multinet"
_MIRROR = "kubernetes.io/config.mirror"
"""Annotation of a mirror pod: the UID under which kubelet and kubectl file a static pod's events."""
_WAITING = 512
"""Events in the queue, at most."""
_TRIES = 4
_TIMEOUT = 5.0
"""Seconds for one try."""
_LONGEST_MESSAGE = 1024
_LONGEST_NAME = 253 - 17
"""Of a pod in an event's name: the rest is a dot and the time, as with Kubernetes' own components."""


class KubernetesEvents:
    """Implements ``ports.Events``: a bounded queue, and one thread that starts with the first event.

    ``dropped`` counts what was not delivered, by why: ``queue`` (full), ``rate`` (see EventLimits), ``api``
    (refused, or away for too long), ``closed``.
    """

    def __init__(self, session: Session, node: str, limits: EventLimits | None = None) -> None:
        self.dropped: Counter[str] = Counter()
        self._session = session
        self._node = node
        self._correlation = EventCorrelation(limits or EventLimits(), time.time())
        self._queue: queue.Queue[tuple[Pod, Event, float] | None] = queue.Queue(_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._hurry = threading.Event()

    def record(self, pod: Pod, event: Event) -> None:
        """See Events.record."""
        with self._lock:
            if self._closing.is_set():
                self.dropped["closed"] += 1
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
            try:
                self._queue.put_nowait((pod, event, time.time()))
            except queue.Full:
                self.dropped["queue"] += 1

    def close(self, timeout: float = 1.0) -> None:
        """Write what is waiting, for ``timeout`` seconds at most; the rest is dropped."""
        with self._lock:
            self._closing.set()
            thread = self._thread
        if thread is None:
            return
        try:
            self._queue.put(None, timeout=timeout / 2)
        except queue.Full:
            log.debug("events: the queue is full at the end")
        thread.join(timeout)
        self._hurry.set()  # what is left isn't tried any more
        thread.join(timeout)

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            pod, event, when = entry
            try:
                self._write(pod, event, when)
            except Exception:  # an event is never worth more than the next ones
                self.dropped["api"] += 1
                log.exception("event %s of pod %s/%s", event.reason, pod.namespace, pod.name)

    def _next(self) -> tuple[Pod, Event, float] | None:
        try:
            entry = self._queue.get_nowait()
        except queue.Empty:
            if self._closing.is_set():
                return None
            entry = self._queue.get()
        if entry is not None and self._hurry.is_set():
            self.dropped["closed"] += 1 + sum(one is not None for one in self._queue.queue)
            return None
        return entry

    def _write(self, pod: Pod, event: Event, when: float) -> None:
        note = self._correlation.observe(pod, event, when)
        if note is None:
            self.dropped["rate"] += 1
            return
        try:
            if note.name:
                try:
                    self._deliver(self._repetition(pod, note))
                    return
                except Refused as error:
                    if error.status != 404:  # it is older than the apiserver keeps events
                        raise
            note.name = ""
            name = _name(pod)
            self._deliver(self._creation(pod, event, note, name))
            note.name = name
        except (Refused, Unreachable) as error:
            self.dropped["api"] += 1
            log.warning("event %s of pod %s/%s is lost: %s", event.reason, pod.namespace, pod.name, error)

    def _deliver(self, call: Call) -> None:
        """Raises Refused, Unreachable after the last try."""
        backoff = Backoff(base=1.0, cap=10.0)
        for left in reversed(range(_TRIES)):
            try:
                self._session.send(call, _TIMEOUT)
                return
            except (Refused, Unreachable) as error:
                lasting = isinstance(error, Refused) and not error.transient
                if lasting or not left or self._hurry.wait(max(backoff.next(), error.retry_after)):
                    raise

    def _creation(self, pod: Pod, event: Event, note: Note, name: str) -> Call:
        involved = {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name}
        uid = pod.annotations.get(_MIRROR) or pod.uid
        if uid:
            involved["uid"] = uid
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": pod.namespace},
            "involvedObject": involved,
            "reason": event.reason,
            "type": "Warning" if event.warning else "Normal",
            "source": {"component": COMPONENT, "host": self._node},
            "reportingComponent": _REPORTER,
            "reportingInstance": self._node,
            "firstTimestamp": _timestamp(note.first),
            **_changing(note),
        }
        return Call(verb="create", resource="events", path=_path(pod), body=body)

    def _repetition(self, pod: Pod, note: Note) -> Call:
        return Call(verb="patch", resource="events", path=_path(pod, note.name), body=_changing(note))


def _changing(note: Note) -> dict[str, Any]:
    return {"message": _shortened(note.message), "count": note.count, "lastTimestamp": _timestamp(note.last)}


def _path(pod: Pod, name: str = "") -> str:
    path = f"/api/v1/namespaces/{quote(pod.namespace, '')}/events"
    return f"{path}/{quote(name, '')}" if name else path


def _name(pod: Pod) -> str:
    return f"{pod.name[:_LONGEST_NAME]}.{time.time_ns():x}"


def _shortened(text: str) -> str:
    """At most 1024 bytes, as the newer form of events has it: etcd is no place for a plugin's whole output."""
    encoded = text.encode()
    if len(encoded) <= _LONGEST_MESSAGE:
        return text
    return encoded[: _LONGEST_MESSAGE - 3].decode(errors="ignore") + "…"


def _timestamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))

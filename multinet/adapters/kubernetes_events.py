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

from multinet.adapters.event_correlation import EventCorrelation, EventLimits, Note, Subject
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

    def __init__(
        self, session: Session, node: str, limits: EventLimits | None = None, component: str = COMPONENT
    ) -> None:
        """``component`` is who tells them, on which ``node`` ("": on none)."""
        self.dropped: Counter[str] = Counter()
        self._session = session
        self._node = node
        self._component = component
        self._correlation = EventCorrelation(limits or EventLimits(), time.time())
        self._queue: queue.Queue[tuple[Subject, Event, float] | None] = queue.Queue(_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._hurry = threading.Event()

    def record(self, pod: Pod, event: Event) -> None:
        """See Events.record."""
        uid = pod.annotations.get(_MIRROR) or pod.uid
        self.tell(Subject("v1", "Pod", pod.namespace, pod.name, uid), event)

    def tell(self, subject: Subject, event: Event) -> None:
        """The same for whatever it is about."""
        with self._lock:
            if self._closing.is_set():
                self.dropped["closed"] += 1
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
            try:
                self._queue.put_nowait((subject, event, time.time()))
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
            subject, event, when = entry
            try:
                self._write(subject, event, when)
            except Exception:  # an event is never worth more than the next ones
                self.dropped["api"] += 1
                log.exception("event %s of %s", event.reason, _named(subject))

    def _next(self) -> tuple[Subject, Event, float] | None:
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

    def _write(self, subject: Subject, event: Event, when: float) -> None:
        note = self._correlation.observe(subject, event, when)
        if note is None:
            self.dropped["rate"] += 1
            return
        try:
            if note.name:
                try:
                    self._deliver(self._repetition(subject, note))
                    return
                except Refused as error:
                    if error.status != 404:  # it is older than the apiserver keeps events
                        raise
            note.name = ""
            name = _name(subject)
            self._deliver(self._creation(subject, event, note, name))
            note.name = name
        except (Refused, Unreachable) as error:
            self.dropped["api"] += 1
            log.warning("event %s of %s is lost: %s", event.reason, _named(subject), error)

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

    def _creation(self, subject: Subject, event: Event, note: Note, name: str) -> Call:
        involved = {"apiVersion": subject.api_version, "kind": subject.kind, "name": subject.name}
        if subject.namespace:
            involved["namespace"] = subject.namespace
        if subject.uid:
            involved["uid"] = subject.uid
        source = {"component": self._component}
        if self._node:
            source["host"] = self._node
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": _home(subject)},
            "involvedObject": involved,
            "reason": event.reason,
            "type": "Warning" if event.warning else "Normal",
            "source": source,
            "reportingComponent": _REPORTER,
            "reportingInstance": self._node,
            "firstTimestamp": _timestamp(note.first),
            **_changing(note),
        }
        return Call(verb="create", resource="events", path=_path(subject), body=body)

    def _repetition(self, subject: Subject, note: Note) -> Call:
        path = f"{_path(subject)}/{quote(note.name, '')}"
        return Call(verb="patch", resource="events", path=path, body=_changing(note))


def _changing(note: Note) -> dict[str, Any]:
    return {"message": _shortened(note.message), "count": note.count, "lastTimestamp": _timestamp(note.last)}


def _home(subject: Subject) -> str:
    """Where its events are: events of what is in no namespace are in ``default``."""
    return subject.namespace or "default"


def _path(subject: Subject) -> str:
    return f"/api/v1/namespaces/{quote(_home(subject), '')}/events"


def _named(subject: Subject) -> str:
    return " ".join((subject.kind.lower(), "/".join(filter(None, (subject.namespace, subject.name)))))


def _name(subject: Subject) -> str:
    return f"{subject.name[:_LONGEST_NAME]}.{time.time_ns():x}"


def _shortened(text: str) -> str:
    """At most 1024 bytes, as the newer form of events has it: etcd is no place for a plugin's whole output."""
    encoded = text.encode()
    if len(encoded) <= _LONGEST_MESSAGE:
        return text
    return encoded[: _LONGEST_MESSAGE - 3].decode(errors="ignore") + "…"


def _timestamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))

"""A copy of one resource's objects, kept up to date by one LIST and then a WATCH (Kubernetes API concepts,
"Efficient detection of changes")."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from multinet.adapters.kubernetes_backoff import Backoff
from multinet.adapters.kubernetes_call import Call, Refused, Unreachable
from multinet.adapters.kubernetes_config import KubernetesConfig
from multinet.adapters.kubernetes_objects import Event, Head, Page, Resource
from multinet.adapters.kubernetes_session import Session, Stream

__all__ = ["Informer"]

log = logging.getLogger(__name__)

V = TypeVar("V")
_Key = tuple[str, str]

_LONG_ENOUGH = 10.0
"""A watch that lasted this many seconds counts as success: the next failure begins the backoff anew."""
_ANY = "0"
"""Resource version that lets the apiserver answer a list from its memory, without asking etcd."""
_LATEST = ""
"""Resource version that has the apiserver ask etcd."""
_GONE = 410
_TOO_LARGE = 504
"""Also the answer of an apiserver whose memory lags behind the version that was asked for."""

_PAGE = msgspec.json.Decoder(Page)
_EVENT = msgspec.json.Decoder(Event)
_HEAD = msgspec.json.Decoder(Head)


class Informer(Generic[V]):
    """The objects of ``resource`` that ``field_selector`` chooses, in memory, followed by one thread.

    Only what ``resource.value`` keeps of an object is held. While the apiserver is away the last known state
    stays readable; an object that can't be understood is left out, so that whoever asks for it meets the
    fault itself.
    """

    def __init__(
        self, session: Session, config: KubernetesConfig, resource: Resource[V], field_selector: str = ""
    ) -> None:
        self._session = session
        self._config = config
        self._resource = resource
        self._selector = (("fieldSelector", field_selector),) if field_selector else ()
        self._objects: dict[_Key, V] = {}
        self._changed = threading.Condition()
        self._changes = 0
        self._version = _ANY
        self._must_list = True
        self._failing_since: float | None = time.monotonic()
        self._problem = "not listed yet"
        self._synced = threading.Event()
        self._closing = threading.Event()
        self._stream: Stream | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch-{resource.name}", daemon=True)

    def start(self) -> None:
        """Begin to follow; returns at once."""
        self._thread.start()

    def get(self, namespace: str, name: str) -> V | None:
        """The object as last seen."""
        return self._objects.get((namespace, name))

    def awaited(self, namespace: str, name: str, wanted: Callable[[V], bool], timeout: float) -> V | None:
        """The object as soon as it is there and ``wanted``; None after ``timeout`` seconds.

        None at once while the copy isn't followed: then nothing can come.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = self.get(namespace, name)
                if found is not None and wanted(found):
                    return found
                left = deadline - time.monotonic()
                if left <= 0 or self._failing_since is not None or not self._changed.wait(left):
                    return None

    def change(self, seen: int, timeout: float) -> int:
        """The number of changes so far, as soon as it is another one than ``seen``, or after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != seen, timeout)
            return self._changes

    def all(self) -> list[V]:
        """Every object as last seen."""
        return list(self._objects.values())

    def synced(self, timeout: float) -> bool:
        """Whether a complete list has been seen, after at most ``timeout`` seconds."""
        return self._synced.wait(timeout)

    @property
    def problem(self) -> str:
        """Why the copy isn't followed at the moment; "" while all is well."""
        return self._problem

    def failing_for(self) -> float:
        """Seconds for which it hasn't been followed; 0 while all is well."""
        since = self._failing_since
        return 0.0 if since is None else time.monotonic() - since

    def stop(self) -> None:
        """Begin to end the watch; returns at once."""
        self._closing.set()
        stream = self._stream
        if stream is not None:
            stream.interrupt()

    def join(self, timeout: float) -> None:
        """Wait until the watch has ended, ``timeout`` seconds at most: connecting can't be interrupted."""
        self._thread.join(timeout)

    def _run(self) -> None:
        backoff = Backoff(self._config.retry_base, self._config.retry_cap)
        while not self._closing.is_set():
            began = time.monotonic()
            wish = 0.0
            try:
                if self._must_list:
                    self._list()
                self._watch()
            except (Refused, Unreachable, msgspec.DecodeError) as error:
                wish = getattr(error, "retry_after", 0.0)
                self._note(error)
            except Exception:  # a fault here must not end the following for good, unseen
                log.exception("following %s failed", self._resource.name)
                self._note(RuntimeError("internal fault, see the log"))
                self._must_list = True
            if time.monotonic() - began >= _LONG_ENOUGH:
                backoff.reset()
            self._closing.wait(max(backoff.next(), wish))

    def _note(self, error: Exception) -> None:
        if self._closing.is_set():
            return
        if isinstance(error, Refused) and error.status == _GONE:
            log.info("%s: too far behind, listing afresh", self._resource.name)
            self._must_list = True
            return
        log.warning("%s are not being followed: %s", self._resource.name, error)
        self._problem = str(error)
        if self._failing_since is None:
            self._failing_since = time.monotonic()

    def _going_well(self) -> None:
        self._problem = ""
        self._failing_since = None

    def _list(self) -> None:
        try:
            objects, version = self._pages(self._version)
        except Refused as error:
            if error.status not in (_GONE, _TOO_LARGE) or self._version == _LATEST:
                raise
            # The version known here is none that this apiserver can start from (it was restored, or lags).
            objects, version = self._pages(_LATEST)
        with self._changed:
            self._objects, self._version, self._must_list = objects, version, False
            self._going_well()
            self._tell()
        self._synced.set()

    def _pages(self, version: str) -> tuple[dict[_Key, V], str]:
        """All objects, and the version to watch from; at least as new as ``version``."""
        objects: dict[_Key, V] = {}
        place: tuple[tuple[str, str], ...] = ()
        if version:
            place = (("resourceVersion", version), ("resourceVersionMatch", "NotOlderThan"))
        while True:
            call = self._call("list", (("limit", str(self._config.page)), *place))
            page = _PAGE.decode(self._session.send(call, self._config.list_timeout))
            for raw in page.items or ():
                self._put(objects, raw)
            if not page.metadata.continue_:
                return objects, page.metadata.resource_version
            # A continuation carries the version of its list; naming one beside it is an error.
            place = (("continue", page.metadata.continue_),)

    def _watch(self) -> None:
        seconds = random.randint(self._config.watch_seconds, 2 * self._config.watch_seconds)
        query = (
            ("watch", "1"),
            ("resourceVersion", self._version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(seconds)),
        )
        stream = self._session.stream(self._call("watch", query), idle=seconds + 30.0)
        self._stream = stream
        try:
            if self._closing.is_set():  # close() may have come before there was a stream to interrupt
                return
            self._going_well()
            for line in stream:
                self._apply(_EVENT.decode(line))
        finally:
            self._stream = None
            stream.close()

    def _apply(self, event: Event) -> None:
        if event.type in ("ADDED", "MODIFIED"):
            with self._changed:
                self._version = self._put(self._objects, event.object)
                self._tell()
            return
        head = _HEAD.decode(event.object)
        if event.type == "ERROR":
            raise Refused(self._call("watch", ()), head.code, head.message)
        if event.type == "DELETED":
            self._objects.pop((head.metadata.namespace, head.metadata.name), None)
        self._version = head.metadata.resource_version or self._version  # BOOKMARK carries nothing else

    def _tell(self) -> None:
        """Wake whoever waits for a change; called under the lock."""
        self._changes += 1
        self._changed.notify_all()

    def _put(self, objects: dict[_Key, V], raw: msgspec.Raw) -> str:
        """Keep the object; its resource version."""
        metadata = _HEAD.decode(raw).metadata
        key = (metadata.namespace, metadata.name)
        try:
            objects[key] = self._resource.value(raw)
        except msgspec.ValidationError as error:
            log.warning("%s %s/%s can't be understood: %s", self._resource.name, *key, error)
            objects.pop(key, None)
        return metadata.resource_version

    def _call(self, verb: str, query: tuple[tuple[str, str], ...]) -> Call:
        resource = self._resource
        return Call(
            verb=verb,
            resource=resource.name,
            path=resource.everywhere,
            query=(*self._selector, *query),
            accept=resource.accept_list if verb == "list" else resource.accept,
        )

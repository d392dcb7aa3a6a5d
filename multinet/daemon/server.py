"""The sockets: one thread accepts, reads and authenticates; workers serve, removals before additions.

What is spoken on a socket is its door's business (``exchange``); all share the queues and the workers.

Two queues. Calls of single delegates have workers of their own, since an external plugin that a
meta-plugin call waits for may itself call one of ours (its IPAM): sharing workers could wait for ever.
Removals come first in their queue, and some workers do nothing else: additions that all wait for an apiserver
which is away hold up no removal.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

from multinet.cni.errors import CNIError, Code
from multinet.daemon.connection import hang_up_of, listen, peer_uid, receive, send
from multinet.daemon.exchange import Door, Exchange, Task

_log = logging.getLogger(__name__)
_PRIORITY = {"DEL": 0, "GC": 1, "CHECK": 1, "STATUS": 1}
_ADD_PRIORITY = 2
_BREATH = 0.05
_LAST = 99
"""Priority of the job that ends a worker."""


class _Peer:
    """A connection whose request is still coming in."""

    def __init__(self, connection: socket.socket, exchange: Exchange) -> None:
        self.connection = connection
        self.since = time.monotonic()
        self.exchange = exchange
        self.netns_fd: int | None = None

    def drop(self) -> None:
        self.connection.close()
        if self.netns_fd is not None:
            os.close(self.netns_fd)
            self.netns_fd = None


class _Job(NamedTuple):
    priority: int
    order: int
    task: Task | None
    connection: socket.socket
    netns_fd: int | None
    turn: threading.Lock
    """Whoever takes it serves the job: a removal waits in two queues."""


_Queue = queue.PriorityQueue[_Job]


class Server:
    """Serves calls on unix sockets, for root alone."""

    def __init__(
        self,
        doors: Sequence[Door],
        workers: int = 8,
        nested_workers: int = 4,
        removal_workers: int = 2,
        backlog: int = 1024,
        receive_limit: float = 30.0,
        inherited: Mapping[str, socket.socket] | None = None,
    ) -> None:
        """``removal_workers`` serve nothing but DEL, beside the others. ``backlog``: calls that may wait; beyond it
        the answer is CNI code 11 at once. ``receive_limit``: seconds in which a request has to be whole.
        ``inherited``: listening sockets by path, that somebody else made and keeps: used where a door has that
        path, and left there at the end.

        Raises CNIError code 5 when it can't listen at one of the doors, or no door has an inherited one's path.
        """
        self._receive_limit = receive_limit
        self._calls, self._nested, self._removals = (_Queue(backlog) for _ in range(3))
        sizes = (workers, nested_workers, removal_workers)
        self._served = tuple(zip((self._calls, self._nested, self._removals), sizes, strict=True))
        self._acceptor: threading.Thread | None = None
        self._workers: list[threading.Thread] = []
        self._order = 0
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stopping = False
        self._doors = tuple(doors)
        given = dict(inherited or {})
        if strange := given.keys() - {door.path for door in self._doors}:
            raise CNIError(
                Code.IO_FAILURE,
                f"the service manager listens at {min(strange)}, where the daemon doesn't serve: "
                "make its ListenStream and the daemon's --socket agree",
            )
        self._kept_by_others = frozenset(given)
        with ExitStack() as opened:
            self._listeners = [
                opened.enter_context(given.get(door.path) or listen(door.path)) for door in self._doors
            ]
            opened.pop_all()

    def waiting(self) -> dict[str, int]:
        """How many calls wait for a worker now: ``calls`` for pods (a removal waits there, too), ``plugins`` called
        by their own names, ``removals``.
        """
        queues = {"calls": self._calls, "plugins": self._nested, "removals": self._removals}
        return {name: calls.qsize() for name, calls in queues.items()}

    def start(self) -> None:
        """Begin to serve; returns at once."""
        self._acceptor = threading.Thread(target=self._accept, name="accept", daemon=True)
        for calls, size in self._served:
            for number in range(size):
                self._workers.append(
                    threading.Thread(target=self._work, args=(calls,), name=f"worker-{number}", daemon=True)
                )
        for thread in (self._acceptor, *self._workers):
            thread.start()

    def stop(self, timeout: float = 20.0) -> None:
        """Take no more calls and remove the sockets, so that callers know at once; finish those that wait.

        Who calls at an inherited one waits for the next daemon. ``timeout`` in seconds, for all of it.
        """
        until = time.monotonic() + timeout
        self._stopping = True
        os.write(self._wake_write, b"x")
        if self._acceptor is not None:
            self._acceptor.join(timeout)
        for listener, door in zip(self._listeners, self._doors, strict=True):
            listener.close()
            if door.path not in self._kept_by_others:
                with suppress(FileNotFoundError):
                    os.unlink(door.path)
        for fd in (self._wake_read, self._wake_write):
            os.close(fd)
        for calls, size in self._served:
            for _ in range(size):
                self._order += 1
                calls.put(_Job(_LAST, self._order, None, socket.socket(), None, threading.Lock()))
        for worker in self._workers:
            worker.join(max(0.0, until - time.monotonic()))

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            for listener, door in zip(self._listeners, self._doors, strict=True):
                selector.register(listener, selectors.EVENT_READ, door)
            selector.register(self._wake_read, selectors.EVENT_READ, None)
            while not self._stopping:
                for key, _ in selector.select(self._receive_limit):
                    if isinstance(key.data, Door):
                        self._admit(key.fileobj, key.data, selector)
                    elif isinstance(key.data, _Peer):
                        self._read(key.data, selector)
                self._drop_slow(selector, time.monotonic() - self._receive_limit)
            self._drop_slow(selector, math.inf)

    def _drop_slow(self, selector: selectors.BaseSelector, before: float) -> None:
        """End the connections from before that time whose request still isn't whole."""
        peers = [key.data for key in selector.get_map().values() if isinstance(key.data, _Peer)]
        for peer in peers:
            if peer.since < before:
                selector.unregister(peer.connection)
                peer.drop()

    def _admit(self, listener: Any, door: Door, selector: selectors.BaseSelector) -> None:
        try:
            connection, _ = listener.accept()
        except OSError as error:  # out of descriptors, or the peer is gone: neither ends the server
            _log.warning("accept: %s", error)
            time.sleep(_BREATH)  # the listener stays readable: without a pause this would be a hot loop
            return
        uid = peer_uid(connection)
        if uid not in (0, os.geteuid()):
            _log.warning("refused a connection of uid %d", uid)
            connection.close()
            return
        connection.setblocking(False)
        peer = _Peer(connection, door.exchange())
        selector.register(connection, selectors.EVENT_READ, peer)
        self._read(peer, selector)  # a shim has sent its request by now, mostly

    def _read(self, peer: _Peer, selector: selectors.BaseSelector) -> None:
        try:
            data, fds = receive(peer.connection)
            for fd in fds:
                if peer.netns_fd is None:
                    peer.netns_fd = fd
                else:
                    os.close(fd)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        outcome = peer.exchange.feed(data) if data else b""
        if outcome is None:
            return
        selector.unregister(peer.connection)
        if isinstance(outcome, bytes):
            self._dismiss(peer, outcome)
        else:
            self._enqueue(peer, outcome)

    def _dismiss(self, peer: _Peer, answer: bytes) -> None:
        if answer:
            send(peer.connection, answer, limit=0)
        peer.drop()

    def _enqueue(self, peer: _Peer, task: Task) -> None:
        self._order += 1
        priority = _PRIORITY.get(task.verb, _ADD_PRIORITY)
        job = _Job(priority, self._order, task, peer.connection, peer.netns_fd, threading.Lock())
        try:
            if task.is_nested:
                self._nested.put_nowait(job)
            elif task.verb == "DEL":
                self._removals.put_nowait(job)
                with suppress(queue.Full):  # of calls that wait: then the removals' own workers have to do
                    self._calls.put_nowait(job)
            else:
                self._calls.put_nowait(job)
        except queue.Full:
            busy = CNIError(Code.TRY_AGAIN, "the node has too many calls waiting; try again later")
            self._dismiss(peer, task.refuse(busy))

    def _work(self, calls: _Queue) -> None:
        while True:
            job = calls.get()
            if not job.turn.acquire(blocking=False):
                continue  # a removal that another worker took
            if job.task is None:
                job.connection.close()
                return
            with job.connection as connection:
                hung_up = hang_up_of(connection)
                send(connection, job.task.run(job.netns_fd, hung_up, connection.fileno()))

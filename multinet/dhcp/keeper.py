"""All leases of a node, in one thread: one selector for their sockets, one heap for their timers.

Other threads never touch a lease: they leave work for the thread, and wait for its answer.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import selectors
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TypeVar

from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Owner
from multinet.dhcp.answer import Answer
from multinet.dhcp.client_values import Pace, State
from multinet.dhcp.holding import Holding, Interfaces
from multinet.dhcp.lease import Lease
from multinet.dhcp.link_socket import LinkSocket
from multinet.dhcp.place import Reach
from multinet.dhcp.record import Record, Records

__all__ = ["Keeper", "boot_time"]

T = TypeVar("T")
_log = logging.getLogger(__name__)
_ACQUISITION = 208.0
"""Seconds that looking for a lease may take when the caller sets no limit; the reference plugin's."""
_MARGIN = 2.0
"""Seconds before the caller's limit in which what was begun is undone and the answer gets to it."""
_LONGEST_SLEEP = 60.0
"""Seconds: waiting doesn't count the time that a machine is suspended, leases do."""
_REPLY = 10.0
"""Seconds in which the thread has done what it was asked to."""


def boot_time() -> float:
    """Seconds since the machine started, suspended time counted in."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Keeper:
    """The leases of a node. They outlive it: ``start`` takes up what an earlier one left in the folder."""

    def __init__(self, folder: str, interfaces: Interfaces, pace: Pace | None = None) -> None:
        self._records = Records(folder)
        self._interfaces = interfaces
        self._pace = pace or Pace()
        self._holdings: dict[Owner, Holding] = {}
        self._timers: list[tuple[float, int, Holding]] = []
        self._numbers = itertools.count()
        self._registered: dict[Holding, tuple[LinkSocket, int]] = {}
        self._selector = selectors.DefaultSelector()
        self._work: deque[Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="dhcp", daemon=True)

    @property
    def running(self) -> bool:
        """Whether leases are being kept."""
        return self._thread.is_alive() and not self._stopping

    def start(self) -> None:
        """Take up the leases on disk, and keep them from now on. Raises OSError."""
        now = boot_time()
        for record in self._records.read():
            holding = self._holding(record, Reach(record.place))
            self._guarded(holding, lambda holding=holding: holding.resume(now))  # type: ignore[misc]
        if self._holdings:
            _log.info("dhcp: %d leases taken up again", len(self._holdings))
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing, for good. Nothing is given back: the next keeper goes on with all leases."""
        if self._stopping:
            return
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join()
        for holding in self._holdings.values():
            holding.close()
        self._selector.close()
        os.close(self._wake)

    def acquire(
        self, wanted: Record, netns: Netns, deadline: float | None, cancelled: Callable[[], bool]
    ) -> Lease:
        """A lease for an interface, the one it has if it has one. ``wanted`` has none yet.

        ``netns`` is the open namespace, the caller's. Raises CNIError: 11 when no server gave one before the
        ``deadline`` (monotonic), 101 when what it gave is of no use, 108 when the caller hung up or a DEL came.
        """
        started = time.monotonic()
        limit = _ACQUISITION if deadline is None else min(deadline - started, _ACQUISITION)
        until = started + max(limit * 0.9, limit - _MARGIN)
        answer = Answer()
        reach = Reach(wanted.place, netns)
        holding = self._do(lambda: self._begin(wanted, reach, answer))
        if not answer.wait(until, cancelled):
            seconds = time.monotonic() - started
            self._do(lambda: self._abandon(holding, answer, seconds, cancelled()))
        if answer.error is not None:
            raise answer.error
        assert answer.lease is not None
        return answer.lease

    def release(self, owner: Owner) -> None:
        """Give back what the owner holds, or stop looking for it. Raises CNIError when the thread has died."""
        self._do(lambda: self._release(owner))

    def collect(self, network: str, valid: Collection[tuple[str, str]]) -> None:
        """Give back the leases of a network's attachments that aren't in ``valid``."""

        def stale() -> list[Owner]:
            mine = [owner for owner in self._holdings if owner.network == network]
            return [owner for owner in mine if (owner.container_id, owner.ifname) not in valid]

        for owner in self._do(stale):
            self.release(owner)

    def held(self, owner: Owner) -> Record | None:
        """What is held for the owner; its ``lease`` is None while another is being looked for."""

        def look() -> Record | None:
            holding = self._holdings.get(owner)
            return None if holding is None else holding.record

        return self._do(look)

    def states(self) -> Counter[State]:
        """How many leases are in which state. Raises CNIError when the thread has died."""
        return self._do(lambda: Counter(one.client.state for one in self._holdings.values()))

    # In the thread

    def _begin(self, wanted: Record, reach: Reach, answer: Answer) -> Holding:
        known = self._holdings.get(wanted.owner)
        if known is not None:
            same = (known.record.place, known.record.identity) == (wanted.place, wanted.identity)
            if same and known.record.lease is not None:
                reach.close()
                answer.settle(known.record.lease)
                return known
            if same:
                reach.close()
                known.waiting.append(answer)
                return known
            known.close()  # its interface was made anew: the server knows us by the same id
            self._forget(known)
        wish = str(known.record.lease.ip) if known is not None and known.record.lease is not None else ""
        holding = self._holding(wanted, reach)
        holding.waiting.append(answer)
        self._guarded(holding, lambda: holding.begin(boot_time(), wish))
        return holding

    def _abandon(self, holding: Holding, answer: Answer, seconds: float, hung_up: bool) -> None:
        if answer.lease is not None and not hung_up:
            return  # it came in the last moment
        if hung_up:
            error = CNIError(Code.CANCELLED, f"the caller hung up; no lease is kept for {holding}")
        else:
            text = f"no more tries: no DHCP server gave an address within {seconds:.0f} s"
            error = CNIError(Code.TRY_AGAIN, f"{text} {holding.tried()}")
        if answer.lease is not None:
            self._release(holding.record.owner)
        else:
            self._guarded(holding, lambda: holding.abandon(answer, error))
        answer.settle(error)

    def _release(self, owner: Owner) -> None:
        holding = self._holdings.get(owner)
        if holding is not None:
            why = CNIError(Code.CANCELLED, f"a DEL came while an address was being asked for ({holding})")
            self._guarded(holding, lambda: holding.release(why))

    def _holding(self, record: Record, reach: Reach) -> Holding:
        holding = Holding(record, reach, self._records, self._interfaces, self._pace)
        self._holdings[record.owner] = holding
        return holding

    def _guarded(self, holding: Holding, event: Callable[[], None]) -> None:
        """Let one lease live through an event. Whatever is wrong with it is no matter of the others."""
        try:
            event()
        except Exception as error:
            _log.exception("dhcp: %s: internal fault; the lease is given up", holding)
            with suppress(Exception):
                holding.release(CNIError(Code.INTERNAL, f"internal fault: {type(error).__name__}: {error}"))
            holding.over = True
        if holding.over:
            self._forget(holding)
            return
        self._register(holding)
        if holding.timer is not None and holding.timer != holding.scheduled:
            holding.scheduled = holding.timer
            heapq.heappush(self._timers, (holding.timer, next(self._numbers), holding))

    def _forget(self, holding: Holding) -> None:
        holding.over = True
        self._unregister(holding)
        if self._holdings.get(holding.record.owner) is holding:
            del self._holdings[holding.record.owner]

    def _register(self, holding: Holding) -> None:
        """Listen to the socket that it has now, by itself: a number may be another socket's already."""
        if self._registered.get(holding, (None, 0))[0] is holding.socket:
            return
        self._unregister(holding)
        if holding.socket is not None:
            number = holding.socket.fileno()
            self._selector.register(number, selectors.EVENT_READ, holding)
            self._registered[holding] = (holding.socket, number)

    def _unregister(self, holding: Holding) -> None:
        registered = self._registered.pop(holding, None)
        if registered is not None:
            self._selector.unregister(registered[1])  # it may be closed already, the selector allows for that

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(self._sleep()):
                if key.data is not None:
                    holding: Holding = key.data
                    self._guarded(holding, lambda holding=holding: holding.readable(boot_time()))  # type: ignore[misc]
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            while self._work:
                self._work.popleft()()
            self._tick()

    def _tick(self) -> None:
        now = boot_time()
        while self._timers and self._timers[0][0] <= now:
            when, _, holding = heapq.heappop(self._timers)
            if holding.timer == when:  # else it was set anew meanwhile
                holding.scheduled = None
                self._guarded(holding, lambda holding=holding: holding.tick(now))  # type: ignore[misc]

    def _sleep(self) -> float:
        if not self._timers:
            return _LONGEST_SLEEP
        return min(max(0.0, self._timers[0][0] - boot_time()), _LONGEST_SLEEP)

    # From other threads

    def _do(self, work: Callable[[], T]) -> T:
        """Have the thread do something, and wait until it is done."""
        outcome: list[T] = []
        failure: list[BaseException] = []
        done = threading.Event()

        def run() -> None:
            try:
                outcome.append(work())
            except BaseException as error:
                failure.append(error)
            done.set()

        if not self.running:
            raise CNIError(Code.TRY_AGAIN, "no DHCP lease can be kept now: the daemon is stopping")
        self._work.append(run)
        os.eventfd_write(self._wake, 1)
        if not done.wait(_REPLY):
            raise CNIError(Code.TRY_AGAIN, "the keeper of DHCP leases does not answer")
        if failure:
            raise failure[0]
        return outcome[0]

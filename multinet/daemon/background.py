"""What goes on between calls: spooled DELs, removals that failed, containers that are gone without a DEL."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import NamedTuple

from multinet.adapters.spool import CorruptEntry, Spool
from multinet.cni.errors import CNIError, Code
from multinet.daemon.handler import Handler
from multinet.daemon.orphans import Orphans
from multinet.daemon.service import Service
from multinet.wire.message import Response

_log = logging.getLogger(__name__)
_LASTING = frozenset({Code.INCOMPATIBLE_VERSION, Code.UNSUPPORTED_FIELD, Code.UNKNOWN_CONTAINER})
_LASTING |= {Code.INVALID_ENVIRONMENT, Code.DECODING_FAILURE, Code.INVALID_CONFIG}
"""Faults of the request itself: it would fail for ever."""


class Periods(NamedTuple):
    """How often the background looks, in seconds."""

    spool: float = 5.0
    """Between looks at the spool, where a shim may write whenever a connection broke, and for mirror pods."""
    first_retry: float = 10.0
    """Until removals that failed are tried again; doubled each time."""
    longest_retry: float = 600.0
    inherited: float = 3600.0
    """Between looks for what Multus left of containers that are gone; the first look is at the start."""
    aside: float = 3600.0
    """Between looks for requests that were set aside long ago; the first look is at the start."""
    orphans: float = 60.0
    """Between looks for containers that are gone without a DEL."""
    doubt: float = 10.0
    """Until a second look at what was found."""


_PERIODS = Periods()


def drain(spool: Spool, service: Service) -> int:
    """Carry out the spooled DELs, oldest first; how many were done. One that can't be done stays in the journal."""
    done = 0
    for path in spool.pending():
        try:
            request = spool.read(path)
        except CorruptEntry as error:
            _log.error("%s", error)
            continue
        except OSError as error:
            _log.error("spooled request %s cannot be read: %s", path, error)
            continue
        if request.env.get("CNI_COMMAND") == "DEL":
            response = service.answer(request, None, lambda: False)
            if response.exit_code != 0:
                text = response.stdout.decode(errors="replace").strip()
                if _code(response) in _LASTING:
                    text += f"; moved to {spool.set_aside(path)}"
                _log.error("spooled DEL %s: %s", path, text)
                continue
        spool.done(path)
        done += 1
    return done


class Background:
    """One thread for all of it."""

    def __init__(
        self,
        handler: Handler,
        service: Service,
        spool: Spool,
        periods: Periods = _PERIODS,
        orphans: Orphans | None = None,
    ) -> None:
        """Without ``orphans`` nobody looks for any."""
        self._periods = periods
        self._orphans = orphans
        self._handler = handler
        self._service = service
        self._spool = spool
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End after the step that is running."""
        self._stop.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        first = self._periods.first_retry
        pause, due = first, time.monotonic() + first
        look = burial = sweep = time.monotonic()
        while not self._stop.wait(self._periods.spool):
            try:
                if time.monotonic() >= sweep:
                    sweep = time.monotonic() + self._periods.aside
                    _sweep(self._spool)
                drain(self._spool, self._service)
                self._handler.publish_late()
                if time.monotonic() >= due:
                    left = self._handler.retry_removals()
                    pause = min(pause * 2, self._periods.longest_retry) if left else first
                    due = time.monotonic() + pause
                if self._orphans is not None and time.monotonic() >= look:
                    is_doubtful = self._orphans.remove()
                    look = time.monotonic() + (self._periods.doubt if is_doubtful else self._periods.orphans)
                if time.monotonic() >= burial:
                    burial = time.monotonic() + self._periods.inherited
                    self._handler.bury_dead()
            except (CNIError, OSError) as error:
                _log.error("background: %s", error)


def _sweep(spool: Spool) -> None:
    for path in spool.forget_set_aside():
        _log.info("removed %s: it was set aside more than a day ago", path)


def _code(response: Response) -> int:
    """The CNI code of a failure."""
    return int(json.loads(response.stdout)["code"])

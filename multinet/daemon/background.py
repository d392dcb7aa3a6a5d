"""What goes on between calls: spooled DELs are carried out, removals that failed are tried again."""

from __future__ import annotations

import logging
import threading
import time

from multinet.adapters.spool import CorruptEntry, Spool
from multinet.cni.errors import CNIError
from multinet.daemon.handler import Handler
from multinet.daemon.service import Service

_log = logging.getLogger(__name__)
_SPOOL_PERIOD = 5.0
"""Seconds between looks at the spool: a shim may write there whenever a connection broke."""
_FIRST_RETRY, _LONGEST_RETRY = 10.0, 600.0


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
                _log.error("spooled DEL %s: %s", path, response.stdout.decode(errors="replace").strip())
                continue
        spool.done(path)
        done += 1
    return done


class Background:
    """One thread for all of it."""

    def __init__(self, handler: Handler, service: Service, spool: Spool) -> None:
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
        pause, due = _FIRST_RETRY, time.monotonic() + _FIRST_RETRY
        while not self._stop.wait(_SPOOL_PERIOD):
            try:
                drain(self._spool, self._service)
                if time.monotonic() >= due:
                    left = self._handler.retry_removals()
                    pause = min(pause * 2, _LONGEST_RETRY) if left else _FIRST_RETRY
                    due = time.monotonic() + pause
            except (CNIError, OSError) as error:
                _log.error("background: %s", error)

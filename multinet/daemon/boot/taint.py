"""The taint that keeps pods off the node goes once multinet is ready there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from multinet.ports import ClusterUnavailable, NodeControl

__all__ = ["TaintRemoval"]

_log = logging.getLogger(__name__)


class TaintRemoval:
    """Waits until all is in place, then takes the taint off, once."""

    def __init__(
        self,
        control: NodeControl,
        key: str,
        is_ready: Callable[[], bool],
        period: float = 0.5,
        longest_pause: float = 30.0,
    ) -> None:
        """``is_ready`` is asked every ``period`` seconds; the removal is tried again after pauses that double."""
        self._control = control
        self._key = key
        self._is_ready = is_ready
        self._period = period
        self._longest_pause = longest_pause
        self.done = threading.Event()
        """Set once the node doesn't have the taint."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="taint", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End, whether it is done or not."""
        self._stop.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._is_ready():
            if self._stop.wait(self._period):
                return
        pause = self._period
        while not self._stop.is_set():
            try:
                was_there = self._control.remove_taint(self._key)
            except ClusterUnavailable as error:
                _log.warning("the taint %s can't be removed now: %s", self._key, error)
                self._stop.wait(pause)
                pause = min(2 * pause, self._longest_pause)
            else:
                if was_there:
                    _log.info("removed the taint %s: the node is ready", self._key)
                self.done.set()
                return

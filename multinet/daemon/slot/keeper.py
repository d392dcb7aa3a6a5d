"""Keeps the slot: looks, decides, writes, and looks again when something changes.

What is in place stays in place, whatever goes wrong: a pod that has to wait is better than one that runs without
its networks. So nothing here ever empties or removes the file, but for ``release`` at an exit that asks for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from multinet.adapters.inotify import FolderWatch
from multinet.adapters.plugin_directory import InstallationError
from multinet.cni.errors import CNIError, Code
from multinet.daemon.slot import folder
from multinet.daemon.slot.content import Content
from multinet.daemon.slot.pace import Pace
from multinet.daemon.slot.plan import SlotPlan
from multinet.daemon.slot.possession import Possession
from multinet.daemon.slot.report import SlotReport
from multinet.ports import Event

__all__ = ["LOST", "PRECEDED", "Slot", "SlotTimes"]

LOST, PRECEDED = "ConfigurationSlotLost", "ConfigurationSlotPreceded"
"""Reasons of the events."""

_log = logging.getLogger(__name__)
_BREATH = 0.05
_UNWATCHED = 1.0
"""Seconds between looks where the kernel has no inotify to give."""


class SlotTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    period: float = 10.0
    """Between looks when nothing seems to change."""
    grace: float = 5.0
    """For which a primary that vanished is waited for before the next in order takes its place."""


_TIMES = SlotTimes()


class Slot:
    """The slot of one node. ``look`` is for one thread at a time; the rest may be asked by any."""

    def __init__(
        self,
        plan: SlotPlan,
        tell: Callable[[Event], object] = lambda _: None,
        publish: Callable[[SlotReport], object] = lambda _: None,
        times: SlotTimes = _TIMES,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``tell`` gets an event when the file is lost or preceded, ``publish`` each report that is new."""
        self._plan = plan
        self._tell, self._publish = tell, publish
        self._times, self._clock = times, clock
        self._content = Content(plan, times.grace)
        self._file = Possession(plan.path, pace or Pace())
        self._preceded = ""
        self.report = SlotReport(path=plan.path)
        self._stop = threading.Event()
        self._watch: FolderWatch | None = None
        self._thread = threading.Thread(target=self._run, name="slot", daemon=True)

    def start(self) -> None:
        """Begin to keep it; returns at once."""
        try:
            self._watch = FolderWatch(self._plan.folders)
        except OSError as error:
            _log.warning("the slot is looked at every %g s only: %s", _UNWATCHED, error)
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End; the file stays."""
        self._stop.set()
        if self._watch is not None:
            self._watch.wake()
        self._thread.join(timeout)
        if self._watch is not None and not self._thread.is_alive():
            self._watch.close()

    def release(self) -> None:
        """Take the file away, if it is ours: pods then get the primary network alone. Raises InstallationError."""
        if folder.remove(self._plan.path):
            _log.info("removed %s", self._plan.path)

    def require_ready(self, code: Code = Code.NOT_AVAILABLE) -> None:
        """Raises CNIError with ``code`` while there is no primary network for a pod to have."""
        if self._content.unready:
            raise CNIError(code, self._content.unready)

    def look(self) -> float:
        """Look once and do what is to be done; seconds after which to look again even if nothing changes."""
        now = self._clock()
        lost = self._file.lost
        waits = [self._times.period]
        problems = []
        for step in (self._content.refresh, self._hold):
            try:
                waits.append(step(now) or self._times.period)
            except (CNIError, InstallationError, OSError) as error:
                problems.append(str(error))
        if self._file.lost > lost:
            self._tell(Event(reason=LOST, message=f"{self._plan.path} was {self._file.fate}"))
        self._conclude(problems)
        return min(waits)

    def _hold(self, now: float) -> float | None:
        return None if self._content.good is None else self._file.hold(self._content.good, now)

    def _conclude(self, problems: list[str]) -> None:
        """Report what has changed, once."""
        if self._content.unready:
            problems.insert(0, self._content.unready)
        if self._file.fate and not self._file.is_held:
            problems.append(
                f"{self._plan.path} was {self._file.fate}; it happens too often to put it back at once"
            )
        problems += self._earlier()
        problem = "; ".join(dict.fromkeys(problems))
        new = SlotReport(
            path=self._plan.path,
            in_place=self._file.is_held,
            primary=self._content.primary,
            lost=self._file.lost,
            problem=problem,
        )
        if new.problem != self.report.problem:
            _log.warning("%s", problem) if problem else _log.info("%s: all is well", self._plan.path)
        if new != self.report:
            self.report = new
            self._publish(new)

    def _earlier(self) -> list[str]:
        """The files that the runtime takes before ours."""
        names = ""
        with suppress(CNIError):
            names = ", ".join(folder.earlier_files(self._plan.path))
        text = f"the runtime takes {names} before {self._plan.path}: remove or rename it" if names else ""
        if text and text != self._preceded:
            self._tell(Event(reason=PRECEDED, message=text))
        self._preceded = text
        return [text] if text else []

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pause = self.look()
            except Exception:  # a fault of ours must not end the keeping unseen
                _log.exception("keeping %s", self._plan.path)
                pause = self._times.period
            if self._watch is None:
                self._stop.wait(min(pause, _UNWATCHED))
            else:
                self._watch.wait(pause)
                self._stop.wait(_BREATH)  # whoever writes mostly has more to write

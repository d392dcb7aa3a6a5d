"""Steps of one call, some in threads of their own, each after those that it has to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

THREADS = 8
"""How many threads all calls of the node together have for steps, beside their own: each may run a plugin's process,
and what those need of memory is the daemon's.
"""


class Step(NamedTuple):
    """Something to do once; ``apart``: in another thread than the caller's."""

    run: Callable[[], None]
    apart: bool
    after: Collection[int]
    """Places of earlier steps that have to be over."""


class Threads:
    """What is left of the node's threads for steps."""

    def __init__(self, number: int = THREADS) -> None:
        self._left = number
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, wanted: int) -> Iterator[int]:
        """As many of ``wanted`` as are left now, none if that is one alone: a single thread gains nothing."""
        with self._lock:
            taken = min(wanted, self._left)
            taken = taken if taken > 1 else 0
            self._left -= taken
        try:
            yield taken
        finally:
            with self._lock:
                self._left += taken


def run_steps(steps: Sequence[Step], threads: int) -> list[BaseException]:
    """Run them; the failures by the steps' order. After one, no further step is begun, but all that were are ended.

    Those that aren't apart are run here, in order; the others by ``threads`` threads, begun in order. Steps wait for
    earlier ones alone, so that those who wait never hold all the threads.
    """
    # Few calls need it: it is loaded by the first that does.
    from concurrent.futures import ThreadPoolExecutor

    course = _Course(steps)
    with ThreadPoolExecutor(threads, thread_name_prefix="step") as pool:
        for place, step in enumerate(steps):
            if step.apart:
                pool.submit(course.take, place)
        for place, step in enumerate(steps):
            if not step.apart:
                course.take(place)
    return [course.failures[place] for place in sorted(course.failures)]


class _Course:
    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._over = [threading.Event() for _ in steps]
        self.failures: dict[int, BaseException] = {}

    def take(self, place: int) -> None:
        step = self._steps[place]
        try:
            for earlier in step.after:
                self._over[earlier].wait()
            if not self.failures:
                step.run()
        except BaseException as failure:  # the caller raises it, when nothing runs any more
            self.failures[place] = failure
        finally:
            self._over[place].set()

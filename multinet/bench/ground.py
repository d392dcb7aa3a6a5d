"""A node with nothing on it yet: the lab, the driver, and pods' sandboxes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from multinet.bench.contenders import Pod
from multinet.bench.driver import Driver
from multinet.bench.lab import Lab
from multinet.bench.tools import Tools

__all__ = ["Ground"]


class Ground:
    """A context manager; what it set up is gone afterwards."""

    def __init__(self, tools: Tools, pods: int) -> None:
        """For up to ``pods`` pods at the same time. Raises BenchError."""
        self._held = ExitStack()
        self._serial = 0
        try:
            self._set_up(tools, pods)
        except BaseException:
            self._held.close()
            raise

    def _set_up(self, tools: Tools, pods: int) -> None:
        self.lab = self._held.enter_context(Lab())
        self.driver = Driver(tools.driver, self.lab.folder("driver"), self.lab.host)
        for number in range(pods):
            self.lab.sandbox(number)

    def pod(self, slot: int) -> Pod:
        """A new pod for the sandbox ``slot``."""
        self._serial += 1
        return Pod(slot, self._serial, self.lab.sandbox(slot).path)

    def daemon_cpu_ms(self) -> float:
        """Processor time of daemons, which serve ours alone."""
        return 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._held.close()

"""How long something took, and with what code it ended, told to ``ports.Measures``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from multinet.cni.chain import Executor, PluginCall
from multinet.cni.errors import CNIError, Code
from multinet.ports import Measures

__all__ = ["MeasuredExecutor", "measured"]


class measured:  # noqa: N801 - it is used as a statement
    """A ``with`` block whose time in seconds and outcome are told; what it raises is raised on.

    An exception that is no CNIError counts as code 999.
    """

    __slots__ = ("_kind", "_started", "_tell", "_verb")

    def __init__(self, tell: Callable[[str, str, float, int], None], kind: str, verb: str) -> None:
        self._tell, self._kind, self._verb = tell, kind, verb

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        code = 0 if error is None else error.code if isinstance(error, CNIError) else int(Code.INTERNAL)
        self._tell(self._kind, self._verb, time.monotonic() - self._started, code)


class MeasuredExecutor:
    """An executor each of whose calls is told."""

    def __init__(self, executor: Executor, measures: Measures) -> None:
        self._executor = executor
        self._measures = measures

    def run(self, call: PluginCall) -> dict[str, Any] | None:
        """As the executor that is wrapped."""
        with measured(self._measures.plugin, call.type, call.verb):
            return self._executor.run(call)

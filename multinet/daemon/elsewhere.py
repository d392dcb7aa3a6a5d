"""Executables that run in another network namespace than this process."""

from __future__ import annotations

from typing import Any

from multinet.adapters.netns import Netns
from multinet.cni.chain import Executor, PluginCall


class InNamespace:
    """An executor whose plugins find themselves in ``host``, the node's own namespace."""

    def __init__(self, host: Netns, executor: Executor) -> None:
        self._host = host
        self._executor = executor

    def run(self, call: PluginCall) -> dict[str, Any] | None:
        """As the executor that is wrapped: a process starts in the namespace of the thread that starts it."""
        with self._host.entered():
            return self._executor.run(call)

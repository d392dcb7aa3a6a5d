"""One call as it arrived: the CNI variables, the configuration, the namespace, and how long there is time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from multinet.adapters.kernel import Kernel, NetworkStack
from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError, Code
from multinet.cni.invocation import Invocation, parse_args
from multinet.cni.request import read_request
from multinet.ports import Pod
from multinet.wire.message import Request

TIME_LIMIT = 110.0
"""Seconds that a call may take when the caller doesn't say; container runtimes give up after 120."""
CLUSTER_LIMIT = 10.0
"""Seconds that one look-up or write of the cluster may take (multi-network 4.20)."""
_TRACE = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")


def _never() -> bool:
    return False


class Call:
    """A validated call. It owns the namespace's descriptor: close it when done."""

    def __init__(
        self,
        request: Request,
        netns_fd: int | None = None,
        cancelled: Callable[[], bool] = _never,
        cancel_fd: int | None = None,
    ) -> None:
        """Raises CNIError for variables, configuration or a namespace that can't be used."""
        self.program = request.program
        self.env: Mapping[str, str] = request.env
        self.cancelled = cancelled
        self.cancel_fd = cancel_fd
        limit = TIME_LIMIT if request.time_limit_ms is None else request.time_limit_ms / 1000
        self.deadline = time.monotonic() + limit
        self.netns: Netns | None = None
        self._sandbox: NetworkStack | None = None
        self.waits: list[Callable[[], None]] = []
        """What has to come about before the pod may run, though nothing else has to wait for it."""
        self.pod: Pod | None = None
        """The pod that the call is for, once it is known by more than its name."""
        self.occupied: frozenset[str] | None = None
        """Names of the links that were in the sandbox when the call began; None: not looked at."""
        try:
            read = read_request(request.env, lambda: request.stdin)
            self.invocation: Invocation = read.invocation
            self.conf: dict[str, Any] = read.conf
            self.cni_version = read.cni_version
        except BaseException:
            if netns_fd is not None:
                os.close(netns_fd)
            raise
        self._adopt(netns_fd, request.netns_errno)

    @classmethod
    def of_our_own(cls, invocation: Invocation, conf: Mapping[str, Any]) -> Call:
        """The call that a container runtime would have made, with ``conf`` as the meta-plugin's configuration.

        Raises CNIError, as for a sandbox that is gone.
        """
        return cls(Request("multinet", invocation.environ(), msgspec.json.encode(conf)))

    def _adopt(self, netns_fd: int | None, netns_errno: int | None) -> None:
        """ADD and CHECK need the namespace; the others do without one that is gone."""
        path = self.invocation.netns
        needed = self.verb in ("ADD", "CHECK")
        try:
            if netns_fd is not None:
                self.netns = Netns.adopt(netns_fd, path)
            elif netns_errno is not None and needed:
                reason = os.strerror(netns_errno).lower()
                raise CNIError(
                    Code.INVALID_NETNS, f'failed to open netns "{path}": failed to Statfs "{path}": {reason}'
                )
            elif path and needed:
                self.netns = Netns.open(path)
        except CNIError:
            if needed:
                raise

    @property
    def verb(self) -> str:
        """``ADD``, ``CHECK``, ``DEL``, ``GC`` or ``STATUS``."""
        return self.invocation.command

    @property
    def args(self) -> dict[str, str]:
        """``CNI_ARGS`` as pairs; unreadable ones are none on DEL, else CNIError code 4."""
        try:
            return parse_args(self.invocation.args)
        except CNIError:
            if self.verb == "DEL":
                return {}
            raise

    @property
    def trace(self) -> dict[str, str]:
        """OpenTelemetry's context, to hand on to external plugins."""
        return {key: self.env[key] for key in _TRACE if key in self.env}

    def proceed(self) -> None:
        """Raises CNIError code 108 when the caller has hung up, or its time is over."""
        if self.cancelled():
            raise CNIError(Code.CANCELLED, "the caller hung up; what was begun has been undone")
        if time.monotonic() >= self.deadline:
            raise CNIError(Code.CANCELLED, "the caller's time is over; what was begun has been undone")

    def time_left(self) -> float:
        """Seconds until the deadline, at least a moment."""
        return max(0.05, self.deadline - time.monotonic())

    def cluster_time(self) -> float:
        """Seconds that one look-up or write of the cluster may take: less than there is, since a worker waits for
        it, and the runtime tries again."""
        return min(CLUSTER_LIMIT, self.time_left())

    def await_links(self) -> None:
        """Wait for what the attachments left to come about. Raises CNIError when it doesn't."""
        self.proceed()
        for wait in self.waits:
            wait()

    def namespace(self) -> Netns | None:
        """The namespace, opened by its path also for the verbs that do without; None when it is gone."""
        if self.netns is None and self.invocation.netns:
            with suppress(CNIError):
                self.netns = Netns.open(self.invocation.netns)
        return self.netns

    def sandbox(self, kernel: Kernel) -> NetworkStack | None:
        """The sandbox's stack, for all attachments of the call; None without a namespace of its own."""
        if self._sandbox is None and self.netns is not None and self.netns != kernel.host_netns:
            self._sandbox = kernel.open(self.netns)
        return self._sandbox

    def close(self) -> None:
        """Give the namespace's descriptor and socket back; safe to repeat."""
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None
        if self.netns is not None:
            self.netns.close()
            self.netns = None

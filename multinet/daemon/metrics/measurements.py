"""What is counted while calls are served. Everything else is read where it is, when somebody asks: ``node_facts``."""

from __future__ import annotations

import threading

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from multinet.cni.errors import Code

__all__ = ["Measurements"]

_VERBS = frozenset({"ADD", "CHECK", "DEL", "GC", "STATUS"})
_METHODS = frozenset({"get", "put", "head", "post", "delete", "connect", "options", "patch", "trace"})
_CODES = frozenset(int(code) for code in Code)
_OTHER = "other"
_MOST_PLUGINS = 64
"""Types told apart: they come from what users write."""
_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_PLUGIN_SECONDS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    120,
)


class Measurements:
    """Implements ``ports.Measures``, with labels of few values each."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._plugins: set[str] = set()
        self._lock = threading.Lock()
        self._requests = Histogram(
            "multinet_request_duration_seconds",
            "Calls that were served, failed ones included: for a pod, for one attachment (plugged in or out), or for "
            "one plugin by its own name",
            ("kind", "verb"),
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )
        self._request_failures = Counter(
            "multinet_request_failures",
            "Calls that failed, by CNI code (other: a code of an external plugin's own)",
            ("kind", "verb", "code"),
            registry=self.registry,
        )
        self._plugin_calls = Histogram(
            "multinet_plugin_duration_seconds",
            "Verbs of single plugins, in process or as executables, failed ones included; a main plugin's has its "
            "address manager's in it, which is counted by its own type, too",
            ("plugin", "verb"),
            buckets=_PLUGIN_SECONDS,
            registry=self.registry,
        )
        self._plugin_failures = Counter(
            "multinet_plugin_failures",
            "Verbs of single plugins that failed, by CNI code",
            ("plugin", "verb", "code"),
            registry=self.registry,
        )
        self._multus = Counter(
            "multus_server_request",
            "Requests to Multus' socket, by path, HTTP status and method",
            ("handler", "code", "method"),
            registry=self.registry,
        )

    def request(self, kind: str, verb: str, seconds: float, code: int) -> None:
        """See Measures.request."""
        verb = _verb(verb)
        self._requests.labels(kind, verb).observe(seconds)
        if code:
            self._request_failures.labels(kind, verb, _code(code)).inc()

    def plugin(self, kind: str, verb: str, seconds: float, code: int) -> None:
        """See Measures.plugin."""
        kind, verb = self._plugin(kind), _verb(verb)
        self._plugin_calls.labels(kind, verb).observe(seconds)
        if code:
            self._plugin_failures.labels(kind, verb, _code(code)).inc()

    def multus(self, handler: str, method: str, status: int) -> None:
        """See Measures.multus."""
        method = method.lower()
        self._multus.labels(handler, str(status), method if method in _METHODS else "unknown").inc()

    def _plugin(self, kind: str) -> str:
        if kind in self._plugins:
            return kind
        with self._lock:
            if len(self._plugins) >= _MOST_PLUGINS:
                return _OTHER
            self._plugins.add(kind)
        return kind


def _verb(verb: str) -> str:
    return verb if verb in _VERBS else _OTHER


def _code(code: int) -> str:
    return str(code) if code in _CODES else _OTHER

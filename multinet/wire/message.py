"""What goes over the wire, as values: a request, a response, and their limits.

Plain classes, since dataclasses, typing or msgspec would cost the shim's Python twin more time to import than
its whole call takes.
"""

from __future__ import annotations

__all__ = ["FRAME_LIMIT", "INPUT_LIMIT", "PROTOCOL_VERSION", "RESPONSE_LIMIT"]
__all__ += ["Request", "Response", "WireError", "is_forwarded"]

# The C shim gets these by its build (multinet.shim.build).
PROTOCOL_VERSION = "1"
INPUT_LIMIT = 4 << 20
"""Bytes of standard input (the network configuration) in a request."""
FRAME_LIMIT = 5 << 20
"""Bytes of a request after its four bytes of length."""
RESPONSE_LIMIT = 16 << 20
"""Bytes of a response after its four bytes of length."""

_TRACE_CONTEXT = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")


class WireError(Exception):
    """The bytes are no request (response) of this protocol, or one can't be expressed in it."""


class _Value:
    """Immutable and compared by its slots."""

    __slots__: tuple[str, ...] = ()

    def _fill(self, *values: object) -> None:
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # a request holds a dict

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"


class Request(_Value):
    """One call of the shim, as its caller made it."""

    __slots__ = ("env", "netns_errno", "program", "stdin", "time_limit_ms")

    program: str
    """Last component of ``argv[0]``: ``multinet``, ``bridge`` …"""
    env: dict[str, str]
    """``CNI_*`` and the trace context; bytes that are no UTF-8 are kept as surrogates (PEP 383)."""
    stdin: bytes
    """The network configuration, not looked at."""
    time_limit_ms: int | None
    """How long the caller waits, from the request's arrival; None: it didn't say."""
    netns_errno: int | None
    """Why ``CNI_NETNS`` could not be opened; None: it could, or isn't set."""

    def __init__(
        self,
        program: str,
        env: dict[str, str],
        stdin: bytes = b"",
        time_limit_ms: int | None = None,
        netns_errno: int | None = None,
    ) -> None:
        self._fill(env, netns_errno, program, stdin, time_limit_ms)


class Response(_Value):
    """What the shim prints, and the code it exits with (0 to 255)."""

    __slots__ = ("exit_code", "stderr", "stdout")

    exit_code: int
    stdout: bytes
    stderr: bytes

    def __init__(self, exit_code: int, stdout: bytes = b"", stderr: bytes = b"") -> None:
        self._fill(exit_code, stderr, stdout)


def is_forwarded(key: str) -> bool:
    """Whether an environment variable goes to the daemon: the CNI call itself and the trace it belongs to."""
    return key.startswith("CNI_") or key in _TRACE_CONTEXT

"""gRPC's status codes, and the one way in which a call fails.

Source: gRPC, "Status codes and their use" and "gRPC over HTTP2".
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["RpcError", "Status", "of_http", "of_reset"]


class Status(IntEnum):
    """Status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """A call that brought no answer: ``code`` for programs, ``message`` for people."""

    def __init__(self, code: Status, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


_HTTP = {
    400: Status.INTERNAL,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    429: Status.UNAVAILABLE,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
}
_RESET = {
    7: Status.UNAVAILABLE,  # REFUSED_STREAM
    8: Status.CANCELLED,  # CANCEL
    11: Status.RESOURCE_EXHAUSTED,  # ENHANCE_YOUR_CALM
    12: Status.PERMISSION_DENIED,  # INADEQUATE_SECURITY
}


def of_http(status: int) -> Status:
    """What an HTTP status means when the server sent no status of gRPC."""
    return _HTTP.get(status, Status.UNKNOWN)


def of_reset(code: int) -> Status:
    """What the error code of a reset stream means."""
    return _RESET.get(code, Status.INTERNAL)

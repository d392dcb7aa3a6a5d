"""One request to the Kubernetes API, and the two ways in which it fails."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

__all__ = ["Call", "Refused", "Unreachable", "refusal", "transport_faults"]

_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request: ``verb`` and ``resource`` as RBAC names them, ``path`` with its names quoted."""

    verb: str
    resource: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: dict[str, Any] | None = None
    accept: str = "application/json"

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


class Refused(Exception):
    """The apiserver answered with an error; ``retry_after`` in seconds is its wish, 0 for none."""

    def __init__(self, call: Call, status: int, problem: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{call}: {status} {problem}")
        self.status = status
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in _TRANSIENT


class Unreachable(Exception):
    """No answer: connection, TLS, timeout, or no usable credentials yet."""

    retry_after = 0.0


class _StatusDetails(msgspec.Struct, frozen=True, rename="camel"):
    retry_after_seconds: float = 0.0


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    details: _StatusDetails | None = None


@contextmanager
def transport_faults(call: Call) -> Iterator[None]:
    """Context in which whatever goes wrong below HTTP becomes Unreachable."""
    try:
        yield
    except Exception as error:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        # ApiException: how the package reports TLS faults. ValueError: a read of a TLS socket that was shut.
        if not isinstance(error, (HTTPError, ApiException, OSError, http.client.HTTPException, ValueError)):
            raise
        text = " ".join(str(getattr(error, "reason", None) or error).split()) or type(error).__name__
        raise Unreachable(f"{call}: {text}") from error


_STATUS = msgspec.json.Decoder(_Status)


def refusal(call: Call, response: Any, data: bytes) -> Refused:
    """What urllib3's ``response`` with an error status, and ``data`` as its body, mean."""
    try:
        status = _STATUS.decode(data)
    except msgspec.DecodeError:  # a proxy's page, or nothing
        status = _Status()
    wish = response.headers.get("Retry-After", "")
    retry_after = float(wish) if wish.isdecimal() else 0.0
    if not retry_after and status.details is not None:
        retry_after = status.details.retry_after_seconds
    problem = status.message or response.reason or "no reason given"
    return Refused(call, response.status, problem, retry_after)

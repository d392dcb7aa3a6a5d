"""From a request to what becomes of it: faults become CNI errors, nothing becomes a traceback."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from multinet.cni.errors import CNIError, Code
from multinet.daemon.call import Call
from multinet.daemon.handler import Handler
from multinet.daemon.networks import META_TYPES
from multinet.ports import UNMEASURED, Measures
from multinet.sdk.measured import measured
from multinet.wire.message import Request, Response

_log = logging.getLogger(__name__)

DELEGATE = "delegate"
"""The program that calls for single attachments are told to come from."""

Act = Callable[[Call], dict[str, Any] | None]
"""What is done about a call; the result object of an ADD. Raises CNIError."""


class Service:
    """Answers requests by a handler."""

    def __init__(
        self,
        handler: Handler,
        overrides: Mapping[str, Any] | None = None,
        measures: Measures = UNMEASURED,
    ) -> None:
        """``overrides`` are keys of the node's configuration that count before those of the meta-plugin's own."""
        self._measures = measures
        self._handler = handler
        self._overrides = dict(overrides or {})

    def answer(
        self,
        request: Request,
        netns_fd: int | None,
        cancelled: Callable[[], bool],
        cancel_fd: int | None = None,
    ) -> Response:
        """Serve one request; the answer as a plugin prints it. The namespace's descriptor is closed in any case."""
        version = "1.1.0"

        def act(call: Call) -> dict[str, Any] | None:
            nonlocal version
            version = call.cni_version
            return self._handler.serve(call)

        try:
            result = self.carry_out(request, act, netns_fd, cancelled, cancel_fd)
        except CNIError as error:
            return Response(1, error.to_json(version) + b"\n")
        if result is None:
            return Response(0)
        return Response(0, msgspec.json.format(msgspec.json.encode(result), indent=4) + b"\n")

    def carry_out(
        self,
        request: Request,
        act: Act,
        netns_fd: int | None,
        cancelled: Callable[[], bool],
        cancel_fd: int | None = None,
    ) -> dict[str, Any] | None:
        """``act`` on the request, and log how it went. Raises CNIError and nothing else."""
        with measured(self._measures.request, _kind(request.program), request.env.get("CNI_COMMAND", "")):
            return self._carried_out(request, act, netns_fd, cancelled, cancel_fd)

    def _carried_out(
        self,
        request: Request,
        act: Act,
        netns_fd: int | None,
        cancelled: Callable[[], bool],
        cancel_fd: int | None,
    ) -> dict[str, Any] | None:
        started = time.monotonic()
        what = f"{request.program} {request.env.get('CNI_COMMAND')} {request.env.get('CNI_CONTAINERID', '')}"
        try:
            call = Call(request, netns_fd, cancelled, cancel_fd)
            try:
                if self._overrides and request.program in META_TYPES:
                    call.conf = call.conf | self._overrides
                result = act(call)
            finally:
                call.close()
        except CNIError as error:
            _log.warning("%s: failed in %.1f ms: code %d: %s", what, _ms(started), error.code, error)
            raise
        except OSError as error:
            _log.exception("%s: failed", what)
            raise CNIError(
                Code.IO_FAILURE, f"{error.strerror or error}: {error.filename or os.getpid()}"
            ) from None
        except Exception as error:  # a fault of ours: the caller still gets an answer that it understands
            _log.exception("%s: internal fault", what)
            raise CNIError(Code.INTERNAL, f"internal fault: {type(error).__name__}: {error}") from None
        _log.info("%s: done in %.1f ms", what, _ms(started))
        return result


def _kind(program: str) -> str:
    """What a call is for, as ``Measures.request`` has it."""
    return "pod" if program in META_TYPES else "attachment" if program == DELEGATE else "plugin"


def _ms(started: float) -> float:
    return (time.monotonic() - started) * 1000

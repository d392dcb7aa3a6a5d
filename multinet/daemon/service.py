"""From a request on the wire to a response: faults become CNI errors, nothing becomes a traceback."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

import msgspec

from multinet.cni.errors import CNIError, Code
from multinet.daemon.call import Call
from multinet.daemon.handler import Handler
from multinet.wire.message import Request, Response

_log = logging.getLogger(__name__)


class Service:
    """Answers requests by a handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def answer(
        self,
        request: Request,
        netns_fd: int | None,
        cancelled: Callable[[], bool],
        cancel_fd: int | None = None,
    ) -> Response:
        """Serve one request; the namespace's descriptor is closed in any case."""
        started = time.monotonic()
        version = "1.1.0"
        what = f"{request.program} {request.env.get('CNI_COMMAND')} {request.env.get('CNI_CONTAINERID', '')}"
        try:
            call = Call(request, netns_fd, cancelled, cancel_fd)
            version = call.cni_version
            try:
                result = self._handler.serve(call)
            finally:
                call.close()
        except CNIError as error:
            _log.warning("%s: failed in %.1f ms: code %d: %s", what, _ms(started), error.code, error)
            return Response(1, error.to_json(version) + b"\n")
        except OSError as error:
            _log.exception("%s: failed", what)
            fault = CNIError(Code.IO_FAILURE, f"{error.strerror or error}: {error.filename or os.getpid()}")
            return Response(1, fault.to_json(version) + b"\n")
        except Exception as error:  # a fault of ours: the caller still gets an answer that it understands
            _log.exception("%s: internal fault", what)
            fault = CNIError(Code.INTERNAL, f"internal fault: {type(error).__name__}: {error}")
            return Response(1, fault.to_json(version) + b"\n")
        _log.info("%s: done in %.1f ms", what, _ms(started))
        if result is None:
            return Response(0)
        return Response(0, msgspec.json.format(msgspec.json.encode(result), indent=4) + b"\n")


def _ms(started: float) -> float:
    return (time.monotonic() - started) * 1000

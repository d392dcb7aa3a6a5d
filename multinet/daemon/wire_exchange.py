"""Our own protocol (``multinet.wire``) as the server speaks it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from multinet.cni.errors import CNIError, Code
from multinet.daemon.exchange import Task
from multinet.wire.frame import Decoder, Request, Response, WireError, encode_response

_log = logging.getLogger(__name__)

Serve = Callable[[Request, int | None, Callable[[], bool], int], Response]
"""(request, namespace descriptor or None, has the caller hung up, connection descriptor) → response."""


class WireExchange:
    """One frame in, one frame out."""

    def __init__(self, serve: Serve, is_nested: Callable[[str], bool]) -> None:
        """``is_nested`` tells by the program's name which calls get the second queue."""
        self._serve = serve
        self._is_nested = is_nested
        self._decoder = Decoder()

    def feed(self, data: bytes) -> Task | bytes | None:
        """See ``Exchange``."""
        try:
            request = self._decoder.feed(data)
        except WireError as error:
            return refusal(CNIError(Code.DECODING_FAILURE, f"bad request frame: {error}"))
        if request is None:
            return None
        whole = request

        def run(netns_fd: int | None, hung_up: Callable[[], bool], connection_fd: int) -> bytes:
            return _encoded(self._serve(whole, netns_fd, hung_up, connection_fd))

        verb = request.env.get("CNI_COMMAND", "")
        return Task(verb, self._is_nested(request.program), run, refusal)


def refusal(error: CNIError) -> bytes:
    """The frame of an error, as a plugin prints it."""
    return encode_response(Response(1, error.to_json() + b"\n"))


def _encoded(response: Response) -> bytes:
    try:
        return encode_response(response)
    except WireError as error:
        _log.error("an answer could not be sent: %s", error)
        return refusal(CNIError(Code.INTERNAL, f"the answer can't be sent: {error}"))

"""One unary gRPC call on an HTTP/2 connection of its own, as bytes in and bytes out; no socket, no clock.

Source: gRPC, "gRPC over HTTP2"; RFC 9113.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from multinet.adapters.grpc_status import RpcError, Status, of_http, of_reset

__all__ = ["Exchange"]

_STREAM = 1
_HEAD = 5
"""Bytes before a message: whether it is compressed, and its length."""
_FRAME_HEAD = 9
_LONGEST_FRAME = 1 << 14
_SETTINGS, _GOAWAY = 4, 7
_WINDOW = 1 << 20


class Exchange:
    """Feed it what the server sends until ``answer`` is there, and send the server what ``outgoing`` gives."""

    def __init__(self, method: str, request: bytes, timeout: float, limit: int) -> None:
        """``method`` is ``/package.Service/Method``; ``timeout`` in seconds, which the server is told;
        ``limit`` is the longest answer, in bytes.
        """
        self.answer: bytes | None = None
        self._limit = limit
        self._unsent = memoryview(b"\0" + len(request).to_bytes(4, "big") + request)
        self._body = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._trailers: dict[bytes, bytes] = {}
        self._frames = _Frames()
        self._http = H2Connection(H2Configuration(client_side=True))
        ours = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW}
        self._http.local_settings = Settings(client=True, initial_values=ours)
        self._http.initiate_connection()
        self._http.increment_flow_control_window(_WINDOW)
        self._http.send_headers(_STREAM, _request_headers(method, timeout))
        self._send_body()

    def outgoing(self) -> bytes:
        """What is to be sent now; may be empty."""
        return self._http.data_to_send()

    def received(self, data: bytes) -> None:
        """The server sent ``data``. Raises RpcError when the call has failed."""
        for frame in self._frames.of(data):
            try:
                events = self._http.receive_data(frame)
            except ProtocolError as error:
                raise RpcError(Status.INTERNAL, f"the server breaks HTTP/2: {error}") from None
            for event in events:
                self._take(event)
            if self.answer is not None:
                return
        self._send_body()

    def closed(self) -> RpcError:
        """What it means that the server has closed the connection with no answer given."""
        if self._frames.is_http2:
            return RpcError(Status.UNAVAILABLE, "the server closed the connection before it answered")
        return RpcError(Status.UNAVAILABLE, "the server closed the connection, and said nothing of gRPC")

    def _send_body(self) -> None:
        """As much of the request as the server takes now."""
        while self._unsent:
            room = min(self._http.local_flow_control_window(_STREAM), self._http.max_outbound_frame_size)
            if room <= 0:
                return
            piece, self._unsent = self._unsent[:room], self._unsent[room:]
            self._http.send_data(_STREAM, bytes(piece), end_stream=not self._unsent)

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                self._headers = dict(event.headers or ())
                self._require_grpc()
            case DataReceived():
                self._body += event.data or b""
                self._require_one_message()
                self._http.acknowledge_received_data(event.flow_controlled_length or 0, _STREAM)
            case TrailersReceived():
                self._trailers = dict(event.headers or ())
            case StreamEnded():
                self.answer = self._outcome()
            case StreamReset():
                code = int(event.error_code or 0)
                raise RpcError(of_reset(code), f"the server reset the call (HTTP/2 error {code})")

    def _require_grpc(self) -> None:
        status = int(self._headers.get(b":status", b"0"))
        kind = self._headers.get(b"content-type", b"")
        if b"grpc-status" not in self._headers and (
            status != 200 or not kind.startswith(b"application/grpc")
        ):
            text = f"no gRPC here: HTTP status {status}, content type {_text(kind)!r}"
            raise RpcError(of_http(status), text)

    def _require_one_message(self) -> None:
        if len(self._body) < _HEAD:
            return
        length = int.from_bytes(self._body[1:_HEAD], "big")
        if self._body[0]:
            raise RpcError(Status.INTERNAL, "the answer is compressed, which nobody asked for")
        if length > self._limit:
            text = f"the answer has {length} bytes, more than the limit of {self._limit}"
            raise RpcError(Status.RESOURCE_EXHAUSTED, text)
        if len(self._body) > _HEAD + length:
            raise RpcError(Status.INTERNAL, "more than one answer to a call that has one")

    def _outcome(self) -> bytes:
        """The message, when the server says that all is well; a failed call may come without any (trailers only)."""
        said = self._trailers if b"grpc-status" in self._trailers else self._headers
        if b"grpc-status" not in said:
            raise RpcError(Status.INTERNAL, "the answer ended without a status")
        code = _text(said[b"grpc-status"])
        if code != "0":
            message = unquote(_text(said.get(b"grpc-message", b"")), errors="replace")
            raise RpcError(*_failure(code, message))
        if len(self._body) < _HEAD or len(self._body) - _HEAD < int.from_bytes(self._body[1:_HEAD], "big"):
            raise RpcError(Status.INTERNAL, "the call went well, but its answer is missing or cut off")
        return bytes(memoryview(self._body)[_HEAD:])


class _Frames:
    """Cuts what comes into HTTP/2 frames, and keeps back what h2 can't live with.

    A server that is about to stop says GOAWAY and still answers what it has begun; h2 takes nothing after it.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self.is_http2 = False
        """Whether the server has begun as HTTP/2 servers do, by its settings."""

    def of(self, data: bytes) -> Iterator[bytes]:
        """The whole frames so far. Raises RpcError for what isn't HTTP/2, and when our call won't be answered."""
        self._pending += data
        while len(self._pending) >= _FRAME_HEAD:
            length, kind = int.from_bytes(self._pending[:3], "big"), self._pending[3]
            if length > _LONGEST_FRAME or not (self.is_http2 or kind == _SETTINGS):
                raise RpcError(
                    Status.UNAVAILABLE,
                    f"no gRPC server: it said {bytes(self._pending[:40])!r}, which is no HTTP/2",
                )
            self.is_http2 = True
            end = _FRAME_HEAD + length
            if len(self._pending) < end:
                return
            frame = bytes(self._pending[:end])
            del self._pending[:end]
            if kind == _GOAWAY:
                _require_answer_to_come(frame)
            else:
                yield frame


def _require_answer_to_come(goaway: bytes) -> None:
    """Raises RpcError when the server says that it goes without having looked at our call."""
    last_stream = int.from_bytes(goaway[_FRAME_HEAD : _FRAME_HEAD + 4], "big") & 0x7FFFFFFF
    code = int.from_bytes(goaway[_FRAME_HEAD + 4 : _FRAME_HEAD + 8], "big")
    if last_stream >= _STREAM and not code:
        return
    debug = _text(goaway[_FRAME_HEAD + 8 :])
    raise RpcError(
        Status.UNAVAILABLE, f"the server goes away (HTTP/2 error {code}{', ' + debug if debug else ''})"
    )


def _request_headers(method: str, timeout: float) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "multinet"),
        ("grpc-timeout", f"{max(1, int(timeout * 1000))}m"),
    ]


def _failure(code: str, message: str) -> tuple[Status, str]:
    known = code.isdecimal() and int(code) in Status.__members__.values()
    status = Status(int(code)) if known else Status.UNKNOWN
    return status, message or ("no reason given" if known else f"status {code!r}, which gRPC doesn't have")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")

"""Requests and responses to bytes and back; no input or output happens here.

The format is described in ``multinet.wire``.
"""

from __future__ import annotations

from multinet.wire.message import (
    FRAME_LIMIT,
    INPUT_LIMIT,
    PROTOCOL_VERSION,
    RESPONSE_LIMIT,
    Request,
    Response,
    WireError,
    is_forwarded,
)

TYPE_CHECKING = False  # typing's own costs its import
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "FRAME_LIMIT",
    "INPUT_LIMIT",
    "PROTOCOL_VERSION",
    "RESPONSE_LIMIT",
    "Decoder",
    "Request",
    "Response",
    "ResponseDecoder",
    "WireError",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "is_forwarded",
]

_LENGTH = 4  # bytes of a length


def encode_request(request: Request) -> bytes:
    """The whole frame. Raises WireError when a limit is exceeded or a value can't be expressed."""
    fields = [(1, PROTOCOL_VERSION.encode()), (2, _to_bytes(request.program))]
    for key, value in request.env.items():
        if not is_forwarded(key) or "=" in key:
            raise WireError(f"environment variable {key!r} has no place in a request")
        fields.append((3, _to_bytes(f"{key}={value}")))
    if request.time_limit_ms is not None:
        fields.append((5, _to_decimal(request.time_limit_ms, "time limit")))
    if request.netns_errno is not None:
        fields.append((6, _to_decimal(request.netns_errno, "namespace error")))
    if len(request.stdin) > INPUT_LIMIT:
        raise WireError(f"standard input of {len(request.stdin)} bytes exceeds {INPUT_LIMIT}")
    fields.append((4, request.stdin))
    return _frame(fields, FRAME_LIMIT)


def decode_request(frame: bytes) -> Request:
    """The request of a whole frame (its four bytes of length included). Raises WireError."""
    return _parse_request(_body(frame, FRAME_LIMIT))


def encode_response(response: Response) -> bytes:
    """The whole frame. Raises WireError when it exceeds the limit."""
    if not 0 <= response.exit_code <= 255:
        raise WireError(f"exit code {response.exit_code} is not between 0 and 255")
    fields = [(1, b"%d" % response.exit_code), (2, response.stdout), (3, response.stderr)]
    return _frame(fields, RESPONSE_LIMIT)


def decode_response(frame: bytes) -> Response:
    """The response of a whole frame. Raises WireError."""
    return _parse_response(_body(frame, RESPONSE_LIMIT))


class _Collector:
    """Puts the pieces of one frame together."""

    def __init__(self, limit: int) -> None:
        self._received = bytearray()
        self._limit = limit

    def _collect(self, data: bytes) -> bytes | None:
        """The frame's body once it is whole. Raises WireError when it is too long, or is followed by more."""
        self._received += data
        received = len(self._received)
        if received < _LENGTH:
            return None
        total = _LENGTH + _length(self._received, self._limit)
        if received < total:
            return None
        return _body(bytes(self._received), self._limit)


class Decoder(_Collector):
    """A request out of pieces, as they come from a socket.

    Holds no more than was received, whatever length the peer announces.
    """

    def __init__(self) -> None:
        super().__init__(FRAME_LIMIT)

    def feed(self, data: bytes) -> Request | None:
        """The request, when ``data`` completes it; None: more is needed. Raises WireError, then give up."""
        body = self._collect(data)
        return None if body is None else _parse_request(body)


class ResponseDecoder(_Collector):
    """A response out of pieces, as they come from a socket."""

    def __init__(self) -> None:
        super().__init__(RESPONSE_LIMIT)

    def feed(self, data: bytes) -> Response | None:
        """The response, when ``data`` completes it; None: more is needed. Raises WireError, then give up."""
        body = self._collect(data)
        return None if body is None else _parse_response(body)


def _frame(fields: list[tuple[int, bytes]], limit: int) -> bytes:
    body = b"".join(bytes((tag,)) + len(value).to_bytes(_LENGTH, "big") + value for tag, value in fields)
    if len(body) > limit:
        raise WireError(f"frame of {len(body)} bytes exceeds {limit}")
    return len(body).to_bytes(_LENGTH, "big") + body


def _length(frame: bytes | bytearray, limit: int) -> int:
    length = int.from_bytes(frame[:_LENGTH], "big")
    if length > limit:
        raise WireError(f"frame of {length} bytes exceeds {limit}")
    return length


def _body(frame: bytes, limit: int) -> bytes:
    if len(frame) < _LENGTH:
        raise WireError("frame ends within its length")
    length = _length(frame, limit)
    body = frame[_LENGTH:]
    if len(body) != length:
        raise WireError(f"frame should have {length} bytes, has {len(body)}")
    return body


def _fields(body: bytes) -> Iterator[tuple[int, bytes]]:
    # one at a time: a frame of nothing but heads is a million fields
    at = 0
    while at < len(body):
        start = at + 1 + _LENGTH
        if start > len(body):
            raise WireError("frame ends within a field's head")
        end = start + int.from_bytes(body[at + 1 : start], "big")
        if end > len(body):
            raise WireError(f"field {body[at]} ends beyond the frame")
        yield body[at], body[start:end]
        at = end


def _parse_request(body: bytes) -> Request:
    single: dict[int, bytes] = {}
    env: dict[str, str] = {}
    for tag, value in _fields(body):
        if tag == 3:
            key, equals, text = _to_str(value).partition("=")
            if not equals or not is_forwarded(key):
                raise WireError(f"environment entry {key!r} has no place in a request")
            env.setdefault(key, text)
        else:
            _once(single, tag, value, known=6)
    version = single.get(1)
    if version is None:
        raise WireError("request without a protocol version")
    if version != PROTOCOL_VERSION.encode():
        raise WireError(f"protocol version {_to_str(version[:20])!r} is not known, only {PROTOCOL_VERSION!r}")
    if 2 not in single:
        raise WireError("request without a program")
    stdin = single.get(4, b"")
    if len(stdin) > INPUT_LIMIT:
        raise WireError(f"standard input of {len(stdin)} bytes exceeds {INPUT_LIMIT}")
    return Request(
        program=_to_str(single[2]),
        env=env,
        stdin=stdin,
        time_limit_ms=_decimal(single[5], "time limit") if 5 in single else None,
        netns_errno=_decimal(single[6], "namespace error") if 6 in single else None,
    )


def _parse_response(body: bytes) -> Response:
    single: dict[int, bytes] = {}
    for tag, value in _fields(body):
        _once(single, tag, value, known=3)
    if 1 not in single:
        raise WireError("response without an exit code")
    exit_code = _decimal(single[1], "exit code")
    if exit_code > 255:
        raise WireError(f"exit code {exit_code} is not between 0 and 255")
    return Response(exit_code, single.get(2, b""), single.get(3, b""))


def _once(single: dict[int, bytes], tag: int, value: bytes, known: int) -> None:
    if tag > known or tag == 0:
        return
    if tag in single:
        raise WireError(f"field {tag} comes twice")
    single[tag] = value


def _decimal(value: bytes, what: str) -> int:
    # int() would also take signs, spaces and underscores; ten digits hold any 32-bit number
    if not value.isdigit() or len(value) > 10:
        raise WireError(f"{what} {_to_str(value[:20])!r} is no decimal number")
    return int(value)


def _to_decimal(value: int, what: str) -> bytes:
    if not 0 <= value < 10**10:
        raise WireError(f"{what} {value} cannot be expressed")
    return b"%d" % value


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise WireError(f"{text!r} cannot be encoded: {error.reason}") from None


def _to_str(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")

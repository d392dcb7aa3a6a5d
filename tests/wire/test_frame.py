from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.wire.frame import (
    FRAME_LIMIT,
    INPUT_LIMIT,
    RESPONSE_LIMIT,
    Decoder,
    Request,
    Response,
    ResponseDecoder,
    WireError,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
KEYS = st.one_of(
    st.sampled_from(["TRACEPARENT", "TRACESTATE", "BAGGAGE", "CNI_COMMAND", "CNI_ARGS", "CNI_"]),
    TEXT.filter(lambda text: "=" not in text).map(lambda text: f"CNI_{text}"),
)
NUMBERS = st.one_of(st.none(), st.integers(0, 10**10 - 1))
REQUESTS = st.builds(
    Request, TEXT, st.dictionaries(KEYS, TEXT, max_size=6), st.binary(max_size=200), NUMBERS, NUMBERS
)
RESPONSES = st.builds(Response, st.integers(0, 255), st.binary(max_size=200), st.binary(max_size=200))
# bytes that look like a frame get further into the decoder than arbitrary ones
FIELDS = st.lists(
    st.tuples(st.integers(0, 8), st.one_of(st.binary(max_size=12), st.sampled_from([b"1", b"CNI_A=b", b"0"])))
)


def field(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + len(value).to_bytes(4, "big") + value


def frame(*fields: tuple[int, bytes]) -> bytes:
    body = b"".join(field(tag, value) for tag, value in fields)
    return len(body).to_bytes(4, "big") + body


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(ends)]


def outcome(decoder: Decoder | ResponseDecoder, pieces: list[bytes]) -> object:
    result: object = None
    try:
        for piece in pieces:
            result = decoder.feed(piece) or result
    except WireError:
        return WireError
    return result


@given(REQUESTS)
def test_a_request_survives_the_wire(request: Request) -> None:
    assert decode_request(encode_request(request)) == request


@given(RESPONSES)
def test_a_response_survives_the_wire(response: Response) -> None:
    assert decode_response(encode_response(response)) == response


@given(st.one_of(st.binary(max_size=300), FIELDS.map(lambda fields: frame(*fields))))
def test_arbitrary_bytes_are_a_value_or_a_wire_error(data: bytes) -> None:
    for decode, kind in ((decode_request, Request), (decode_response, Response)):
        with suppress(WireError):
            assert type(decode(data)) is kind


@given(
    st.one_of(REQUESTS.map(encode_request), st.binary(max_size=60), FIELDS.map(lambda f: frame(*f))),
    st.binary(max_size=3),
    st.lists(st.integers(0, 2000), max_size=8),
)
def test_any_split_gives_the_same_request(data: bytes, more: bytes, places: list[int]) -> None:
    data += more
    assert outcome(Decoder(), cut(data, places)) == outcome(Decoder(), [data])


@given(
    st.one_of(RESPONSES.map(encode_response), st.binary(max_size=60), FIELDS.map(lambda f: frame(*f))),
    st.lists(st.integers(0, 2000), max_size=8),
)
def test_any_split_gives_the_same_response(data: bytes, places: list[int]) -> None:
    assert outcome(ResponseDecoder(), cut(data, places)) == outcome(ResponseDecoder(), [data])


@given(REQUESTS, st.integers(0, 500))
def test_a_part_of_a_request_is_none_yet(request: Request, length: int) -> None:
    data = encode_request(request)
    part = data[: min(length, len(data) - 1)]
    assert Decoder().feed(part) is None
    with pytest.raises(WireError):
        decode_request(part)


@given(REQUESTS)
def test_fields_of_the_future_are_skipped(request: Request) -> None:
    body = field(7, b"new") + encode_request(request)[4:] + field(255, b"")
    assert decode_request(len(body).to_bytes(4, "big") + body) == request


def test_the_bytes_are_as_documented() -> None:
    request = Request("bridge", {"CNI_COMMAND": "ADD", "BAGGAGE": "k=v"}, b"{}", 1500, 2)
    assert encode_request(request) == frame(
        (1, b"1"),
        (2, b"bridge"),
        (3, b"CNI_COMMAND=ADD"),
        (3, b"BAGGAGE=k=v"),
        (5, b"1500"),
        (6, b"2"),
        (4, b"{}"),
    )
    assert encode_response(Response(3, b"out", b"err")) == frame((1, b"3"), (2, b"out"), (3, b"err"))


def test_bytes_that_are_no_utf8_are_kept() -> None:
    data = frame((1, b"1"), (2, b"\xff"), (3, b"CNI_ARGS=\xfe\x80"))
    request = decode_request(data)
    assert request.env == {"CNI_ARGS": "\udcfe\udc80"}
    assert encode_request(request) == data[:3] + bytes([data[3] + 5]) + data[4:] + field(4, b"")


def test_the_first_of_a_repeated_variable_counts() -> None:
    data = frame((1, b"1"), (2, b"x"), (3, b"CNI_A=first"), (3, b"CNI_A=second"))
    assert decode_request(data).env == {"CNI_A": "first"}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ([(2, b"x")], "without a protocol version"),
        ([(1, b"2"), (2, b"x")], "protocol version '2' is not known, only '1'"),
        ([(1, b"1")], "without a program"),
        ([(1, b"1"), (2, b"x"), (2, b"y")], "field 2 comes twice"),
        ([(1, b"1"), (2, b"x"), (3, b"LD_PRELOAD=/x.so")], "'LD_PRELOAD' has no place"),
        ([(1, b"1"), (2, b"x"), (3, b"CNI_COMMAND")], "'CNI_COMMAND' has no place"),
        ([(1, b"1"), (2, b"x"), (5, b"-1")], "time limit '-1' is no decimal number"),
        ([(1, b"1"), (2, b"x"), (5, "٣".encode())], "is no decimal number"),
        ([(1, b"1"), (2, b"x"), (6, b"")], "namespace error '' is no decimal number"),
    ],
)
def test_a_faulty_request_is_named(fields: list[tuple[int, bytes]], problem: str) -> None:
    with pytest.raises(WireError, match=problem):
        decode_request(frame(*fields))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ([(2, b"out")], "without an exit code"),
        ([(1, b"256")], "exit code 256 is not between 0 and 255"),
        ([(1, b"0"), (1, b"0")], "field 1 comes twice"),
        ([(1, b" 0")], "exit code ' 0' is no decimal number"),
    ],
)
def test_a_faulty_response_is_named(fields: list[tuple[int, bytes]], problem: str) -> None:
    with pytest.raises(WireError, match=problem):
        decode_response(frame(*fields))


def test_a_field_that_ends_beyond_the_frame_is_refused() -> None:
    body = b"\x02\x00\x00\x00\x09x"
    with pytest.raises(WireError, match="field 2 ends beyond the frame"):
        decode_request(len(body).to_bytes(4, "big") + body)
    with pytest.raises(WireError, match="within a field's head"):
        decode_request(b"\x00\x00\x00\x02\x02\x00")


def test_limits_are_inclusive() -> None:
    largest = Request("x", {}, b"i" * INPUT_LIMIT)
    assert decode_request(encode_request(largest)) == largest
    with pytest.raises(WireError, match="standard input of 4194305 bytes"):
        encode_request(Request("x", {}, b"i" * (INPUT_LIMIT + 1)))
    with pytest.raises(WireError, match="standard input of 4194305 bytes"):
        decode_request(frame((1, b"1"), (2, b"x"), (4, b"i" * (INPUT_LIMIT + 1))))
    with pytest.raises(WireError, match="frame of"):
        encode_request(Request("x", {"CNI_ARGS": "a" * (FRAME_LIMIT - INPUT_LIMIT)}, b"i" * INPUT_LIMIT))
    room = RESPONSE_LIMIT - 3 * 5 - 1
    full = Response(0, b"o" * room)
    assert decode_response(encode_response(full)) == full
    with pytest.raises(WireError, match="frame of"):
        encode_response(Response(0, b"o" * (room + 1)))


@pytest.mark.parametrize("decoder", [Decoder(), ResponseDecoder()])
def test_a_frame_that_announces_too_much_is_refused_at_once(decoder: Decoder | ResponseDecoder) -> None:
    assert decoder.feed(b"\x7f\xff\xff") is None
    with pytest.raises(WireError, match="frame of 2147483647 bytes exceeds"):
        decoder.feed(b"\xff")


@pytest.mark.parametrize(
    "request_",
    [
        Request("x", {"PATH": "/bin"}),
        Request("x", {"CNI_A=B": "c"}),
        Request("x", {"CNI_A": "\ud800"}),
        Request("x", {}, time_limit_ms=-1),
        Request("x", {}, netns_errno=10**10),
    ],
)
def test_what_the_wire_cannot_carry_is_refused(request_: Request) -> None:
    with pytest.raises(WireError):
        encode_request(request_)


@pytest.mark.parametrize("code", [-1, 256])
def test_an_exit_code_no_process_can_have_is_refused(code: int) -> None:
    with pytest.raises(WireError, match="exit code"):
        encode_response(Response(code))


def test_values_are_immutable_and_compared_by_content() -> None:
    request = Request("x", {"CNI_COMMAND": "ADD"}, b"{}", 5, None)
    assert request == Request("x", {"CNI_COMMAND": "ADD"}, b"{}", 5, None)
    assert request != Request("x", {"CNI_COMMAND": "DEL"}, b"{}", 5, None)
    assert request != Response(0)
    with pytest.raises(AttributeError):
        request.program = "y"
    assert "stdin=b'{}'" in repr(request)

"""gRPC calls against a real server (grpcio), and against servers that do what no good one does."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from multinet.adapters.grpc_unix import Channel, RpcError, Status
from tests.adapters.grpc_server import grpc_server

ECHO = "/t.Test/Echo"
PATIENCE = 10.0


def echo(request: bytes, context: Any) -> bytes:
    return request


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


@contextmanager
def raw_server(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Hands each connection to ``serve``, and closes it when that returns."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(4)

    def run() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    serve(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def h2_server(answer: Callable[[H2Connection], None]) -> Callable[[socket.socket], None]:
    """Speaks HTTP/2 until the request's headers are there, then says what ``answer`` says, and waits."""

    def serve(connection: socket.socket) -> None:
        http = H2Connection(H2Configuration(client_side=False))
        http.initiate_connection()
        connection.sendall(http.data_to_send())
        while data := connection.recv(1 << 16):
            if any(isinstance(event, RequestReceived) for event in http.receive_data(data)):
                answer(http)
            connection.sendall(http.data_to_send())

    return serve


def failure(path: Path, request: bytes = b"", timeout: float = PATIENCE, **more: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        Channel(str(path), **more).call(ECHO, request, timeout)
    assert str(caught.value) == f"{caught.value.code.name}: {caught.value.message}"
    assert caught.value.message.startswith(f"{path}: {ECHO}: ")
    return caught.value


# -- a good server


@pytest.mark.parametrize("size", [0, 1, 16_384, 65_535, 65_536, 1 << 20, (16 << 20) - 1, 16 << 20])
def test_answers_of_any_size_come_whole(path: Path, size: int) -> None:
    request = os.urandom(1024) * (size // 1024) + os.urandom(size % 1024)
    with grpc_server(path, {ECHO: echo}):
        assert Channel(str(path)).call(ECHO, request, PATIENCE) == request


def test_an_answer_over_the_limit_is_refused(path: Path) -> None:
    with grpc_server(path, {ECHO: echo}):
        error = failure(path, bytes((16 << 20) + 1))
        assert error.code == Status.RESOURCE_EXHAUSTED
        assert "more than the limit of 16777216" in error.message
        assert failure(path, b"12345", limit=4).code == Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_failures_keep_code_and_text(path: Path, code: grpc.StatusCode) -> None:
    def fail(request: bytes, context: Any) -> bytes:
        context.abort(code, "nicht da: 100 % \u00fc\n")

    with grpc_server(path, {ECHO: fail}):
        error = failure(path)
    assert error.code.name == code.name
    assert error.message.endswith(": nicht da: 100 % \u00fc\n")


def test_a_failure_after_half_an_answer_has_its_status(path: Path) -> None:
    def fail(request: bytes, context: Any) -> bytes:
        context.send_initial_metadata((("a", "b"),))
        context.abort(grpc.StatusCode.ABORTED, "changed my mind")

    with grpc_server(path, {ECHO: fail}):
        assert failure(path).code == Status.ABORTED


def test_a_method_that_the_server_has_not(path: Path) -> None:
    with grpc_server(path, {}):
        assert failure(path).code == Status.UNIMPLEMENTED


def test_the_server_learns_the_deadline(path: Path) -> None:
    left: list[float] = []

    def ask(request: bytes, context: Any) -> bytes:
        left.append(context.time_remaining())
        return b""

    with grpc_server(path, {ECHO: ask}):
        Channel(str(path)).call(ECHO, b"", 7.0)
    assert 5.0 < left[0] <= 7.0


def test_a_slow_server_costs_the_timeout_and_no_more(path: Path) -> None:
    over = threading.Event()

    def wait(request: bytes, context: Any) -> bytes:
        over.wait(PATIENCE)
        return b""

    with grpc_server(path, {ECHO: wait}):
        began = time.monotonic()
        error = failure(path, timeout=0.3)
        took = time.monotonic() - began
        over.set()
    assert error.code == Status.DEADLINE_EXCEEDED
    assert took < PATIENCE / 2


def test_many_at_once_get_each_its_own(path: Path) -> None:
    channel = Channel(str(path))
    with grpc_server(path, {ECHO: echo}), ThreadPoolExecutor(32) as pool:
        texts = [f"{number}".encode() * 30_000 for number in range(64)]
        assert list(pool.map(lambda text: channel.call(ECHO, text, 30.0), texts)) == texts


def test_a_server_that_stops_still_answers_what_it_has_begun(path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(request: bytes, context: Any) -> bytes:
        begun.set()
        go_on.wait(PATIENCE)
        return request

    with grpc_server(path, {ECHO: slow}) as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(Channel(str(path)).call, ECHO, b"late", PATIENCE)
        begun.wait(PATIENCE)
        server.stop(PATIENCE)  # says GOAWAY
        time.sleep(0.2)
        go_on.set()
        assert answer.result() == b"late"


def test_a_server_that_was_restarted_is_found_again(path: Path) -> None:
    channel = Channel(str(path))
    for _ in range(2):
        with grpc_server(path, {ECHO: echo}):
            assert channel.call(ECHO, b"x", PATIENCE) == b"x"
        assert failure(path).code == Status.UNAVAILABLE


# -- nobody, or somebody else


def test_no_socket(path: Path) -> None:
    error = failure(path)
    assert error.code == Status.UNAVAILABLE
    assert error.message.endswith("no such file or directory")


def test_a_file_that_is_no_socket(path: Path) -> None:
    path.write_text("")
    assert failure(path).message.endswith("connection refused")


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    assert failure(tmp_path / ("x" * 200)).message.endswith("path too long")


def says(text: bytes, and_stays: bool = False) -> Callable[[socket.socket], None]:
    """Reads what comes first, says ``text``, and hangs up; or stays until the client goes."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(text)
        while and_stays and connection.recv(1 << 16):
            pass

    return serve


def test_a_web_server(path: Path) -> None:
    with raw_server(path, says(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")):
        error = failure(path)
    assert error.code == Status.UNAVAILABLE
    assert "no gRPC server: it said b'HTTP/1.1 400 Bad" in error.message


@pytest.mark.parametrize("said", [b"", b"hi"])
def test_a_server_that_hangs_up(path: Path, said: bytes) -> None:
    with raw_server(path, says(said)):
        error = failure(path)
    assert error.code == Status.UNAVAILABLE
    assert "closed the connection" in error.message


def test_a_server_that_says_nothing(path: Path) -> None:
    with raw_server(path, says(b"", and_stays=True)):
        assert failure(path, timeout=0.3).code == Status.DEADLINE_EXCEEDED


def test_a_server_whose_queue_stays_full(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as other:
        listener.bind(str(path))
        listener.listen(0)
        other.connect(str(path))
        began = time.monotonic()
        assert failure(path, timeout=0.3).code == Status.DEADLINE_EXCEEDED
        assert time.monotonic() - began < PATIENCE / 2


def test_a_server_that_accepts_late(path: Path) -> None:
    """The queue is full for a while: the client waits, and is served."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as other:
        listener.bind(str(path))
        listener.listen(0)
        other.connect(str(path))
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(failure, path, timeout=PATIENCE)
            time.sleep(0.1)
            listener.accept()[0].close()
            listener.accept()[0].close()
            assert call.result().code == Status.UNAVAILABLE


# -- servers that speak HTTP/2, and then something odd


def headers(
    *more: tuple[str, str], status: str = "200", kind: str = "application/grpc"
) -> list[tuple[str, str]]:
    return [(":status", status), ("content-type", kind), *more]


WELL = [("grpc-status", "0")]


def refuse(http: H2Connection) -> None:
    http.reset_stream(1, 7)


def go_away(http: H2Connection) -> None:
    http.close_connection(0, b"busy", last_stream_id=0)


def calm_down(http: H2Connection) -> None:
    http.close_connection(11, b"too_many_pings", last_stream_id=1)


def web_page(http: H2Connection) -> None:
    http.send_headers(1, headers(status="404", kind="text/html"))
    http.send_data(1, b"<html>", end_stream=True)


def no_status(http: H2Connection) -> None:
    http.send_headers(1, headers())
    http.send_data(1, b"\0\0\0\0\1x", end_stream=True)


def no_answer(http: H2Connection) -> None:
    http.send_headers(1, headers(("grpc-status", "0")), end_stream=True)


def half_an_answer(http: H2Connection) -> None:
    http.send_headers(1, headers())
    http.send_data(1, b"\0\0\0\0\2x")
    http.send_headers(1, WELL, end_stream=True)


def two_answers(http: H2Connection) -> None:
    http.send_headers(1, headers())
    http.send_data(1, b"\0\0\0\0\1x" * 2)
    http.send_headers(1, WELL, end_stream=True)


def compressed(http: H2Connection) -> None:
    http.send_headers(1, headers(("grpc-encoding", "gzip")))
    http.send_data(1, b"\1\0\0\0\1x")
    http.send_headers(1, WELL, end_stream=True)


def strange_status(http: H2Connection) -> None:
    http.send_headers(1, headers(("grpc-status", "99")), end_stream=True)


@pytest.mark.parametrize(
    ("answer", "code", "problem"),
    [
        (refuse, Status.UNAVAILABLE, "reset the call (HTTP/2 error 7)"),
        (go_away, Status.UNAVAILABLE, "goes away (HTTP/2 error 0, busy)"),
        (calm_down, Status.UNAVAILABLE, "goes away (HTTP/2 error 11, too_many_pings)"),
        (web_page, Status.UNIMPLEMENTED, "HTTP status 404, content type 'text/html'"),
        (no_status, Status.INTERNAL, "ended without a status"),
        (no_answer, Status.INTERNAL, "missing or cut off"),
        (half_an_answer, Status.INTERNAL, "missing or cut off"),
        (two_answers, Status.INTERNAL, "more than one answer"),
        (compressed, Status.INTERNAL, "compressed"),
        (strange_status, Status.UNKNOWN, "status '99'"),
    ],
)
def test_odd_answers_are_clear_failures(
    path: Path, answer: Callable[[H2Connection], None], code: Status, problem: str
) -> None:
    with raw_server(path, h2_server(answer)):
        error = failure(path)
    assert error.code == code
    assert problem in error.message


def test_a_server_that_breaks_the_protocol(path: Path) -> None:
    settings = b"\0\0\0\4\0\0\0\0\0"
    data_before_headers = b"\0\0\1\0\0\0\0\0\1x"

    with raw_server(path, says(settings + data_before_headers, and_stays=True)):
        error = failure(path)
    assert error.code == Status.INTERNAL
    assert "breaks HTTP/2" in error.message


def test_nothing_stays_open(path: Path) -> None:
    with grpc_server(path, {ECHO: echo}):
        channel = Channel(str(path))
        channel.call(ECHO, b"", PATIENCE)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            channel.call(ECHO, b"", PATIENCE)
            with suppress(RpcError):
                Channel(f"{path}x").call(ECHO, b"", PATIENCE)
            with suppress(RpcError):
                channel.call("/no/method", b"", PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:
            time.sleep(0.05)  # the server, in the same process, closes its ends a little later
        assert len(os.listdir("/proc/self/fd")) <= before

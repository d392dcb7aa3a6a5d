from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from multinet.wire.client import Unreachable, call
from multinet.wire.frame import INPUT_LIMIT, Decoder, Request, Response, WireError, encode_response

REQUEST = Request("multinet", {"CNI_COMMAND": "ADD"}, b'{"name": "n"}', 2000)
LARGEST = Request("multinet", {"CNI_COMMAND": "ADD"}, b"i" * INPUT_LIMIT)


@pytest.fixture
def path() -> Iterator[str]:
    # not tmp_path: its length may exceed what a socket address holds
    with tempfile.TemporaryDirectory(prefix="wire-") as folder:
        yield os.path.join(folder, "s")


def receive(connection: socket.socket) -> tuple[Request, int | None]:
    """A request, and the one descriptor that may come with it."""
    decoder, descriptors = Decoder(), []
    connection.settimeout(20)
    while True:
        data, received, _, _ = socket.recv_fds(connection, 1 << 16, 4)
        descriptors += received
        assert data, "the caller hung up before the request's end"
        request = decoder.feed(data)
        if request is not None:
            assert len(descriptors) <= 1
            return request, descriptors[0] if descriptors else None


class Served:
    """One connection, handled by ``behaviour`` in a thread; what that raised is raised by ``finish``."""

    def __init__(self, path: str, behaviour: Callable[[socket.socket], object]) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.error: BaseException | None = None
        self.result: object = None
        self.thread = threading.Thread(target=self._run, args=(behaviour,))
        self.thread.start()

    def _run(self, behaviour: Callable[[socket.socket], object]) -> None:
        try:
            connection, _ = self.listener.accept()
            with connection:
                self.result = behaviour(connection)
        except BaseException as error:
            self.error = error

    def finish(self) -> object:
        self.thread.join(10)
        self.listener.close()
        assert not self.thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.result


@pytest.mark.parametrize("request_", [REQUEST, LARGEST])
def test_request_and_answer(path: str, request_: Request) -> None:
    def behaviour(connection: socket.socket) -> object:
        received = receive(connection)
        connection.sendall(encode_response(Response(7, b"o" * 100_000, b"err")))
        return received

    served = Served(path, behaviour)
    assert call(path, request_, None, 10) == Response(7, b"o" * 100_000, b"err")
    assert served.finish() == (request_, None)


def test_the_descriptor_arrives_once_and_as_the_same_file(path: str) -> None:
    def behaviour(connection: socket.socket) -> object:
        _, descriptor = receive(connection)
        connection.sendall(encode_response(Response(0)))
        assert descriptor is not None
        status = os.fstat(descriptor)
        os.close(descriptor)
        return status.st_dev, status.st_ino

    served = Served(path, behaviour)
    with open("/proc/self/ns/net") as namespace:
        call(path, LARGEST, namespace.fileno(), 10)
        status = os.fstat(namespace.fileno())
    assert served.finish() == (status.st_dev, status.st_ino)


def test_nobody_listens(path: str) -> None:
    with pytest.raises(Unreachable, match="No such file or directory"):
        call(path, REQUEST, None, 1)
    socket.socket(socket.AF_UNIX).bind(path)
    with pytest.raises(Unreachable, match="Connection refused"):
        call(path, REQUEST, None, 1)
    with pytest.raises(Unreachable, match="File name too long"):
        call("/x" * 60, REQUEST, None, 1)


@pytest.mark.parametrize("part", [b"", encode_response(Response(0, b"output"))[:9]])
def test_the_daemon_ends_before_its_answer_does(path: str, part: bytes) -> None:
    def behaviour(connection: socket.socket) -> None:
        receive(connection)
        connection.sendall(part)

    served = Served(path, behaviour)
    with pytest.raises(Unreachable, match="Connection reset by peer"):
        call(path, REQUEST, None, 10)
    served.finish()


@pytest.mark.parametrize(
    "answer", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01x", encode_response(Response(0)) + b"more"]
)
def test_an_answer_that_is_none(path: str, answer: bytes) -> None:
    def behaviour(connection: socket.socket) -> None:
        receive(connection)
        connection.sendall(answer)

    served = Served(path, behaviour)
    with pytest.raises(WireError):
        call(path, REQUEST, None, 10)
    served.finish()


def test_an_answer_before_the_requests_end_is_taken(path: str) -> None:
    served = Served(path, lambda connection: connection.sendall(encode_response(Response(1, b"busy"))))
    assert call(path, LARGEST, None, 10) == Response(1, b"busy")
    served.finish()


@pytest.mark.parametrize("request_", [REQUEST, LARGEST])
def test_a_daemon_that_does_nothing_costs_no_more_than_the_time_limit(path: str, request_: Request) -> None:
    over = threading.Event()
    served = Served(path, lambda _: over.wait(10))
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        call(path, request_, None, 0.2)
    assert 0.2 <= time.monotonic() - start < 2
    over.set()
    served.finish()


def test_a_daemon_that_accepts_nothing_costs_no_more_than_the_time_limit(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            call(path, REQUEST, None, 0.2)
        assert 0.2 <= time.monotonic() - start < 2

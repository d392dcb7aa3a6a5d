"""The socket: who may call, bad callers, queues, hang-ups; with a stand-in for what serves the calls."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multinet.cni.errors import CNIError, Code
from multinet.daemon.exchange import Door
from multinet.daemon.server import Server
from multinet.daemon.wire_exchange import WireExchange
from multinet.wire import client
from multinet.wire.frame import Request, Response, ResponseDecoder, encode_request
from tests.leaks import nothing_left_open

TIMEOUT = 20.0


def request(
    verb: str = "ADD", container: str = "c1", program: str = "multinet", stdin: bytes = b"{}"
) -> Request:
    return Request(program, {"CNI_COMMAND": verb, "CNI_CONTAINERID": container}, stdin)


class Desk:
    """Serves calls as a test says, and writes down what it saw."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.hung_up: list[bool] = []

    def door(self, path: str) -> Door:
        return Door(path, lambda: WireExchange(self.serve, lambda program: program != "multinet"))

    def serve(
        self, call: Request, netns_fd: int | None, hung_up: Callable[[], bool], connection_fd: int
    ) -> Response:
        name = call.env.get("CNI_CONTAINERID", "")
        self.seen.append(name)
        if name.startswith("wait"):
            assert self.may_go.wait(TIMEOUT)
        if name.startswith("until-hang-up"):
            until = time.monotonic() + TIMEOUT
            while not hung_up() and time.monotonic() < until:
                time.sleep(0.005)
            self.hung_up.append(hung_up())
        identity = ""
        if netns_fd is not None:
            identity = str(os.fstat(netns_fd).st_ino)
            os.close(netns_fd)
        return Response(0, f"{name} {identity}".strip().encode())


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.may_go.set()


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="mn-") as folder:
        yield f"{folder}/run/s"


@pytest.fixture
def start(desk: Desk, path: str) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def begin(**options: Any) -> Server:
        server = Server([desk.door(path)], **options)
        server.start()
        servers.append(server)
        return server

    yield begin
    desk.may_go.set()
    for server in servers:
        if os.path.exists(path):
            server.stop()


def call(
    path: str, what: Request | None = None, timeout: float = TIMEOUT, netns_fd: int | None = None
) -> Response:
    return client.call(path, what or request(), netns_fd, timeout)


def in_threads(path: str, requests: list[Request]) -> tuple[list[threading.Thread], dict[str, Response]]:
    answers: dict[str, Response] = {}

    def one(what: Request) -> None:
        answers[what.env["CNI_CONTAINERID"]] = call(path, what)

    threads = [threading.Thread(target=one, args=(what,)) for what in requests]
    for thread in threads:
        thread.start()
    return threads, answers


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(TIMEOUT)
    connection.connect(path)
    return connection


def code_of(response: Response) -> int:
    assert response.exit_code == 1
    code: int = json.loads(response.stdout)["code"]
    return code


class TestSocket:
    def test_is_roots_alone(self, start: Callable[..., Server], path: str) -> None:
        start()
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700

    def test_other_users_are_refused_even_if_they_reach_it(
        self, start: Callable[..., Server], path: str
    ) -> None:
        """The mode is one wall, the peer's uid the other."""
        if os.geteuid() != 0:
            pytest.skip("needs root")
        start()
        os.chmod(os.path.dirname(path), 0o755)
        os.chmod(os.path.dirname(os.path.dirname(path)), 0o755)
        os.chmod(path, 0o666)
        caller = (
            "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "s.settimeout(20); s.sendall(bytes.fromhex(sys.argv[2])); print(repr(s.recv(100)))"
        )
        frame = encode_request(request()).hex()
        done = subprocess.run([sys.executable, "-c", caller, path, frame], capture_output=True, text=True)
        assert (
            done.stdout.strip() == "b''"
            or "ConnectionResetError" in done.stderr
            or "BrokenPipe" in done.stderr
        )
        assert call(path).exit_code == 0

    def test_stale_one_is_replaced(self, start: Callable[..., Server], path: str) -> None:
        os.makedirs(os.path.dirname(path))
        old = socket.socket(socket.AF_UNIX)
        old.bind(path)
        old.close()
        start()
        assert call(path).stdout == b"c1"

    def test_second_daemon_is_refused(self, start: Callable[..., Server], path: str, desk: Desk) -> None:
        """And doesn't take the first one's socket away."""
        start()
        with pytest.raises(CNIError) as caught:
            Server([desk.door(path)])
        assert caught.value.code == Code.IO_FAILURE
        assert f"another daemon is serving {path}" in caught.value.msg
        assert call(path).exit_code == 0

    def test_path_that_cannot_be(self, desk: Desk, tmp_path: Path) -> None:
        with pytest.raises(CNIError) as caught:
            Server([desk.door(str(tmp_path / ("x" * 200)))])
        assert caught.value.code == Code.IO_FAILURE
        assert "cannot listen on" in caught.value.msg

    def test_is_gone_after_a_stop(self, start: Callable[..., Server], path: str) -> None:
        server = start()
        server.stop()
        assert not os.path.exists(path)
        with pytest.raises(client.Unreachable):
            call(path)


class TestCallers:
    def test_one_request_a_connection(self, start: Callable[..., Server], path: str) -> None:
        start()
        with connect(path) as connection:
            connection.sendall(encode_request(request()))
            data = b""
            while chunk := connection.recv(1 << 16):
                data += chunk
        response = ResponseDecoder().feed(data)
        assert response is not None and response.stdout == b"c1"

    def test_two_requests_at_once_are_refused(
        self, start: Callable[..., Server], path: str, desk: Desk
    ) -> None:
        start()
        with connect(path) as connection:
            connection.sendall(encode_request(request()) * 2)
            response = ResponseDecoder().feed(connection.recv(1 << 16))
        assert response is not None and code_of(response) == Code.DECODING_FAILURE
        assert desk.seen == []

    def test_namespace_is_handed_on(self, start: Callable[..., Server], path: str) -> None:
        start()
        with open("/proc/self/ns/net", "rb") as namespace:
            inode = os.fstat(namespace.fileno()).st_ino
            assert call(path, netns_fd=namespace.fileno()).stdout == f"c1 {inode}".encode()

    @pytest.mark.parametrize(
        "garbage",
        [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\xff\xff\xff\xff",
            b"\x00\x00\x00\x00",
            b"\x00\x00\x00\x06\x01\x00\x00\x00\x01\x39",
            b"\x00\x00\x00\x05\x07\x00\x00\xff\xff",
        ],
    )
    def test_garbage(self, start: Callable[..., Server], path: str, garbage: bytes, desk: Desk) -> None:
        """Answered, and nobody else is disturbed."""
        start()
        with connect(path) as connection:
            connection.sendall(garbage)
            response = ResponseDecoder().feed(connection.recv(1 << 16))
        assert response is not None and code_of(response) == Code.DECODING_FAILURE
        assert b"bad request frame" in response.stdout
        assert desk.seen == []
        assert call(path).exit_code == 0

    def test_half_a_frame_then_gone(self, start: Callable[..., Server], path: str, desk: Desk) -> None:
        start()
        with nothing_left_open():
            for _ in range(20):
                with connect(path) as connection, open("/proc/self/ns/net", "rb") as namespace:
                    socket.send_fds(connection, [encode_request(request())[:10]], [namespace.fileno()])
            assert call(path).exit_code == 0
        assert desk.seen == ["c1"]

    def test_slow_ones_hold_nobody_up(self, start: Callable[..., Server], path: str, desk: Desk) -> None:
        start(workers=1)
        slow = [connect(path) for _ in range(50)]
        frame = encode_request(request(container="slow"))
        for byte in range(len(frame) - 1):
            for connection in slow[:2]:
                connection.sendall(frame[byte : byte + 1])
            if byte % 16 == 0:
                assert call(path, timeout=5).stdout == b"c1"
        slow[0].sendall(frame[-1:])
        response = ResponseDecoder().feed(slow[0].recv(1 << 16))
        assert response is not None and response.stdout == b"slow"
        for connection in slow:
            connection.close()

    def test_one_that_never_ends_is_dropped(self, start: Callable[..., Server], path: str) -> None:
        start(receive_limit=0.2)
        with connect(path) as connection:
            connection.sendall(b"\x00\x00")
            assert connection.recv(1) == b""

    def test_one_that_does_not_take_its_answer(self, start: Callable[..., Server], path: str) -> None:
        start(workers=1)
        with connect(path) as connection:
            connection.sendall(encode_request(request(container="deaf")))
        assert call(path).stdout == b"c1"

    def test_stdin_of_four_megabytes(self, start: Callable[..., Server], path: str) -> None:
        start()
        assert call(path, request(stdin=b"x" * (4 << 20))).exit_code == 0

    def test_hang_up_is_seen(self, start: Callable[..., Server], path: str, desk: Desk) -> None:
        start()
        connection = connect(path)
        connection.sendall(encode_request(request(container="until-hang-up")))
        until(lambda: desk.seen)
        connection.close()
        until(lambda: desk.hung_up == [True])


class TestQueues:
    def test_full_is_said_at_once(self, start: Callable[..., Server], path: str, desk: Desk) -> None:
        """Code 11: the runtime tries again."""
        start(workers=1, backlog=3)
        desk.may_go.clear()
        threads, answers = in_threads(path, [request(container="wait")])
        until(lambda: desk.seen == ["wait"])
        more, others = in_threads(path, [request(container=f"c{n}") for n in range(10)])
        until(lambda: len(others) == 7)
        refused = {code_of(response) for response in others.values()}
        assert refused == {Code.TRY_AGAIN}
        desk.may_go.set()
        for thread in (*threads, *more):
            thread.join()
        assert answers["wait"].exit_code == 0
        assert sum(response.exit_code == 0 for response in others.values()) == 3

    def test_removals_go_first(self, start: Callable[..., Server], path: str, desk: Desk) -> None:
        start(workers=1, removal_workers=0)
        desk.may_go.clear()
        threads, _ = in_threads(path, [request(container="wait")])
        until(lambda: desk.seen == ["wait"])
        for verb in ("ADD", "CHECK", "ADD", "DEL", "STATUS", "DEL"):
            more, _ = in_threads(path, [request(verb, container=f"{verb}-{len(threads)}")])
            threads += more
            time.sleep(0.05)  # in this order
        desk.may_go.set()
        for thread in threads:
            thread.join()
        assert desk.seen == ["wait", "DEL-4", "DEL-6", "CHECK-2", "STATUS-5", "ADD-1", "ADD-3"]

    def test_additions_that_wait_hold_up_no_removal(
        self, start: Callable[..., Server], path: str, desk: Desk
    ) -> None:
        """As when they all wait for an apiserver that is away. Each removal is served once all the same."""
        start(workers=2)
        desk.may_go.clear()
        threads, _ = in_threads(path, [request(container=f"wait{n}") for n in range(4)])
        until(lambda: len(desk.seen) == 2)
        for number in range(3):
            removal = request("DEL", container=f"DEL-{number}")
            assert call(path, removal, timeout=5).stdout == f"DEL-{number}".encode()
        desk.may_go.set()
        for thread in threads:
            thread.join()
        assert sorted(desk.seen) == ["DEL-0", "DEL-1", "DEL-2", "wait0", "wait1", "wait2", "wait3"]

    def test_removals_use_all_workers(self, start: Callable[..., Server], path: str, desk: Desk) -> None:
        start(workers=3, removal_workers=1)
        desk.may_go.clear()
        threads, _ = in_threads(path, [request("DEL", container=f"wait{n}") for n in range(5)])
        until(lambda: len(desk.seen) == 4)
        desk.may_go.set()
        for thread in threads:
            thread.join()
        assert sorted(desk.seen) == [f"wait{n}" for n in range(5)]

    def test_single_plugins_have_workers_of_their_own(
        self, start: Callable[..., Server], path: str, desk: Desk
    ) -> None:
        """Else a call that waits for such a one would wait for ever."""
        start(workers=2)
        desk.may_go.clear()
        threads, _ = in_threads(path, [request(container=f"wait{n}") for n in range(4)])
        until(lambda: len(desk.seen) == 2)
        assert call(path, request(container="ipam", program="host-local"), timeout=5).stdout == b"ipam"
        desk.may_go.set()
        for thread in threads:
            thread.join()


class TestStop:
    def test_finishes_what_waits(self, start: Callable[..., Server], path: str, desk: Desk) -> None:
        """The socket goes first: who comes now is told at once."""
        server = start(workers=1)
        desk.may_go.clear()
        threads, answers = in_threads(path, [request(container="wait")])
        until(lambda: desk.seen)
        more, others = in_threads(path, [request(container=f"c{n}") for n in range(3)])
        time.sleep(0.2)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        until(lambda: not os.path.exists(path))
        with pytest.raises(client.Unreachable):
            call(path)
        assert stopping.is_alive()
        desk.may_go.set()
        for thread in (*threads, *more, stopping):
            thread.join()
        assert {*answers, *others} == {"wait", "c0", "c1", "c2"}
        assert all(response.exit_code == 0 for response in (*answers.values(), *others.values()))

    def test_does_not_wait_for_ever(self, start: Callable[..., Server], path: str, desk: Desk) -> None:
        server = start(workers=3)
        desk.may_go.clear()
        threads, _ = in_threads(path, [request(container=f"wait{n}") for n in range(3)])
        until(lambda: len(desk.seen) == 3)
        before = time.monotonic()
        server.stop(timeout=0.5)
        assert time.monotonic() - before < 3
        desk.may_go.set()
        for thread in threads:
            thread.join()

    def test_leaves_no_thread_or_descriptor(self, start: Callable[..., Server], path: str) -> None:
        with nothing_left_open():
            for _ in range(5):
                server = start()
                half = connect(path)
                half.sendall(b"\x00")
                call(path)
                server.stop()
                half.close()

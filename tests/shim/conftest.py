from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from multinet.shim.build import BuildError, build, compile_with
from multinet.shim.twin import write_twin
from multinet.wire.frame import Decoder, Request, Response, encode_response

SANITIZED = ["cc", "-std=c11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


class Shim:
    """One shim executable in a folder of its own, with the settings a test gives it."""

    def __init__(self, executable: Path, folder: Path) -> None:
        self.folder = folder
        self.socket = str(folder / "s")
        self.spool = folder / "spool"
        self._executable = executable
        self.path = self.named("multinet")

    def named(self, name: str) -> str:
        path = self.folder / name
        shutil.copy(self._executable, path)
        return str(path)

    def environment(self, verb: str, **more: str) -> dict[str, str]:
        env = {"CNI_COMMAND": verb, "MULTINET_SOCKET": self.socket, "MULTINET_SPOOL": str(self.spool)}
        return env | more

    def run(
        self, verb: str, stdin: bytes = b"{}", args: Sequence[str] = (), **env: str
    ) -> subprocess.CompletedProcess[bytes]:
        return self.run_with(self.environment(verb, **env), stdin, args)

    def run_with(
        self,
        env: Mapping[str, str] | Mapping[bytes, bytes],
        stdin: bytes = b"",
        args: Sequence[str] = (),
        **options: Any,
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.path, *args], input=stdin, capture_output=True, timeout=30, check=False, env=env, **options
        )

    def start(self, env: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([self.path], env=env, **options)

    def spooled(self) -> list[Path]:
        return sorted(self.spool.iterdir()) if self.spool.exists() else []


@pytest.fixture(scope="session", params=["static", "sanitized", "twin"])
def executable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("built") / "multinet"
    if request.param == "twin":
        write_twin(path)
        return path
    if shutil.which("cc") is None and shutil.which("musl-gcc") is None:
        pytest.skip("no C compiler")
    if request.param == "static":
        return build(path)
    try:
        compile_with(SANITIZED, path)
    except BuildError as error:
        pytest.skip(f"no sanitizers: {error}")
    return path


@pytest.fixture
def shim(executable: Path) -> Iterator[Shim]:
    # not tmp_path: its length may exceed what a socket address holds
    with tempfile.TemporaryDirectory(prefix="shim-") as folder:
        yield Shim(executable, Path(folder))


Behaviour = Callable[[socket.socket], object]


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


class Daemon:
    """Serves the shim's socket; what it received is in ``requests`` and ``descriptors`` (device and inode)."""

    def __init__(self, path: str) -> None:
        self.requests: list[Request] = []
        self.descriptors: list[tuple[int, int] | None] = []
        self.errors: list[BaseException] = []
        self.behaviour: Behaviour = self.answering(Response(0))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(100)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def answering(self, response: Response) -> Behaviour:
        """Receive a request, and answer it so."""

        def behave(connection: socket.socket) -> None:
            self.take(connection)
            connection.sendall(encode_response(response))

        return behave

    def take(self, connection: socket.socket) -> Request:
        """Receive a request and record it."""
        request, descriptor = receive(connection)
        identity = None
        if descriptor is not None:
            status = os.fstat(descriptor)
            identity = (status.st_dev, status.st_ino)
            os.close(descriptor)
        self.requests.append(request)
        self.descriptors.append(identity)
        return request

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection, self.behaviour))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, behaviour: Behaviour) -> None:
        try:
            with connection:
                behaviour(connection)
        except BaseException as error:
            self.errors.append(error)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in self._threads)
        assert self.errors == []


@pytest.fixture
def daemon(shim: Shim) -> Iterator[Daemon]:
    daemon = Daemon(shim.socket)
    yield daemon
    daemon.close()

"""The shim in Python, for nodes whose architecture nobody compiled it for: behaves as ``shim.c`` does.

What it prints is the same to the byte (but for the system's texts of rare errors, which differ between C
libraries). It imports only what is built in, and its script runs without ``site``; the interpreter's start is
then nearly all of its time.
"""

from __future__ import annotations

import os
import select
import sys
import time

from multinet import __version__
from multinet.shim import (
    CNI_VERSIONS,
    DEFAULT_SOCKET,
    DEFAULT_SPOOL,
    DEFAULT_TIME_LIMIT_MS,
    SETTINGS_FILE,
    SETTINGS_LIMIT,
    TIME_LIMIT_MAX_MS,
)
from multinet.wire.client import Unreachable, call
from multinet.wire.frame import encode_request
from multinet.wire.message import FRAME_LIMIT, INPUT_LIMIT, Request, WireError, is_forwarded
from multinet.wire.spool import write_entry

TYPE_CHECKING = False  # typing's own costs its import
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main", "twin_script", "write_twin"]

_INVALID_ENVIRONMENT, _IO_FAILURE, _DECODING_FAILURE, _TRY_AGAIN, _NOT_AVAILABLE = 4, 5, 6, 11, 50
_CHUNK = 16 << 10
_ESCAPES = {code: f"\\u{code:04x}" for code in range(32)} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\b"): "\\b",
    ord("\f"): "\\f",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}


def twin_script() -> bytes:
    """The script to install under a plugin's name. Raises ValueError as ``python_script`` does."""
    from multinet.shim.script import python_script  # not needed by the script itself

    return python_script("from multinet.shim.twin import main\n\nmain()\n", "-IS")


def write_twin(path: str | os.PathLike[str]) -> None:
    """Write the script as an executable file. Raises OSError, ValueError."""
    script = twin_script()
    with open(path, "wb") as file:
        file.write(script)
        os.fchmod(file.fileno(), 0o755)


def main() -> NoReturn:
    """One call, from environment and standard input to the exit code."""
    _hold_standard_descriptors()
    os.umask(0o022)
    program = os.path.basename(sys.argv[0])
    verb = os.environ.get("CNI_COMMAND", "")
    if sys.argv[1:2] == ["--version"]:
        _end(0, stdout=f"multinet {__version__}\n")
    elif not verb:
        about = f"CNI {program} plugin v{__version__}\n"
        _end(0, stderr=f"{about}CNI protocol versions supported: {', '.join(CNI_VERSIONS)}\n")
    elif verb == "VERSION":
        versions = ",".join(f'"{version}"' for version in CNI_VERSIONS)
        _end(0, stdout=f'{{"cniVersion":"1.1.0","supportedVersions":[{versions}]}}\n')
    else:
        _call(program, verb, _Settings())


class _Settings:
    """Where the daemon is: from the environment, the file beside the executable, or the defaults."""

    def __init__(self) -> None:
        self.socket = DEFAULT_SOCKET
        self.spool = DEFAULT_SPOOL
        self.time_limit_ms = DEFAULT_TIME_LIMIT_MS
        for line in _settings_lines():
            key, equals, value = line.partition("=")
            if equals:
                self._set(key.strip(" \t\r"), value.strip(" \t\r"))
        for key in ("socket", "spool", "timeout"):
            self._set(key, os.environ.get(f"MULTINET_{key.upper()}", ""))

    def _set(self, key: str, value: str) -> None:
        if not value:
            return
        if key == "socket":
            self.socket = value
        elif key == "spool":
            self.spool = value
        elif key == "timeout":
            limit = _milliseconds(value)
            if limit:
                self.time_limit_ms = limit
            else:
                problem = f'multinet: ignoring the time limit "{value}": not a number of seconds\n'
                _print(2, os.fsencode(problem))


def _settings_lines() -> list[str]:
    path = os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), SETTINGS_FILE)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return os.fsdecode(os.read(file, SETTINGS_LIMIT)).split("\n")
    except OSError:
        return []
    finally:
        os.close(file)


def _milliseconds(seconds: str) -> int:
    """``"2.5"`` becomes 2500; 0 for whatever is no number of seconds from 0.001 to a day."""
    whole, _, rest = seconds.partition(".")
    if not (whole.isascii() and whole.isdigit()) or len(whole) > 40:
        return 0
    if rest and not (rest.isascii() and rest.isdigit()):
        return 0
    value = int(whole) * 1000 + int(f"{rest:0<3}"[:3])
    return value if value <= TIME_LIMIT_MAX_MS else 0


def _in_seconds(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03}" if ms % 1000 else str(ms // 1000)


def _call(program: str, verb: str, settings: _Settings) -> NoReturn:
    deadline = time.monotonic() + settings.time_limit_ms / 1000
    busy = _NOT_AVAILABLE if verb == "STATUS" else _TRY_AGAIN
    netns, request = _compose(program, deadline, settings)
    try:
        response = call(settings.socket, request, netns, deadline - time.monotonic())
    except Unreachable as error:
        _without_daemon(verb, request, error.reason, settings)
    except TimeoutError:
        waited = _in_seconds(settings.time_limit_ms)
        _fail(busy, f"multinet daemon at {settings.socket} gave no answer within {waited} s")
    except WireError:
        _fail(
            _IO_FAILURE,
            f"multinet daemon at {settings.socket} sent an answer that cannot be read; "
            "are shim and daemon of one version?",
        )
    else:
        _print(1, response.stdout)
        _print(2, response.stderr)
        os._exit(response.exit_code)


def _compose(program: str, deadline: float, settings: _Settings) -> tuple[int | None, Request]:
    """The descriptor of ``CNI_NETNS``, and the request."""
    env = {}
    size = 0
    for raw_key, raw_value in os.environb.items():
        key = raw_key.decode("utf-8", "surrogateescape")
        if is_forwarded(key):
            env[key] = raw_value.decode("utf-8", "surrogateescape")
            size += len(raw_key) + len(raw_value)
    if size > FRAME_LIMIT - INPUT_LIMIT - 2 * _CHUNK:
        _fail(_INVALID_ENVIRONMENT, "the CNI_* environment variables are too large")
    netns, error = None, None
    path = os.environb.get(b"CNI_NETNS")
    if path:
        try:
            # O_NONBLOCK: a path that is a FIFO by mistake must not hang the call
            netns = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as refusal:
            error = refusal.errno
    stdin = _read_input(deadline, settings)
    program = os.fsencode(program).decode("utf-8", "surrogateescape")
    return netns, Request(program, env, stdin, settings.time_limit_ms, error)


def _read_input(deadline: float, settings: _Settings) -> bytes:
    poll = select.poll()
    poll.register(0, select.POLLIN)
    received = bytearray()
    while True:
        if not poll.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            waited = _in_seconds(settings.time_limit_ms)
            _fail(_IO_FAILURE, f"standard input did not end within {waited} s")
        try:
            data = os.read(0, _CHUNK)
        except BlockingIOError:
            continue
        except OSError as error:
            _fail(_IO_FAILURE, f"cannot read standard input: {error.strerror}")
        if not data:
            return bytes(received)
        received += data
        if len(received) > INPUT_LIMIT:
            _fail(
                _DECODING_FAILURE,
                f"configuration on standard input is larger than {INPUT_LIMIT >> 20} MiB",
            )


def _without_daemon(verb: str, request: Request, reason: str, settings: _Settings) -> NoReturn:
    """A DEL is kept for later and counts as done, anything else fails."""
    away = f"daemon is not reachable at {settings.socket}: {reason}"
    if verb != "DEL":
        code = _NOT_AVAILABLE if verb == "STATUS" else _TRY_AGAIN
        _fail(code, f"multinet {away}; is it running?")
    try:
        write_entry(settings.spool, encode_request(request))
    except OSError as error:
        kept = f"DEL cannot be kept in the spool directory {settings.spool}: {error.strerror}"
        _fail(_TRY_AGAIN, f"multinet {away}, and {kept}")
    _end(0, stderr=f"multinet: {away}; DEL is kept in {settings.spool} until it is back\n")


def _fail(code: int, message: str) -> NoReturn:
    """End with a CNI error, laid out like those of the daemon."""
    raw = os.fsencode(message)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = "".join(chr(byte) if byte < 0x80 else "?" for byte in raw)
    escaped = text.translate(_ESCAPES)
    _print(1, f'{{\n    "cniVersion": "1.1.0",\n    "code": {code},\n    "msg": "{escaped}"\n}}'.encode())
    os._exit(1)


def _end(code: int, stdout: str = "", stderr: str = "") -> NoReturn:
    _print(1, os.fsencode(stdout))
    _print(2, os.fsencode(stderr))
    os._exit(code)


def _print(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # a pipe that the caller made non-blocking
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
        except OSError:  # with the reader gone, nobody is left to tell
            os._exit(1)


def _hold_standard_descriptors() -> None:
    """A descriptor opened later must not become standard output, should the caller have left that closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open("/dev/null", os.O_RDWR)

"""One child process: started cheaply, its output collected within bounds, ended by a deadline or a hang-up.

``posix_spawn`` shares the parent's memory until the exec (as vfork does), so that starting a child costs the
same in a large daemon as in a small one. Standard input is a memory file: no writer to feed, no pipe to fill.
The end of the process is a descriptor (pidfd), so that one poll watches everything; nothing is waited for
that a grandchild could withhold.

Source: posix_spawn(3), pidfd_open(2), memfd_create(2).
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

__all__ = ["Interrupted", "Outcome", "run_process", "wait_unless_interrupted"]

STDOUT_LIMIT = 8 << 20
"""Bytes of standard output that are taken; a process that prints more is ended."""
STDERR_LIMIT = 256 << 10
"""Bytes of standard error that are kept, from its beginning; the rest is read and dropped."""

_CHUNK = 64 << 10
_HUNG_UP = select.POLLIN | select.POLLHUP | select.POLLRDHUP
_RESET = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores, and an executed program would go on to ignore."""


class Interrupted(Exception):
    """The deadline passed, or the caller hung up; the process and its group are dead."""

    def __init__(self, reason: str, trace: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.trace = trace
        """The beginning of what it wrote to standard error."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a process. ``overflowed``: it printed more than STDOUT_LIMIT, and was ended if it still ran."""

    returncode: int
    """Exit status; negative: the number of the signal that killed it."""
    stdout: bytes
    stderr: bytes
    overflowed: bool = False


def run_process(
    argv: Sequence[str],
    env: Mapping[str, str],
    stdin: bytes,
    deadline: float | None = None,
    cancel_fd: int | None = None,
) -> Outcome:
    """Run ``argv`` to its end in a session of its own.

    ``deadline`` is monotonic time in seconds; ``cancel_fd`` becomes readable, or hangs up, to end it.
    Raises OSError when it can't be started, Interrupted when it was ended.
    """
    _check_interrupts(deadline, cancel_fd)
    with _Child(argv, env, stdin) as child:
        return child.watch(deadline, cancel_fd)


def wait_unless_interrupted(seconds: float, deadline: float | None, cancel_fd: int | None) -> None:
    """Let time pass. Raises Interrupted as soon as the deadline passes or the caller hangs up."""
    until = time.monotonic() + seconds
    poll = select.poll()
    if cancel_fd is not None:
        poll.register(cancel_fd, _HUNG_UP)
    poll.poll(_milliseconds(until if deadline is None else min(until, deadline)))
    _check_interrupts(deadline, cancel_fd)


class _Child:
    """A running process with its pipes; leaving the context ends and reaps it, whatever happened."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], stdin: bytes) -> None:
        self._open: list[int] = []
        self._reaped = False
        self._kept: dict[int, bytearray] = {}
        try:
            self._out, self._err = self._spawn(argv, env, stdin)
        except BaseException:
            self._close()
            raise
        self._kept = {self._out: bytearray(), self._err: bytearray()}
        self._flowing = {self._out, self._err}

    def _spawn(self, argv: Sequence[str], env: Mapping[str, str], stdin: bytes) -> tuple[int, int]:
        given = self._own(os.memfd_create("cni-stdin"))
        _write_all(given, stdin)
        os.lseek(given, 0, os.SEEK_SET)
        out, out_end = map(self._own, os.pipe2(os.O_CLOEXEC))
        err, err_end = map(self._own, os.pipe2(os.O_CLOEXEC))
        for end in (out, err):  # ours alone: a plugin doesn't expect its output to be non-blocking
            os.set_blocking(end, False)
        self.pid = os.posix_spawn(
            argv[0],
            list(argv),
            env,
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate((given, out_end, err_end))),
                *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable()),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_RESET,
        )
        for fd in (given, out_end, err_end):
            self._disown(fd)
        return out, err

    def watch(self, deadline: float | None, cancel_fd: int | None) -> Outcome:
        """Collect the output until the process ends. Raises Interrupted."""
        ended = self._own(os.pidfd_open(self.pid))
        poll = select.poll()
        for fd in (self._out, self._err, ended):
            poll.register(fd, select.POLLIN)
        if cancel_fd is not None:
            poll.register(cancel_fd, _HUNG_UP)
        while True:
            ready = {fd for fd, _ in poll.poll(_milliseconds(deadline))}
            for fd in ready & self._flowing:
                if not self._take(fd):
                    poll.unregister(fd)
            if len(self._kept[self._out]) > STDOUT_LIMIT:
                return self._outcome()
            if ended in ready:
                self._drain()
                return self._outcome()
            try:
                _check_interrupts(deadline, cancel_fd if cancel_fd in ready else None)
            except Interrupted as end:
                self._end_group()
                self._drain()
                trace = bytes(self._kept[self._err][:1024]).decode(errors="replace").strip()
                raise Interrupted(end.reason, trace) from None

    def _take(self, fd: int) -> bool:
        """Read what a pipe holds, one chunk; false when it has ended."""
        try:
            chunk = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        if not chunk:
            self._flowing.discard(fd)
            return False
        kept = self._kept[fd]
        if fd == self._out or len(kept) < STDERR_LIMIT:
            kept += chunk
        return True

    def _drain(self) -> None:
        """Read what the process left in the pipes, and not what a grandchild may yet write."""
        for fd in tuple(self._flowing):
            room = STDOUT_LIMIT
            while room > 0:
                before = len(self._kept[fd])
                if not self._take(fd) or len(self._kept[fd]) == before:
                    break
                room -= len(self._kept[fd]) - before

    def _outcome(self) -> Outcome:
        if self._flowing:  # it printed too much, or a child of its own still holds a pipe
            self._end_group()
        return Outcome(
            self._reap(),
            bytes(self._kept[self._out][:STDOUT_LIMIT]),
            bytes(self._kept[self._err][:STDERR_LIMIT]),
            overflowed=len(self._kept[self._out]) > STDOUT_LIMIT,
        )

    def _end_group(self) -> None:
        """Kill the whole process group. The number can't be another's: its leader isn't reaped yet."""
        if self._reaped:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _reap(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self._reaped = True
        return os.waitstatus_to_exitcode(status)

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._reaped:
            self._end_group()
            self._reap()
        self._close()

    def _own(self, fd: int) -> int:
        self._open.append(fd)
        return fd

    def _disown(self, fd: int) -> None:
        self._open.remove(fd)
        os.close(fd)

    def _close(self) -> None:
        while self._open:
            os.close(self._open.pop())


def _inheritable() -> list[int]:
    """Descriptors that would slip through to a child: from our own parent, or from libraries in C."""
    found: list[int] = []
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        with suppress(OSError):  # another thread's, closed meanwhile; closing it in the child is harmless too
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
    return found


def _check_interrupts(deadline: float | None, cancel_fd: int | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise Interrupted("the deadline passed")
    if cancel_fd is not None:
        poll = select.poll()
        poll.register(cancel_fd, _HUNG_UP)
        if poll.poll(0):
            raise Interrupted("the caller hung up")


def _milliseconds(deadline: float | None) -> float | None:
    """Time left for a poll; rounded up, so that it doesn't wake just before the deadline."""
    if deadline is None:
        return None
    return max(0.0, (deadline - time.monotonic()) * 1000 + 1)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]

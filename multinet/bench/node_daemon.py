"""The daemon under measurement: a process of its own on the lab's host, ended by its pid."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

import multinet
from multinet.bench.failure import BenchError
from multinet.bench.lab import Lab

__all__ = ["Memory", "NodeDaemon"]

_MAIN = "import sys; from multinet.cli.main import main; sys.exit(main())"
_START_LIMIT = 30.0
_STOP_LIMIT = 10.0
_PAUSE = 0.002
_PATH_LIMIT = 107
"""Bytes of a unix socket's path (unix(7), without the final null)."""


class Memory(msgspec.Struct, frozen=True):
    """Resident memory of a process, MiB."""

    now: float
    peak: float


class NodeDaemon:
    """``multinet daemon``; a context manager."""

    def __init__(self, lab: Lab, socket_path: Path, state: Path, cluster: Sequence[str]) -> None:
        """``cluster``: the options that name one. Returns when it listens; raises BenchError when it doesn't."""
        if len(os.fsencode(socket_path)) > _PATH_LIMIT:
            raise BenchError(f"{socket_path} is too long a path for a socket: set TMPDIR to a shorter one")
        self._log = lab.directory / "daemon.log"
        self._socket = socket_path
        places = ["--socket", str(socket_path), "--state-dir", str(state)]
        command = [sys.executable, "-c", _MAIN, "daemon", *places, *cluster]
        # The very code that is running here, installed or not.
        root = os.path.dirname(os.path.dirname(os.path.abspath(multinet.__file__)))
        search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self.started = time.monotonic()
        """Just before its process was forked."""
        self._process = lab.start(command, self._log, {**os.environ, "PYTHONPATH": search})
        try:
            self._await_socket()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def cpu_ms(self) -> float:
        """User and system time that it has used, all its threads."""
        # clock_getcpuclockid(3) of another process: finer than the ticks of /proc/PID/stat.
        return time.clock_gettime_ns((~self.pid << 3) | 2) / 1e6

    def memory(self) -> Memory:
        """Its resident memory now, and the most it ever had (``/proc/PID/status``)."""
        fields = {}
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            fields[key] = value
        now, peak = (int(fields[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
        return Memory(now, peak)

    def log_tail(self, limit: int = 2000) -> str:
        """The end of what it logged."""
        return self._log.read_text("utf-8", "replace")[-limit:].strip()

    def close(self) -> None:
        """End it; safe to repeat."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def __enter__(self) -> NodeDaemon:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _await_socket(self) -> None:
        give_up = time.monotonic() + _START_LIMIT
        while not self._listens():
            if self._process.poll() is not None:
                raise BenchError(f"the daemon ended ({self._process.returncode}): {self.log_tail()}")
            if time.monotonic() > give_up:
                raise BenchError(f"the daemon does not serve {self._socket}: {self.log_tail()}")
            time.sleep(_PAUSE)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._socket)) == 0

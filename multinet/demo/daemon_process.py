"""``multinet daemon`` as a process of its own on the node, and ``multinet`` as a command."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from multinet.cni.errors import CNIError
from multinet.demo.failure import DemoFailure

__all__ = ["LOG", "DaemonProcess", "multinet_command"]

LOG = "/run/multinet/daemon.log"

_START_LIMIT, _STOP_LIMIT = 20.0, 15.0
_PR_SET_PDEATHSIG = 1


def multinet_command(*arguments: str) -> tuple[str, ...]:
    """``multinet …`` by the interpreter that runs the demo, whether or not its scripts are in PATH."""
    return (sys.executable, "-m", "multinet", *arguments)


class DaemonProcess:
    """The daemon; at most one process at a time, its log in one file over all of them."""

    def __init__(self, *arguments: str) -> None:
        """``arguments`` are those of ``multinet daemon``."""
        self._command = multinet_command("daemon", *arguments)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id, 0 when none runs."""
        return self._process.pid if self._process else 0

    def start(self, ask: Callable[[], object]) -> None:
        """Start it and wait until ``ask`` raises no CNIError any more. Raises DemoFailure."""
        libc = ctypes.CDLL(None)

        def end_with_the_demo() -> None:
            # Should the demo be killed, nobody else would end the daemon (prctl(2)).
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

        with open(LOG, "ab") as log:
            # A session of its own: Ctrl-C is for the demo, which then ends the daemon.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_the_demo,
            )
        self._await(self._process, ask)

    def stop(self) -> int:
        """SIGTERM, and wait; its exit code, 0 when none runs. Raises DemoFailure if it doesn't end."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise DemoFailure(f"the daemon didn't end within {_STOP_LIMIT:.0f} s of SIGTERM") from None

    def log_tail(self, lines: int) -> str:
        """The last lines of its log; empty before it was ever started."""
        if not os.path.exists(LOG):
            return ""
        with open(LOG, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-lines:]).rstrip()

    @staticmethod
    def _await(process: subprocess.Popen[bytes], ask: Callable[[], object]) -> None:
        give_up = time.monotonic() + _START_LIMIT
        while True:
            try:
                ask()
                return
            except CNIError as error:
                problem = error
            if process.poll() is not None:
                raise DemoFailure(f"the daemon ended at once, exit code {process.returncode}")
            if time.monotonic() > give_up:
                raise DemoFailure(f"the daemon doesn't serve after {_START_LIMIT:.0f} s: {problem}")
            time.sleep(0.01)

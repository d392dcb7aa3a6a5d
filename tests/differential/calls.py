"""One call of a plugin in a world: theirs as a process, ours as a forked one that serves the same call.

Ours is what the installed executable does (environment and standard input in, standard output and exit code
out), without the start of a Python interpreter for each call.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

from multinet.adapters.netns import Netns

GO = "/usr/lib/cni"
_SECONDS = 40

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """Exit code and standard output of a plugin."""

    exit_code: int
    output: Json

    @property
    def refused(self) -> bool:
        """It is an error."""
        return self.exit_code != 0

    @property
    def text(self) -> str:
        """What an error says."""
        return " ".join(str(self.output[key]) for key in ("msg", "details") if self.output.get(key))


class Running:
    """A plugin that was started; ``answer`` waits for it."""

    def __init__(self, host: Netns, kind: str, environ: Mapping[str, str], conf: Json) -> None:
        self._files = ExitStack()
        self._output = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack closes it)
        self._errors = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack closes it)
        with tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps(conf).encode())
            stdin.seek(0)
            self._start(host, kind, environ, stdin)

    def _start(self, host: Netns, kind: str, environ: Mapping[str, str], stdin: IO[bytes]) -> None:
        raise NotImplementedError

    def _wait(self) -> int:
        raise NotImplementedError

    def answer(self) -> Answer:
        """Exit code and output. Fails the test when the plugin printed no JSON, or crashed."""
        code = self._wait()
        with self._files:
            self._output.seek(0)
            self._errors.seek(0)
            text, errors = self._output.read().decode(), self._errors.read().decode()
        assert code in (0, 1), f"exit {code}: {text}{errors}"
        try:
            return Answer(code, json.loads(text) if text.strip() else {})
        except ValueError:
            raise AssertionError(f"no JSON (exit {code}): {text}{errors}") from None


class Theirs(Running):
    """The Go plugin of the type."""

    def _start(self, host: Netns, kind: str, environ: Mapping[str, str], stdin: IO[bytes]) -> None:
        with host.entered():
            self._process = subprocess.Popen(
                [f"{GO}/{kind}"], env=environ, stdin=stdin, stdout=self._output, stderr=self._errors
            )

    def _wait(self) -> int:
        return self._process.wait(_SECONDS)


class Ours(Running):
    """Our standalone executable of the type."""

    def _start(self, host: Netns, kind: str, environ: Mapping[str, str], stdin: IO[bytes]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            self._serve(host, kind, environ, stdin)

    def _serve(self, host: Netns, kind: str, environ: Mapping[str, str], stdin: IO[bytes]) -> None:
        code = 70
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_SECONDS)
            os.environ.clear()
            os.environ.update(environ)
            for number, file in enumerate((stdin, self._output, self._errors)):
                os.dup2(file.fileno(), number)
            sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
            from multinet.cli.plugin import serve

            with host.entered():
                code = serve(kind)
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            import traceback

            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)

    def _wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

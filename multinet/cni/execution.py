"""Plugins as executables: found in ``CNI_PATH``, started with the CNI environment, heard out, ended in time.

A plugin runs in a session of its own, so that it and whatever it started can be ended as one process group.
It is over when the process is: a grandchild that still holds the pipes is killed, not waited for. Needs Linux
5.3 (pidfd_open).

Source: CNI specification 1.1.0, "Section 2" and "Section 4"; lookup and texts as libcni's ``invoke``.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Sequence
from typing import Any

from multinet.cni import jsontext
from multinet.cni.answer import read_answer
from multinet.cni.errors import CNIError, Code
from multinet.cni.invocation import Invocation
from multinet.cni.plugin_call import PluginCall
from multinet.cni.process import Interrupted, Outcome, run_process, wait_unless_interrupted
from multinet.cni.versions import read_version_output

__all__ = ["ExecutableRunner", "find_executable"]

_BUSY_TRIES = 6
"""The first, and five more: an executable that is being written is "text file busy" for a moment."""
_CHROOT = ("/usr/sbin/chroot", "/usr/bin/chroot", "/sbin/chroot", "/bin/chroot")


def find_executable(plugin: str, path: Sequence[str]) -> str:
    """The first regular file (links followed) called ``plugin`` in the folders of ``path``.

    Raises CNIError code 7 when ``plugin`` can't be a file name, else code 103.
    """
    if not plugin:
        raise CNIError(Code.INVALID_CONFIG, "no plugin name provided")
    if "/" in plugin or "\0" in plugin:
        raise CNIError(Code.INVALID_CONFIG, f"invalid plugin name: {plugin}")
    if not path:
        raise CNIError(Code.DELEGATE_FAILED, "no paths provided", f'looking for plugin "{plugin}"')
    for folder in path:
        candidate = os.path.join(folder, plugin)
        try:
            if stat.S_ISREG(os.stat(candidate).st_mode):
                return candidate
        except (OSError, ValueError):
            continue
    raise CNIError(Code.DELEGATE_FAILED, f'failed to find plugin "{plugin}" in path [{" ".join(path)}]')


def _to_standard_error(call: PluginCall, text: bytes) -> None:
    sys.stderr.buffer.write(text)
    sys.stderr.flush()


class ExecutableRunner:
    """An Executor for real executables, looked for in the call's ``CNI_PATH``.

    ``root`` is the folder to change root to in the child (the host's files, seen from a container); the
    lookup is in the caller's own view, so the folders of ``CNI_PATH`` must be at the same place in both.
    ``heard`` gets what a plugin that succeeded wrote to its standard error; by default it is passed through.
    ``busy_pause`` is the time in seconds before an executable that is just being written is tried again.
    """

    def __init__(
        self,
        *,
        root: str = "",
        heard: Callable[[PluginCall, bytes], None] = _to_standard_error,
        busy_pause: float = 1.0,
    ) -> None:
        self._command: tuple[str, ...] = ()
        if root not in ("", "/"):
            chroot = next((file for file in _CHROOT if os.path.exists(file)), _CHROOT[0])
            self._command = (chroot, root)
        self._heard = heard
        self._busy_pause = busy_pause

    def run(self, call: PluginCall) -> dict[str, Any] | None:
        """Run one plugin to its end.

        Raises CNIError: the plugin's own; code 103 when it failed without one or can't be started; 6 when
        its answer is no JSON object; 108 when the deadline passed or the caller hung up, by when the plugin
        and its children are dead.
        """
        argv = (*self._command, find_executable(call.type, call.invocation.path))
        env = {**os.environ, **call.env, **call.invocation.environ()}
        env["CNI_COMMAND"] = call.verb
        stdin = b"" if call.verb == "VERSION" else jsontext.encode(call.conf)
        try:
            outcome = self._run_when_free(argv, env, stdin, call)
        except Interrupted as end:
            raise CNIError(
                Code.CANCELLED, f'plugin "{call.type}" was ended in {call.verb}: {end.reason}', end.trace
            ) from None
        answer = read_answer(call.verb, outcome)
        if outcome.stderr:
            self._heard(call, outcome.stderr)
        return answer

    def versions(self, plugin: str, path: Sequence[str], deadline: float | None = None) -> tuple[str, ...]:
        """The versions that a plugin speaks. One that doesn't know the VERSION verb speaks 0.1.0.

        Raises CNIError as ``run``.
        """
        invocation = Invocation(command="VERSION", path=tuple(path))
        try:
            answer = self.run(PluginCall("VERSION", plugin, {}, invocation, deadline=deadline))
        except CNIError as error:
            if error.msg == "unknown CNI_COMMAND: VERSION":
                return ("0.1.0",)
            raise
        return read_version_output(answer or {})

    def _run_when_free(
        self, argv: tuple[str, ...], env: dict[str, str], stdin: bytes, call: PluginCall
    ) -> Outcome:
        tries = 0
        while True:
            tries += 1
            try:
                outcome = run_process(argv, env, stdin, call.deadline, call.cancel_fd)
                if tries == _BUSY_TRIES or not _busy_in_chroot(outcome):
                    return outcome
            except OSError as error:
                if error.errno != errno.ETXTBSY or tries == _BUSY_TRIES:
                    reason = os.strerror(error.errno or 0).lower()
                    raise CNIError(
                        Code.DELEGATE_FAILED,
                        f"netplugin failed with no error message: fork/exec {argv[-1]}: {reason}",
                    ) from None
            wait_unless_interrupted(self._busy_pause, call.deadline, call.cancel_fd)


def _busy_in_chroot(outcome: Outcome) -> bool:
    """Whether chroot(1) could not execute the plugin because it is being written."""
    return outcome.returncode == 126 and b"Text file busy" in outcome.stderr

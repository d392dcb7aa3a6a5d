"""``multinet cni``: one CNI call from environment and standard input, served in this process, with no daemon."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from multinet import __version__
from multinet.cli.node_options import add_log_level, add_node_arguments, node_options

if TYPE_CHECKING:
    import argparse

    from multinet.cni.request import Request
    from multinet.daemon.options import Options
    from multinet.wire.message import Response

SUMMARY = "Serve one CNI call in this process, with no daemon."
EXAMPLE = """\
CNI_COMMAND=VERSION multinet cni
multinet install --inline --manifests /etc/multinet/manifests   # makes it an executable"""
EXIT_CODES = "exit codes: 0 done, 1 failed (standard output holds a CNI error), 2 wrong usage"

_TIME_LIMIT = 110.0
"""Seconds; the runtime gives up after 120."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The node's options, and the name to be called by."""
    parser.add_argument(
        "--program",
        metavar="TYPE",
        default="multinet",
        help="the plugin to be: multinet, or a delegate such as bridge (default: %(default)s)",
    )
    add_node_arguments(parser, without=("socket", "multus_socket", "metrics", "workers"))
    add_log_level(parser, "warning")


def run(arguments: argparse.Namespace) -> int:
    """Serve the call."""
    return _serve(arguments.program, arguments)


def main(**options: str) -> int:
    """Serve the call as the executable that ``install --inline`` writes; its name is the plugin's type."""
    return _serve(os.path.basename(sys.argv[0]), SimpleNamespace(**{"log_level": "warning", **options}))


def _serve(program: str, arguments: argparse.Namespace | SimpleNamespace) -> int:
    from multinet.cni.skeleton import respond
    from multinet.cni.standard_input import read_standard_input

    kept: list[bytes] = []

    def read_and_keep() -> bytes:
        kept.append(read_standard_input())  # the handler reads the request once more
        return kept[0]

    def answer(request: Request) -> tuple[bytes, int]:
        response = _answer(program, request, b"".join(kept), arguments)
        return response.stdout, response.exit_code

    return respond(f"CNI {program} plugin v{__version__}", answer, read_and_keep)


def _answer(
    program: str, request: Request, stdin: bytes, arguments: argparse.Namespace | SimpleNamespace
) -> Response:
    from multinet.cli.logs import log_to_stderr
    from multinet.daemon.application import Application
    from multinet.wire.message import Request as WireRequest
    from multinet.wire.message import is_forwarded

    log_to_stderr(arguments.log_level)
    options = node_options(arguments)
    deadline = time.monotonic() + _TIME_LIMIT
    env = {key: value for key, value in os.environ.items() if is_forwarded(key)}
    with _interruptible() as interrupted, _turn(program, request, options, deadline):
        application = Application(options)
        try:
            left = max(1, int((deadline - time.monotonic()) * 1000))
            call = WireRequest(program, env, stdin, left)
            return application.service.answer(call, None, interrupted.happened, interrupted.descriptor)
        finally:
            application.close()


@contextmanager
def _turn(program: str, request: Request, options: Options, deadline: float) -> Iterator[None]:
    """Waits for calls of other processes that this one must not run beside."""
    from multinet.cli.turns import container_turn, node_turn
    from multinet.daemon.networks import META_TYPES

    verb = request.invocation.command
    if program not in META_TYPES or verb == "STATUS":
        yield  # a delegate alone: its caller has the container already
    elif verb == "GC":
        with node_turn(options.state_dir, deadline):
            yield
    else:
        with container_turn(options.state_dir, request.invocation.container_id, deadline):
            yield


class _Interrupt:
    """SIGTERM or SIGINT as a call understands it: a question, and a descriptor that hangs up."""

    def __init__(self) -> None:
        self.descriptor, self._other_end = os.pipe2(os.O_CLOEXEC)
        self._happened = False

    def happened(self) -> bool:
        return self._happened

    def happen(self, *_: object) -> None:
        if not self._happened:
            self._happened = True
            os.close(self._other_end)

    def close(self) -> None:
        self.happen()
        os.close(self.descriptor)


@contextmanager
def _interruptible() -> Iterator[_Interrupt]:
    """Until the end of the body a signal cancels the call: what it began is undone, then it fails."""
    interrupt = _Interrupt()
    before: Mapping[int, Any] = {
        number: signal.signal(number, interrupt.happen) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        interrupt.close()

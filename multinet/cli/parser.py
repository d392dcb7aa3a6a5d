"""Argument parsers whose faults are one line, and whose help ends in an example and the exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn, Protocol

from multinet.cli.failure import USAGE, one_line
from multinet.shim import DEFAULT_SOCKET

__all__ = ["Command", "Parser", "add_runtime_folders", "add_state_places", "command_parser"]

EXIT_CODES = "exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong usage"


class Command(Protocol):
    """What a module of ``multinet.cli`` that is a command has."""

    SUMMARY: str
    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the exit code. Raises Failure, CNIError, OSError."""


class Parser(argparse.ArgumentParser):
    """Options are never abbreviated: a script must not change its meaning when an option is added."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Exit 2 with one line."""
        sys.stderr.write(f"multinet: {one_line(message)} (see {self.prog} --help)\n")
        sys.exit(USAGE)


def add_runtime_folders(parser: argparse.ArgumentParser) -> None:
    """Where the container runtime looks for plugins and networks: ``--bin-dir``, ``--conf-dir``."""
    for option, folder, what in (
        ("--bin-dir", "/opt/cni/bin", "plugin folder"),
        ("--conf-dir", "/etc/cni/net.d", "configuration folder"),
    ):
        text = f"the runtime's {what} (default: %(default)s)"
        parser.add_argument(option, metavar="DIR", default=folder, help=text)


def add_state_places(parser: argparse.ArgumentParser, state: str) -> None:
    """Where the daemon is asked and its state read: ``--state-dir`` (help: ``state``), ``--socket``.

    In the daemon's container the environment says where: ``kubectl exec`` needs no options then.
    """
    for option, variable, metavar, place, what in (
        ("--state-dir", "MULTINET_STATE_DIR", "DIR", "/var/lib/multinet", state),
        ("--socket", "MULTINET_SOCKET", "PATH", DEFAULT_SOCKET, "the daemon's socket"),
    ):
        default = os.environ.get(variable) or place
        parser.add_argument(
            option, metavar=metavar, default=default, help=f"{what} (default: ${variable}, else {place})"
        )


def command_parser(name: str, command: Command) -> Parser:
    """The parser of ``multinet NAME``."""
    example = "\n".join(f"  {line}" for line in command.EXAMPLE.strip().splitlines())
    codes = getattr(command, "EXIT_CODES", EXIT_CODES)
    parser = Parser(f"multinet {name}", command.SUMMARY, f"example:\n{example}\n\n{codes}")
    command.add_arguments(parser)
    return parser

"""``multinet COMMAND …``: finds the command, loads only that, and turns its failures into one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from multinet import __version__
from multinet.cli.failure import FAILED, Failure, one_line
from multinet.cli.parser import EXIT_CODES, Command, Parser, command_parser

__all__ = ["COMMANDS", "load", "main", "top_parser"]

COMMANDS = (
    "daemon",
    "cni",
    "install",
    "uninstall",
    "migrate",
    "status",
    "explain",
    "validate",
    "admission",
    "approve-certificates",
    "new-delegate",
    "demo",
    "bench",
)
"""Each is the module ``multinet.cli.NAME``, with underscores for hyphens."""

_EXAMPLE = """\
example:
  multinet validate manifests/*.yaml
  multinet install
  multinet daemon --manifests /etc/multinet/manifests"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Raises SystemExit after ``--help``, ``--version`` and wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        _without_command(arguments)
    name = arguments[0]
    command = load(name)
    if command is None:
        return _failed(f"command {name} is not part of this installation")
    try:
        code = command.run(command_parser(name, command).parse_args(arguments[1:]))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if os.environ.get("MULTINET_TRACEBACK"):
            raise
        return _failed(*_explained(error))
    return code


def load(name: str) -> Command | None:
    """The command's module; None when this installation hasn't got it."""
    module = f"multinet.cli.{name.replace('-', '_')}"
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return None


def top_parser() -> Parser:
    """The parser of ``multinet`` itself, with all commands loaded for their summaries."""
    lines = [f"  {name:<20} {command.SUMMARY}" for name in COMMANDS if (command := load(name))]
    parser = Parser(
        "multinet",
        "Gives a pod more than one network interface.",
        "\n".join(["commands:", *lines, "", _EXAMPLE, "", EXIT_CODES]),
    )
    parser.add_argument("--version", action="version", version=f"multinet {__version__}")
    parser.add_argument("command", metavar="COMMAND", help="see below; multinet COMMAND --help explains it")
    return parser


def _without_command(arguments: list[str]) -> None:
    """Serves ``--help`` and ``--version``; anything else that has no command is wrong usage."""
    parser = top_parser()
    given, _ = parser.parse_known_args(arguments)
    from difflib import get_close_matches  # only for those who mistype

    near = get_close_matches(given.command, COMMANDS, 1)
    hint = f', did you mean "{near[0]}"?' if near else ""
    parser.error(f'unknown command "{given.command}"{hint}')


def _explained(error: Exception) -> tuple[str, int]:
    """Message and exit code of what a command raised."""
    from multinet.cni.errors import CNIError  # not needed as long as all goes well

    if isinstance(error, Failure):
        return str(error), error.exit_code
    if isinstance(error, CNIError):
        return str(error), FAILED
    if isinstance(error, OSError):
        where = error.filename2 or error.filename
        reason = error.strerror or str(error)
        return (f"{where}: {reason}" if where else reason), FAILED
    return (
        f"internal fault: {type(error).__name__}: {error} (MULTINET_TRACEBACK=1 shows where)",
        FAILED,
    )


def _failed(message: str, exit_code: int = FAILED) -> int:
    sys.stderr.write(f"multinet: {one_line(message)}\n")
    return exit_code

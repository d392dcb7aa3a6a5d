"""Compile the shim: ``python -m multinet.shim.build OUTPUT``.

With musl a static program of some 30 KB comes out, which runs on every node of its architecture; with glibc
it is larger, and dynamic where no static library is installed. ``CC`` names another compiler, for instance a
cross compiler (``CC="zig cc -target aarch64-linux-musl"``).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from multinet import __version__, shim
from multinet.wire import message

__all__ = ["BuildError", "build", "compile_with", "definitions"]

SOURCE = Path(__file__).with_name("shim.c")
_FLAGS = (
    "-std=c11",
    "-Os",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-asynchronous-unwind-tables",
    "-Wl,--gc-sections",
    "-s",
)


class BuildError(Exception):
    """No compiler was found, or none of those found could compile the shim; the text holds their output."""


def build(output: Path) -> Path:
    """Compile the shim to the executable ``output``, whole or not at all. Raises BuildError."""
    failures = []
    for command in _compilers():
        try:
            compile_with([*command, *_FLAGS], output)
        except BuildError as error:
            failures.append(str(error))
        else:
            return output
    if failures:
        raise BuildError("\n".join(failures))
    raise BuildError(
        "no C compiler found (musl-gcc or cc): install one (Debian: musl-tools), "
        "set CC, or install the shim's Python twin (multinet.shim.twin)"
    )


def compile_with(command: Sequence[str], output: Path) -> None:
    """Run one compiler command (program and flags) on the shim's source. Raises BuildError with its
    output."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".shim-") as folder:
        temporary = Path(folder, "shim")
        full = [*command, *definitions(), "-o", str(temporary), str(SOURCE)]
        try:
            done = subprocess.run(full, capture_output=True, text=True, errors="replace", check=False)
        except OSError as error:
            raise BuildError(f"{command[0]}: {error.strerror}") from None
        if done.returncode != 0:
            raise BuildError(f"{shlex.join(command)}: exit status {done.returncode}\n{done.stderr}")
        temporary.replace(output)


def definitions() -> list[str]:
    """The constants that the C source takes over from Python, as compiler flags."""
    quoted = {
        "VERSION": __version__,
        "PROTOCOL": message.PROTOCOL_VERSION,
        "SOCKET": shim.DEFAULT_SOCKET,
        "SPOOL": shim.DEFAULT_SPOOL,
        "SETTINGS_FILE": shim.SETTINGS_FILE,
        "CNI_VERSIONS": ", ".join(shim.CNI_VERSIONS),
        "CNI_VERSIONS_JSON": ",".join(f'\\"{version}\\"' for version in shim.CNI_VERSIONS),
    }
    numbers = {
        "INPUT_LIMIT": message.INPUT_LIMIT,
        "FRAME_LIMIT": message.FRAME_LIMIT,
        "RESPONSE_LIMIT": message.RESPONSE_LIMIT,
        "SETTINGS_LIMIT": shim.SETTINGS_LIMIT,
        "TIME_LIMIT_MS": shim.DEFAULT_TIME_LIMIT_MS,
        "TIME_LIMIT_MAX_MS": shim.TIME_LIMIT_MAX_MS,
    }
    return [
        *(f'-DMULTINET_{name}="{value}"' for name, value in quoted.items()),
        *(f"-DMULTINET_{name}={value}" for name, value in numbers.items()),
    ]


def _compilers() -> Iterator[list[str]]:
    """Commands to try, best first."""
    chosen = os.environ.get("CC")
    if chosen:
        yield [*shlex.split(chosen), "-static"]
        yield shlex.split(chosen)
        return
    if shutil.which("musl-gcc"):
        yield ["musl-gcc", "-static"]
    if shutil.which("cc"):
        yield ["cc", "-static"]
        yield ["cc"]


def main() -> int:
    """Entry point; the exit code."""
    if len(sys.argv) != 2:
        print("usage: python -m multinet.shim.build OUTPUT", file=sys.stderr)
        return 2
    try:
        output = build(Path(sys.argv[1]))
    except BuildError as error:
        print(f"multinet.shim.build: {error}", file=sys.stderr)
        return 1
    print(f"{output}: {output.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

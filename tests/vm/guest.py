"""A virtual machine that sees this machine's files and runs one command under another kernel."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm.kernel import DebianKernel, Unavailable, debian_kernel

_TREE = Path(__file__).resolve().parents[2]
_CACHE = _TREE / ".cache" / "vm"

_KERNEL_ARGUMENTS = (
    "norandmaps",  # code at its old address needn't be translated again: halves the time of a new process
    "mitigations=off",
    "tsc=reliable",  # else every look at the clock leaves the emulated processor
)
_PROCESSOR = "-cpu qemu64,+cx16,+rdrand"
"""A plain one: what vector instructions make faster on a machine, they make slower under emulation."""
_CACHED_FILES = (
    "-fsdev local,id=machine,path=/,security_model=none,readonly=on,multidevs=remap"
    " -device virtio-9p-pci,fsdev=machine,mount_tag=machine"
)
"""A second way to the machine's files, read-only like virtme-ng's, which guest.sh mounts with a cache."""


class GuestFailed(Exception):
    """The machine didn't boot, or didn't come to an end."""


@dataclass(frozen=True)
class Guest:
    """Boots once for each command; nothing it does outlives it but what goes to ``out``."""

    kernel: DebianKernel

    def run(self, command: Sequence[str], out: Path, seconds: float) -> int:
        """Exit code of ``command``, run as root in the source tree; its output is shown as it comes.

        ``out`` is the one folder that is kept; there are ``output`` and ``console.log`` after the run.
        Raises ``GuestFailed``, among others after ``seconds``.
        """
        out.mkdir(parents=True, exist_ok=True)
        for stale in ("exit", "output"):
            (out / stale).unlink(missing_ok=True)
        with (out / "console.log").open("wb") as console:
            machine = subprocess.Popen(
                self._emulator(command, out),
                cwd=_TREE,
                env={**os.environ, "PATH": f"{_programs()}:{os.environ['PATH']}"},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
            try:
                _follow(machine, out / "output", seconds)
            finally:
                _end(machine)
        try:
            return int((out / "exit").read_text())
        except (FileNotFoundError, ValueError):
            raise GuestFailed(
                f"the virtual machine ended early; what it said is in {out}/console.log"
            ) from None

    def _emulator(self, command: Sequence[str], out: Path) -> list[str]:
        inside = shlex.join(["sh", str(_TREE / "tests/vm/guest.sh"), str(out), str(_TREE), *command])
        return [
            *(str(_programs() / "vng"), "--run", str(self.kernel.image), "--disable-kvm", "--force-9p"),
            *("--user", "root", "--cpus", "2", "--memory", "2G", "--rwdir", str(out), "--verbose"),
            *(word for argument in _KERNEL_ARGUMENTS for word in ("--append", argument)),
            *(f"--qemu-opts={_PROCESSOR} {_CACHED_FILES}", "--exec", inside),
        ]


def guest() -> Guest:
    """A machine ready to boot; fetches what it takes. Raises ``Unavailable``."""
    if platform.machine() != "x86_64":
        raise Unavailable(f"only x86-64 machines are emulated, not {platform.machine()}")
    installed = subprocess.run([_TREE / "tools/debian-packages", "vm"], capture_output=True, text=True)
    if installed.returncode != 0:
        raise Unavailable(" ".join(installed.stderr.split()))
    for program in ("qemu-system-x86_64", "busybox", "depmod"):
        if not shutil.which(program):
            raise Unavailable(f"{program} is not installed")
    if not (_programs() / "vng").exists():
        raise Unavailable(f"virtme-ng is not installed in {_programs()}")
    return Guest(debian_kernel(_CACHE))


def _programs() -> Path:
    return Path(sys.executable).parent


def _follow(machine: subprocess.Popen[bytes], output: Path, seconds: float) -> None:
    """Show what is added to ``output`` until the machine is off."""
    until = time.monotonic() + seconds
    shown = 0
    running = True
    while running:
        running = machine.poll() is None
        if output.exists():
            with output.open("rb") as stream:
                stream.seek(shown)
                fresh = stream.read()
            shown += len(fresh)
            sys.stdout.write(fresh.decode(errors="replace"))
            sys.stdout.flush()
        if running and time.monotonic() > until:
            raise GuestFailed(f"the virtual machine was not done after {seconds:.0f} seconds")
        time.sleep(0.2)


def _end(machine: subprocess.Popen[bytes]) -> None:
    """Nothing of the machine is left, however it ended: vng's children are in its own session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(machine.pid, signal.SIGKILL)
    machine.wait()

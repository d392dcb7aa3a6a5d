"""A throw-away node: a "host" network namespace with an ``eth1``, sandboxes, and directories for files.

Namespaces are held by descriptor alone, with no name and no mount: when the process ends, however it ends,
they are gone.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from multinet.adapters.netns import Netns
from multinet.bench.failure import BenchError

__all__ = ["UPLINK", "Lab", "filesystem_of", "filesystems"]

UPLINK = "eth1"
"""The host's link that macvlans are built on."""
_MEMORY = "/dev/shm"
_CLONE_NEWNET = 0x40000000
_SPARE_DESCRIPTORS = 256


class Lab:
    """A node of its own; a context manager that leaves nothing."""

    def __init__(self) -> None:
        """Raises BenchError: not root, or no network namespaces here."""
        if os.geteuid() != 0:
            raise BenchError("network namespaces need root: run it as root")
        self._held = ExitStack()
        self._sandboxes: list[Netns] = []
        try:
            self.directory = self._temporary(None)
            """On the disk: executables, the daemon's journal."""
            self.memory = self._temporary(_MEMORY if _is_memory(_MEMORY) else None)
            """In memory where possible: what pods leave (addresses, results, status), for all contenders alike.

            On a disk the price of a new file differs by a factor of thirty: ext4 without a journal looks at
            every inode that was freed in the last minute. This would be measured instead of the network.
            """
            self.host = self._held.enter_context(_fresh_netns())
            self.ip(
                "link set lo up",
                f"link add {UPLINK} up type veth peer name switch",
                "link set switch up",
            )
        except BaseException:
            self._held.close()
            raise

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *exc: object) -> None:
        self._held.close()

    def folder(self, name: str) -> Path:
        """A directory of that name on the disk."""
        return _made(self.directory / name)

    def memory_folder(self, name: str) -> Path:
        """A directory of that name in memory."""
        return _made(self.memory / name)

    def _temporary(self, parent: str | None) -> Path:
        folder = tempfile.TemporaryDirectory(prefix="multinet-bench-", dir=parent)
        return Path(self._held.enter_context(folder))

    def sandbox(self, number: int) -> Netns:
        """Network namespace ``number`` (from 0) of the node; made when first asked for, then kept."""
        while len(self._sandboxes) <= number:
            _allow_descriptors(len(self._sandboxes) + _SPARE_DESCRIPTORS)
            self._sandboxes.append(self._held.enter_context(_fresh_netns()))
        return self._sandboxes[number]

    def ip(self, *commands: str) -> None:
        """``ip`` commands on the host, in one batch. Raises BenchError."""
        with self.host.entered():
            try:
                done = subprocess.run(
                    ["ip", "-batch", "-"], input="\n".join(commands), capture_output=True, text=True
                )
            except FileNotFoundError:
                raise BenchError("ip not found: install iproute2") from None
        if done.returncode != 0:
            raise BenchError(f"ip: {done.stderr.strip()}")

    def start(self, command: Sequence[str], log: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
        """A process on the host, its output in ``log``; ending it is the caller's."""
        with self.host.entered(), log.open("wb") as output:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env
            )


def filesystem_of(path: str | os.PathLike[str]) -> str:
    """The type of the filesystem that holds ``path`` (``ext4``, ``tmpfs``); empty when it can't be told."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")  # proc(5): optional fields end with a hyphen
        if mount.split()[2] == number:
            return source.split()[0]
    return ""


def filesystems() -> dict[str, str]:
    """What pods' files, and the daemon's journal, are on."""
    memory = _MEMORY if _is_memory(_MEMORY) else tempfile.gettempdir()
    return {"files": filesystem_of(memory), "journal": filesystem_of(tempfile.gettempdir())}


def _is_memory(path: str) -> bool:
    return os.access(path, os.W_OK) and filesystem_of(path) == "tmpfs"


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _fresh_netns() -> Netns:
    """A new network namespace; its path leads through this process's descriptor."""
    made: list[int | OSError] = []

    def unshare() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            made.append(OSError(code, os.strerror(code)))
        else:
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    # Namespaces belong to threads: one that ends straight away leaves the others where they were.
    thread = threading.Thread(target=unshare)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise BenchError(f"cannot make a network namespace: {made[0].strerror}")
    return Netns(made[0], f"/proc/{os.getpid()}/fd/{made[0]}")


def _allow_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted and soft != resource.RLIM_INFINITY:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))

"""A node of its own for a container runtime: what runs inside leaves nothing on this machine.

``python -m tests.runtime.stage CGROUP DISK`` moves into a mount and a network namespace of its own. There everything
has its usual path: what outlives a reboot (``/opt/cni/bin``, ``/etc/cni/net.d``, ``/var/lib/containerd``) lies in the
folder ``DISK``, the rest (``/run``) in memory. It says ``ready`` and waits until its standard input ends, which it
does even when the tests are killed; then it ends every process that was started inside and removes the control
groups below ``CGROUP``. The mounts go with the last process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from multinet.demo.isolation import move_in

DISK = ("/etc/cni", "/etc/multinet", "/opt/cni", "/var/lib/cni", "/var/lib/containerd", "/var/lib/multinet")
"""Folders that a node has on its disk."""
_MEMORY = "/run/containerd"
"""Where containerd mounts overlays; those can't lie on an overlay, as the rest of /run is here."""
_HIERARCHIES = Path("/sys/fs/cgroup")
_PATIENCE = 20.0


def cgroup_folders(cgroup: str) -> list[Path]:
    """The control groups of that name, in every hierarchy, those below before those above."""
    tops = {_HIERARCHIES / cgroup, *(path / cgroup for path in _HIERARCHIES.iterdir() if path.is_dir())}
    found = [Path(folder) for top in tops for folder, _, _ in os.walk(top)]
    return sorted(found, key=lambda path: -len(path.parts))


def processes(namespace: str, cgroup: str) -> set[int]:
    """Who is in the mount namespace (as ``/proc/PID/ns/mnt`` names it) or in the control groups."""
    return {*_in_namespace(namespace), *_in_cgroups(cgroup)}


def _in_namespace(namespace: str) -> Iterator[int]:
    for entry in os.listdir("/proc"):
        with suppress(OSError):
            if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/mnt") == namespace:
                yield int(entry)


def _in_cgroups(cgroup: str) -> Iterator[int]:
    for folder in cgroup_folders(cgroup):
        with suppress(OSError):
            yield from map(int, (folder / "cgroup.procs").read_text().split())


def _end_all(cgroup: str) -> None:
    """Kill what is left inside; raises TimeoutError for what doesn't go."""
    namespace = os.readlink("/proc/self/ns/mnt")
    until = time.monotonic() + _PATIENCE
    while left := processes(namespace, cgroup) - {os.getpid()}:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            raise TimeoutError(f"processes that don't end: {left}")
        time.sleep(0.02)
    while folders := cgroup_folders(cgroup):
        for folder in folders:
            with suppress(OSError):
                folder.rmdir()
        if time.monotonic() > until:
            raise TimeoutError(f"control groups that can't be removed: {folders}")
        time.sleep(0.02)


def main(cgroup: str, disk: str) -> None:
    """Be the node until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C is for the tests, which then end this
    move_in()
    for folder in DISK:
        os.makedirs(folder, exist_ok=True)
        os.makedirs(disk + folder, exist_ok=True)
        subprocess.run(["mount", "--bind", disk + folder, folder], check=True)
    os.mkdir(_MEMORY)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", _MEMORY], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    print("ready", flush=True)
    sys.stdin.read()
    _end_all(cgroup)


if __name__ == "__main__":
    main(*sys.argv[1:])

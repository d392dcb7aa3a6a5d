"""Network and writable directories of a node, for this process and its children alone.

The demo shows multinet at the paths that a node has (``/opt/cni/bin``, ``/etc/cni/net.d``, host-local's
``/var/lib/cni/networks``), and the machine must not notice. So the process moves into a mount and a network
namespace of its own. There an overlay kept in memory lies over each directory that anything of this is
written to, and CNI's own places in them are empty: what the machine may have there isn't seen, and what the
demo writes is in memory. (An empty file system right at ``/opt/cni`` would not do: a mount point must exist,
and making it would change the machine.)

Namespaces end with their last process: even a demo that is killed leaves nothing behind.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from contextlib import suppress

__all__ = ["NETNS_DIR", "make_netns", "move_in", "remove_netns"]

NETNS_DIR = "/run/netns"

_OVERLAID = ("/etc", "/opt", "/run", "/var/lib")
_EMPTIED = (
    "/etc/cni",
    "/etc/multinet",
    "/opt/cni",
    "/run/multinet",
    NETNS_DIR,
    "/var/lib/cni",
    "/var/lib/multinet",
)

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 4096, 16384, 1 << 18, 2
_libc = ctypes.CDLL(None, use_errno=True)


def move_in() -> None:
    """Leave the machine's network and file systems, for good. The process must have no other thread.

    Raises OSError (no rights, or no overlayfs); the process is good for nothing else then.
    """
    if _libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) != 0:
        raise _error("cannot make namespaces")
    _mount("none", "/", flags=_MS_REC | _MS_PRIVATE)
    mounted = _mount_points()
    for path in map(os.path.realpath, _OVERLAID):
        _overlay(path, _outermost_below(path, mounted))
    for path in _EMPTIED:
        os.makedirs(path, exist_ok=True)
        _mount("tmpfs", path, "tmpfs")


def make_netns(name: str) -> str:
    """A network namespace under that name, as ``ip netns`` keeps them; its path. Raises OSError."""
    path = os.path.join(NETNS_DIR, name)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o444))
    failures: list[OSError] = []

    def unshare() -> None:
        try:
            if _libc.unshare(_CLONE_NEWNET) != 0:
                raise _error("cannot make a network namespace")
            _mount("/proc/thread-self/ns/net", path, flags=_MS_BIND)
        except OSError as error:
            failures.append(error)

    # Namespaces belong to threads: one that ends straight away leaves the others where they were.
    thread = threading.Thread(target=unshare)
    thread.start()
    thread.join()
    if failures:
        os.unlink(path)
        raise failures[0]
    return path


def remove_netns(path: str) -> None:
    """Give the name up, and with it the namespace unless somebody is in it. Raises OSError."""
    if _libc.umount2(os.fsencode(path), _MNT_DETACH) != 0:
        raise _error("cannot unmount", path)
    os.unlink(path)


def _overlay(path: str, mounted_below: list[str]) -> None:
    """Lay memory over ``path``, so that its files are still seen and every change goes to memory."""
    below = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # What is beneath the mounts made here is reached by the descriptor alone.
        lower = f"/proc/self/fd/{below}"
        _mount("tmpfs", path, "tmpfs")
        for part in ("upper", "work"):
            os.mkdir(os.path.join(path, part))
        _mount("overlay", path, "overlay", data=f"lowerdir={lower},upperdir={path}/upper,workdir={path}/work")
        for point in mounted_below:
            # An overlay doesn't show file systems mounted below. Python may live on one; if one can't be
            # carried over (a dead network file system), it is merely missing.
            with suppress(OSError):
                _mount(f"{lower}/{os.path.relpath(point, path)}", point, flags=_MS_BIND | _MS_REC)
    finally:
        os.close(below)


def _mount_points() -> list[str]:
    """Where file systems are mounted, in lexical order."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        escaped = {line.split(" ")[4] for line in table}
    return sorted(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), path) for path in escaped)


def _outermost_below(path: str, mounted: list[str]) -> list[str]:
    """Those of the sorted mount points below ``path`` that aren't below another one there."""
    found: list[str] = []
    for point in mounted:
        if point.startswith(f"{path}/") and not (found and point.startswith(f"{found[-1]}/")):
            found.append(point)
    return found


def _mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    arguments = (os.fsencode(source), os.fsencode(target), os.fsencode(kind), flags, os.fsencode(data))
    if (
        _libc.mount(
            arguments[0], arguments[1], arguments[2] or None, ctypes.c_ulong(flags), arguments[4] or None
        )
        != 0
    ):
        raise _error(f"cannot mount {kind or source}", target)


def _error(what: str, path: str = "") -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{what}: {os.strerror(code)}", path or None)

"""Tap devices in a sandbox. What one was made with is read by netlink: ``LinkInfo.tun``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from multinet.adapters import tap_device
from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Tap

_EXEC_LABEL = "/proc/thread-self/attr/exec"


def make_tap(item: Tap, netns: Netns, home: Netns | None = None) -> None:
    """Make the device, persistent and down; MAC, MTU, master and "up" are netlink's business.

    ``home``: the namespace that the calling thread is in, if it is known. Raises OSError (EBUSY when a link of
    that name is there), CNIError code 100 when the SELinux label is refused.
    """
    with netns.entered(home):
        if item.selinux_context:
            _make_labelled(item)
        else:
            tap_device.create_tap(item.name, item.multi_queue, item.uid, item.gid)


def _make_labelled(item: Tap) -> None:
    """By a process of its own under the wanted label.

    SELinux labels a tap device as the process that makes it (``selinux_tun_dev_create`` in the kernel says why
    it passes ``sockcreate`` over), and a thread can't change its label alone.
    """
    import subprocess  # on this rare way only

    queues = "multi" if item.multi_queue else "one"
    ids = ["-" if number is None else str(number) for number in (item.uid, item.gid)]
    command = [sys.executable, "-I", "-S", tap_device.__file__, item.name, queues, *ids]
    with _exec_label(item.selinux_context):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise CNIError(
            Code.KERNEL, f'failed to create tap "{item.name}": killed by signal {-done.returncode}'
        )
    if done.returncode:
        raise OSError(done.returncode, done.stderr.strip() or os.strerror(done.returncode))


@contextmanager
def _exec_label(label: str) -> Iterator[None]:
    """What this thread executes in the body has an SELinux label (proc(5), setexeccon(3))."""
    try:
        _write_label(label.encode())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CNIError(
            Code.KERNEL,
            f'failed set socket label: "{label}": {reason}; '
            "selinuxContext needs SELinux in the kernel, and a label that its policy knows",
        ) from None
    try:
        yield
    finally:
        _write_label(b"")


def _write_label(label: bytes) -> None:
    fd = os.open(_EXEC_LABEL, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, label)
    finally:
        os.close(fd)

"""Makes one persistent tap device in the namespace of whoever calls, by ioctl (linux/if_tun.h, tuntap.txt).

Standard library only: it also runs as a program of its own (``python tap_device.py NAME QUEUES UID GID``, "-" for
no id), since SELinux labels a tap device as the process that makes it.
"""

from __future__ import annotations

import fcntl
import os
import sys
from struct import pack

_DEVICE = "/dev/net/tun"
_TUNSETIFF, _TUNSETPERSIST, _TUNSETOWNER, _TUNSETGROUP = 0x400454CA, 0x400454CB, 0x400454CC, 0x400454CE
_IFF_TAP, _IFF_MULTI_QUEUE, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_TUN_EXCL = 0x2, 0x100, 0x1000, 0x4000, 0x8000


def create_tap(name: str, multi_queue: bool, uid: int | None, gid: int | None) -> None:
    """A new persistent tap, down, without packet information and with virtio's header.

    Raises OSError: EBUSY when a link of that name is there, whatever it is.
    """
    # without IFF_TUN_EXCL a tap that is there would be opened, and its owner changed
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_TUN_EXCL | (_IFF_MULTI_QUEUE if multi_queue else 0)
    fd = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, pack("=16sH22x", name.encode(), flags))
        if uid is not None:
            fcntl.ioctl(fd, _TUNSETOWNER, _as_int(uid))
        if gid is not None:
            fcntl.ioctl(fd, _TUNSETGROUP, _as_int(gid))
        fcntl.ioctl(fd, _TUNSETPERSIST, 1)  # last: until then it goes with the descriptor
    finally:
        os.close(fd)


def _as_int(number: int) -> int:
    """Ids have 32 bits without a sign; ``fcntl.ioctl`` takes them with one."""
    return number - 2**32 if number >= 2**31 else number


def _main(name: str, queues: str, uid: str, gid: str) -> int:
    """Exit code 0, or the errno of what failed; its text goes to standard error."""
    try:
        create_tap(
            name, queues == "multi", None if uid == "-" else int(uid), None if gid == "-" else int(gid)
        )
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        return error.errno or 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))

"""What is kept of each lease on disk, so that a restarted daemon goes on renewing it.

One file an attachment, JSON, readable by root alone, replaced as a whole. Nothing is synced: after a power cut
the pods are gone, and so is what their leases were for (their files name the boot they are of).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from multinet.core.desired import Owner, Route
from multinet.dhcp.client_values import Identity
from multinet.dhcp.lease import Lease
from multinet.dhcp.place import Place

__all__ = ["Record", "Records", "Remains"]

_log = logging.getLogger(__name__)
_SUFFIX = ".json"


class Remains(msgspec.Struct, frozen=True):
    """Routes that went with an ended lease's address, and its gateway: they come back with the next lease."""

    gateway: str = ""
    routes: tuple[Route, ...] = ()


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One attachment's lease, and how it was asked for."""

    owner: Owner
    place: Place
    identity: Identity
    lease: Lease | None = None
    """None while another one is being looked for."""
    remains: Remains | None = None
    priority: int = 0
    link_mtu: int = 0


class _Entry(msgspec.Struct, frozen=True):
    boot: str
    record: Record


# Made at import: msgspec must not meet a type for the first time in two threads.
_decoder = msgspec.json.Decoder(_Entry)
_encoder = msgspec.json.Encoder()


class Records:
    """The records of a folder, which is made when the first is written."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._boot = _boot_id()

    def write(self, record: Record) -> None:
        """Keep it in place of an earlier one of the same owner. Raises OSError."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        path = self._path(record.owner)
        temporary = path + ".tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.format(_encoder.encode(_Entry(self._boot, record)), indent=1))
        os.replace(temporary, path)

    def remove(self, owner: Owner) -> None:
        """Forget it; forgotten already is fine. Raises OSError."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(owner))

    def read(self) -> Iterator[Record]:
        """All of them. Those of an earlier boot are removed; unreadable ones are put aside, with a line in the log."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return
        for name in names:
            path = os.path.join(self.folder, name)
            if name.endswith(".tmp"):
                os.unlink(path)
            if not name.endswith(_SUFFIX):
                continue
            try:
                with open(path, "rb") as file:
                    entry = _decoder.decode(file.read())
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                os.replace(path, path + ".bad")
                _log.error("dhcp: %s cannot be read (%s); it is %s.bad now", path, error, path)
                continue
            if entry.boot == self._boot:
                yield entry.record
            else:
                os.unlink(path)

    def _path(self, owner: Owner) -> str:
        text = "\0".join((owner.network, owner.container_id, owner.ifname))
        return os.path.join(self.folder, hashlib.sha256(text.encode()).hexdigest()[:32] + _SUFFIX)


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()

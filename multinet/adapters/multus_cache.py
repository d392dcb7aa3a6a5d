"""The files in which Multus keeps what it attached: ``{cniDir}/{container id}``, and libcni's ``results`` there.

They are read to take pods over, and removed with the pods. They are never written: a node that goes back to
Multus is drained first.

Source: multus-cni 4, ``saveScratchNetConf`` and ``types.DelegateNetConf``.
"""

from __future__ import annotations

import os
import stat
from base64 import b64decode
from contextlib import suppress

import msgspec

from multinet.cni.cache import CachedAttachment, ResultCache
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError, Code
from multinet.cni.names import validate_container_id
from multinet.core.record import AttachmentRecord
from multinet.core.takeover import ScratchDelegate, Takeover

MOST_BYTES = 16 << 20
"""Of a scratch file: more than any pod's networks come to."""


class _Delegate(msgspec.Struct):
    """Keys and their case are Go's."""

    name: str = msgspec.field(name="Name", default="")
    ifname: str = msgspec.field(name="ifnameRequest", default="")
    mac: str = msgspec.field(name="macRequest", default="")
    ips: tuple[str, ...] | None = msgspec.field(name="ipRequest", default=None)
    default_route: tuple[str, ...] | None = msgspec.field(name="default-route", default=None)
    device_id: str = msgspec.field(name="deviceID", default="")
    network: str = msgspec.field(name="Bytes", default="")


_SCRATCH = msgspec.json.Decoder(list[_Delegate])


class MultusCache:
    """The files below one ``cniDir``."""

    def __init__(self, directory: str = "/var/lib/cni/multus") -> None:
        self.directory = directory
        self._results = ResultCache(directory)

    def has(self, container_id: str) -> bool:
        """Whether there is a scratch file of the container."""
        try:
            return stat.S_ISREG(os.lstat(self._path(container_id)).st_mode)
        except OSError:
            return False

    def containers(self) -> list[str]:
        """The containers that have a scratch file. Raises CNIError code 5 when the folder can't be read."""
        try:
            with os.scandir(self.directory) as entries:
                names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _fault("read", self.directory, error) from None
        return sorted(name for name in names if _is_container_id(name))

    def delegates(self, container_id: str) -> list[ScratchDelegate]:
        """The container's networks in their order.

        Raises CNIError: code 5 when the file can't be read, 6 when it is damaged (Multus doesn't write it whole).
        """
        path = self._path(container_id)
        try:
            with open(path, "rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise _fault("read", path, error) from None
        if len(data) > MOST_BYTES:
            raise CNIError(Code.DECODING_FAILURE, f"scratch file {path} has more than {MOST_BYTES} bytes")
        try:
            return [_delegate(one) for one in _SCRATCH.decode(data)]
        except (msgspec.MsgspecError, ValueError) as error:
            raise CNIError(Code.DECODING_FAILURE, f"scratch file {path} is damaged: {error}") from None

    def records(self, whose: Takeover) -> tuple[AttachmentRecord, ...]:
        """The container's attachments; by the results alone when the scratch file is damaged.

        Raises CNIError: code 5 when a file can't be read, 6 or 7 when neither says which networks there were.
        """
        try:
            delegates = self.delegates(whose.container_id)
            return whose.from_scratch(delegates, self._known(delegates, whose))
        except CNIError as error:
            if error.code == Code.IO_FAILURE:
                raise
            results = self._results.attachments(container_id=whose.container_id)
            if not results:
                nothing = f"{self.directory}/results has nothing of the container either"
                raise CNIError(error.code, error.msg, nothing) from None
            return whose.from_results(results)

    def netns_paths(self, container_id: str) -> list[str]:
        """Paths of the namespace that the container's attachments were made in; none when nothing says it."""
        try:
            entries = self._known(self.delegates(container_id), Takeover(container_id=container_id))
        except CNIError:
            entries = self._results.attachments(container_id=container_id)
        return [entry.netns for entry in entries if entry.netns]

    def remove(self, container_id: str, ifname: str = "eth0") -> None:
        """Remove the container's files: its results, then the scratch file. ``ifname`` is its default network's.

        Raises CNIError code 5.
        """
        try:
            entries = self._known(
                self.delegates(container_id), Takeover(container_id=container_id, ifname=ifname)
            )
        except CNIError:
            entries = self._results.attachments(container_id=container_id)
        for entry in entries:
            self._results.remove(entry.network_name, container_id, entry.ifname)
        path = self._path(container_id)
        try:
            with suppress(FileNotFoundError):
                os.unlink(path)
        except OSError as error:
            raise _fault("remove", path, error) from None

    def _known(self, delegates: list[ScratchDelegate], whose: Takeover) -> list[CachedAttachment]:
        """The results by their names: looking through a folder with those of years takes long.

        Raises CNIError code 6 or 7 for a network without a readable configuration.
        """
        found = []
        for position, delegate in enumerate(delegates):
            name = NetworkList.from_bytes(delegate.network).name
            ifname = delegate.interface(position, whose.ifname)
            found.append(self._results.get(name, whose.container_id, ifname))
        return [entry for entry in found if entry is not None]

    def _path(self, container_id: str) -> str:
        validate_container_id(container_id)
        return os.path.join(self.directory, container_id)


def _delegate(one: _Delegate) -> ScratchDelegate:
    return ScratchDelegate(
        name=one.name,
        network=b64decode(one.network, validate=True),
        ifname=one.ifname,
        mac=one.mac,
        ips=one.ips or (),
        default_route=one.default_route,
        device_id=one.device_id,
    )


def _is_container_id(name: str) -> bool:
    try:
        validate_container_id(name)
    except CNIError:
        return False
    return True


def _fault(verb: str, path: str, error: OSError) -> CNIError:
    return CNIError(Code.IO_FAILURE, f"failed to {verb} {path}: {os.strerror(error.errno or 0).lower()}")

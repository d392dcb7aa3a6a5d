"""Results on disk between ADD and DEL, in the files that libcni keeps: either runtime finds the other's.

One file an attachment, ``{directory}/results/{network}-{container id}-{ifname}``, folder 0700, file 0600.
A file that can't be read or understood is as good as none: DEL has to work without.

Source: libcni, ``cniCacheV1``.
"""

from __future__ import annotations

import hashlib
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from multinet.cni import jsontext
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError, Code
from multinet.cni.names import validate_container_id, validate_ifname, validate_network_name

__all__ = ["CachedAttachment", "ResultCache"]

_KIND = "cniCacheV1"
_NAME_MAX = 255


class CachedAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one attachment."""

    network_name: str
    container_id: str
    ifname: str
    config: bytes
    """The network's configuration at ADD, as JSON."""
    netns: str = ""
    args: tuple[tuple[str, str], ...] = ()
    """``CNI_ARGS``."""
    capability_args: Mapping[str, Any] = {}
    result: Mapping[str, Any] | None = None
    """The final result of ADD, in the version that the last plugin printed it in."""

    @property
    def network(self) -> NetworkList | None:
        """The network as it was at ADD; None when what is kept is no configuration."""
        try:
            return NetworkList.from_bytes(self.config)
        except CNIError:
            return None


class ResultCache:
    """The attachments recorded below ``directory``. Methods may be called from several threads."""

    def __init__(self, directory: str = "/var/lib/cni") -> None:
        self._folder = os.path.join(directory, "results")

    def path(self, network: str, container_id: str, ifname: str) -> str:
        """The file of an attachment. Raises CNIError 3, 4, 7 when a name can't be part of a path."""
        validate_network_name(network)
        validate_container_id(container_id)
        validate_ifname(ifname)
        return os.path.join(self._folder, _file_name(f"{network}-{container_id}-{ifname}"))

    def put(self, attachment: CachedAttachment) -> None:
        """Record an attachment, in place of what was recorded of it. Raises CNIError code 5."""
        path = self.path(attachment.network_name, attachment.container_id, attachment.ifname)
        # Readers match names from their beginning, so one that starts with a dot is nobody's attachment.
        unfinished = os.path.join(self._folder, f".{os.getpid()}-{threading.get_ident()}")
        try:
            os.makedirs(self._folder, 0o700, exist_ok=True)
            fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(jsontext.encode(_as_json(attachment)))
            os.replace(unfinished, path)
        except OSError as error:
            with suppress(OSError):
                os.unlink(unfinished)
            reason = os.strerror(error.errno or 0).lower()
            raise CNIError(Code.IO_FAILURE, f"failed to cache the result in {path}: {reason}") from None

    def get(self, network: str, container_id: str, ifname: str) -> CachedAttachment | None:
        """What is recorded of an attachment; None if nothing is, or nothing that can be read."""
        return _read(self.path(network, container_id, ifname))

    def remove(self, network: str, container_id: str, ifname: str) -> None:
        """Forget an attachment; one that isn't there is forgotten already. Raises CNIError code 5."""
        path = self.path(network, container_id, ifname)
        try:
            with suppress(FileNotFoundError):
                os.unlink(path)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise CNIError(Code.IO_FAILURE, f"failed to remove {path}: {reason}") from None

    def attachments(self, network: str = "", container_id: str = "") -> list[CachedAttachment]:
        """All that is recorded (of one network, one container, or both, if named), by file name."""
        try:
            names = sorted(os.listdir(self._folder))
        except OSError:
            return []
        found = (_read(os.path.join(self._folder, name)) for name in names if not name.startswith("."))
        return [
            entry
            for entry in found
            if entry is not None
            and network in ("", entry.network_name)
            and container_id in ("", entry.container_id)
        ]


def _file_name(name: str) -> str:
    """The name itself, or one that a file system takes: libcni has no file for a longer one at all."""
    if len(os.fsencode(name)) <= _NAME_MAX:
        return name
    return f"{name[:180]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}"


def _as_json(attachment: CachedAttachment) -> dict[str, Any]:
    body: dict[str, Any] = {
        "kind": _KIND,
        "containerId": attachment.container_id,
        "config": b64encode(attachment.config).decode(),
        "ifName": attachment.ifname,
        "networkName": attachment.network_name,
    }
    if attachment.netns:
        body["netns"] = attachment.netns
    if attachment.args:
        body["cniArgs"] = [list(pair) for pair in attachment.args]
    if attachment.capability_args:
        body["capabilityArgs"] = attachment.capability_args
    if attachment.result is not None:
        body["result"] = attachment.result
    return body


class _File(msgspec.Struct):
    kind: str
    container_id: str = msgspec.field(name="containerId")
    ifname: str = msgspec.field(name="ifName")
    network_name: str = msgspec.field(name="networkName")
    config: str | None = None
    netns: str | None = None
    args: list[tuple[str, str]] | None = msgspec.field(name="cniArgs", default=None)
    capability_args: dict[str, Any] | None = msgspec.field(name="capabilityArgs", default=None)
    result: dict[str, Any] | None = None


_FILE = msgspec.json.Decoder(_File)


def _read(path: str) -> CachedAttachment | None:
    try:
        with open(path, "rb") as file:
            entry = _FILE.decode(file.read())
        config = b64decode(entry.config or "", validate=True)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None
    if entry.kind != _KIND:
        return None
    return CachedAttachment(
        network_name=entry.network_name,
        container_id=entry.container_id,
        ifname=entry.ifname,
        config=config,
        netns=entry.netns or "",
        args=tuple(entry.args or ()),
        capability_args=entry.capability_args or {},
        result=entry.result,
    )

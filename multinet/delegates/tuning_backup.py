"""What tuning found, as a file on the host. The reference plugin reads ours and we read its: keys that it doesn't
know (``sysctl``, ``attachment``) it ignores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from multinet.cni.errors import CNIError
from multinet.core.desired import LinkAttributes, Owner, StateFile
from multinet.sdk import Facts, LinkInfo

__all__ = ["Backup", "backup_file", "backup_in", "backup_of", "backups"]

_KEYS = {"mac": "mac", "promisc": "promisc", "mtu": "mtu", "allmulti": "allmulti", "tx_queue_len": "txQLen"}
"""Attribute → the reference's key, in its order."""


class _Attachment(msgspec.Struct, frozen=True, rename="camel"):
    network: str
    container_id: str = msgspec.field(name="containerID")
    ifname: str


class _File(msgspec.Struct, frozen=True):
    """As it is written. What can't be told from absent is absent, as in Go: an MTU of 0, an empty MAC."""

    mac: str = ""
    promisc: bool | None = None
    mtu: int = 0
    allmulti: bool | None = None
    tx_queue_len: int | None = msgspec.field(name="txQLen", default=None)
    sysctl: dict[str, str] = {}
    attachment: _Attachment | None = None


_decoder = msgspec.json.Decoder(_File)


class Backup(msgspec.Struct, frozen=True):
    """Former values, of only what is changed."""

    link: LinkAttributes = LinkAttributes()
    sysctl: dict[str, str] = {}
    """By path below ``/proc/sys``."""

    def after(self, first: Backup) -> Backup:
        """These values, but those that an earlier ADD found: by now they are tuned ones."""
        link = {
            name: value if (value := getattr(first.link, name)) is not None else getattr(self.link, name)
            for name in _KEYS
        }
        return Backup(LinkAttributes(**link), {**self.sysctl, **first.sysctl})


def backup_in(link: LinkInfo, wanted: LinkAttributes) -> LinkAttributes:
    """A link's present values of the attributes that are wanted."""
    return LinkAttributes(**{n: getattr(link, n) for n in _KEYS if getattr(wanted, n) is not None})


def backup_file(folder: str, owner: Owner, backup: Backup) -> StateFile:
    """The file of an attachment, in the reference's layout."""
    content: dict[str, Any] = {
        key: value for name, key in _KEYS.items() if (value := getattr(backup.link, name)) is not None
    }
    content |= {"sysctl": backup.sysctl} if backup.sysctl else {}
    content["attachment"] = _Attachment(owner.network, owner.container_id, owner.ifname)
    text = msgspec.json.format(msgspec.json.encode(content), indent=1).decode()
    return StateFile(path=_path(folder, owner), content=text)


def backup_of(folder: str, owner: Owner, host: Facts) -> Backup | None:
    """What the file of an attachment says; an empty one if nobody understands it, None if there is none."""
    try:
        text = host.file(_path(folder, owner))
        return None if text is None else _backup(text)
    except (CNIError, msgspec.DecodeError):
        return Backup()


def backups(folder: str, network: str, host: Facts) -> Iterator[tuple[Owner, StateFile]]:
    """The files of a network's attachments. Those of the reference plugin don't say whose they are, and stay."""
    for name in host.files(folder):
        path = f"{folder}/{name}"
        whose = None
        with suppress(CNIError, msgspec.DecodeError):
            whose = _decoder.decode(host.file(path) or "{}").attachment
        if whose is not None and whose.network == network:
            yield Owner(network, whose.container_id, whose.ifname), StateFile(path=path)


def _backup(text: str) -> Backup:
    file = _decoder.decode(text)
    attributes = LinkAttributes(
        mac=file.mac or None,
        mtu=file.mtu or None,
        promisc=file.promisc,
        allmulti=file.allmulti,
        tx_queue_len=file.tx_queue_len,
    )
    return Backup(attributes, file.sysctl)


def _path(folder: str, owner: Owner) -> str:
    return f"{folder}/{owner.container_id}_{owner.ifname}.json"

"""Whose something is in the kernel: the identity that everything owned carries."""

from __future__ import annotations

import hashlib

import msgspec


class Owner(msgspec.Struct, frozen=True):
    """Whose an item is: one attachment of one container (the CNI tuple of network, id and interface)."""

    network: str
    container_id: str
    ifname: str

    @property
    def mark(self) -> str:
        """The identity as text: link aliases and rule comments carry it (at most 200 bytes)."""
        text = f"{self.network}/{self.container_id}/{self.ifname}"
        if len(text) > 180:
            text = f"{text[:140]}~{_digest(text, 32)}"
        return f"multinet:{text}"

    @property
    def group(self) -> int:
        """The interface group of all links of the container (``IFLA_GROUP``): one delete takes them all."""
        return 0x10000 + int(_digest(self.container_id, 7), 16)

    @property
    def host_ifname(self) -> str:
        """Name of the host end of a veth pair: found again without the namespace or a record."""
        return "veth" + _digest(f"{self.container_id}/{self.ifname}", 8)

    @property
    def host_mac(self) -> str:
        """MAC of a pair's host end. A bridge without a MAC of its own takes the lowest of its ports': with
        ``fe`` in front that is never this one (a habit of libvirt's).
        """
        return "fe" + self.mac("host")[2:]

    def mac(self, salt: str) -> str:
        """A locally administered unicast MAC, the same at each call for one attachment and ``salt``."""
        digest = bytearray.fromhex(_digest(f"{self.container_id}/{self.ifname}/{salt}", 12))
        digest[0] = (digest[0] & 0xFC) | 0x02
        return ":".join(f"{octet:02x}" for octet in digest)


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]

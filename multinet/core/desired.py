"""Desired state: what a pod's attachment should look like in the kernel, as immutable values.

Each item says *where* it lives (``host`` or ``sandbox``) and *whose* it is:

===========  =============================  =====================================
whose        ADD                            DEL
===========  =============================  =====================================
owned        create                         remove
shared       ensure                         leave
borrowed     change, remembering what was   put back
===========  =============================  =====================================

Items compare by value and serialise with msgspec, so that the journal keeps exactly what was applied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal, TypeVar

import msgspec

Place = Literal["host", "sandbox"]
Whose = Literal["owned", "shared", "borrowed"]
MacvlanMode = Literal["bridge", "private", "vepa", "passthru"]

SCOPE_UNIVERSE = 0
SCOPE_LINK = 253
MAIN_TABLE = 254


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


class Item(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One thing in the kernel."""

    place: Place = "sandbox"
    whose: Whose = "owned"


class Bridge(Item, frozen=True, kw_only=True, tag="bridge"):
    """A bridge on the host, up, made if absent. ``mtu`` 0 is the kernel's default; ``mac`` "" any."""

    name: str
    mac: str = ""
    mtu: int = 0
    promisc: bool = False


class Veth(Item, frozen=True, kw_only=True, tag="veth"):
    """A veth pair: one end in the sandbox, the other on the host (always up), a port of ``master`` if set."""

    name: str
    mac: str
    host_name: str
    host_mac: str
    mtu: int = 0
    master: str = ""
    hairpin: bool = False
    isolated: bool = False
    up: bool = True


class Macvlan(Item, frozen=True, kw_only=True, tag="macvlan"):
    """A macvlan link in the sandbox on ``parent``, which lives in ``parent_place``."""

    name: str
    mac: str
    parent: str
    parent_place: Place = "host"
    mode: MacvlanMode = "bridge"
    mtu: int = 0
    bc_queue_len: int = 0
    up: bool = True


class LinkUp(Item, frozen=True, kw_only=True, tag="link-up"):
    """A link that is there already (``lo``) and is to be up; taken down again when no longer wanted."""

    name: str


class Address(Item, frozen=True, kw_only=True, tag="address"):
    """An address (with prefix length, ``10.1.2.3/24``) on a link."""

    link: str
    cidr: str


class NoAddress(Item, frozen=True, kw_only=True, tag="no-address"):
    """An address that must go from a link, to make room for another (bridge's ``forceAddress``)."""

    link: str
    cidr: str


class Route(Item, frozen=True, kw_only=True, tag="route"):
    """A route by ``link``: via each of ``gateways`` (several: one multipath route), or on-link without any.

    ``onlink`` tells the kernel that the gateway is reachable on the link although no prefix covers it.
    """

    link: str
    dst: str
    gateways: tuple[str, ...] = ()
    metric: int = 0
    table: int = MAIN_TABLE
    scope: int = SCOPE_UNIVERSE
    mtu: int = 0
    advmss: int = 0
    onlink: bool = False


class Sysctl(Item, frozen=True, kw_only=True, tag="sysctl"):
    """A value below ``/proc/sys``, key with slashes (``net/ipv4/conf/eth0.1/arp_notify``).

    ``tolerant``: a kernel that lacks it or refuses it is no failure (most are optimisations).
    """

    key: str
    value: str
    tolerant: bool = False


class Masquerade(Item, frozen=True, kw_only=True, tag="masquerade"):
    """Traffic from the address ``cidr`` that leaves its own subnet takes the host's address."""

    cidr: str
    owner: Owner
    place: Place = "host"
    backend: Literal["nftables", "iptables"] = "nftables"


class MacGuard(Item, frozen=True, kw_only=True, tag="mac-guard"):
    """Frames that enter the host by ``link`` with another source MAC than ``mac`` are dropped."""

    link: str
    mac: str
    owner: Owner
    place: Place = "host"


AnyItem = Bridge | Veth | Macvlan | LinkUp | Address | NoAddress | Route | Sysctl | Masquerade | MacGuard


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as desired: on which object, which field, what was wanted and what is there."""

    subject: str
    field: str
    want: str
    have: str
    phrase: str = ""
    """How the reference plugins say it, where callers look for their words."""

    def __str__(self) -> str:
        if self.phrase:
            return self.phrase
        return f"{self.subject}: {self.field} is {self.have or 'absent'}, expected {self.want}"


_T = TypeVar("_T", bound=Item)


def select(items: Iterable[Item], kind: type[_T]) -> list[_T]:
    """The items of one kind, in order."""
    return [item for item in items if isinstance(item, kind)]

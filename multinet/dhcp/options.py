"""Option codes, their names in configurations, and what is in the options that a pod needs.

Readers return what an empty or malformed value means, nothing, rather than fail: a server's odd domain search
list is no reason to leave a pod without network. What must be right is checked where it is used.
Sources: RFC 2132; RFC 3397 (119); RFC 3442 (121); plugins-ipam 3.4 and 3.7.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

__all__ = [
    "NAMES",
    "addresses",
    "classless_routes",
    "netmask",
    "number",
    "search_list",
    "static_routes",
    "text",
]

PAD, END = 0, 255
SUBNET_MASK, ROUTERS, DNS_SERVERS, HOST_NAME, DOMAIN_NAME = 1, 3, 6, 12, 15
MTU, STATIC_ROUTES = 26, 33
REQUESTED_ADDRESS, LEASE_TIME, OVERLOAD, MESSAGE_TYPE, SERVER_ID = 50, 51, 52, 53, 54
PARAMETER_LIST, ERROR_TEXT, LARGEST_MESSAGE = 55, 56, 57
RENEWAL_TIME, REBINDING_TIME, VENDOR_CLASS, CLIENT_ID, USER_CLASS = 58, 59, 60, 61, 77
DOMAIN_SEARCH, CLASSLESS_ROUTES, MS_CLASSLESS_ROUTES = 119, 121, 249

NAMES = {
    "dhcp-client-identifier": CLIENT_ID,
    "subnet-mask": SUBNET_MASK,
    "routers": ROUTERS,
    "host-name": HOST_NAME,
    "user-class": USER_CLASS,
    "vendor-class-identifier": VENDOR_CLASS,
}
"""Names that a configuration may use instead of a code; the reference plugin's."""

Gateway = tuple[IPv4Network, IPv4Address]
_POINTERS = 32
"""Compression pointers that are followed in one name: more is a loop."""


def addresses(value: bytes) -> tuple[IPv4Address, ...]:
    """A list of addresses; none when the length is no multiple of four."""
    if len(value) % 4:
        return ()
    return tuple(IPv4Address(value[at : at + 4]) for at in range(0, len(value), 4))


def number(value: bytes, size: int) -> int | None:
    """An unsigned integer of ``size`` bytes."""
    return int.from_bytes(value, "big") if len(value) == size else None


def netmask(value: bytes) -> int | None:
    """The prefix length of a subnet mask; None for one that is absent, 0.0.0.0, or has holes."""
    mask = number(value, 4)
    if not mask:
        return None
    ones = mask.bit_count()
    return ones if mask == (0xFFFFFFFF << (32 - ones)) & 0xFFFFFFFF else None


def text(value: bytes) -> str:
    """Text without the NULs that some servers end it with; empty if it isn't printable ASCII."""
    plain = value.rstrip(b"\0").decode("ascii", "replace")
    return plain if plain.isprintable() and "\ufffd" not in plain else ""


def static_routes(value: bytes) -> tuple[Gateway, ...]:
    """Option 33: pairs of destination and router, the mask by the destination's class; a rest is ignored."""
    found = []
    for at in range(0, len(value) - 7, 8):
        first = value[at]
        prefix = 8 if first < 128 else 16 if first < 192 else 24
        network = IPv4Network((value[at : at + 4], prefix), strict=False)
        found.append((network, IPv4Address(value[at + 4 : at + 8])))
    return tuple(found)


def classless_routes(value: bytes) -> tuple[Gateway, ...]:
    """Options 121 and 249; none if any of it is malformed."""
    found = []
    at = 0
    while at < len(value):
        prefix = value[at]
        size = (prefix + 7) // 8
        if prefix > 32 or at + 1 + size + 4 > len(value):
            return ()
        destination = value[at + 1 : at + 1 + size].ljust(4, b"\0")
        network = IPv4Network((destination, prefix), strict=False)
        found.append((network, IPv4Address(value[at + 1 + size : at + 5 + size])))
        at += 5 + size
    return tuple(found)


def search_list(value: bytes) -> tuple[str, ...]:
    """Option 119: domain names with compression pointers into the option; none if any of it is malformed."""
    found = []
    at = 0
    while at < len(value):
        name, at = _name(value, at)
        if not name:
            return ()
        found.append(name)
    return tuple(found)


def _name(value: bytes, at: int) -> tuple[str, int]:
    """The name at ``at`` and where the next one begins; empty when it can't be read."""
    labels: list[str] = []
    following = 0
    for _ in range(128 + _POINTERS):
        if at >= len(value):
            return "", 0
        size = value[at]
        if size == 0:
            return ".".join(labels), following or at + 1
        if size >= 0xC0:
            if at + 1 >= len(value):
                return "", 0
            following = following or at + 2
            at = (size & 0x3F) << 8 | value[at + 1]
            continue
        label = text(value[at + 1 : at + 1 + size])
        if size > 63 or len(label) != size or "." in label or " " in label:
            return "", 0
        labels.append(label)
        at += 1 + size
    return "", 0

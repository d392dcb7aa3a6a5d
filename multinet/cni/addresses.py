"""Addresses as results carry them: text, one spelling for each.

IPv4-mapped IPv6 (RFC 4291, 2.5.5.2) becomes the IPv4 address it stands for, as the Go library prints it.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

__all__ = ["address_of", "canonical_address", "canonical_cidr", "interface_of", "is_ipv6", "prefix_of"]

_MAPPED_PREFIX = 96
"""Length of ``::ffff:0:0/96``: a shorter prefix reaches beyond the IPv4 addresses, so it stays IPv6."""


# The same few texts are asked for many times while a pod is attached, and parsing one costs 3 to 10 µs.
@lru_cache(maxsize=4096)
def interface_of(cidr: str) -> IPv4Interface | IPv6Interface:
    """``10.1.2.3/24`` as a value with its host part. Raises ValueError."""
    return ip_interface(cidr)


@lru_cache(maxsize=4096)
def prefix_of(prefix: str) -> IPv4Network | IPv6Network:
    """``10.1.2.0/24``, or an address of that prefix, as the prefix. Raises ValueError."""
    return ip_network(prefix, strict=False)


@lru_cache(maxsize=4096)
def address_of(text: str) -> IPv4Address | IPv6Address:
    """``10.1.2.3`` as a value. Raises ValueError."""
    return ip_address(text)


def is_ipv6(text: str) -> bool:
    """Whether an address or prefix (in canonical spelling) is of IPv6."""
    return ":" in text


# Gateways and default routes are the same in every result of a node, and reading IPv6 costs 10 µs.
@lru_cache(maxsize=1024)
def canonical_address(text: str) -> str:
    """``10.1.2.3`` or ``2001:db8::1`` in its usual spelling. Raises ValueError for anything else."""
    if ":" not in text:
        try:
            IPv4Address(text)
        except AddressValueError:
            raise ValueError(f"invalid IP address: {text}") from None
        return text  # one IPv4 address has one spelling: leading zeros are refused above
    address = _ipv6(text, f"invalid IP address: {text}")
    return str(address.ipv4_mapped or address)


@lru_cache(maxsize=1024)
def canonical_cidr(text: str) -> str:
    """``10.1.2.3/24`` with the host part kept, in its usual spelling. Raises ValueError for anything else."""
    address, slash, length = text.partition("/")
    problem = f"invalid CIDR address: {text}"
    if not slash or not (length.isascii() and length.isdigit()) or len(length) > 3:
        raise ValueError(problem)
    bits = int(length)
    if ":" not in address:
        try:
            IPv4Address(address)
        except AddressValueError:
            raise ValueError(problem) from None
        if bits > 32:
            raise ValueError(problem)
        return f"{address}/{bits}"
    ipv6 = _ipv6(address, problem)
    if bits > 128:
        raise ValueError(problem)
    if ipv6.ipv4_mapped is not None and bits >= _MAPPED_PREFIX:
        return f"{ipv6.ipv4_mapped}/{bits - _MAPPED_PREFIX}"
    return f"{ipv6}/{bits}"


def _ipv6(text: str, problem: str) -> IPv6Address:
    if "%" in text:  # a zone means something on one host only
        raise ValueError(problem)
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise ValueError(problem) from None

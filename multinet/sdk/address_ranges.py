"""Ranges of addresses to give out, and the order in which they are: pure, no files.

A *range* is a stretch of one subnet; a *range set* is a list of ranges of one family, out of which an
attachment gets one address. Addresses are integers per family, so ranges may have any size.
Source: plugins-ipam 1.2 and 1.3.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations, filterfalse

import msgspec

from multinet.sdk.ipam import Address, Faults, parse_cidr, parse_ip

__all__ = ["AddressRange", "Interval", "RangeConf", "RangeSet", "excluded", "parse_set"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Interval = tuple[int, int]
"""First and last number, both included."""


class RangeConf(msgspec.Struct, frozen=True, rename="camel"):
    """A range as configured. ``noGateway`` (multinet's own) means that there is none: ``.1`` is
    given out like any other, and a /31, /32, /127 or /128 may be used, with all its addresses."""

    subnet: str | None = None
    """The subnet, with no host bits set."""
    range_start: str = ""
    """The first address to give out; default: the subnet's first but one."""
    range_end: str = ""
    """The last one; default: the subnet's last, or last but one of IPv4."""
    gateway: str = ""
    """Default: the first address of the subnet. It is never given out."""
    no_gateway: bool = False
    """There is no gateway; a /31, /32, /127 or /128 is fine then."""


class AddressRange(msgspec.Struct, frozen=True):
    """Addresses ``first`` to ``last`` of ``subnet``; the gateway may lie anywhere."""

    subnet: Network
    first: int
    last: int
    gateway: Address | None = None

    def address(self, number: int) -> Address:
        """The address of this range's family with that number."""
        return type(self.subnet.network_address)(number)

    def __str__(self) -> str:
        return f"{self.address(self.first)}-{self.address(self.last)}"

    def overlaps(self, other: AddressRange) -> bool:
        """Whether both could give out one address; disjoint parts of one subnet don't."""
        same_family = self.subnet.version == other.subnet.version
        return same_family and self.first <= other.last and other.first <= self.last


class RangeSet(msgspec.Struct, frozen=True):
    """Ranges of one family. Never given out: ``gateways`` (those of all sets) and ``excluded``."""

    ranges: tuple[AddressRange, ...]
    gateways: frozenset[Address] = frozenset()
    excluded: tuple[tuple[int, Interval], ...] = ()
    """Pairs of family (4, 6) and interval."""

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.ranges[0].subnet.version

    def __str__(self) -> str:
        return ",".join(map(str, self.ranges))

    def range_of(self, address: Address) -> AddressRange | None:
        """The range that holds ``address``."""
        if address.version != self.version:
            return None
        number = int(address)
        return next((r for r in self.ranges if r.first <= number <= r.last), None)

    def is_excluded(self, address: Address) -> bool:
        """Whether the configuration's ``exclude`` names ``address``."""
        number = int(address)
        return any(version == address.version and lo <= number <= hi for version, (lo, hi) in self.excluded)

    def overlaps(self, other: RangeSet) -> bool:
        """Whether both could give out one address."""
        return any(mine.overlaps(theirs) for mine in self.ranges for theirs in other.ranges)

    def next_free(self, taken: Collection[int], last: Address | None) -> tuple[AddressRange, Address] | None:
        """The address to give out next: the first free one behind ``last``, cyclically, ``last`` itself at
        the very end; from the set's start when ``last`` is none of the set's. None: nothing is free."""
        for inside, lo, hi in self._stretches(last):
            number = next(filterfalse(taken.__contains__, range(lo, hi + 1)), None)
            if number is not None:
                return inside, inside.address(number)
        return None

    def _stretches(self, last: Address | None) -> Iterator[tuple[AddressRange, int, int]]:
        """What to walk through, in order, without gateways and excluded addresses."""
        blocked = sorted(
            [
                *((int(ip), int(ip)) for ip in self.gateways if ip.version == self.version),
                *(interval for version, interval in self.excluded if version == self.version),
            ]
        )
        for inside, lo, hi in self._circle(last):
            for start, end in _without(blocked, lo, hi):
                yield inside, start, end

    def _circle(self, last: Address | None) -> Iterator[tuple[AddressRange, int, int]]:
        begin = self.range_of(last) if last is not None else None
        if last is None or begin is None:
            yield from ((r, r.first, r.last) for r in self.ranges)
            return
        at = self.ranges.index(begin)
        yield begin, int(last) + 1, begin.last
        yield from ((r, r.first, r.last) for r in self.ranges[at + 1 :] + self.ranges[:at])
        yield begin, begin.first, int(last)


def _without(blocked: Iterable[Interval], lo: int, hi: int) -> Iterator[Interval]:
    """What is left of ``lo``–``hi``; ``blocked`` is sorted and may overlap itself."""
    for start, end in blocked:
        if start > hi:
            break
        if lo < start:
            yield lo, start - 1
        lo = max(lo, end + 1)
    if lo <= hi:
        yield lo, hi


def parse_set(places: Sequence[tuple[str, RangeConf]], number: int, faults: Faults, path: str) -> RangeSet:
    """The range set ``number`` out of configured ranges, each with its JSON path; checks in the order of 1.2.

    Faults are noted with the prefix ``invalid range set N: ``; the set is meaningful only without any.
    """
    prefix = f"invalid range set {number}: "
    if not places:
        faults.add(path, f"{prefix}empty range set")
    found: list[tuple[str, AddressRange]] = []
    for where, conf in places:
        try:
            found.append((where, _parse_range(conf)))
        except _RangeFault as fault:
            faults.add(f"{where}.{fault.key}", prefix + fault.problem)
    for where, item in found:
        if item.subnet.version != found[0][1].subnet.version:
            faults.add(f"{where}.subnet", f"{prefix}mixed address families")
    for (_, one), (where, other) in combinations(found, 2):
        if one.overlaps(other):
            faults.add(where, f"{prefix}subnets {one} and {other} overlap")
    return RangeSet(tuple(item for _, item in found))


def excluded(entries: Iterable[tuple[str, str]], faults: Faults) -> tuple[tuple[int, Interval], ...]:
    """``exclude`` (multinet's own): addresses and subnets, each with its JSON path, as intervals."""
    nets = (faults.reading(path, _network, text) for path, text in entries)
    return tuple(
        (net.version, (int(net.network_address), int(net.broadcast_address)))
        for net in nets
        if net is not None
    )


def _network(text: str) -> Network:
    return parse_cidr(text).network if "/" in text else ipaddress.ip_network(parse_ip(text))


class _RangeFault(Exception):
    def __init__(self, key: str, problem: object) -> None:
        super().__init__(str(problem))
        self.key = key
        self.problem = str(problem)


def _parse_range(conf: RangeConf) -> AddressRange:
    subnet = _subnet(conf)
    gateway = _ip("gateway", conf.gateway)
    if conf.no_gateway and gateway is not None:
        raise _RangeFault("gateway", f'is {gateway}, but "noGateway" is true: leave one of them out')
    if gateway is None and not conf.no_gateway:
        gateway = subnet.network_address + 1
    bottom, top = int(subnet.network_address), int(subnet.broadcast_address)
    roomy = subnet.prefixlen <= subnet.max_prefixlen - 2
    first, last = _ip("rangeStart", conf.range_start), _ip("rangeEnd", conf.range_end)
    if first is not None and (first not in subnet or (last is not None and not _in_order(first, last))):
        raise _RangeFault("rangeStart", f"RangeStart {first} not in network {subnet}")
    start = int(first) if first is not None else bottom + roomy
    if last is not None and (last not in subnet or int(last) < start):
        raise _RangeFault("rangeEnd", f"RangeEnd {last} not in network {subnet}")
    end = int(last) if last is not None else top - (roomy and subnet.version == 4)
    if start > end:
        hint = 'only with a "rangeEnd" of its own can the broadcast address be given out'
        raise _RangeFault("rangeStart", f"RangeStart {first} not in network {subnet}: {hint}")
    return AddressRange(subnet, start, end, gateway)


def _in_order(first: Address, last: Address) -> bool:
    return first.version == last.version and int(first) <= int(last)


def _subnet(conf: RangeConf) -> Network:
    if conf.subnet is None:
        raise _RangeFault("subnet", "IP <nil> not v4 nor v6")
    try:
        given = parse_cidr(conf.subnet)
    except ValueError as error:
        raise _RangeFault("subnet", error) from None
    if given.network.prefixlen > given.max_prefixlen - 2 and not conf.no_gateway:
        raise _RangeFault("subnet", f"Network {given} too small to allocate from")
    if (":" in conf.subnet) != (given.version == 6):  # ::ffff:a.b.c.d
        raise _RangeFault("subnet", "IPNet IP and Mask version mismatch")
    if given.ip != given.network.network_address:
        raise _RangeFault(
            "subnet",
            f"Network has host bits set. For a subnet mask of length {given.network.prefixlen}"
            f" the network address is {given.network.network_address}",
        )
    return given.network


def _ip(key: str, text: str) -> Address | None:
    try:
        return parse_ip(text) if text else None
    except ValueError as error:
        raise _RangeFault(key, error) from None

"""Which addresses the networks give out, so that no address is given out by two of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from netaddr import IPRange, IPSet

from multinet.cli.validation.findings import Subject
from multinet.sdk.address_ranges import RangeSet

__all__ = ["Pools"]


class _Pool:
    """The addresses of one network; all configurations with its name and folder share it."""

    def __init__(self, name: str, subject: Subject) -> None:
        self.name = name
        self.subject = subject
        self.addresses = IPSet()


class Pools:
    """The address pools of everything that is validated together."""

    def __init__(self) -> None:
        self._pools: dict[str, _Pool] = {}

    def add(self, folder: str, name: str, sets: Sequence[RangeSet], subject: Subject) -> None:
        """The ranges of one configuration; ``folder`` holds the pool's files, and so tells it from others."""
        pool = self._pools.setdefault(folder, _Pool(name, subject))
        for item in sets:
            for one in item.ranges:
                pool.addresses |= IPSet(IPRange(str(one.address(one.first)), str(one.address(one.last))))
            for version, (first, last) in item.excluded:
                if version == item.version:
                    address = item.ranges[0].address
                    pool.addresses -= IPSet(IPRange(str(address(first)), str(address(last))))

    def warn_of_overlaps(self) -> None:
        """A warning on the later of two networks that both could give out an address."""
        for one, other in combinations(self._pools.values(), 2):
            common = one.addresses & other.addresses
            if common:
                ranges = list(common.iter_ipranges())
                more = f" and {len(ranges) - 1} more ranges" if len(ranges) > 1 else ""
                other.subject.warning(
                    "$.ipam",
                    f'gives out {ranges[0]}{more}, as network "{one.name}" does ({one.subject.file}): two pods '
                    "could get one address; use one network name, or ranges that don't meet",
                )

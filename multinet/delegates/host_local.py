"""The IPAM ``host-local``: addresses out of ranges, kept in files on this node.

Takes over the files of the reference plugin and leaves files that it can take over. The order of addresses
is the reference's too: round robin, behind the last one given out. Source: plugins-ipam 1.3 to 1.7.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache

from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.cni.result import DNS, IPConfig, Result
from multinet.core.desired import Difference, Owner
from multinet.delegates.host_local_conf import HostLocalConf, Plan, folder_of, load
from multinet.ports import IpamRequest
from multinet.sdk.address_files import AddressFiles, LockedFiles, holder, legacy_holder
from multinet.sdk.address_ranges import AddressRange, RangeSet
from multinet.sdk.ipam import Address, parse_ip
from multinet.sdk.resolv_conf import read_resolv_conf

__all__ = ["HostLocal", "host_local"]

_FOLDERS = 256
"""Networks whose files are kept in memory; beyond it the least used one is read anew."""


class HostLocal:
    """Implements ``ports.Ipam``; one object serves all networks and threads of a process."""

    conf = HostLocalConf

    def __init__(self) -> None:
        self._files = lru_cache(maxsize=_FOLDERS)(AddressFiles)

    def allocate(self, request: IpamRequest) -> Result:
        """One address out of each range set. Raises CNIError; then nothing of this call stays reserved.

        Code 101: no address, or not the requested one; 7, 4: a fault in the configuration or ``CNI_ARGS``;
        11: the files were locked till the deadline; 5: they can't be written.
        """
        plan = _with_ranges(load(request))
        # Before anything is reserved: the file may be missing.
        dns = read_resolv_conf(plan.resolv_conf) if plan.resolv_conf else DNS()
        files = self._files(folder_of(request))
        files.make_folder()
        with files.locked(request.deadline) as locked:
            ips = _Allocation(locked, plan, request.owner).run()
        return Result(ips=ips, routes=plan.routes, dns=dns)

    def release(self, request: IpamRequest) -> None:
        """Remove all files of the owner, whatever the configuration says of ranges."""
        files = self._files(folder_of(request))
        if not files.exist():
            return
        with files.locked(request.deadline) as locked:
            locked.free(_held(locked, request.owner))

    def check(self, request: IpamRequest, previous: Result | None) -> list[Difference]:
        """Whether the owner holds an address, and each one of ``previous`` that is out of our ranges."""
        plan = _with_ranges(load(request))
        files = self._files(folder_of(request))
        held: list[Address] = []
        if files.exist():
            with files.locked(request.deadline) as locked:
                held = _held(locked, request.owner)
        owner = request.owner
        if not held:
            subject = f"host-local: Failed to find address added by container {owner.container_id}"
            return [Difference(subject, "address file", f"one for {owner.ifname} in {files.folder}", "")]
        given = [parse_ip(ip.address.partition("/")[0]) for ip in previous.ips] if previous else []
        ours = [ip for ip in given if any(item.range_of(ip) for item in plan.sets)]
        who = f"{owner.container_id} {owner.ifname}"
        return [Difference(f"{files.folder}/{ip}", "holder", who, "") for ip in ours if ip not in held]

    def collect(self, request: IpamRequest, valid: Collection[tuple[str, str]]) -> None:
        """Remove the files of everyone who isn't in ``valid``; a legacy file lives with any interface of its
        container. Files that aren't named by an address are left alone."""
        files = self._files(folder_of(request))
        if not files.exist():
            return
        owners = [Owner("", container_id, ifname) for container_id, ifname in valid]
        alive = {content for owner in owners for content in (holder(owner), legacy_holder(owner))}
        with files.locked(request.deadline) as locked:
            locked.free(
                [ip for content in locked.holders() if content not in alive for ip in locked.held(content)]
            )

    def status(self, request: IpamRequest) -> None:
        """Raises CNIError code 50 when a range set is exhausted or the files can't be written."""
        plan = load(request)
        files = self._files(folder_of(request))
        if not files.exist():
            _require_writable_parent(files.folder)
            return
        try:
            with files.locked(request.deadline) as locked:
                locked.prove_writable()
                _require_room(locked, plan)
        except CNIError as error:
            if error.code == Code.IO_FAILURE:
                raise CNIError(Code.NOT_AVAILABLE, error.msg) from None
            raise


class _Allocation:
    """One ADD, under the lock."""

    def __init__(self, files: LockedFiles, plan: Plan, owner: Owner) -> None:
        self._files = files
        self._plan = plan
        self._owner = owner
        self._content = holder(owner)
        self._wanted = list(plan.requested)
        self._reserved: list[Address] = []

    def run(self) -> tuple[IPConfig, ...]:
        """All addresses, or an error and none."""
        try:
            ips = tuple(self._from_set(number, item) for number, item in enumerate(self._plan.sets))
            if self._wanted:
                left = " ".join(map(str, self._wanted))
                raise CNIError(Code.IPAM, f"failed to allocate all requested IPs: {left}")
        except BaseException:
            with suppress(CNIError):  # the first failure is the one to tell; DEL tries again
                self._files.free(self._reserved)
            raise
        return ips

    def _from_set(self, number: int, item: RangeSet) -> IPConfig:
        wanted = next((ip for ip in self._wanted if item.range_of(ip)), None)
        try:
            if wanted is not None:
                self._wanted.remove(wanted)
                inside, address = self._requested(item, wanted)
            else:
                inside, address = self._next(number, item)
        except CNIError as error:
            raise error.prefixed(f"failed to allocate for range {number}: ") from None
        self._reserved.append(address)
        self._remember(number, address)
        gateway = str(inside.gateway) if inside.gateway is not None else ""
        return IPConfig(f"{address}/{inside.subnet.prefixlen}", gateway)

    def _requested(self, item: RangeSet, wanted: Address) -> tuple[AddressRange, Address]:
        inside = item.range_of(wanted)
        assert inside is not None
        if wanted in item.gateways:
            raise CNIError(Code.IPAM, f"requested ip {wanted} is subnet's gateway")
        if item.is_excluded(wanted):
            raise CNIError(Code.IPAM, f'requested IP address {wanted} is in "exclude" of the configuration')
        if int(wanted) in self._files.taken(wanted.version) or not self._files.reserve(wanted, self._content):
            raise CNIError(Code.IPAM, f"requested IP address {wanted} is not available in range set {item}")
        return inside, wanted

    def _next(self, number: int, item: RangeSet) -> tuple[AddressRange, Address]:
        self._refuse_second(item)
        last = self._last(number)
        while (found := item.next_free(self._files.taken(item.version), last)) is not None:
            if self._files.reserve(found[1], self._content):
                return found
        raise CNIError(Code.IPAM, _exhausted(item))

    def _refuse_second(self, item: RangeSet) -> None:
        for content in (self._content, legacy_holder(self._owner)):
            for address in self._files.held(content):
                if item.range_of(address):
                    raise CNIError(
                        Code.IPAM,
                        f"{address} has been allocated to {self._owner.container_id},"
                        " duplicate allocation is not allowed",
                    )

    def _last(self, number: int) -> Address | None:
        try:
            text = self._files.last_reserved(number)
        except OSError as error:
            _warn(f"Error retrieving last reserved ip: {error}")
            return None
        try:
            return parse_ip(text)
        except ValueError:
            return None

    def _remember(self, number: int, address: Address) -> None:
        try:
            self._files.remember_last(number, address)
        except OSError as error:  # only the order of addresses depends on it
            _warn(f"can't write last_reserved_ip.{number}: {error}")


def _with_ranges(plan: Plan) -> Plan:
    if not plan.sets:
        raise InvalidConfig("$.ipam.ranges", "no IP ranges specified")
    return plan


def _held(files: LockedFiles, owner: Owner) -> list[Address]:
    """What the owner holds; only if that is nothing, what its container holds in the legacy format."""
    return files.held(holder(owner)) or files.held(legacy_holder(owner))


def _exhausted(item: RangeSet) -> str:
    return f"no IP addresses available in range set: {item}"


def _require_room(files: LockedFiles, plan: Plan) -> None:
    for item in plan.sets:
        if item.next_free(files.taken(item.version), None) is None:
            raise CNIError(Code.NOT_AVAILABLE, _exhausted(item))


def _require_writable_parent(folder: str) -> None:
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        raise CNIError(Code.NOT_AVAILABLE, f"host-local: can't make folders in {folder}: not writable")


def _warn(text: str) -> None:
    import logging  # milliseconds at start, for a line that is hardly ever written

    logging.getLogger(__name__).warning(text)


host_local = HostLocal()

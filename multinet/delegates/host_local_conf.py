"""What a host-local request says, checked: range sets, requested addresses, where the files are.

Source: plugins-ipam 1.1 and 1.2. Keys of multinet's own: ``exclude`` (addresses and subnets that are never
given out), ``noGateway`` beside each ``subnet``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import msgspec

from multinet.cni.decode import convert
from multinet.cni.invocation import require_known_args
from multinet.cni.names import validate_network_name
from multinet.cni.result import Route
from multinet.ports import IpamRequest
from multinet.sdk.address_ranges import Interval, RangeConf, RangeSet, excluded, parse_set
from multinet.sdk.ipam import (
    Address,
    Envelope,
    Faults,
    RuntimeIps,
    bad_argument,
    listed_ips,
    member,
    one_per_family,
    parse_ip,
    routes,
)

__all__ = ["Plan", "folder_of", "load"]

_DATA_DIR = "/var/lib/cni/networks"


class HostLocalConf(RangeConf, frozen=True, rename="camel"):
    """The ``ipam`` object; the inherited keys are the old style of naming one range."""

    ranges: tuple[tuple[RangeConf, ...], ...] = ()
    """Range sets: the pod gets one address out of each, from the first of its ranges that has one free."""
    exclude: tuple[str, ...] = ()
    """Addresses and subnets that are never given out."""
    routes: tuple[Route, ...] = ()
    """Routes for the result."""
    data_dir: str = ""
    """Folder of the address files; default ``/var/lib/cni/networks``, a folder for each network in it."""
    resolv_conf: str = ""
    """A file in the form of resolv.conf(5) whose servers and domains the result has."""


class _Runtime(RuntimeIps, frozen=True, rename="camel"):
    ip_ranges: tuple[tuple[RangeConf, ...], ...] = ()


_SETS: dict[tuple[HostLocalConf, object], tuple[RangeSet, ...]] = {}
_MOST_SETS = 256


class _PlacedSet(NamedTuple):
    """A configured range set and each of its ranges, with their JSON paths."""

    path: str
    ranges: tuple[tuple[str, RangeConf], ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A valid request: one address out of each of ``sets``, the ``requested`` ones first."""

    sets: tuple[RangeSet, ...]
    requested: tuple[Address, ...]
    routes: tuple[Route, ...]
    resolv_conf: str


def folder_of(request: IpamRequest) -> str:
    """The folder with the network's address files; needs only ``name`` and ``ipam.dataDir``, so that DEL
    and GC work with a configuration that has become faulty otherwise.

    Raises CNIError code 7 on a bad name.
    """
    name = member(request.conf, "name") or request.owner.network
    validate_network_name(name if isinstance(name, str) else "")
    data_dir = member(member(request.conf, "ipam"), "dataDir")
    return os.path.join(data_dir if data_dir and isinstance(data_dir, str) else _DATA_DIR, name)


def load(request: IpamRequest) -> Plan:
    """The request as a plan; all faults that don't hide one another are told at once.

    Raises InvalidConfig, or CNIError code 4 for a fault in ``CNI_ARGS``. ``sets`` may be empty: only
    ``allocate`` and ``check`` mind, since GC and STATUS come without ``runtimeConfig.ipRanges``.
    """
    envelope = Envelope.of(request.conf)
    conf = convert(envelope.ipam or {}, HostLocalConf, "$.ipam")
    runtime = convert(envelope.runtime_config, _Runtime, "$.runtimeConfig")
    faults = Faults()
    requested = _requested(request.args, envelope, runtime, faults)
    sets = _known_range_sets(conf, runtime, faults)
    network_routes = routes(conf.routes, faults)
    faults.settle()
    one_per_family(envelope.cni_version, [item.version for item in sets])
    return Plan(sets=sets, requested=requested, routes=network_routes, resolv_conf=conf.resolv_conf)


def _requested(
    args: Mapping[str, str], envelope: Envelope, runtime: RuntimeIps, faults: Faults
) -> tuple[Address, ...]:
    """All places where addresses are asked for add up; each address once, in order."""
    require_known_args(args, ("IP",))
    found: dict[Address, None] = {}
    if text := args.get("IP", ""):
        try:
            found[_requested_ip(text)] = None
        except ValueError as error:
            raise bad_argument("IP", text, str(error)) from None
    listed = (
        *listed_ips("$.args.cni.ips", envelope.args_ips()),
        *listed_ips("$.runtimeConfig.ips", runtime.ips),
    )
    for path, item in listed:
        address = faults.reading(path, _requested_ip, item)
        if address is not None:
            found[address] = None
    return tuple(found)


def _requested_ip(text: str) -> Address:
    """``a`` or ``a/prefix``; the prefix doesn't matter but has to be one."""
    if not text:
        raise ValueError("cannot understand ip: IP <nil> not v4 nor v6")
    try:
        address, slash, prefix = text.partition("/")
        found = parse_ip(address)
        if slash and not (prefix.isascii() and prefix.isdigit() and int(prefix) <= _bits(address)):
            raise ValueError
    except ValueError:
        raise ValueError(f"invalid IP address {text}") from None
    return found


def _bits(text: str) -> int:
    return 128 if ":" in text else 32


def _known_range_sets(conf: HostLocalConf, runtime: _Runtime, faults: Faults) -> tuple[RangeSet, ...]:
    """As ``_range_sets``: a network's ranges are the same at every pod, and reading them takes 0.1 ms."""
    key = (conf, runtime.ip_ranges)
    known = _SETS.get(key)
    if known is None:
        known = _range_sets(conf, runtime, faults)
        if not faults:
            if len(_SETS) >= _MOST_SETS:
                _SETS.clear()
            _SETS[key] = known
    return known


def _range_sets(conf: HostLocalConf, runtime: _Runtime, faults: Faults) -> tuple[RangeSet, ...]:
    """``runtimeConfig.ipRanges``, then the old style's range, then ``ranges``."""
    places: list[_PlacedSet] = [
        *_placed("$.runtimeConfig.ipRanges", runtime.ip_ranges),
        *([_PlacedSet("$.ipam", (("$.ipam", conf),))] if conf.subnet is not None else []),
        *_placed("$.ipam.ranges", conf.ranges),
    ]
    sets = [parse_set(place.ranges, number, faults, place.path) for number, place in enumerate(places)]
    out = excluded(listed_ips("$.ipam.exclude", conf.exclude), faults)
    if faults:
        return ()
    for (one, first), (other, second) in combinations(enumerate(sets), 2):
        if first.overlaps(second):
            faults.add(places[other].path, f"range set {one} overlaps with {other}")
    return _reserved_for_none(sets, out)


def _placed(path: str, sets: Sequence[Sequence[RangeConf]]) -> list[_PlacedSet]:
    return [
        _PlacedSet(f"{path}[{i}]", tuple((f"{path}[{i}][{j}]", conf) for j, conf in enumerate(ranges)))
        for i, ranges in enumerate(sets)
    ]


def _reserved_for_none(
    sets: Sequence[RangeSet], out: tuple[tuple[int, Interval], ...]
) -> tuple[RangeSet, ...]:
    """The sets with what must not be given out; a gateway may lie in another set than its own."""
    gateways = frozenset(r.gateway for item in sets for r in item.ranges if r.gateway is not None)
    return tuple(RangeSet(item.ranges, gateways, out) for item in sets)

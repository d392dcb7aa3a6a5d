"""VLANs on a bridge: which ones a pod's port is in, and the host's leg into one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from multinet.cni.errors import InvalidConfig
from multinet.core.desired import BridgeLeg, PortVlans
from multinet.sdk import Facts, Sandbox

_LAST = 4094
_DEFAULT = 1
"""Where untagged frames of a trunk without ``vlan`` belong, as the reference plugin has it."""
_NAME_ROOM = 15


class TrunkConf(msgspec.Struct, frozen=True):
    """One element of ``vlanTrunk``: a single VLAN, or a range, or both."""

    id: int | None = None
    """A VLAN."""
    min_id: int | None = msgspec.field(name="minID", default=None)
    """The first VLAN of a range."""
    max_id: int | None = msgspec.field(name="maxID", default=None)
    """The last VLAN of a range."""


def port_vlans(vlan: int, trunk: Sequence[TrunkConf] | None, keep_default: bool) -> PortVlans | None:
    """The VLANs of the pod's port; None: as the bridge makes them. Raises InvalidConfig.

    A VLAN that is the untagged one, too, stays untagged: a port has each VLAN in one way.
    """
    if not 0 <= vlan <= _LAST:
        raise InvalidConfig("$.vlan", f"invalid VLAN ID {vlan} (must be between 0 and {_LAST})")
    tagged = {number for place, one in enumerate(trunk or ()) for number in _numbers(one, place)}
    if not vlan and not tagged:
        return None
    untagged = vlan or _DEFAULT
    return PortVlans(untagged, _ranges(tagged - {untagged}), keep_default)


def leg_of(bridge: str, vlan: int, mtu: int, pod: Sandbox, host: Facts) -> BridgeLeg:
    """The host's leg into a VLAN of a bridge, where the gateway's addresses are; one for all pods of the VLAN.

    One that is there stays as it is; a new one has ``mtu``.
    """
    name = leg_name(bridge, vlan)
    found = host.link(name)
    made = (
        next((i for i in pod.made.interfaces if i.name == name and not i.sandbox), None) if pod.made else None
    )
    mac = made.mac if made else found.mac if found else host.fresh_mac(name)
    mtu = (made.mtu if made else 0) or (found.mtu if found else 0) or mtu
    port = "veth" + _digest(f"{bridge}.{vlan}", 8)
    return BridgeLeg(
        place="host", whose="shared", name=name, mac=mac, port=port, bridge=bridge, vlan=vlan, mtu=mtu
    )


def leg_name(bridge: str, vlan: int) -> str:
    """``{bridge}.{vlan}``; where that is too long for a link, the bridge's name is cut and told apart by a digest."""
    name = f"{bridge}.{vlan}"
    if len(name.encode()) <= _NAME_ROOM:
        return name
    end = f"{_digest(bridge, 4)}.{vlan}"
    begin = bridge.encode()[: _NAME_ROOM - len(end)].decode(errors="ignore")
    return begin + end


def _numbers(one: TrunkConf, place: int) -> set[int]:
    path = f"$.vlanTrunk[{place}]"
    found: set[int] = set()
    if one.min_id is not None and one.max_id is not None:
        _require(one.min_id, f"{path}.minID", "incorrect trunk minID parameter")
        _require(one.max_id, f"{path}.maxID", "incorrect trunk maxID parameter")
        if one.min_id > one.max_id:
            raise InvalidConfig(path, "minID is greater than maxID in trunk parameter")
        found.update(range(one.min_id, one.max_id + 1))
    elif one.min_id is not None or one.max_id is not None:
        missing = "maxID" if one.max_id is None else "minID"
        raise InvalidConfig(
            path, f"minID and maxID should be configured simultaneously, {missing} is missing"
        )
    if one.id is not None:
        _require(one.id, f"{path}.id", "incorrect trunk id parameter")
        found.add(one.id)
    return found


def _require(number: int, path: str, words: str) -> None:
    if not 1 <= number <= _LAST:
        raise InvalidConfig(path, f"{words} ({number} is outside 1..{_LAST})")


def _ranges(numbers: set[int]) -> tuple[tuple[int, int], ...]:
    """First and last of each run, in order."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]

"""vlan. What the address manager or the common base of all interfaces decides is in the cases of macvlan and ptp."""

from __future__ import annotations

from tests.differential import better
from tests.differential.case import Case, Improvement
from tests.differential.conf import (
    DEFAULT,
    DEFAULT6,
    NET,
    NET_GW,
    V4,
    V6,
    VERSIONS,
    WITH_UPLINK,
    host,
    ranges,
    static,
)
from tests.differential.table import Table


def _usual(case: Case) -> tuple[Improvement, ...]:
    found = [better.QUEUE, better.ANNOUNCED_V4, *better.ipv6_of(case)]
    if case.version == "1.0.0":
        found.append(better.MTU)
    if case.checked and not better.has_ipv6(case):
        found.append(better.CHECK_MORE)
    return tuple(found)


CASES = Table("vlan", conf={"master": "up0", "vlanId": 5}, setup=WITH_UPLINK, needs=("vlan",), usual=_usual)
_case, _refusal = CASES.case, CASES.refusal

_case("v4", ipam=ranges(V4))
_case("v6", ipam=ranges(V6))
_case("dual", ipam=ranges(V4, V6))
_case("lowest id", vlanId=1, ipam=ranges(V4))
_case("id 0", vlanId=0, ipam=ranges(V4))
_case("highest id", vlanId=4094, ipam=ranges(V4))
_case("routes", ipam=ranges(V4, routes=[{**NET, "gw": "10.1.2.1"}, NET_GW, {**DEFAULT, "gw": "10.1.2.1"}]))
_case("routes v6", ipam=ranges(V6, routes=[DEFAULT6]))
_case("mtu", mtu=1400, ipam=ranges(V4))
_case("mtu of the master", setup=host("ip link set up0 mtu 1450"), ipam=ranges(V4))
_case("any case", vlanId=None, VLANID=7, Ipam=ranges(V4))
_case("another interface name", ifname="net1.5", ipam=ranges(V4))
_case(
    "host has an interface of the name",
    setup=host("ip link add eth0 type veth peer name eth1"),
    ipam=ranges(V4),
)
for _version in VERSIONS:
    _case("dual", version=_version, ipam=ranges(V4, V6))

_refusal("no master", '"master" field is required.', better.FAULTY_DEL, master="", ipam=ranges(V4))
_refusal("master missing", "Link not found", better.FAULTY_DEL, master="nic7", ipam=ranges(V4))
_refusal(
    "id too big",
    "invalid VLAN ID 4095 (must be between 0 and 409",
    better.FAULTY_DEL,
    vlanId=4095,
    ipam=ranges(V4),
)
_refusal(
    "id negative",
    "invalid VLAN ID -1 (must be between 0 and 409",
    better.FAULTY_DEL,
    vlanId=-1,
    ipam=ranges(V4),
)
_refusal(
    "mtu too big",
    "invalid MTU 1600, must be [0, master MTU(1500)]",
    better.FAULTY_DEL,
    mtu=1600,
    ipam=ranges(V4),
)
_refusal(
    "mtu negative",
    "invalid MTU -100, must be [0, master MTU(1500)]",
    better.FAULTY_DEL,
    mtu=-100,
    ipam=ranges(V4),
)
_refusal("no addresses", "IPAM plugin returned missing IP config", better.NOTHING_LEFT, ipam=static())
_refusal("wrong type", "mtu", better.FAULTY_DEL, mtu="1500", ipam=ranges(V4))

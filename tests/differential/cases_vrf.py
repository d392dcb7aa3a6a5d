"""vrf, after macvlan. It has two options, so what varies is what it finds."""

from __future__ import annotations

from typing import Any

from tests.differential import better
from tests.differential.case import Case, Improvement, Json
from tests.differential.conf import DEFAULT, DEFAULT6, NET_GW, WITH_UPLINK, inside, static
from tests.differential.table import Table

_V4, _V6 = "10.1.2.33/24 10.1.2.1", "2001:db8:1::33/64 2001:db8:1::1"


def _macvlan(*addresses: str, **more: Any) -> tuple[Json, ...]:
    return ({"type": "macvlan", "master": "up0", "ipam": static(*addresses, **more)},)


def _usual(case: Case) -> tuple[Improvement, ...]:
    there = any("blue" in command for command in case.setup.sandbox)
    found = [] if there else [better.QUEUE]
    if there and "member" not in case.what:
        found.append(better.VRF_STAYS)
    if "2001:db8:1:" in str(case.chain):
        found.append(better.VRF_ADDRESSES)
    if "route" in case.what:
        found += [better.VRF_ROUTES, better.VRF_RESULT]
    return tuple(found)


CASES = Table(
    "vrf", usual=_usual, conf={"vrfname": "blue"}, setup=WITH_UPLINK, chain=_macvlan(_V4), needs=("vrf",)
)
_case, _refusal = CASES.case, CASES.refusal
_BLUE = inside("ip link add blue type vrf table 1000", "ip link set blue up")
_MEMBER = inside("ip link add net9 type veth peer name net8", "ip link set net9 master blue up")

_case("v4", table=500)
_case("v6", table=500, chain=_macvlan(_V6))
_case("dual", table=500, chain=_macvlan(_V4, _V6))
_case("L2", table=500, chain=({"type": "macvlan", "master": "up0"},))
_case("table by itself")
_case(
    "table by itself, some in use",
    setup=inside(*(f"ip link add v{n} type vrf table {n}" for n in (1, 2, 3, 5))),
)
_case("table 0", table=0)
_case("highest table", table=4294967295)
_case("two of one table", table=1000, setup=inside("ip link add red type vrf table 1000"))
_case("there", setup=_BLUE)
_case("there with that table", table=1000, setup=_BLUE)
_case("there with a member", setup=_BLUE + _MEMBER)
_case("routes", table=500, chain=_macvlan(_V4, routes=[NET_GW]))
_case("default route", table=500, chain=_macvlan(_V4, routes=[{**DEFAULT, "gw": "10.1.2.1"}]))
_case("default route v6", table=500, chain=_macvlan(_V6, routes=[DEFAULT6]))
_case("two addresses", table=500, chain=_macvlan(_V4, "10.9.0.3/16"))
_case("after a bridge", table=500, chain=({"type": "bridge", "bridge": "br0", "ipam": static(_V4)},))
_case("another interface name", table=500, ifname="net1.5")
_case("any case", vrfname=None, VRFNAME="red", Table=500)
for _version in ("0.3.1", "0.4.0"):
    _case("dual", version=_version, table=500, chain=_macvlan(_V4, _V6))

_refusal("no name", "configuration is expected to have a valid vrf name", better.FAULTY_DEL, vrfname="")
_refusal("not chained", "missing prevResult from earlier plugin", chain=())
_refusal(
    "other table",
    "VRF blue already exist with different routing table 1000",
    better.VRF_STAYS,
    table=7,
    setup=_BLUE,
)
_refusal(
    "no vrf",
    "Netlink net9 is not a VRF",
    better.FAULTY_DEL,
    vrfname="net9",
    setup=inside("ip link add net9 type veth peer name net8"),
)
_refusal("wrong type", "table", better.FAULTY_DEL, table="x")

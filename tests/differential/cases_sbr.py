"""sbr, after macvlan. Its options are newer than 1.1.1, so what varies is what it finds."""

from __future__ import annotations

from typing import Any

from tests.differential import better
from tests.differential.case import Case, Improvement, Json
from tests.differential.conf import DEFAULT, DEFAULT6, NET, NET_GW, VERSIONS, WITH_UPLINK, inside, static
from tests.differential.table import Table

_V4, _V6 = "10.1.2.33/24 10.1.2.1", "2001:db8:1::33/64 2001:db8:1::1"
_OTHER = inside(
    "ip link add net9 type veth peer name net8",
    "ip link set net9 up",
    "ip link set net8 up",
    "ip addr add 10.7.0.2/24 dev net9",
    "ip route add default via 10.7.0.1 dev net9",
)


def _macvlan(*addresses: str, **more: Any) -> tuple[Json, ...]:
    return ({"type": "macvlan", "master": "up0", "ipam": static(*addresses, **more)},)


def _usual(case: Case) -> tuple[Improvement, ...]:
    return (better.SBR_PROTOCOL, better.SBR_BACK)


CASES = Table("sbr", usual=_usual, setup=WITH_UPLINK, chain=_macvlan(_V4))
_case, _refusal = CASES.case, CASES.refusal

_case("v4")
_case("v6", chain=_macvlan(_V6))
_case("dual", better.SBR_FAMILIES, chain=_macvlan(_V4, _V6))
_case("without gateway", chain=_macvlan("10.1.2.33/24"))
_case("two addresses of one subnet", chain=_macvlan(_V4, "10.1.2.34/24 10.1.2.1"))
_case("two subnets", chain=_macvlan(_V4, "10.9.0.3/16 10.9.0.1"))
_case("routes", better.SBR_RESULT, chain=_macvlan(_V4, routes=[NET, NET_GW]))
_case("default route", better.SBR_RESULT, chain=_macvlan(_V4, routes=[{**DEFAULT, "gw": "10.1.2.1"}]))
_case("default route v6", better.SBR_RESULT, chain=_macvlan(_V6, routes=[DEFAULT6]))
_case(
    "route of another subnet",
    better.SBR_RESULT,
    chain=_macvlan(_V4, "10.9.0.3/16 10.9.0.1", routes=[{"dst": "10.60.0.0/16", "gw": "10.9.0.7"}]),
)
_case("beside another interface", setup=_OTHER)
_case(
    "beside another interface, routes",
    better.SBR_RESULT,
    setup=_OTHER,
    chain=_macvlan(_V4, routes=[NET, NET_GW]),
)
_case("table 100 in a rule", setup=inside("ip rule add from 192.0.2.1 table 100"))
_case(
    "table 100 in use",
    setup=inside("ip rule add from 192.0.2.1 table 100", "ip rule add from 192.0.2.2 table 102"),
)
_case("table in a v6 rule", setup=inside("ip -6 rule add from 2001:db8:9::1 table 100"))
_case("after a bridge", chain=({"type": "bridge", "bridge": "br0", "ipam": static(_V4)},))
_case("after ptp", chain=({"type": "ptp", "ipam": static(_V4)},))
_case("another interface name", ifname="net1.5")
_case("unknown keys", fancy=1)
for _version in VERSIONS:
    _case("dual", better.SBR_FAMILIES, version=_version, chain=_macvlan(_V4, _V6))

_refusal("not chained", "This plugin must be called as chained plugin", better.SBR_GONE, chain=())
_refusal(
    "no addresses",
    "No IP addresses supplied on interface: eth0",
    chain=({"type": "macvlan", "master": "up0"},),
)

"""ipvlan. What the address manager or the common base of all interfaces decides is in the cases of macvlan and ptp."""

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
    return (better.QUEUE, *([better.MTU] if case.version == "1.0.0" else []), *better.ipv6_of(case))


CASES = Table("ipvlan", conf={"master": "up0"}, setup=WITH_UPLINK, needs=("ipvlan",), usual=_usual)
_case, _refusal = CASES.case, CASES.refusal
_ROUTE = host("ip route add default dev up0")
_PREVIOUS = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "up0", "mac": "02:00:00:00:00:10"}],
    "ips": [{"address": "10.1.2.33/24", "interface": 0, "gateway": "10.1.2.1"}],
    "routes": [{"dst": "10.50.0.0/16", "gw": "10.1.2.1"}],
}

for _mode in ("l2", "l3", "l3s"):
    _case(f"mode {_mode}", mode=_mode, ipam=ranges(V4))
_case("v6", ipam=ranges(V6))
_case("dual", ipam=ranges(V4, V6))
_case("routes", ipam=ranges(V4, routes=[{**NET, "gw": "10.1.2.1"}, NET_GW, {**DEFAULT, "gw": "10.1.2.1"}]))
_case("routes v6", ipam=ranges(V6, routes=[DEFAULT6]))
_case("mtu", mtu=1400, ipam=ranges(V4))
_case("mtu of the master", setup=host("ip link set up0 mtu 1450"), ipam=ranges(V4))
_case("master by default route", check=False, master="", setup=_ROUTE, ipam=ranges(V4))
_case(
    "master of the previous result",
    better.IPVLAN_ADDED,
    check=False,
    master="",
    prevResult=_PREVIOUS,
    ipam=ranges(V4),
)
_case("addresses of the previous result", better.IPVLAN_ADDED, check=False, prevResult=_PREVIOUS)
_case("any case", MODE="l3", Ipam=ranges(V4))
_case("another interface name", ifname="net1.5", ipam=ranges(V4))
_case(
    "host has an interface of the name",
    setup=host("ip link add eth0 type veth peer name eth1"),
    ipam=ranges(V4),
)
for _version in VERSIONS:
    _case("dual", version=_version, ipam=ranges(V4, V6))

_refusal("master missing", "Link not found", better.NO_FOLDER, master="nic7", ipam=ranges(V4))
_refusal(
    "no default route", "no default route interface found", better.FAULTY_DEL, master="", ipam=ranges(V4)
)
_refusal("mode unknown", 'unknown ipvlan mode: "fast"', better.NOTHING_LEFT, mode="fast", ipam=ranges(V4))
_refusal("no addresses", "IPAM plugin returned missing IP config", better.NOTHING_LEFT, ipam=static())
_refusal("wrong type", "mtu", better.FAULTY_DEL, mtu="1500", ipam=ranges(V4))

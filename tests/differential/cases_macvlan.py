"""macvlan."""

from __future__ import annotations

from tests.differential import better
from tests.differential.case import Case, Improvement
from tests.differential.conf import (
    DEFAULT,
    DEFAULT6,
    DNS,
    MAC,
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
    gatewayless = [better.ROUTE_CHECK] if "routes dual" in case.what and case.checked else []
    return (
        better.QUEUE,
        *gatewayless,
        *([better.MTU] if case.version == "1.0.0" else []),
        *better.ipv6_of(case),
    )


CASES = Table("macvlan", usual=_usual, conf={"master": "up0"}, setup=WITH_UPLINK)
_case, _refusal = CASES.case, CASES.refusal
_ROUTE = host("ip route add default dev up0")

_case("L2")
for _mode in ("bridge", "private", "vepa", "passthru"):
    _case(f"mode {_mode}", mode=_mode, ipam=ranges(V4))
_case("v4", ipam=ranges(V4))
_case("v6", ipam=ranges(V6))
_case("dual", ipam=ranges(V4, V6))
_case("routes", better.ROUTE_CHECK, ipam=ranges(V4, routes=[NET, NET_GW, DEFAULT]))
_case("routes v6", ipam=ranges(V6, routes=[DEFAULT6, {"dst": "2001:db8:f::/48", "gw": "2001:db8:1::9"}]))
_case("static twice", ipam=static("10.1.2.33/24 10.1.2.1", "10.9.0.3/16", routes=[DEFAULT]))
_case("static without gateway", ipam=static("10.1.2.33/24"))
_case("static v6 without gateway", ipam=static("2001:db8:1::33/64"))
_case("mtu", mtu=1400, ipam=ranges(V4))
_case("mtu L2", mtu=1280)
_case("mtu of the master", setup=host("ip link set up0 mtu 1450"), ipam=ranges(V4))
_case("mac", mac=MAC, ipam=ranges(V4))
_case("mac L2", mac=MAC)
_case("mac by runtime", mac="02:00:00:00:00:01", runtimeConfig={"mac": MAC}, ipam=ranges(V4))
_case("mac by argument", mac="02:00:00:00:00:01", cni_args=f"IgnoreUnknown=1;MAC={MAC}", ipam=ranges(V4))
_case(
    "mac by runtime before argument",
    cni_args="IgnoreUnknown=1;MAC=02:00:00:00:00:01",
    runtimeConfig={"mac": MAC},
)
_case("own dns", dns=DNS, ipam=ranges(V4))
_case("dns of ipam", better.IPAM_DNS, ipam=static("10.1.2.33/24", dns=DNS))
_case("master by default route", master="", setup=_ROUTE, ipam=ranges(V4))
_case("master by default route L2", master="", setup=_ROUTE)
_case(
    "host has an interface of the name",
    setup=host("ip link add eth0 type veth peer name eth1"),
    ipam=ranges(V4),
)
_case("any case", MODE="private", Ipam=ranges(V4))
_case("another interface name", ifname="net1.5", ipam=ranges(V4))
for _version in VERSIONS:
    _case("routes dual", version=_version, ipam=ranges(V4, V6, routes=[NET, NET_GW, DEFAULT]))
_case("v4", version="0.1.0", ipam=ranges(V4))
_case("L2", version="0.3.1")

_refusal("master missing", "Link not found", better.FAULTY_DEL, master="nic7", ipam=ranges(V4))
_refusal("no default route", "no default route interface found", better.FAULTY_DEL, master="")
_refusal("mode unknown", 'unknown macvlan mode: "fast"', mode="fast")
_refusal("mtu too big", "invalid MTU 1600, must be [0, master MTU(1500)]", better.FAULTY_DEL, mtu=1600)
_refusal("mtu negative", "invalid MTU -100, must be [0, master MTU(1500)]", better.FAULTY_DEL, mtu=-100)
_refusal("no addresses", "IPAM plugin returned missing IP config", better.NOTHING_LEFT, ipam=static())
_refusal("interface taken", "exist", better.OTHERS_LINK, better.NO_FOLDER, ifname="lo", ipam=ranges(V4))
_refusal("bad mac", "invalid args no for MAC addr", mac="no")
_refusal("unknown argument", "unknown args", better.ARGS_DEL, cni_args="FANCY=1")
_refusal("wrong type", "mtu", better.FAULTY_DEL, mtu="1500")

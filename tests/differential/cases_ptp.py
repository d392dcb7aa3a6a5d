"""ptp: three options beside the addresses, so most cases are about those."""

from __future__ import annotations

from tests.differential import better
from tests.differential.case import Case, Improvement
from tests.differential.conf import (
    DEFAULT,
    DEFAULT6,
    DNS,
    EMPTY_DNS,
    NET,
    V4,
    V6,
    VERSIONS,
    host,
    ranges,
    static,
)
from tests.differential.table import Table


def _usual(case: Case) -> tuple[Improvement, ...]:
    found = [better.QUEUE, better.PTP_NEIGHBOUR, better.PTP_ADDRESSES]
    if case.version == "1.0.0":
        found.append(better.MTU)
    if case.checked:
        found.append(better.PTP_CHECK)
    if better.has_ipv6(case):
        found += [better.IPV6_SYSCTLS, better.PTP_SOURCE]
    return tuple(found)


CASES = Table("ptp", usual=_usual)
_case, _refusal = CASES.case, CASES.refusal
_G4, _G6 = "10.1.2.33/24 10.1.2.1", "2001:db8:1::33/64 2001:db8:1::1"

_case("v4", ipam=ranges(V4))
_case("v6", ipam=ranges(V6))
_case("dual", ipam=ranges(V4, V6))
_case("default route", ipam=ranges(V4, routes=[DEFAULT]))
_case("default routes dual", ipam=ranges(V4, V6, routes=[DEFAULT, DEFAULT6]))
_case("route", better.ROUTE_CHECK, ipam=ranges(V4, routes=[NET]))
_case("static", ipam=static(_G4))
_case("static v6", ipam=static(_G6))
_case("static dual", ipam=static(_G4, _G6))
_case("two subnets", ipam=static(_G4, "10.9.0.33/16 10.9.0.1"))
_case("small subnet", ipam=static("10.1.2.2/30 10.1.2.1"))
_case("odd prefix", ipam=static("2001:db8:1::33/66 2001:db8:1::1"))
_case("mtu", mtu=1400, ipam=ranges(V4))
_case("mtu above the usual", mtu=5000, ipam=ranges(V4))
_case("own dns", dns=DNS, ipam=ranges(V4))
_case("own dns before the ipam's", dns=DNS, ipam=static(_G4, dns={"domain": "other"}))
_case("dns of ipam", ipam=static(_G4, dns=DNS))
_case("empty dns", dns=EMPTY_DNS, ipam=static(_G4, dns=DNS))
_case("masquerade", better.MASQUERADE_CHAIN, ipMasq=True, ipMasqBackend="iptables", ipam=ranges(V4))
_case("masquerade v6", ipMasq=True, ipMasqBackend="iptables", ipam=ranges(V6))
_case("masquerade with what works best", better.MASQUERADE_TABLES, ipMasq=True, ipam=ranges(V4))
_case("any case", MTU=1400, IPAM=ranges(V4))
_case("another interface name", ifname="net1.5", ipam=ranges(V4))
_case("forwarding already", setup=host("sysctl -qw net.ipv4.ip_forward=1"), ipam=ranges(V4))
for _version in VERSIONS:
    _case("default routes dual", version=_version, ipam=ranges(V4, V6, routes=[DEFAULT, DEFAULT6]))

_refusal("no addresses", "IPAM plugin returned missing IP config", ipam=static())
_refusal(
    "interface taken", "already exists", better.NOTHING_LEFT, better.OTHERS_LINK, ifname="lo", ipam=ranges(V4)
)
_refusal("wrong type", "mtu", better.FAULTY_DEL, mtu="1500", ipam=ranges(V4))
_case("unknown version", refused="incompatible CNI versions", version="9.9.9", ipam=ranges(V4))

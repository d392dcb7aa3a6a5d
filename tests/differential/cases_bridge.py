"""bridge: the options that release 1.1.1 has."""

from __future__ import annotations

from tests.differential import better
from tests.differential.case import Case, Improvement
from tests.differential.conf import (
    DEFAULT,
    DEFAULT6,
    DNS,
    EMPTY_DNS,
    MAC,
    NET,
    NET_GW,
    V4,
    V6,
    VERSIONS,
    host,
    ranges,
    static,
)
from tests.differential.table import Table


def _is_gateway(case: Case) -> bool:
    return any(case.conf.get(key) for key in ("isGateway", "ISGATEWAY", "isDefaultGateway"))


def _usual(case: Case) -> tuple[Improvement, ...]:
    found = [better.QUEUE, *([better.MTU] if case.version == "1.0.0" else []), *better.ipv6_of(case)]
    if not (case.setup.host or _is_gateway(case)):
        found.append(better.BRIDGE_MAC)
    if case.l3 and not better.has_ipv6(case):
        found.append(better.ACCEPT_DAD)
    if not case.l3 and case.checked:
        found.append(better.CHECK_L2)
    return tuple(found)


CASES = Table("bridge", conf={"bridge": "br0"}, usual=_usual)
_case, _refusal = CASES.case, CASES.refusal
_BRIDGE = host("ip link add br0 address 02:00:00:00:00:20 up type bridge")
_ADDRESS = _BRIDGE + host("ip addr add 10.1.2.1/24 dev br0")
_OTHER = _BRIDGE + host("ip addr add 10.7.0.1/16 dev br0")

_case("L2")
_case("L2 with empty ipam", ipam={})
_case("v4", ipam=ranges(V4))
_case("v6", ipam=ranges(V6))
_case("dual", ipam=ranges(V4, V6))
_case("gateway v4", isGateway=True, ipam=ranges(V4))
_case("gateway v6", isGateway=True, ipam=ranges(V6))
_case("gateway dual", isGateway=True, ipam=ranges(V4, V6))
_case("default gateway", isDefaultGateway=True, ipam=ranges(V4))
_case("default gateway v6", isDefaultGateway=True, ipam=ranges(V6))
_case("default gateway dual", isDefaultGateway=True, ipam=ranges(V4, V6))
_case(
    "default gateway and route",
    isDefaultGateway=True,
    ipam=ranges(V4, routes=[{**DEFAULT, "gw": "10.1.2.1"}]),
)
_case("gateway invented", isGateway=True, ipam=static("10.1.2.33/24"))
_case("gateway of ipam", isGateway=True, ipam=static("10.1.2.33/24 10.1.2.254"))
_case("static twice", isGateway=True, ipam=static("10.1.2.33/24", "10.1.2.34/24"))
_case("static dual", isDefaultGateway=True, ipam=static("10.1.2.33/24 10.1.2.254", "2001:db8:1::33/64"))
_case("routes", better.ROUTE_CHECK, ipam=ranges(V4, routes=[NET, NET_GW, DEFAULT]))
_case("routes v6", ipam=ranges(V6, routes=[DEFAULT6, {"dst": "2001:db8:f::/48", "gw": "2001:db8:1::9"}]))
_case("own dns", dns=DNS, ipam=static("10.1.2.33/24", dns={"domain": "other"}))
_case("own dns L2", dns=DNS)
_case("empty dns", dns=EMPTY_DNS, ipam=static("10.1.2.33/24", dns=DNS))
_case("dns of ipam", better.IPAM_DNS, ipam=static("10.1.2.33/24", dns=DNS))
_case("mtu", mtu=1400, ipam=ranges(V4))
_case("mtu L2", mtu=9000)
_case("hairpin", hairpinMode=True, ipam=ranges(V4))
_case("hairpin L2", hairpinMode=True)
_case("promisc", promiscMode=True, ipam=ranges(V4))
_case("dad", enabledad=True, ipam=ranges(V6))
_case("mac by runtime", runtimeConfig={"mac": MAC}, ipam=ranges(V4))
_case("mac by argument", cni_args=f"IgnoreUnknown=1;MAC={MAC}", ipam=ranges(V4))
_case("any case", ISGATEWAY=True, RuntimeConfig={"mac": MAC}, ipam=ranges(V4))
_case("unknown keys", fancy=1, ipam={**ranges(V4), "more": "x"})
_case("null is absent", mtu=None, isGateway=None, ipam=ranges(V4))
_case(
    "masquerade",
    better.MASQUERADE_CHAIN,
    isGateway=True,
    ipMasq=True,
    ipMasqBackend="iptables",
    ipam=ranges(V4),
)
_case("masquerade v6", isGateway=True, ipMasq=True, ipMasqBackend="iptables", ipam=ranges(V6))
_case(
    "masquerade dual",
    better.MASQUERADE_CHAIN,
    isGateway=True,
    ipMasq=True,
    ipMasqBackend="iptables",
    ipam=ranges(V4, V6),
)
_case(
    "masquerade with what works best", better.MASQUERADE_TABLES, isGateway=True, ipMasq=True, ipam=ranges(V4)
)
_case("spoof check", better.SPOOF_CHECK, macspoofchk=True, ipam=ranges(V4))
_case("spoof check L2", better.SPOOF_CHECK, macspoofchk=True)
_case("bridge there", setup=_BRIDGE, isGateway=True, ipam=ranges(V4))
_case("gateway there", setup=_ADDRESS, isGateway=True, ipam=ranges(V4))
_case("forced address", setup=_OTHER, isGateway=True, forceAddress=True, ipam=ranges(V4))
_case("another interface name", ifname="net1.5", ipam=ranges(V4))
_case("vlan", better.PORT_VLANS, needs=("vlan_filtering",), vlan=100, ipam=ranges(V4))
_case(
    "vlan gateway",
    better.PORT_VLANS,
    better.LEG,
    better.BRIDGE_MAC,
    needs=("vlan_filtering",),
    vlan=100,
    isGateway=True,
    ipam=ranges(V4),
)
_case("vlan L2", better.PORT_VLANS, needs=("vlan_filtering",), vlan=100)
for _version in VERSIONS:
    _case("default gateway dual", version=_version, isDefaultGateway=True, ipam=ranges(V4, V6))
_case("routes", version="0.1.0", ipam=ranges(V4, routes=[NET, DEFAULT]))
_case("L2", version="0.4.0")

_refusal(
    "other address",
    '"br0" already has an IP address different from 10.1.2.1/24',
    better.NOTHING_LEFT,
    setup=_OTHER,
    isGateway=True,
    ipam=ranges(V4),
)
_refusal("no bridge", '"lo" already exists but is not a bridge', bridge="lo")
_refusal(
    "hairpin and promisc",
    "cannot set hairpin mode and promiscuous mode at the same time",
    hairpinMode=True,
    promiscMode=True,
)
_refusal("vlan too big", "invalid VLAN ID 4095 (must be between 0 and 4094)", better.FAULTY_DEL, vlan=4095)
_refusal("vlan negative", "invalid VLAN ID -1 (must be between 0 and 4094)", better.FAULTY_DEL, vlan=-1)
_refusal("no addresses", "IPAM plugin returned missing IP config", better.NOTHING_LEFT, ipam=static())
_refusal(
    "interface taken",
    "already exists",
    better.NOTHING_LEFT,
    better.OTHERS_LINK,
    setup=host(),
    ifname="lo",
    ipam=ranges(V4),
)
_refusal("unknown argument", "unknown args", better.ARGS_DEL, cni_args="FANCY=1", ipam=ranges(V4))
_refusal(
    "bad mac", "invalid MAC address", better.NOTHING_LEFT, better.ARGS_DEL, cni_args="MAC=no", ipam=ranges(V4)
)
_refusal("wrong type", "isGateway", better.FAULTY_DEL, isGateway="yes", ipam=ranges(V4))
_case("unknown version", refused="incompatible CNI versions", version="9.9.9")
_refusal(
    "full",
    "no IP addresses available in range set",
    better.NOTHING_LEFT,
    ipam=static() | ranges("10.1.2.0/30"),
    setup=host("mkdir -p {dir}/ipam/net", "printf x > {dir}/ipam/net/10.1.2.2"),
)

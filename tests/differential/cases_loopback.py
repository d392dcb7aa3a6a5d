"""loopback. It has no options: what can vary is ``lo`` itself, its name, versions, a previous result."""

from __future__ import annotations

from tests.differential import better
from tests.differential.case import Json
from tests.differential.conf import MAC, inside, static
from tests.differential.table import Table

CASES = Table("loopback")
_case, _refusal = CASES.case, CASES.refusal
_PREVIOUS: Json = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "mac": MAC, "sandbox": "{netns}"}],
    "ips": [{"address": "10.1.2.3/24", "interface": 0, "gateway": "10.1.2.1"}],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {"nameservers": ["10.0.0.53"]},
}

for _version in ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"):
    _case("lo", *([] if _version == "1.0.0" else [better.LOOPBACK_VERSION]), version=_version, ifname="lo")
_case("another name", ifname="eth0")
_case("up already", ifname="lo", setup=inside("ip link set lo up"))
_case(
    "a second loopback address",
    better.SECOND_LOOPBACK,
    ifname="lo",
    setup=inside("ip addr add 127.0.0.2/8 dev lo"),
)
_case("without ipv6", ifname="lo", setup=inside("sysctl -qw net.ipv6.conf.lo.disable_ipv6=1"))
_case("any arguments", ifname="lo", cni_args="none")
_case("unknown arguments", ifname="lo", cni_args="FANCY=1")
_case("unknown keys", ifname="lo", fancy=True)
_case("ipam is ignored", ifname="lo", ipam=static("10.1.2.3/24"))
_case("dns is ignored", ifname="lo", dns={"nameservers": ["10.0.0.53"]})
_case("previous result", ifname="lo", prevResult=_PREVIOUS)
_case(
    "previous result of an older version",
    version="0.4.0",
    ifname="lo",
    prevResult={**_PREVIOUS, "cniVersion": "0.4.0", "ips": [{"version": "4", **_PREVIOUS["ips"][0]}]},
)
_case(
    "beside an interface",
    ifname="lo",
    setup=inside(
        "ip link add eth0 type veth peer name eth1", "ip link set eth0 up", "ip addr add 10.1.2.3/24 dev eth0"
    ),
)
_case("foreign address", better.FOREIGN_ADDRESS, ifname="lo", setup=inside("ip addr add 10.1.2.3/24 dev lo"))
_refusal(
    "bad previous result",
    "could not parse prevResult",
    ifname="lo",
    prevResult={"cniVersion": "1.0.0", "ips": "x"},
)
_case("unknown version", refused="incompatible CNI versions", ifname="lo", version="9.9.9")

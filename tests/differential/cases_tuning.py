"""tuning, after a bridge."""

from __future__ import annotations

from tests.differential.case import Json
from tests.differential.conf import MAC, VERSIONS, static
from tests.differential.table import Table

_FIRST: Json = {
    "type": "bridge",
    "bridge": "br0",
    "ipam": static("10.1.2.33/24 10.1.2.1", "2001:db8:1::33/64"),
}
CASES = Table("tuning", conf={"dataDir": "{dir}/tuning"}, chain=(_FIRST,))
_case, _refusal = CASES.case, CASES.refusal
_MARTIANS, _RP = "net.ipv4.conf.IFNAME.log_martians", "net.ipv4.conf.eth0.rp_filter"


def _cni(**options: object) -> Json:
    return {"cni": options}


_case("nothing")
_case("sysctl", sysctl={_MARTIANS: "1"})
_case("sysctl of the interface by name", sysctl={_RP: "2"})
_case("two sysctls", sysctl={_MARTIANS: "1", _RP: "2"})
_case("sysctl with slashes", sysctl={"net/ipv4/conf/eth0/log_martians": "1"})
_case("sysctl of all", sysctl={"net.ipv4.conf.all.log_martians": "1"})
_case("sysctl v6", sysctl={"net.ipv6.conf.IFNAME.accept_ra": "0"})
_case("mac", mac=MAC)
_case("mac in capitals", mac="02:00:00:00:00:AB")
_case("mtu", mtu=1400)
_case("promisc", promisc=True)
_case("promisc off", promisc=False)
_case("allmulti", allmulti=True)
_case("allmulti off", allmulti=False)
_case("everything", sysctl={_MARTIANS: "1"}, mac=MAC, mtu=1400, promisc=True, allmulti=True)
_case("mac by argument", mac="02:00:00:00:00:01", cni_args=f"IgnoreUnknown=1;MAC={MAC}")
_case("mac by runtime", mac="02:00:00:00:00:01", runtimeConfig={"mac": MAC})
_case(
    "mac by runtime before argument",
    cni_args="IgnoreUnknown=1;MAC=02:00:00:00:00:01",
    runtimeConfig={"mac": MAC},
)
_case("args", mac="02:00:00:00:00:01", mtu=1300, args=_cni(mac=MAC, mtu=1400, promisc=True, allmulti=True))
_case("sysctl of args", sysctl={_MARTIANS: "0"}, args=_cni(sysctl={_MARTIANS: "1", _RP: "2"}))
_case("args before runtime", args=_cni(mac=MAC), runtimeConfig={"mac": "02:00:00:00:00:01"})
_case("any case", MTU=1400, RunTimeConfig={"Mac": MAC})
for _version in VERSIONS:
    _case("everything", version=_version, sysctl={_MARTIANS: "1"}, mac=MAC, mtu=1400, promisc=True)

_refusal("no previous result", "Required prevResult missing", chain=(), mtu=1400)
_refusal("sysctl elsewhere", 'invalid net sysctl key: "kernel.shmmax"', sysctl={"kernel.shmmax": "1"})
_refusal("sysctl missing", "no such file or directory", sysctl={"net.ipv4.conf.eth0.nonsense": "1"})
_refusal("bad mac", "invalid args no for MAC addr", mac="no")
_refusal("unknown argument", "unknown args", cni_args="FANCY=1", mtu=1400)
_refusal("wrong type", "mtu", mtu="1400")
_refusal("sysctl isn't a text", "sysctl", sysctl={_MARTIANS: 1})

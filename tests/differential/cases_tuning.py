"""tuning, after a bridge."""

from __future__ import annotations

from tests.differential import better
from tests.differential.case import Case, Improvement, Json
from tests.differential.conf import MAC, VERSIONS, static
from tests.differential.table import Table

_FIRST: Json = {
    "type": "bridge",
    "bridge": "br0",
    "ipam": static("10.1.2.33/24 10.1.2.1", "2001:db8:1::33/64"),
}


def _usual(case: Case) -> tuple[Improvement, ...]:
    conf = {key.lower(): value for key, value in case.conf.items()}
    by_args = conf.get("args", {}).get("cni", {})
    sysctls = {**conf.get("sysctl", {}), **by_args.get("sysctl", {})}
    found = []
    if sysctls:
        found.append(better.SYSCTLS_BACK)
    if case.checked and any("IFNAME" in key for key in sysctls):
        found.append(better.IFNAME_CHECK)
    if case.what not in ("nothing", "promisc off"):
        found.append(better.BACKUP)
    if case.version == "1.0.0" and (conf.get("mtu") or by_args.get("mtu")):
        found.append(better.MTU)
    return tuple(found)


CASES = Table("tuning", usual=_usual, conf={"dataDir": "{dir}/tuning"}, chain=(_FIRST,))
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
_case("mac in capitals", better.SPELLING, mac="02:00:00:00:00:AB")
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
_refusal("sysctl missing", "net/ipv4/conf/eth0/nonsense", sysctl={"net.ipv4.conf.eth0.nonsense": "1"})
_refusal("bad mac", "invalid args no for MAC addr", better.NOTHING_LEFT, mac="no")
_refusal("unknown argument", "unknown args", better.ARGS_DEL, cni_args="FANCY=1", mtu=1400)
_refusal("wrong type", "mtu", better.FAULTY_DEL, mtu="1400")
_refusal("sysctl isn't a text", "sysctl", better.FAULTY_DEL, sysctl={_MARTIANS: 1})

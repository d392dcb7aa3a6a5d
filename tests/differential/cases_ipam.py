"""host-local and static: results, and the files that host-local keeps."""

from __future__ import annotations

from typing import Any

from tests.differential import better
from tests.differential.case import Setup
from tests.differential.conf import DEFAULT, DEFAULT6, DNS, NET, NET_GW, V4, V6, ranges, static
from tests.differential.table import Table

HOST_LOCAL = Table("host-local")
STATIC = Table("static")


def _held(*names: str, last: str = "") -> Setup:
    """Addresses that another container has."""
    files = {f"ipam/net/{name}": "other\r\neth0" for name in names}
    return Setup(files={**files, **({"ipam/net/last_reserved_ip.0": last} if last else {})})


def _set(*of: dict[str, str], **more: Any) -> dict[str, Any]:
    """host-local with one range set of these ranges."""
    return {"type": "host-local", "dataDir": "{dir}/ipam", "ranges": [list(of)], **more}


def _faulty(what: str, refused: str, **more: Any) -> None:
    """A configuration with which theirs can't even release."""
    HOST_LOCAL.refusal(what, refused, better.FAULTY_DEL, **more)


_case, _refusal = HOST_LOCAL.case, HOST_LOCAL.refusal
_RESOLV = (
    "# mine\nnameserver 10.0.0.53\nnameserver 10.0.0.54 # x\ndomain a\ndomain b\n"
    "search c d\nsearch e\noptions ndots:2 rotate\n;x\nsortlist 1\n"
)
_case("v4", ipam=ranges(V4))
_case("v6", ipam=ranges(V6))
_case("dual", ipam=ranges(V4, V6))
_case("three sets", ipam=ranges(V4, V6, "10.9.0.0/16"))
_case("old style", ipam={"type": "host-local", "dataDir": "{dir}/ipam", "subnet": V4})
_case("old style and new", ipam={**ranges(V6), "subnet": V4, "gateway": "10.1.2.254"})
_case(
    "old style in full",
    ipam={
        "type": "host-local",
        "dataDir": "{dir}/ipam",
        "subnet": V4,
        "rangeStart": "10.1.2.9",
        "rangeEnd": "10.1.2.11",
        "gateway": "10.1.2.10",
    },
)
_case("range", ipam=_set({"subnet": V4, "rangeStart": "10.1.2.100", "rangeEnd": "10.1.2.110"}))
_case("start is the network", ipam=_set({"subnet": V4, "rangeStart": "10.1.2.0"}))
_case("end is the broadcast", ipam=_set({"subnet": V4, "rangeStart": "10.1.2.255", "rangeEnd": "10.1.2.255"}))
_case("gateway elsewhere", ipam=_set({"subnet": V4, "gateway": "192.0.2.1"}))
_case("other gateway", ipam=_set({"subnet": V4, "gateway": "10.1.2.254"}))
_case("smallest", ipam=ranges("10.1.2.0/30"))
_case("smallest v6", ipam=ranges("2001:db8:1::/126"))
_case("set of two", ipam=_set({"subnet": "10.1.2.0/30"}, {"subnet": "10.1.3.0/30"}))
_case(
    "set of two, first full",
    ipam=_set({"subnet": "10.1.2.0/30"}, {"subnet": "10.1.3.0/30"}),
    setup=_held("10.1.2.2", last="10.1.2.2"),
)
_case(
    "disjoint parts",
    ipam=_set({"subnet": V4, "rangeEnd": "10.1.2.9"}, {"subnet": V4, "rangeStart": "10.1.2.20"}),
)
_case("after the last", ipam=ranges(V4), setup=_held("10.1.2.7", last="10.1.2.7"))
_case("last is the end", ipam=ranges("10.1.2.0/29"), setup=_held(last="10.1.2.6"))
_case("last is elsewhere", ipam=ranges("10.1.2.0/29"), setup=_held(last="192.0.2.1"))
_case("last can't be read", ipam=ranges("10.1.2.0/29"), setup=_held(last="what"))
_case(
    "only the last is free",
    ipam=ranges("10.1.2.0/29"),
    setup=_held("10.1.2.2", "10.1.2.3", "10.1.2.5", "10.1.2.6", last="10.1.2.4"),
)
_case("routes", ipam=ranges(V4, routes=[NET, NET_GW, DEFAULT]))
_case("routes v6", ipam=ranges(V6, routes=[DEFAULT6]))
_case("routes with host bits", ipam=ranges(V4, routes=[{"dst": "10.50.1.2/16"}]))
_case("two gateways", ipam=ranges(V4, routes=[NET_GW, {**NET_GW, "gw": "10.1.2.10"}]))
_case(
    "resolv.conf",
    ipam=ranges(V4, resolvConf="{dir}/resolv.conf"),
    setup=Setup(files={"resolv.conf": _RESOLV}),
)
_case("requested by argument", ipam=ranges(V4), cni_args="IgnoreUnknown=1;IP=10.1.2.50")
_case("requested by argument with prefix", ipam=ranges(V4), cni_args="IP=10.1.2.50/16")
_case(
    "requested by args",
    ipam=ranges(V4, V6),
    cni_args="IgnoreUnknown=1",
    runtimeConfig={"ips": ["2001:db8:1::50", "10.1.2.50/24"]},
)
_case("requested by runtime", ipam=ranges(V4), runtimeConfig={"ips": ["10.1.2.50"]})
_case("requested twice", ipam=ranges(V4), cni_args="IP=10.1.2.50", runtimeConfig={"ips": ["10.1.2.50/24"]})
_case("requested v6 for dual", ipam=ranges(V4, V6), runtimeConfig={"ips": ["2001:db8:1::50"]})
_case(
    "ranges by runtime",
    ipam={"type": "host-local", "dataDir": "{dir}/ipam"},
    runtimeConfig={"ipRanges": [[{"subnet": V4}], [{"subnet": V6}]]},
)
_case("ranges by runtime and configuration", ipam=ranges(V6), runtimeConfig={"ipRanges": [[{"subnet": V4}]]})
_case("any case", IPAM={"TYPE": "host-local", "DATADIR": "{dir}/ipam", "Ranges": [[{"SubNet": V4}]]})
for _version in ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0"):
    _case("dual with routes", version=_version, ipam=ranges(V4, V6, routes=[NET, DEFAULT6]))
_case("three sets", version="0.3.1", ipam=ranges(V4, V6, "10.9.0.0/16"))

_faulty("no ipam", "IPAM config missing 'ipam' key")
_faulty("no ranges", "no IP ranges specified", ipam={"type": "host-local", "dataDir": "{dir}/ipam"})
_faulty(
    "start without subnet",
    "no IP ranges specified",
    ipam={"type": "host-local", "dataDir": "{dir}/ipam", "rangeStart": "10.1.2.3"},
)
_faulty("no subnet", "IP <nil> not v4 nor v6", ipam=_set({}))
_faulty("too small", "Network 10.1.2.0/31 too small to allocate from", ipam=ranges("10.1.2.0/31"))
_faulty("too small v6", "Network 2001:db8::/127 too small to allocate from", ipam=ranges("2001:db8::/127"))
_faulty(
    "host bits",
    "Network has host bits set. For a subnet mask of length 24 the network address is 10.1.2.0",
    ipam=ranges("10.1.2.5/24"),
)
_faulty(
    "start outside",
    "RangeStart 10.9.9.9 not in network 10.1.2.0/24",
    ipam=_set({"subnet": V4, "rangeStart": "10.9.9.9"}),
)
_faulty(
    "end outside",
    "RangeEnd 10.9.9.9 not in network 10.1.2.0/24",
    ipam=_set({"subnet": V4, "rangeEnd": "10.9.9.9"}),
)
_faulty(
    "start after end",
    "RangeStart 10.1.2.9 not in network 10.1.2.0/24",
    ipam=_set({"subnet": V4, "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.5"}),
)
_faulty("empty set", "empty range set", ipam={"type": "host-local", "dataDir": "{dir}/ipam", "ranges": [[]]})
_faulty("mixed families", "mixed address families", ipam=_set({"subnet": V4}, {"subnet": V6}))
_faulty(
    "overlap in a set",
    "subnets 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap",
    ipam=_set({"subnet": "10.1.0.0/22"}, {"subnet": V4}),
)
_faulty("overlap of sets", "range set 0 overlaps with 1", ipam=ranges("10.1.0.0/22", V4))
_refusal(
    "full",
    "no IP addresses available in range set: 10.1.2.1-10.1.2.2",
    ipam=ranges("10.1.2.0/30"),
    setup=_held("10.1.2.2"),
)
_refusal(
    "second set full",
    "failed to allocate for range 1: no IP addresses available in range set: 10.9.0.1-10.9.0.2",
    ipam=ranges(V4, "10.9.0.0/30"),
    setup=_held("10.9.0.2"),
)
_refusal(
    "requested is gateway",
    "requested ip 10.1.2.1 is subnet's gateway",
    ipam=ranges(V4),
    cni_args="IP=10.1.2.1",
)
_refusal(
    "requested is taken",
    "requested IP address 10.1.2.50 is not available in range set 10.1.2.1-10.1.2.254",
    ipam=ranges(V4),
    cni_args="IP=10.1.2.50",
    setup=_held("10.1.2.50"),
)
_refusal(
    "requested outside",
    "failed to allocate all requested IPs: 10.9.9.9",
    ipam=ranges(V4),
    cni_args="IP=10.9.9.9",
)
_refusal(
    "requested two of one set",
    "failed to allocate all requested IPs:",
    ipam=ranges(V4),
    runtimeConfig={"ips": ["10.1.2.50", "10.1.2.51"]},
)
_refusal(
    "requested badly by argument",
    'error parsing value of pair "IP=10.1.2"',
    better.ARGS_DEL,
    ipam=ranges(V4),
    cni_args="IP=10.1.2",
)
_faulty(
    "requested badly by runtime",
    "invalid IP address 10.1.2",
    ipam=ranges(V4),
    runtimeConfig={"ips": ["10.1.2"]},
)
_refusal(
    "held already",
    "10.1.2.9 has been allocated to c-1, duplicate allocation is not allowed",
    ipam=ranges(V4),
    setup=Setup(files={"ipam/net/10.1.2.9": "c-1\r\neth0"}),
)
_refusal(
    "resolv.conf missing",
    "no such file or directory",
    better.NO_FOLDER,
    ipam=ranges(V4, resolvConf="{dir}/none"),
)
_faulty(
    "two v4 under 0.2.0",
    "CNI version 0.2.0 does not support more than 1 address per family",
    version="0.2.0",
    ipam=ranges(V4, "10.9.0.0/16"),
)
_refusal("unknown argument", "unknown args", better.ARGS_DEL, cni_args="FANCY=1", ipam=ranges(V4))
_faulty("bad subnet", "invalid CIDR address: 10.1.2", ipam=ranges("10.1.2"))

_case, _refusal = STATIC.case, STATIC.refusal
_case("v4", ipam=static("10.1.2.33/24"))
_case("v4 with gateway", ipam=static("10.1.2.33/24 10.1.2.1"))
_case("v6", ipam=static("2001:db8:1::33/64"))
_case("v6 with gateway", ipam=static("2001:db8:1::33/64 2001:db8:1::1"))
_case("v6 in long form", ipam=static("2001:0DB8:1:0:0:0:0:33/64 2001:DB8:1::0001"))
_case("dual", ipam=static("10.1.2.33/24 10.1.2.1", "2001:db8:1::33/64"))
_case("several", ipam=static("10.1.2.33/24", "10.1.2.34/24", "10.9.0.1/32"))
_case("none", ipam=static())
_case("nothing but a type", ipam={"type": "static"})
_case("gateway outside", ipam=static("10.1.2.33/24 192.0.2.1"))
_case("host bits and /32", ipam=static("10.1.2.33/32 10.1.2.1"))
_case("version key", ipam={"type": "static", "addresses": [{"address": "10.1.2.33/24", "version": "4"}]})
_case("routes", ipam=static("10.1.2.33/24 10.1.2.1", routes=[NET, NET_GW, DEFAULT]))
_case("dns", ipam=static("10.1.2.33/24", dns=DNS))
_case("by argument", ipam=static(), cni_args="IgnoreUnknown=1;IP=10.10.0.1/24")
_case("by argument, appended", ipam=static("10.1.2.33/24"), cni_args="IP=10.10.0.1/24")
_case("by argument with gateway", ipam=static(), cni_args="IP=10.10.0.1/24,11.11.0.1/24;GATEWAY=10.10.0.254")
_case("by argument, blanks", ipam=static(), cni_args="IP=10.10.0.1/24, 11.11.0.1/24;GATEWAY=10.10.0.254")
_case("gateway by argument that fits none", ipam=static(), cni_args="IP=10.10.0.1/24;GATEWAY=192.0.2.1")
_case("by runtime", ipam=static(), runtimeConfig={"ips": ["10.1.2.40/24", "2001:db8:1::40/64"]})
_case(
    "by runtime, replaces",
    ipam=static("10.9.0.1/16"),
    cni_args="IP=10.10.0.1/24;GATEWAY=10.10.0.254",
    runtimeConfig={"ips": ["10.1.2.40/24"]},
)
_case(
    "any case",
    IPAM={"TYPE": "static", "Addresses": [{"ADDRESS": "10.1.2.33/24"}]},
    RuntimeConfig={"IPS": ["10.1.2.40/24"]},
)
_case(
    "two default routes",
    ipam=static("10.1.2.33/24", routes=[{**DEFAULT, "gw": "10.1.2.1"}, {**DEFAULT, "gw": "10.1.2.2"}]),
)
for _version in ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0"):
    _case(
        "dual with routes",
        version=_version,
        ipam=static(
            "10.1.2.33/24 10.1.2.1", "2001:db8:1::33/64 2001:db8:1::1", routes=[NET, DEFAULT6], dns=DNS
        ),
    )

_refusal("no ipam", "IPAM config missing 'ipam' key")
_refusal(
    "no prefix",
    "the 'address' field is expected to be in CIDR notation, got: '10.1.2.33'",
    ipam=static("10.1.2.33"),
)
_refusal("no address", "the 'address' field is expected to be in CIDR notation, got: 'x'", ipam=static("x"))
_refusal(
    "argument without prefix",
    "the 'ip' field is expected to be in CIDR notation, got: '10.1.2.33'",
    ipam=static(),
    cni_args="IP=10.1.2.33",
)
_refusal(
    "bad gateway by argument",
    "invalid gateway address: x",
    ipam=static(),
    cni_args="IP=10.1.2.33/24;GATEWAY=x",
)
_refusal(
    "runtime without prefix",
    "an entry in the 'ips' field is NOT in CIDR notation, got: '10.1.2.33'",
    ipam=static(),
    runtimeConfig={"ips": ["10.1.2.33"]},
)
_refusal(
    "two v4 under 0.2.0",
    "CNI version 0.2.0 does not support more than 1 address per family",
    version="0.2.0",
    ipam=static("10.1.2.33/24", "10.1.2.34/24"),
)
_refusal("bad gateway", "invalid IP address: x", ipam=static("10.1.2.33/24 x"))
_refusal("bad route", "invalid CIDR address: x", ipam=static("10.1.2.33/24", routes=[{"dst": "x"}]))
_refusal("unknown argument", "unknown args", cni_args="FANCY=1", ipam=static("10.1.2.33/24"))
CASES = [*HOST_LOCAL, *STATIC]

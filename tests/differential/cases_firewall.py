"""firewall, after a bridge, by iptables: firewalld needs a system bus, which a network namespace hasn't."""

from __future__ import annotations

from typing import Any

from tests.differential import better
from tests.differential.case import Case, Improvement, Json
from tests.differential.conf import WITH_UPLINK, host, static
from tests.differential.table import Table

_V4, _V6 = "10.1.2.33/24 10.1.2.1", "2001:db8:1::33/64 2001:db8:1::1"


def _bridge(*addresses: str, **more: Any) -> Json:
    return {"type": "bridge", "bridge": "br0", "isGateway": True, "ipam": static(*addresses), **more}


_BOTH, _SIX = (_bridge(_V4, _V6),), (_bridge(_V6),)
_MACVLAN: Json = {"type": "macvlan", "master": "up0", "ipam": static(_V4)}


def _usual(case: Case) -> tuple[Improvement, ...]:
    conf = {key.lower(): value for key, value in case.conf.items()}
    if case.what in ("backend by itself", "without addresses"):
        return ()
    found = [better.FORWARD_OWNER]
    if conf.get("ingresspolicy", "open") != "open":
        found.append(better.POLICY_COMMENT)
    return tuple(found)


CASES = Table("firewall", usual=_usual, conf={"backend": "iptables"}, chain=(_bridge(_V4),))
_case, _refusal = CASES.case, CASES.refusal

_case("v4")
_case("v6", chain=_SIX)
_case("dual", chain=_BOTH)
_case("two addresses", chain=(_bridge(_V4, "10.1.2.34/24 10.1.2.1"),))
_case("backend by itself", better.FORWARD_TABLES, backend=None)
_case("admin chain", iptablesAdminChainName="MY-ADMIN")
_case("admin chain dual", iptablesAdminChainName="MY-ADMIN", chain=_BOTH)
_case(
    "admin chain there", setup=host("iptables -N CNI-ADMIN", "iptables -A CNI-ADMIN -s 192.0.2.0/24 -j DROP")
)
_case("jump there", setup=host("iptables -N CNI-FORWARD", "iptables -A FORWARD -j ACCEPT"))
_case("policy drop", setup=host("iptables -P FORWARD DROP"))
_case("others' rules", setup=host("iptables -A FORWARD -s 192.0.2.0/24 -j DROP"))
_case("zone is ignored", firewalldZone="public")
_case("old zone key is ignored", zone="public")
_case("open", ingressPolicy="open")
_case("same-bridge", ingressPolicy="same-bridge")  # "isolated" is newer than 1.1.1
_case("same-bridge v6", ingressPolicy="same-bridge", chain=_SIX)
_case("same-bridge dual", ingressPolicy="same-bridge", chain=_BOTH)
_case("after masquerading", chain=(_bridge(_V4, ipMasq=True),))
_case("after macvlan", setup=WITH_UPLINK, chain=(_MACVLAN,))
_case("without addresses", chain=({"type": "bridge", "bridge": "br0"},))
_case("any case", IngressPolicy="same-bridge", IPTABLESADMINCHAINNAME="MY-ADMIN")
_case("dual", version="0.4.0", chain=_BOTH)

_refusal(
    "policy unknown",
    'unknown ingress policy: "closed"',
    better.NOTHING_LEFT,
    better.FAULTY_DEL,
    ingressPolicy="closed",
)
_refusal("not chained", "missing prevResult from earlier plugin", chain=())
_refusal("wrong type", "backend", better.FAULTY_DEL, backend=5)

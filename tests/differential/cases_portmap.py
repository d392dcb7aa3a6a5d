"""portmap, after a bridge, by iptables: release 1.1.1 has no other."""

from __future__ import annotations

from typing import Any

from tests.differential import better
from tests.differential.case import Case, Improvement, Json
from tests.differential.conf import VERSIONS, host, static
from tests.differential.table import Table

_V4, _V6 = "10.1.2.33/24 10.1.2.1", "2001:db8:1::33/64 2001:db8:1::1"


def _bridge(*addresses: str, **more: Any) -> Json:
    return {"type": "bridge", "bridge": "br0", "isGateway": True, "ipam": static(*addresses), **more}


def _usual(case: Case) -> tuple[Improvement, ...]:
    runtime = case.conf.get("runtimeConfig") or case.conf.get("RuntimeConfig") or {}
    found = []
    if any(runtime.values()):
        if "other family" not in case.what:
            found.append(better.PORTMAP_COMMENT)
        if case.checked:
            found.append(better.PORTMAP_CHECK)
    return tuple(found)


CASES = Table("portmap", usual=_usual, conf={"backend": "iptables"}, chain=(_bridge(_V4),))


def _ports(*mappings: str) -> Json:
    """``8080:80/tcp``, perhaps with ``@address`` of the host."""
    listed = []
    for mapping in mappings:
        ports, _, address = mapping.partition("@")
        numbers, _, protocol = ports.partition("/")
        outer, _, inner = numbers.partition(":")
        listed.append(
            {"hostPort": int(outer), "containerPort": int(inner), "protocol": protocol}
            | ({"hostIP": address} if address else {})
        )
    return {"portMappings": listed}


def _case(what: str, *ports: str, better_: tuple[Improvement, ...] = (), **more: Any) -> None:
    CASES.case(what, *better_, runtimeConfig=_ports(*ports), **more)


def _refusal(what: str, phrase: str, *ports: str, better_: tuple[Improvement, ...] = (), **more: Any) -> None:
    CASES.refusal(what, phrase, *better_, runtimeConfig=_ports(*ports), **more)


_TCP = "8080:80/tcp"
_BOTH, _SIX = (_bridge(_V4, _V6),), (_bridge(_V6),)

CASES.case("no mappings")
_case("empty mappings")
_case("tcp", _TCP)
_case("udp", "5353:53/udp")
_case("tcp and udp", _TCP, "5353:53/udp", "8081:81/tcp")
_case("same port of both", "53:53/tcp", "53:53/udp")
_case("sixteen ports", *(f"{8000 + n}:{80 + n}/tcp" for n in range(16)))
_case("v6", "8080:80/tcp", chain=_SIX)
_case("dual", _TCP, "5353:53/udp", chain=_BOTH)
_case("host address", f"{_TCP}@192.0.2.7", better_=(better.PORTMAP_ADDRESS,))
_case("any host address", f"{_TCP}@0.0.0.0", chain=_BOTH, better_=(better.PORTMAP_FAMILY,))
_case("any host address v6", f"{_TCP}@::", chain=_BOTH, better_=(better.PORTMAP_FAMILY,))
_case(
    "host address v6",
    f"{_TCP}@2001:db8:9::7",
    chain=_BOTH,
    better_=(
        better.PORTMAP_FAMILY,
        better.PORTMAP_ADDRESS,
    ),
)
_case("host address of the other family", f"{_TCP}@2001:db8:9::7", better_=(better.PORTMAP_FAMILY,))
_case("no snat", _TCP, snat=False)
_case("no snat dual", _TCP, snat=False, chain=_BOTH)
_case("mark bit", _TCP, markMasqBit=5)
_case("mark bit 0", _TCP, markMasqBit=0)
_case("mark bit 31", _TCP, markMasqBit=31)
_case("conditions", _TCP, conditionsV4=["-s", "192.0.2.0/24"])
_case(
    "conditions dual",
    _TCP,
    conditionsV4=["!", "-s", "192.0.2.0/24"],
    conditionsV6=["!", "-s", "2001:db8:9::/48"],
    chain=_BOTH,
)
_case("own chain for marks", _TCP, externalSetMarkChain="MINE", setup=host("iptables -t nat -N MINE"))
_case("two addresses", _TCP, chain=(_bridge(_V4, "10.1.2.34/24 10.1.2.1"),))
_case("after masquerading", _TCP, chain=(_bridge(_V4, ipMasq=True),))
CASES.case(
    "any case", RuntimeConfig={"PortMappings": [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp"}]}
)
for _version in VERSIONS:
    _case("dual", _TCP, version=_version, chain=_BOTH)

_refusal("container port 0", "Invalid container port number: 0", "8080:0/tcp", better_=(better.FAULTY_DEL,))
_refusal("host port 0", "Invalid host port number: 0", "0:80/tcp", better_=(better.FAULTY_DEL,))
_refusal("negative port", "Invalid container port number: -1", "8080:-1/tcp", better_=(better.FAULTY_DEL,))
_refusal(
    "mark bit too big",
    "MasqMarkBit must be between 0 and 31",
    _TCP,
    markMasqBit=32,
    better_=(better.FAULTY_DEL,),
)
_refusal(
    "mark bit negative",
    "MasqMarkBit must be between 0 and 31",
    _TCP,
    markMasqBit=-1,
    better_=(better.FAULTY_DEL,),
)
_refusal(
    "chain and mark bit",
    "Cannot specify externalSetMarkChain and markMasqBit",
    _TCP,
    externalSetMarkChain="MINE",
    markMasqBit=5,
    better_=(better.FAULTY_DEL,),
)
_refusal("not chained", "must be called as chained plugin", _TCP, chain=())
CASES.refusal(
    "wrong type",
    "hostPort",
    better.FAULTY_DEL,
    runtimeConfig={"portMappings": [{"hostPort": "80", "containerPort": 80, "protocol": "tcp"}]},
)

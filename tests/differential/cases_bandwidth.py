"""bandwidth, after ptp."""

from __future__ import annotations

from tests.differential import better
from tests.differential.case import Case, Improvement, Json
from tests.differential.conf import WITH_UPLINK, static
from tests.differential.table import Table

_FIRST: Json = {"type": "ptp", "ipam": static("10.1.2.33/24 10.1.2.1")}
_BRIDGE: Json = {"type": "bridge", "bridge": "br0", "mtu": 1400, "ipam": static("10.1.2.33/24 10.1.2.1")}
_MACVLAN: Json = {"type": "macvlan", "master": "up0", "ipam": static("10.1.2.33/24 10.1.2.1")}


def _usual(case: Case) -> tuple[Improvement, ...]:
    own = {key.lower(): value for key, value in case.conf.items()}
    limits = own if any(key in own for key in _KEYS) else _runtime(case)
    found = [better.LIMITS_GONE] if any(limits.get(key) for key in _KEYS) else []
    if limits.get("egressrate"):
        found += [better.ONE_REDIRECTION, *([better.MTU] if case.version == "1.0.0" else [])]
    return tuple(found)


def _runtime(case: Case) -> Json:
    runtime = case.conf.get("runtimeConfig") or case.conf.get("RuntimeConfig") or {}
    return {key.lower(): value for limits in runtime.values() for key, value in limits.items()}


_KEYS = ("ingressrate", "ingressburst", "egressrate", "egressburst")
CASES = Table("bandwidth", chain=(_FIRST,), usual=_usual)
_case, _refusal = CASES.case, CASES.refusal
_RATE, _BURST = 8_000_000, 80_000


def _limits(ingress: tuple[int, int] | None = None, egress: tuple[int, int] | None = None) -> Json:
    found: Json = {}
    if ingress:
        found |= {"ingressRate": ingress[0], "ingressBurst": ingress[1]}
    if egress:
        found |= {"egressRate": egress[0], "egressBurst": egress[1]}
    return found


_BOTH = _limits((_RATE, _BURST), (_RATE, _BURST))
_case("nothing", check=False)  # theirs crashes
_case("zeros", **_limits((0, 0), (0, 0)))
_case("ingress", **_limits((_RATE, _BURST)))
_case("egress", **_limits(egress=(_RATE, _BURST)))
_case("both", **_BOTH)
_case("different", **_limits((_RATE, _BURST), (1_000_000, 1_000_000)))
_case("slow", **_limits((8000, 80)))
_case("slowest", **_limits((8, 8)))
_case("twice the slowest", **_limits((16, 8)))
_case("fast", **_limits((10_000_000_000, 100_000_000)))
_case("above 32 bits", **_limits((80_000_000_000, 1_000_000_000)))
_case("usual burst of runtimes", **_limits((_RATE, 2**31 - 1), (_RATE, 2**31 - 1)))
_case("uneven", **_limits((8_000_003, 80_007)))
_case("by runtime", runtimeConfig={"bandwidth": _BOTH})
_case("by runtime, one way", runtimeConfig={"bandwidth": _limits(egress=(_RATE, _BURST))})
_case(
    "own before the runtime's",
    runtimeConfig={"bandwidth": _limits((1_000_000, 1_000_000))},
    **_limits(egress=(_RATE, _BURST)),
)
_case("zero of its own before the runtime's", runtimeConfig={"bandwidth": _BOTH}, ingressRate=0)
_case("any case", RuntimeConfig={"BandWidth": {"INGRESSRATE": _RATE, "ingressburst": _BURST}})
_case("after a bridge", chain=(_BRIDGE,), **_BOTH)
_case("another interface name", ifname="net1.5", **_BOTH)
for _version in ("0.3.0", "0.3.1", "0.4.0"):
    _case("both", version=_version, **_BOTH)

_refusal("rate without burst", "if rate is set, burst must also be set", better.FAULTY_DEL, ingressRate=_RATE)
_refusal(
    "burst without rate", "if burst is set, rate must also be set", better.FAULTY_DEL, egressBurst=_BURST
)
_refusal("burst too big", "burst cannot be more than 4GB", better.FAULTY_DEL, **_limits((_RATE, 2**35)))
_refusal("not chained", "must be called as chained plugin", chain=(), **_BOTH)
_refusal("no pair", "has no veth peer", setup=WITH_UPLINK, chain=(_MACVLAN,), **_BOTH)
_refusal("wrong type", "ingressRate", better.FAULTY_DEL, ingressRate="fast", ingressBurst=_BURST)
_refusal("negative", "ingressRate", better.FAULTY_DEL, ingressRate=-1, ingressBurst=_BURST)

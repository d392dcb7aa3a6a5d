"""What delegates do on the host's side of a pod's link: forward, masquerade, and take no orders from pods."""

from __future__ import annotations

from collections.abc import Collection

from multinet.cni.errors import InvalidConfig
from multinet.cni.result import Result
from multinet.core.desired import Masquerade, Sysctl
from multinet.engine.facts import Facts
from multinet.sdk.delegate import Sandbox

_FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
_BACKENDS = ("nftables", "iptables")


def forwarding(versions: Collection[int]) -> list[Sysctl]:
    """The host forwards packets of these IP versions."""
    return [
        Sysctl(place="host", whose="shared", key=_FORWARDING[version], value="1")
        for version in sorted(set(versions))
    ]


def without_router_advertisements(*links: str) -> list[Sysctl]:
    """The host's own links take no IPv6 configuration from what pods send."""
    return [
        Sysctl(place="host", whose="shared", key=f"net/ipv6/conf/{link}/accept_ra", value="0", tolerant=True)
        for link in links
    ]


def require_backend(wanted: str) -> None:
    """Raises InvalidConfig when ``ipMasqBackend`` is neither empty nor one that there is."""
    if wanted not in ("", *_BACKENDS):
        raise InvalidConfig(
            "$.ipMasqBackend", f'unknown ipmasq backend "{wanted}" ({" or ".join(_BACKENDS)})'
        )


def masqueraded(ipam: Result, wanted: str, pod: Sandbox, host: Facts) -> list[Masquerade]:
    """What the addresses of ``ipam`` send beyond their subnets leaves with the host's address; by the back end
    ``wanted``, or else as the host's other rules are made.
    """
    backend = wanted or host.masquerade_backend()
    return [
        Masquerade(cidr=ip.address, owner=pod.owner, backend=backend)  # type: ignore[arg-type]
        for ip in ipam.ips
    ]


def require_gateways_of_others(ipam: Result) -> None:
    """Raises InvalidConfig when an address is its own gateway."""
    for ip in ipam.ips:
        if ip.gateway == ip.address.partition("/")[0]:
            raise InvalidConfig(
                "$.ipam", f"{ip.address} cannot be the pod's and its gateway's address in one"
            )

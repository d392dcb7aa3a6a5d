"""The link that a macvlan, ipvlan or vlan interface is built on."""

from __future__ import annotations

from multinet.adapters.kernel_values import LinkInfo
from multinet.cni.errors import InvalidConfig
from multinet.core.desired import Place
from multinet.engine.facts import Facts
from multinet.sdk.delegate import Sandbox


def parent_of(master: str, mtu: int, pod: Sandbox, host: Facts, place: Place) -> tuple[LinkInfo, int]:
    """The link that ``master`` names in ``place`` ("": the one of the first default route), and the MTU that the
    interface is to have (``mtu``, or with 0 the master's).

    In CHECK it is the link that the interface has, wherever the default route leads by now; one that is gone
    is for the comparison to report, and comes with index 0. Raises CNIError code 7 in ADD and STATUS when
    there is no such link, or when ``mtu`` is more than it can take.
    """
    return _as_made(master, mtu, pod, host, place) if pod.made else _to_make(master, mtu, host, place)


def _to_make(master: str, mtu: int, host: Facts, place: Place) -> tuple[LinkInfo, int]:
    found = host.master(master, place)
    if not 0 <= mtu <= found.mtu:
        raise InvalidConfig("$.mtu", f"invalid MTU {mtu}, must be [0, master MTU({found.mtu})]")
    return found, mtu or found.mtu


def _as_made(master: str, mtu: int, pod: Sandbox, host: Facts, place: Place) -> tuple[LinkInfo, int]:
    made = pod.made_interface
    mtu = (made.mtu if made else 0) or mtu
    if master:
        return host.link(master, place) or LinkInfo(index=0, name=master), mtu
    link = host.link(pod.ifname, "sandbox")
    above = [one for one in host.links(place).values() if link and one.index == link.parent]
    return (above[0] if above else LinkInfo(index=0, name="")), mtu

"""bandwidth: limits what a pod receives and sends through a veth pair that an earlier plugin made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from msgspec.structs import replace

from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Interface, Result
from multinet.core.desired import AnyItem, Ifb, Owner, Redirect, SubnetBucket, TokenBucket
from multinet.delegates.bandwidth_conf import BandwidthConf, limits_of, subnets_of
from multinet.delegates.bandwidth_numbers import CLOCK_FILE, Limit, ticks_per_microsecond, token_bucket
from multinet.sdk import Desired, Facts, LinkInfo, Sandbox, chained_delegate
from multinet.sdk.delegate_plugin import Valid

_QUEUE_LENGTH = 1000
"""Packets that may wait in a class of a hierarchy, at least."""


@chained_delegate(BandwidthConf, missing_in_check="must be called as a chained plugin")
def bandwidth(conf: BandwidthConf, pod: Sandbox, host: Facts) -> Desired:
    """Token buckets on the pair's host end, and on an ifb through which goes what the pod sends."""
    limits, subnets = limits_of(conf), subnets_of(conf)
    previous = pod.previous or Result()
    if not limits:
        return Desired()
    veth = _host_end(pod, previous, host)
    clock = ticks_per_microsecond(host.file(CLOCK_FILE))
    items: list[AnyItem] = []
    if limits.ingress.rate:
        items.append(_bucket(veth.name, limits.ingress, clock, conf, subnets, towards_pod=True))
    if not limits.egress.rate:
        return Desired(tuple(items))
    made = _made_ifb(pod)
    ifb = Ifb(
        place="host",
        name=made.name if made else _free_name(pod, host),
        mac=(made.mac if made else "") or pod.owner.mac("ifb"),
        mtu=veth.mtu,
        tx_queue_len=max(_QUEUE_LENGTH, veth.tx_queue_len) if subnets else 0,
    )
    items += [
        ifb,
        Redirect(place="host", link=veth.name, to=ifb.name),
        _bucket(ifb.name, limits.egress, clock, conf, subnets, towards_pod=False),
    ]
    reported = Interface(name=ifb.name, mac=ifb.mac, mtu=ifb.mtu)
    return Desired(tuple(items), replace(previous, interfaces=(*previous.interfaces, reported)))


@bandwidth.leftovers
def _leftovers(conf: BandwidthConf | None, pod: Sandbox, host: Facts) -> Iterable[AnyItem]:
    """The attachment's ifb by its name, unless it carries another's mark (without one it is the reference plugin's),
    and what is on the pair's host end while there is one.
    """
    ours = ("", pod.owner.mark)
    ifbs = [name for name in ifb_names(pod.owner) if (link := host.link(name)) and link.alias in ours]
    items: list[AnyItem] = [Ifb(place="host", name=name) for name in ifbs]
    peer = _peer(pod, host) if host.has_sandbox else None
    if peer is not None:
        limit = TokenBucket(place="host", link=peer.name, rate=0, limit=0, buffer=0)
        part = SubnetBucket(
            place="host", link=peer.name, rate=0, buffer=0, subnets=(), shaped="inside", match="source"
        )
        items += [limit, part, *(Redirect(place="host", link=peer.name, to=name) for name in ifbs)]
    return items


@bandwidth.stale
def _stale(conf: BandwidthConf | None, network: str, valid: Valid, host: Facts) -> Iterable[AnyItem]:
    """The reference plugin's ifbs that are no valid attachment's, and that nothing is led through: their names
    don't tell of which network they are.
    """
    keep = {name for container, ifname in valid for name in ifb_names(Owner(network, container, ifname))}
    suspects = [
        link
        for link in host.links().values()
        if link.kind == "ifb" and link.name.startswith("bwp") and not link.alias and link.name not in keep
    ]
    in_use = host.redirections() if suspects else frozenset()
    return [Ifb(place="host", name=link.name) for link in suspects if link.index not in in_use]


@bandwidth.ready
def _ready(conf: BandwidthConf, host: Facts) -> None:
    limits_of(conf)
    subnets_of(conf)
    ticks_per_microsecond(host.file(CLOCK_FILE))


def ifb_names(owner: Owner) -> tuple[str, str]:
    """The reference plugin's name, and the one for a further attachment of a container to the same network."""
    text = owner.network + owner.container_id
    first, second = (hashlib.sha512(part.encode()).hexdigest() for part in (text, text + owner.ifname))
    return f"bwp{first}"[:15], f"bwp{second}"[:15]


def _made_ifb(pod: Sandbox) -> Interface | None:
    """CHECK: the ifb as the ADD reported it, whose MAC is random if the reference plugin made it."""
    ends = pod.made.interfaces if pod.made else ()
    return next((one for one in ends if one.name in ifb_names(pod.owner) and not one.sandbox), None)


def _free_name(pod: Sandbox, host: Facts) -> str:
    """The first name, unless another attachment has it."""
    first, second = ifb_names(pod.owner)
    there = host.link(first)
    return first if there is None or there.alias == pod.owner.mark else second


def _host_end(pod: Sandbox, previous: Result, host: Facts) -> LinkInfo:
    """The pair's end on the host. Raises CNIError code 7 when the pod's interface has none."""
    if not previous.interfaces:
        raise CNIError(Code.INVALID_CONFIG, "no interfaces provided")
    link = host.link(pod.ifname, "sandbox")
    if link is None or link.kind != "veth":
        problem = f"it is a {link.kind or 'device'}" if link else "Link not found"
        raise CNIError(
            Code.INVALID_CONFIG,
            f"container interface {pod.ifname} has no veth peer: {problem}",
            "bandwidth limits veth pairs only, as bridge and ptp make them",
        )
    peer = _peer(pod, host)
    if peer is None:
        raise CNIError(Code.INVALID_CONFIG, f"veth peer with index {link.parent} is not in host ns")
    if not any(one.name == peer.name and not one.sandbox for one in previous.interfaces):
        raise CNIError(
            Code.INVALID_CONFIG,
            f"no veth peer of container interface found in host ns: prevResult doesn't name {peer.name}",
        )
    return peer


def _peer(pod: Sandbox, host: Facts) -> LinkInfo | None:
    """The host's link whose other end is the pod's interface; None if there is none."""
    link = host.link(pod.ifname, "sandbox")
    peer = host.link_at(link.parent) if link is not None and link.kind == "veth" else None
    return peer if peer and link and (peer.kind, peer.parent) == ("veth", link.index) else None


def _bucket(
    link: str, limit: Limit, clock: float, conf: BandwidthConf, subnets: tuple[str, ...], *, towards_pod: bool
) -> TokenBucket | SubnetBucket:
    bucket = token_bucket(link, limit, clock)
    if not subnets:
        return bucket
    return SubnetBucket(
        place="host",
        link=link,
        rate=bucket.rate,
        buffer=bucket.buffer,
        subnets=subnets,
        shaped="inside" if conf.shaped_subnets else "outside",
        match="source" if towards_pod else "destination",
    )

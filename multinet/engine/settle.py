"""The two waits that the kernel imposes: IPv6 duplicate address detection, and a bridge port going live."""

from __future__ import annotations

import time
from collections.abc import Sequence

from multinet.adapters.kernel_values import LinkInfo
from multinet.cni.addresses import interface_of
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Address, Veth
from multinet.engine.scene import Scene
from multinet.engine.stage import Indexes

_DAD_LIMIT = 5.0
"""Seconds; as the reference plugins."""
_PORT_LIMIT = 2.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


def wait_for_ports(veths: Sequence[Veth], scene: Scene, indexes: Indexes) -> None:
    """Until the host end of each pair that is a bridge port carries traffic.

    Raises CNIError with the state it is stuck in.
    """
    for veth in veths:
        if not veth.up or not veth.master:
            continue
        limit = time.monotonic() + _PORT_LIMIT
        pause = _FIRST_PAUSE
        while True:
            link = scene.host.link_at(indexes["host", veth.host_name])
            if link is not None and link.running:
                break
            if link is None or time.monotonic() > limit:
                state = "gone" if link is None else "up without carrier" if link.up else "down"
                raise CNIError(Code.KERNEL, f"bridge port in error state: {state} ({veth.host_name})")
            pause = _rest(pause, scene)


def wait_for_addresses(addresses: Sequence[Address], scene: Scene, indexes: Indexes) -> None:
    """Until no IPv6 address of the sandbox is tentative any more (RFC 4862, section 5.4).

    A link without carrier can't finish and isn't waited for. Raises CNIError for a duplicate.
    """
    links = {a.link for a in addresses if a.place == "sandbox" and interface_of(a.cidr).version == 6}
    limit = time.monotonic() + _DAD_LIMIT
    for name in sorted(links):
        pause = _FIRST_PAUSE
        stack = scene.stack("sandbox")
        while True:
            present = [a for a in stack.addresses(indexes["sandbox", name]) if ":" in a.cidr and a.scope == 0]
            for address in present:
                if address.dad_failed:
                    raise CNIError(
                        Code.KERNEL,
                        f'failed to settle addresses for "{name}": link {name} has address '
                        f"{address.cidr} in DADFAILED state: another host uses it",
                    )
            if not any(address.tentative for address in present):
                break
            if _is_unopened(stack.link_at(indexes["sandbox", name])):
                break
            if time.monotonic() > limit:
                link = stack.link_at(indexes["sandbox", name])
                if link is None or not link.running:
                    break
                raise CNIError(
                    Code.KERNEL,
                    f'failed to settle addresses for "{name}": link {name} still has tentative addresses '
                    f"after {_DAD_LIMIT:.0f} seconds",
                )
            pause = _rest(pause, scene)


def _is_unopened(link: LinkInfo | None) -> bool:
    """A tap has no carrier until a process opens it, which no ADD can wait for."""
    return link is not None and link.tun is not None and not link.running


def _rest(pause: float, scene: Scene) -> float:
    scene.proceed()
    time.sleep(pause)
    return min(pause * 2, _LONGEST_PAUSE)

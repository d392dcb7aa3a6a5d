"""The default network of a pod that another program attached: known only by what is in its sandbox."""

from __future__ import annotations

from msgspec.structs import replace

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import LinkInfo
from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Interface, IPConfig, Result, Route
from multinet.core.desired import MAIN_TABLE
from multinet.core.record import AttachmentRecord
from multinet.npwg.default_routes import default_family

__all__ = ["as_it_stands"]

_GLOBAL = 0
"""Scope of addresses that count: link-local ones come by themselves (RTNETLINK's RT_SCOPE_UNIVERSE)."""


def as_it_stands(record: AttachmentRecord, stack: NetworkStack, version: str) -> AttachmentRecord:
    """The record with the result that the attachment's ADD must have had, as far as the kernel shows it.

    So the pod's DEL gives back what the network's plugins hold for it, by the same identity that they know from
    the runtime. Raises CNIError code 100 when the sandbox has no such interface.
    """
    link = stack.link(record.ifname)
    if link is None:
        raise CNIError(
            Code.KERNEL,
            f"the sandbox {record.netns} has no {record.ifname}: there is no default network to add others to",
        )
    routes = _defaults(stack, link)
    result = Result(
        interfaces=(Interface(name=link.name, mac=link.mac, sandbox=record.netns),),
        ips=tuple(
            IPConfig(address=address.cidr, gateway=_gateway(address.cidr, routes), interface=0)
            for address in stack.addresses(link.index)
            if address.scope == _GLOBAL
        ),
        routes=routes,
    )
    return replace(record, phase="ready", result=result.as_version(version))


def _defaults(stack: NetworkStack, link: LinkInfo) -> tuple[Route, ...]:
    return tuple(
        Route(dst=route.dst, gw=gateway, priority=route.metric)
        for route in stack.routes()
        if route.table == MAIN_TABLE and route.dst.endswith("/0")
        for gateway, index in route.hops
        if index == link.index
    )


def _gateway(address: str, routes: tuple[Route, ...]) -> str:
    """The default gateway of the address's family."""
    wanted = 6 if ":" in address else 4
    return next((route.gw for route in routes if route.gw and default_family(route) == wanted), "")

"""The IPAM ``static``: the addresses that the configuration or the caller names. No state, no registry.

Source: plugins-ipam 2. Addresses come from ``runtimeConfig.ips``, else from ``args.cni.ips``, else from
``ipam.addresses`` and ``CNI_ARGS`` together. An address that the runtime names gets the gateway of a
configured address in the same subnet, else the one that ``GATEWAY`` gives for it (the reference plugin
drops both, and then default routes and source routing lack their gateway).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, Code
from multinet.cni.invocation import require_known_args
from multinet.cni.result import DNS, IPConfig, Result, Route
from multinet.core.desired import Difference
from multinet.ports import IpamRequest
from multinet.sdk.ipam import (
    Address,
    Cidr,
    Envelope,
    Faults,
    RuntimeIps,
    listed_ips,
    one_per_family,
    parse_cidr,
    parse_ip,
    routes,
)

__all__ = ["Static", "static"]


class AddressConf(msgspec.Struct, frozen=True):
    """One of ``ipam.addresses``: with prefix length, and perhaps a gateway. ``version`` is ignored."""

    address: str = ""
    """The address with its prefix length."""
    gateway: str = ""
    """The gateway of its subnet."""


class StaticConf(msgspec.Struct, frozen=True):
    """The ``ipam`` object."""

    addresses: tuple[AddressConf, ...] = ()
    """The pod's addresses, unless the runtime or an argument names others."""
    routes: tuple[Route, ...] = ()
    """Routes for the result."""
    dns: DNS = DNS()
    """Name servers and domains for the result."""


class _Placed(msgspec.Struct, frozen=True):
    """An address that is to be set."""

    cidr: Cidr
    gateway: Address | None = None

    def as_ip(self) -> IPConfig:
        return IPConfig(str(self.cidr), str(self.gateway) if self.gateway is not None else "")


class Static:
    """Implements ``ports.Ipam``."""

    conf = StaticConf

    def allocate(self, request: IpamRequest) -> Result:
        """The addresses of the request, in order; none at all is no failure here.

        Raises InvalidConfig, or CNIError code 4 for a fault in ``CNI_ARGS``.
        """
        return _load(request)

    def release(self, request: IpamRequest) -> None:
        """Nothing is held, so nothing is read either: this can't fail."""

    def check(self, request: IpamRequest, previous: Result | None) -> list[Difference]:
        """Whether each address of the request is in ``previous``, with its gateway if it has one.

        Raises CNIError code 7 without ``previous``.
        """
        if previous is None:
            raise CNIError(Code.INVALID_CONFIG, "Required prevResult missing")
        there = {ip.address: ip.gateway for ip in previous.ips}
        found = []
        for ip in _load(request).ips:
            subject = f"static: {ip.address} on interface {request.owner.ifname}"
            if ip.address not in there:
                found.append(Difference(subject, "address", ip.address, ""))
            elif ip.gateway and ip.gateway != there[ip.address]:
                found.append(Difference(subject, "gateway", ip.gateway, there[ip.address]))
        return found

    def collect(self, request: IpamRequest, valid: Collection[tuple[str, str]]) -> None:
        """Nothing is held."""

    def status(self, request: IpamRequest) -> None:
        """Raises InvalidConfig for a faulty configuration; nothing can be exhausted."""
        _load(request)


def _load(request: IpamRequest) -> Result:
    envelope = Envelope.of(request.conf)
    conf = convert(envelope.ipam or {}, StaticConf, "$.ipam")
    runtime = convert(envelope.runtime_config, RuntimeIps, "$.runtimeConfig")
    require_known_args(request.args, ("IP", "GATEWAY"))
    faults = Faults()
    by_environment = _environment_addresses(request.args)
    gateways = _environment_gateways(request.args)
    replacements = [
        _listed("$.runtimeConfig.ips", runtime.ips, faults),
        _listed("$.args.cni.ips", envelope.args_ips(), faults),
    ]
    named = next((cidrs for cidrs in replacements if cidrs), [])
    # What is replaced may be faulty, as in the reference plugin; it then just lends no gateway.
    configured = _configured(conf.addresses, Faults() if named else faults)
    network_routes = routes(conf.routes, faults)
    faults.settle()
    if named:
        placed = [_Placed(cidr, _gateway_for(cidr, configured)) for cidr in named]
    else:
        placed = [*configured, *map(_Placed, by_environment)]
    ips = tuple(_with_gateway(item, gateways).as_ip() for item in placed)
    one_per_family(envelope.cni_version, [item.cidr.version for item in placed])
    return Result(ips=ips, routes=network_routes, dns=conf.dns)


def _configured(entries: Sequence[AddressConf], faults: Faults) -> list[_Placed]:
    placed = []
    for index, entry in enumerate(entries):
        path = f"$.ipam.addresses[{index}]"
        gateway = faults.reading(f"{path}.gateway", parse_ip, entry.gateway) if entry.gateway else None
        try:
            placed.append(_Placed(parse_cidr(entry.address), gateway))
        except ValueError:
            problem = f"the 'address' field is expected to be in CIDR notation, got: '{entry.address}'"
            faults.add(f"{path}.address", problem)
    return placed


def _environment_addresses(args: Mapping[str, str]) -> list[Cidr]:
    """``IP=cidr,cidr``."""
    return [_environment_cidr(item.strip()) for item in _items(args.get("IP", ""))]


def _environment_cidr(text: str) -> Cidr:
    try:
        return parse_cidr(text)
    except ValueError:
        problem = f"the 'ip' field is expected to be in CIDR notation, got: '{text}'"
        raise CNIError(Code.INVALID_ENVIRONMENT, problem, "from IP in CNI_ARGS") from None


def _environment_gateways(args: Mapping[str, str]) -> list[Address]:
    """``GATEWAY=ip,ip``."""
    return [_environment_gateway(item) for item in _items(args.get("GATEWAY", ""))]


def _environment_gateway(text: str) -> Address:
    try:
        return parse_ip(text.strip())
    except ValueError:
        problem = f"invalid gateway address: {text}"
        raise CNIError(Code.INVALID_ENVIRONMENT, problem, "from GATEWAY in CNI_ARGS") from None


def _items(text: str) -> list[str]:
    return text.split(",") if text else []


def _listed(path: str, items: Sequence[str], faults: Faults) -> list[Cidr]:
    found = []
    for where, item in listed_ips(path, items):
        try:
            found.append(parse_cidr(item))
        except ValueError:
            faults.add(where, f"an entry in the 'ips' field is NOT in CIDR notation, got: '{item}'")
    return found


def _gateway_for(cidr: Cidr, configured: Sequence[_Placed]) -> Address | None:
    """The gateway of the first configured address in the same subnet."""
    same = (item.gateway for item in configured if item.cidr.network == cidr.network)
    return next((gateway for gateway in same if gateway is not None and gateway != cidr.ip), None)


def _with_gateway(item: _Placed, gateways: Sequence[Address]) -> _Placed:
    """``GATEWAY`` for an address without a gateway whose subnet contains it; the last one that fits."""
    if item.gateway is not None:
        return item
    fitting = [gateway for gateway in gateways if gateway in item.cidr.network]
    return _Placed(item.cidr, fitting[-1] if fitting else None)


static = Static()

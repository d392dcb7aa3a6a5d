"""Results: what ADD made, in one canonical form, read from and written in every version of the specification.

The canonical form is that of 1.1.0. What the older shapes can't say is lost on the way out:

* 0.3.0 … 0.4.0: MTU, socket and PCI id of interfaces; everything but ``dst`` and ``gw`` of routes;
* 0.1.0, 0.2.0: the interfaces, and all but the first address of each family.

As the Go library does, the 1.1.0 fields are also written under 1.0.0, and read under any version that has
interfaces. A result's unknown keys aren't kept here: whoever hands a plugin's result on in the same version
hands on the object itself (``chain.add_raw``).

Source: CNI specification 1.1.0, "Result types", and the same section of the earlier versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from multinet.cni import result_shapes
from multinet.cni.addresses import canonical_address, canonical_cidr, is_ipv6
from multinet.cni.decode import convert, prepare
from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.cni.versions import at_least, require_supported

__all__ = ["DNS", "IPConfig", "Interface", "Result", "Route", "result_version"]

S = TypeVar("S", bound=msgspec.Struct)


class Interface(msgspec.Struct, frozen=True):
    """A link that a plugin made or adjusted; ``sandbox`` is ``CNI_NETNS`` for one in the container."""

    name: str
    mac: str = ""
    mtu: int = 0
    sandbox: str = ""
    socket_path: str = msgspec.field(name="socketPath", default="")
    pci_id: str = msgspec.field(name="pciID", default="")


class IPConfig(msgspec.Struct, frozen=True):
    """An address with its host part and prefix length (``10.1.2.3/24``).

    ``interface`` is an index into the result's interfaces; None when it isn't said.
    """

    address: str
    gateway: str = ""
    interface: int | None = None


class Route(msgspec.Struct, frozen=True):
    """A route in the container; without ``gw`` it goes by the address's gateway, or on-link."""

    dst: str
    """Destination, a CIDR."""
    gw: str = ""
    """Next hop."""
    mtu: int = 0
    """Path MTU; 0: the link's."""
    advmss: int = 0
    """Largest TCP segment to advertise, in bytes; 0: by the MTU."""
    priority: int = 0
    """Metric: the lowest wins."""
    table: int | None = None
    """Routing table; default: main (254)."""
    scope: int | None = None
    """0 universe, 253 link, 254 host; default: universe."""


class DNS(msgspec.Struct, frozen=True):
    """What the container's resolver should be told; false when it says nothing."""

    nameservers: tuple[str, ...] = ()
    """Addresses of name servers."""
    domain: str = ""
    """The local domain."""
    search: tuple[str, ...] = ()
    """Domains to look short names up in."""
    options: tuple[str, ...] = ()
    """Options of the resolver."""

    def __bool__(self) -> bool:
        return bool(self.nameservers or self.domain or self.search or self.options)


class Result(msgspec.Struct, frozen=True):
    """What ADD made: interfaces, the addresses and routes on them, and DNS."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[IPConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: DNS = DNS()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], default_version: str) -> Result:
        """The result that a plugin printed, in the version it names, or ``default_version`` if it names none.

        ``null`` is absent. Addresses get their usual spelling. Raises CNIError code 6 with the JSON path.
        """
        version = result_version(raw, default_version)
        if at_least(version, "0.3.0"):
            return _checked(_decoded(raw, cls))
        return _upgraded(_decoded(raw, _FamilyResult))

    def as_version(self, version: str) -> dict[str, Any]:
        """The result as JSON in ``version``.

        Raises CNIError code 1 when multinet doesn't speak the version, code 6 when the result can't be said
        in it: `cannot convert: no valid IP addresses` (0.1.0 and 0.2.0), or an interface index out of range.
        """
        version = require_supported(version)
        if not at_least(version, "0.3.0"):
            return result_shapes.by_family(self, version)
        _require_indexes(self)
        if not at_least(version, "1.0.0"):
            return result_shapes.before_1_0(self, version)
        return result_shapes.from_1_0(self, version)

    def interface_of(self, ip: IPConfig) -> Interface | None:
        """The interface that carries ``ip``: the one it names, or else the last one in the container."""
        if ip.interface is not None:
            return self.interfaces[ip.interface]
        return next((link for link in reversed(self.interfaces) if link.sandbox), None)


class _FamilyConfig(msgspec.Struct, frozen=True):
    ip: str
    gateway: str = ""
    routes: tuple[Route, ...] = ()


class _FamilyResult(msgspec.Struct, frozen=True):
    """The shape of 0.1.0 and 0.2.0."""

    ip4: _FamilyConfig | None = None
    ip6: _FamilyConfig | None = None
    dns: DNS = DNS()


def result_version(raw: Mapping[str, Any], default_version: str) -> str:
    """The version that a result object is in. Raises CNIError code 6 when multinet doesn't speak it."""
    stated = raw.get("cniVersion") or default_version
    if not isinstance(stated, str):
        raise InvalidConfig(
            "$.cniVersion", f"expected str, got {type(stated).__name__}", Code.DECODING_FAILURE
        )
    try:
        return require_supported(stated)
    except CNIError:
        raise InvalidConfig(
            "$.cniVersion", f'unsupported CNI result version "{stated}"', Code.DECODING_FAILURE
        ) from None


def _decoded(raw: Mapping[str, Any], to: type[S]) -> S:
    prepare(to)
    try:
        return msgspec.convert(raw, to)
    except msgspec.ValidationError:
        # Nulls and odd spellings, or real faults with all their paths: correct, but ten times slower.
        return convert(raw, to, code=Code.DECODING_FAILURE)


def _upgraded(old: _FamilyResult) -> Result:
    """0.2.0 to the canonical form: IPv4 first, the routes joined in that order, no gateway inferred."""
    ips: list[IPConfig] = []
    routes: list[Route] = []
    for key, family, ipv6 in (("ip4", old.ip4, False), ("ip6", old.ip6, True)):
        if family is None:
            continue
        ip = _checked_ip(IPConfig(family.ip, family.gateway), f"$.{key}.ip", f"$.{key}.gateway")
        if is_ipv6(ip.address) is not ipv6:
            raise InvalidConfig(
                f"$.{key}.ip", f"{family.ip} is of the other address family", Code.DECODING_FAILURE
            )
        ips.append(ip)
        routes += (_checked_route(r, f"$.{key}.routes[{i}]") for i, r in enumerate(family.routes))
    return Result(ips=tuple(ips), routes=tuple(routes), dns=old.dns)


def _checked(result: Result) -> Result:
    """The same result with addresses in their usual spelling, and every index in range."""
    _require_indexes(result)
    return Result(
        result.interfaces,
        tuple(
            [_checked_ip(ip, f"$.ips[{i}].address", f"$.ips[{i}].gateway") for i, ip in enumerate(result.ips)]
        ),
        tuple([_checked_route(route, f"$.routes[{i}]") for i, route in enumerate(result.routes)]),
        result.dns,
    )


def _require_indexes(result: Result) -> None:
    count = len(result.interfaces)
    for i, ip in enumerate(result.ips):
        if ip.interface is not None and not 0 <= ip.interface < count:
            raise InvalidConfig(
                f"$.ips[{i}].interface",
                f"index {ip.interface} is out of range: the result has {count} interfaces",
                Code.DECODING_FAILURE,
            )


def _checked_ip(ip: IPConfig, address_path: str, gateway_path: str) -> IPConfig:
    address = _cidr(ip.address, address_path)
    gateway = _address(ip.gateway, gateway_path)
    if address == ip.address and gateway == ip.gateway:
        return ip
    return IPConfig(address, gateway, ip.interface)


def _checked_route(route: Route, path: str) -> Route:
    dst = _cidr(route.dst, path + ".dst")
    gw = _address(route.gw, path + ".gw")
    if dst == route.dst and gw == route.gw:
        return route
    return msgspec.structs.replace(route, dst=dst, gw=gw)


def _cidr(text: str, path: str) -> str:
    try:
        return canonical_cidr(text)
    except ValueError as problem:
        raise InvalidConfig(path, str(problem), Code.DECODING_FAILURE) from None


def _address(text: str, path: str) -> str:
    if not text:
        return ""
    try:
        return canonical_address(text)
    except ValueError as problem:
        raise InvalidConfig(path, str(problem), Code.DECODING_FAILURE) from None

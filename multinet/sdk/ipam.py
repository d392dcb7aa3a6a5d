"""What an IPAM author uses: the parts of a request that all IPAMs read alike.

An IPAM gets the upper plugin's whole request configuration. Addresses may be asked for in three places of
it, ``CNI_ARGS``, ``args.cni.ips`` and ``runtimeConfig.ips``; how they combine is each IPAM's own rule.
Texts that callers of the reference plugins match on are kept, after the JSON path of the fault.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from multinet.cni.addresses import canonical_address, canonical_cidr
from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.cni.result import Route
from multinet.cni.versions import at_least

T = TypeVar("T")

__all__ = [
    "Address",
    "Cidr",
    "Envelope",
    "Faults",
    "RuntimeIps",
    "bad_argument",
    "listed_ips",
    "member",
    "one_per_family",
    "parse_cidr",
    "parse_ip",
    "routes",
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Cidr = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class RuntimeIps(msgspec.Struct, frozen=True):
    """``runtimeConfig`` as far as IPAMs share it: the capability ``ips``."""

    ips: tuple[str, ...] = ()


class _CniArgs(msgspec.Struct, frozen=True):
    ips: tuple[str, ...] = ()


class _Args(msgspec.Struct, frozen=True):
    cni: _CniArgs = _CniArgs()


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """The request configuration's outer shape; the inner objects stay raw until an IPAM types them."""

    name: str = ""
    cni_version: str = ""
    ipam: dict[str, Any] | None = None
    runtime_config: dict[str, Any] = {}
    args: dict[str, Any] = {}

    @classmethod
    def of(cls, conf: Mapping[str, Any]) -> Envelope:
        """Read a request configuration. Raises InvalidConfig, also when there is no ``ipam`` object."""
        envelope = convert(conf, cls)
        if envelope.ipam is None:
            raise InvalidConfig("$.ipam", "IPAM config missing 'ipam' key")
        return envelope

    def args_ips(self) -> tuple[str, ...]:
        """``args.cni.ips`` as written. Raises InvalidConfig."""
        return convert(self.args, _Args, "$.args").cni.ips


class Faults:
    """Collects faults of a configuration, so that all of them are told at once."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, path: str, problem: object) -> None:
        """Note ``problem`` at the JSON path ``path``."""
        self._found.append((path, str(problem)))

    def reading(self, path: str, read: Callable[[str], T], text: str) -> T | None:
        """``read(text)``; None when it raises ValueError, which is noted at ``path``."""
        try:
            return read(text)
        except ValueError as error:
            self.add(path, error)
            return None

    def settle(self) -> None:
        """Raise InvalidConfig if any fault was noted: the first one's path, the others after it."""
        if self._found:
            (path, problem), rest = self._found[0], self._found[1:]
            raise InvalidConfig(path, "; ".join([problem, *(f"{p}: {text}" for p, text in rest)]))


def member(raw: object, key: str) -> Any:
    """``raw[key]`` by exact or else case-insensitive match; None when absent or ``raw`` is no object.

    For DEL, which must find its way in a configuration that no longer validates.
    """
    if not isinstance(raw, Mapping):
        return None
    if raw.get(key) is not None:
        return raw[key]
    return next((raw[k] for k in raw if isinstance(k, str) and k.lower() == key.lower()), None)


def parse_ip(text: str) -> Address:
    """An address; ``::ffff:a.b.c.d`` counts as IPv4. Raises ValueError ``invalid IP address: X``."""
    return ipaddress.ip_address(canonical_address(text))


def parse_cidr(text: str) -> Cidr:
    """An address with prefix length, host bits kept. Raises ValueError ``invalid CIDR address: X``."""
    return ipaddress.ip_interface(canonical_cidr(text))


def bad_argument(key: str, value: str, why: str) -> CNIError:
    """The error for a pair of ``CNI_ARGS`` whose value is not understood."""
    return CNIError(Code.INVALID_ENVIRONMENT, f'ARGS: error parsing value of pair "{key}={value}": {why}')


def listed_ips(path: str, items: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each item of a JSON list with its own JSON path."""
    return ((f"{path}[{index}]", item) for index, item in enumerate(items))


def one_per_family(cni_version: str, families: Sequence[int]) -> None:
    """Config versions below 0.3.0 have room for one IPv4 and one IPv6 address. Raises InvalidConfig."""
    version = cni_version or "0.1.0"
    if len(families) > len(set(families)) and not at_least(version, "0.3.0"):
        raise InvalidConfig(
            "$.cniVersion", f"CNI version {version} does not support more than 1 address per family"
        )


def routes(entries: Sequence[Route], faults: Faults) -> tuple[Route, ...]:
    """``ipam.routes`` for a result: in order, duplicates kept (two gateways for one ``dst``: multipath)."""
    return tuple(_route(entry, f"$.ipam.routes[{index}]", faults) for index, entry in enumerate(entries))


def _route(entry: Route, path: str, faults: Faults) -> Route:
    dst = faults.reading(f"{path}.dst", canonical_cidr, entry.dst)
    gw = faults.reading(f"{path}.gw", canonical_address, entry.gw) if entry.gw else ""
    return msgspec.structs.replace(entry, dst=dst or entry.dst, gw=gw or entry.gw)

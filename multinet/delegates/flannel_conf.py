"""flannel's two inputs, and the delegate's configuration that comes of them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from multinet.cni.addresses import prefix_of
from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.sdk.delegate import DelegateConf
from multinet.sdk.ipam import member

__all__ = ["FlannelConf", "Subnets", "delegate_conf", "faulty", "parse_subnet_env"]

_REMEDY = "Check the flannel pod log for this node."
_MTU_LIMIT = 1 << 32


class FlannelConf(DelegateConf, frozen=True, kw_only=True):
    """Options of flannel."""

    subnet_file: str = "/run/flannel/subnet.env"
    """Where flanneld writes the node's subnet."""
    data_dir: str = "/var/lib/cni/flannel"
    """Folder of what DEL needs: the delegate's configuration of each attachment."""
    delegate: dict[str, Any] = msgspec.field(default_factory=dict)
    """Configuration of the delegate, ``type`` default ``bridge``; ``name`` and ``ipam`` are flannel's to set."""
    ipam: dict[str, Any] = msgspec.field(default_factory=dict)
    """Base of the delegate's ``ipam``, ``type`` default ``host-local``; its ranges are the node's subnets."""


class Subnets(msgspec.Struct, frozen=True):
    """What flanneld says of the node: CIDRs of the cluster and of the node, MTU, and whether it masquerades."""

    networks: tuple[str, ...]
    """IPv4 ones first."""
    subnets: tuple[str, ...]
    mtu: int
    masquerades: bool


def parse_subnet_env(text: str, path: str) -> Subnets:
    """The subnet file. Raises CNIError code 7 that names file, line and what is missing."""
    found = dict(_lines(text, path))
    networks, subnets = {}, {}
    for version, infix in ((4, ""), (6, "IPV6_")):
        networks[version] = _cidrs(found, f"FLANNEL_{infix}NETWORK", version, path)
        subnets[version] = _cidrs(found, f"FLANNEL_{infix}SUBNET", version, path)
        if len(subnets[version]) > 1:
            raise faulty(path, f"FLANNEL_{infix}SUBNET: expected one CIDR, got {len(subnets[version])}")
    missing = []
    if not networks[4] and not networks[6]:
        missing += ["FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"]
    if not subnets[4] and not subnets[6]:
        missing += ["FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"]
    missing += [key for key in ("FLANNEL_MTU", "FLANNEL_IPMASQ") if key not in found]
    if missing:
        raise faulty(path, f"{path} is missing {', '.join(missing)}")
    return Subnets(
        (*networks[4], *networks[6]),
        (*subnets[4], *subnets[6]),
        _mtu(found["FLANNEL_MTU"], path),
        found["FLANNEL_IPMASQ"] == "true",
    )


def delegate_conf(conf: FlannelConf, raw: Mapping[str, Any], node: Subnets) -> dict[str, Any]:
    """The configuration that the delegate gets, as the reference composes it, with ``args`` and ``dns`` beside.

    ``raw`` is the request as it came: what is handed on goes as it was written.
    Raises InvalidConfig for a ``delegate`` that isn't one.
    """
    delegate = dict(conf.delegate)
    kind = delegate.get("type", "bridge")
    if not isinstance(kind, str) or not kind:
        raise InvalidConfig(
            "$.delegate.type", "'delegate' dictionary, if present, must have (string) 'type' field"
        )
    for key in ("name", "ipam"):
        if key in delegate:
            words = f"'delegate' dictionary must not have '{key}' field, it'll be set by flannel"
            raise InvalidConfig(f"$.delegate.{key}", words)
    for key in ("args", "dns"):
        if (given := member(raw, key)) is not None:
            delegate.setdefault(key, given)
    if (runtime := member(raw, "runtimeConfig")) is not None:
        delegate["runtimeConfig"] = runtime
    delegate["name"] = conf.name
    delegate["type"] = kind
    delegate.setdefault("ipMasq", not node.masquerades)
    delegate.setdefault("mtu", node.mtu)
    if kind == "bridge":
        delegate.setdefault("isGateway", True)
    if version := member(raw, "cniVersion"):
        delegate["cniVersion"] = version
    delegate["ipam"] = _ipam(conf, node)
    return delegate


def _ipam(conf: FlannelConf, node: Subnets) -> dict[str, Any]:
    base = {key: value for key, value in conf.ipam.items() if key != "subnet"}
    given = member(conf.ipam, "routes")
    given = [] if given is None else given
    if not isinstance(given, list) or not all(isinstance(route, dict) for route in given):
        raise InvalidConfig(
            "$.ipam.routes",
            "failed to assemble Delegate IPAM: failed to read IPAM routes: failed to parse ipam.routes: "
            "expected a list of objects",
        )
    base.setdefault("type", "host-local")
    base["ranges"] = [[{"subnet": subnet}] for subnet in node.subnets]
    base["routes"] = [*given, *({"dst": network} for network in node.networks)]
    return base


def _lines(text: str, path: str) -> Iterator[tuple[str, str]]:
    """Keys and values; lines of other keys are nobody's business."""
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, value = line.partition("=")
        if not key.startswith("FLANNEL_"):
            continue
        if not equals:
            raise faulty(path, f"{path}, line {number}: expected {key}=VALUE")
        yield key, value


def _cidrs(found: Mapping[str, str], key: str, version: int, path: str) -> tuple[str, ...]:
    """Masked to the network; repetitions dropped."""
    kept: dict[str, None] = {}
    for text in (part for part in found.get(key, "").split(",") if part):
        try:
            network: ipaddress.IPv4Network | ipaddress.IPv6Network = prefix_of(text)
        except ValueError:
            raise faulty(path, f"{key}: invalid CIDR address: {text}") from None
        if network.version != version or "/" not in text:
            raise faulty(path, f"{key}: {text} is no IPv{version} CIDR")
        kept[str(network)] = None
    return tuple(kept)


def _mtu(text: str, path: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= _MTU_LIMIT:
        raise faulty(path, f'FLANNEL_MTU: "{text}" is no number from 0 to {_MTU_LIMIT - 1}')
    return int(text)


def faulty(path: str, problem: str, code: int = Code.INVALID_CONFIG) -> CNIError:
    """What is wrong with the subnet file, in the reference's words."""
    return CNIError(code, f"failed to load flannel 'subnet.env' file: {problem}. {_REMEDY}", path)

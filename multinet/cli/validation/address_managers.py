"""The ``ipam`` objects of our own address managers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cli.validation.findings import Subject
from multinet.cli.validation.pools import Pools
from multinet.cni.decode import unknown_keys
from multinet.cni.errors import CNIError
from multinet.core.desired import Owner
from multinet.delegates.dhcp_conf import DhcpConf, ProvidedOption, RequestedOption
from multinet.delegates.dhcp_conf import load as load_dhcp
from multinet.delegates.host_local_conf import HostLocalConf, folder_of, load
from multinet.delegates.static import AddressConf, StaticConf, static
from multinet.ports import IpamRequest
from multinet.sdk.address_ranges import RangeConf

_ANY_POD = {"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": "any"}
__all__ = ["check_address_manager"]


def check_address_manager(conf: Mapping[str, Any], subject: Subject, pools: Pools) -> None:
    """``conf`` is the plugin's complete configuration; other people's address managers pass."""
    request = IpamRequest(conf=conf, owner=Owner(str(conf["name"]), "validate", "net1"))
    ipam = conf["ipam"]
    try:
        match ipam.get("type"):
            case "host-local":
                _name_host_local_keys(ipam, subject)
                _check_host_local(request, subject, pools)
            case "static":
                _name_keys(ipam, StaticConf, subject, "$.ipam")
                for index, entry in _objects(ipam.get("addresses")):
                    _name_keys(entry, AddressConf, subject, f"$.ipam.addresses[{index}]", ("version",))
                static.allocate(request)
            case "dhcp":
                _name_keys(ipam, DhcpConf, subject, "$.ipam")
                for key, kind in (("provide", ProvidedOption), ("request", RequestedOption)):
                    for index, entry in _objects(ipam.get(key)):
                        _name_keys(entry, kind, subject, f"$.ipam.{key}[{index}]")
                load_dhcp(msgspec.structs.replace(request, args=_ANY_POD))
    except CNIError as error:
        subject.faults(error)


def _check_host_local(request: IpamRequest, subject: Subject, pools: Pools) -> None:
    plan = load(request)
    capabilities = request.conf.get("capabilities") or {}
    if not plan.sets and not capabilities.get("ipRanges"):
        subject.error(
            "$.ipam", 'has no addresses to give: set "ranges", or declare the capability "ipRanges"'
        )
    pools.add(folder_of(request), str(request.conf["name"]), plan.sets, subject)


def _name_host_local_keys(ipam: Mapping[str, Any], subject: Subject) -> None:
    _name_keys(ipam, HostLocalConf, subject, "$.ipam")
    ranges = ipam.get("ranges")
    for i, one in enumerate(ranges if isinstance(ranges, list) else ()):
        for j, entry in _objects(one):
            _name_keys(entry, RangeConf, subject, f"$.ipam.ranges[{i}][{j}]")


def _name_keys(
    raw: Mapping[str, Any],
    known: type[msgspec.Struct],
    subject: Subject,
    path: str,
    also: tuple[str, ...] = ("type",),
) -> None:
    for key, near in unknown_keys(raw, known).items():
        if key not in also:
            hint = f', did you mean "{near}"?' if near else ""
            subject.warning(f"{path}.{key}", f'unknown key "{key}"{hint}')


def _objects(value: Any) -> list[tuple[int, Mapping[str, Any]]]:
    items = value if isinstance(value, list) else []
    return [(index, item) for index, item in enumerate(items) if isinstance(item, Mapping)]

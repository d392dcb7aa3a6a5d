"""The ``ipam`` objects of our own address managers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cli.validation.findings import Subject
from multinet.cli.validation.pools import Pools
from multinet.cli.validation.strange_keys import name_strange_keys
from multinet.cni.errors import CNIError
from multinet.core.desired import Owner
from multinet.delegates.dhcp_conf import DhcpConf
from multinet.delegates.dhcp_conf import load as load_dhcp
from multinet.delegates.host_local_conf import HostLocalConf, folder_of, load
from multinet.delegates.static import StaticConf, static
from multinet.ports import IpamRequest

__all__ = ["check_address_manager"]

_ANY_POD = {"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": "any"}
_CONFS: dict[str, type[msgspec.Struct]] = {
    "dhcp": DhcpConf,
    "host-local": HostLocalConf,
    "static": StaticConf,
}
_READ_BY_OTHERS = ("type", "version")
"""The delegate reads the one; the other is in old addresses of static, and nobody needs it."""


def check_address_manager(conf: Mapping[str, Any], subject: Subject, pools: Pools) -> None:
    """``conf`` is the plugin's complete configuration; other people's address managers pass."""
    request = IpamRequest(conf=conf, owner=Owner(str(conf["name"]), "validate", "net1"))
    ipam = conf["ipam"]
    known = _CONFS.get(str(ipam.get("type")))
    if known is not None:
        name_strange_keys(ipam, known, subject, _READ_BY_OTHERS, "$.ipam")
    try:
        match ipam.get("type"):
            case "host-local":
                _check_host_local(request, subject, pools)
            case "static":
                static.allocate(request)
            case "dhcp":
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

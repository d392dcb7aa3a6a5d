"""firewall: the host forwards a pod's traffic, and keeps bridges or pods apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from multinet.cni.addresses import interface_of
from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.core.desired import AnyItem, BridgeIsolation, ForwardAccept
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, chained_delegate
from multinet.sdk.iptables import require_iptables

_Backend = Literal["nftables", "iptables", "firewalld"]
_BACKENDS = ("nftables", "iptables", "firewalld")
_POLICIES = ("open", "same-bridge", "isolated")
_ROOM = 28
"""Characters that iptables allows for the name of a chain."""


class FirewallConf(DelegateConf, frozen=True, kw_only=True):
    """Options of firewall."""

    backend: str = ""
    """``nftables``, ``iptables`` or ``firewalld``; default: firewalld where it runs, else as the host's other rules."""
    iptables_admin_chain_name: str = "CNI-ADMIN"
    """iptables: the administrator's own chain, asked before the pods' rules."""
    firewalld_zone: str = "trusted"
    """firewalld: the zone that the pod's addresses join."""
    ingress_policy: str = "open"
    """``open``; ``same-bridge``: other bridges don't reach the pod; ``isolated``: other pods of its bridge neither."""


@chained_delegate(
    FirewallConf, rules=(ForwardAccept, BridgeIsolation), missing="missing prevResult from earlier plugin"
)
def firewall(conf: FirewallConf, pod: Sandbox, host: Facts) -> Desired:
    """An accept for each address of the result, and the bridge's isolation."""
    _validate(conf)
    backend = _backend(conf, host)
    addresses = [interface_of(ip.address).ip for ip in pod.so_far.ips]
    items: list[AnyItem] = [
        ForwardAccept(
            owner=pod.owner,
            cidr=f"{address}/{address.max_prefixlen}",
            backend=backend,
            admin_chain=conf.iptables_admin_chain_name,
            zone=conf.firewalld_zone,
        )
        for address in dict.fromkeys(addresses)
    ]
    if conf.ingress_policy != "open":
        items += _isolation(conf, pod, host, sorted({address.version for address in addresses}))
    return Desired(tuple(items))


@firewall.leftovers
def _reference(conf: FirewallConf | None, pod: Sandbox, host: Facts) -> Iterable[AnyItem]:
    """The reference plugin's accepts in iptables have no mark: they are known by the addresses of the result."""
    if conf is None or pod.previous is None or conf.backend not in ("", "iptables"):
        return []
    if host.program("iptables") is None:
        return []
    return [
        ForwardAccept(
            owner=pod.owner,
            cidr=f"{address}/{address.max_prefixlen}",
            backend="iptables",
            admin_chain=conf.iptables_admin_chain_name,
            zone=conf.firewalld_zone,
        )
        for address in dict.fromkeys(interface_of(ip.address).ip for ip in pod.previous.ips)
    ]


@firewall.ready
def _ready(conf: FirewallConf, host: Facts) -> None:
    """The options are known, and the back end's program is there."""
    _validate(conf)
    backend = _backend(conf, host)
    if backend == "iptables":
        require_iptables(host)
    if backend == "firewalld" and not host.firewalld_runs():
        raise CNIError(Code.NOT_AVAILABLE, "firewalld doesn't answer on the system bus")


def _validate(conf: FirewallConf) -> None:
    if conf.backend not in ("", *_BACKENDS):
        raise InvalidConfig("$.backend", f'unknown backend "{conf.backend}" (one of {", ".join(_BACKENDS)})')
    if conf.ingress_policy not in _POLICIES:
        words = f'unknown ingress policy: "{conf.ingress_policy}" (one of {", ".join(_POLICIES)})'
        raise InvalidConfig("$.ingressPolicy", words)
    chain = conf.iptables_admin_chain_name
    if not 0 < len(chain) <= _ROOM or chain[0] in "-!" or any(c.isspace() for c in chain):
        raise InvalidConfig(
            "$.iptablesAdminChainName", f'"{chain}" is no name of a chain (at most {_ROOM} characters)'
        )


def _backend(conf: FirewallConf, host: Facts) -> _Backend:
    for known in _BACKENDS:
        if conf.backend == known:
            return known  # type: ignore[return-value]
    return "firewalld" if host.firewalld_runs() else _rules(host)


def _rules(host: Facts) -> Literal["nftables", "iptables"]:
    return "iptables" if host.masquerade_backend() == "iptables" else "nftables"


def _isolation(conf: FirewallConf, pod: Sandbox, host: Facts, families: list[int]) -> list[AnyItem]:
    """On the first interface of the result: the bridge, when the bridge plugin came before. firewalld knows no
    such thing, so there it stands in the rules.
    """
    backend = _backend(conf, host)
    rules = _rules(host) if backend == "firewalld" else backend
    interfaces = pod.so_far.interfaces
    if not interfaces or interfaces[0].sandbox:
        raise InvalidConfig(
            "$.ingressPolicy",
            f'interface needs to be set for ingress policy "{conf.ingress_policy}", '
            'make sure to chain "firewall" plugin with "bridge"',
        )
    if not interfaces[0].name:
        raise InvalidConfig("$.prevResult.interfaces[0].name", "got empty bridge name")
    policy: Literal["same-bridge", "isolated"] = (
        "isolated" if conf.ingress_policy == "isolated" else "same-bridge"
    )
    return [
        BridgeIsolation(
            owner=pod.owner,
            bridge=interfaces[0].name,
            policy=policy,
            family=6 if family == 6 else 4,
            backend=rules,
        )
        for family in families
    ]

"""An ADD of a list with no node: each delegate says what it desires on hosts that could be, after those before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from multinet.adapters.kernel_values import LinkInfo
from multinet.cli.validation.findings import faults_of
from multinet.cli.validation.imaginary_host import ImaginaryHost, imaginary_hosts
from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Interface, IPConfig, Result
from multinet.core.desired import AnyItem, Dummy, Ipvlan, Macvlan, Owner, Place, Tap, Veth, Vlan
from multinet.sdk.delegate import DelegateConf, Desired, Sandbox
from multinet.sdk.delegate_plugin import DelegatePlugin
from multinet.sdk.mac import requested_mac

__all__ = ["Rehearsal"]

_IFNAME, _NETNS = "net1", "/run/netns/validate"
_ADDRESSES = Result(ips=(IPConfig(address="192.0.2.2/24", gateway="192.0.2.1"),))
"""What an address manager could give. Source: RFC 5737, 3 (TEST-NET-1)."""
_ANY_RESULT = Result(
    interfaces=(
        Interface(name="host0", mac="02:00:00:00:00:02"),
        Interface(name=_IFNAME, mac="02:00:00:00:00:03", sandbox=_NETNS),
    ),
    ips=(IPConfig(address="192.0.2.2/24", gateway="192.0.2.1", interface=1),),
)
"""What a plugin that nothing is known of could have made."""

Fault = tuple[str, str]
"""JSON path, and the problem."""


class Rehearsal:
    """One list, as far as it has come."""

    def __init__(self) -> None:
        self.previous: Result | None = None
        """The result so far; None before the first plugin."""
        self._made: dict[tuple[Place, str], LinkInfo] = {}

    def play(self, delegate: DelegatePlugin[Any], conf: DelegateConf) -> list[Fault]:
        """What an ADD would refuse on every host; what it would make is there from now on."""
        faults, desired = self._everywhere(lambda host: self._desired(delegate, conf, host, None))
        if conf.has_ipam and desired is not None:
            _, desired = self._everywhere(lambda host: self._desired(delegate, conf, host, _ADDRESSES))
        if desired is None:
            self.pass_over()
        else:
            self._go_on(desired)
        return faults

    def pass_over(self) -> None:
        """A plugin that nothing is known of has its turn."""
        self.previous = self.previous or _ANY_RESULT

    def takes(self, delegate: DelegatePlugin[Any], conf: DelegateConf, capability: str, example: Any) -> bool:
        """Whether the delegate would do something else if the runtime handed ``example`` over."""
        given = msgspec.structs.replace(conf, runtime_config={**conf.runtime_config, capability: example})
        _, without = self._everywhere(lambda host: self._desired(delegate, conf, host, None))
        _, with_it = self._everywhere(lambda host: self._desired(delegate, given, host, None))
        return without is not None and with_it is not None and without != with_it

    def _desired(
        self, delegate: DelegatePlugin[Any], conf: DelegateConf, host: ImaginaryHost, ipam: Result | None
    ) -> Desired:
        pod = Sandbox(
            owner=Owner(conf.name, "validate", _IFNAME),
            netns=_NETNS,
            requested_mac=requested_mac(conf, ""),
            ipam=ipam,
            previous=self.previous,
        )
        return delegate.desired(conf, pod, host)

    def _everywhere(self, ask: Callable[[ImaginaryHost], Desired]) -> tuple[list[Fault], Desired | None]:
        """The answer of the first host that has one; else the faults that all of them name."""
        refusals: list[list[Fault]] = []
        for host in imaginary_hosts(self._made):
            try:
                return [], ask(host)
            except CNIError as error:
                blames_node = error.code != Code.INVALID_CONFIG
                refusals.append([] if blames_node else list(faults_of(error)))
        return _common(refusals), None

    def _go_on(self, desired: Desired) -> None:
        if desired.result != Result():
            self.previous = desired.result
        self.pass_over()  # a result that says nothing is as good as an unknown one
        for item in desired.items:
            self._remember(item)

    def _remember(self, item: AnyItem) -> None:
        index = len(self._made) + 1
        if isinstance(item, Veth):
            self._made["sandbox", item.name] = LinkInfo(index, item.name, "veth", item.mac, parent=index + 1)
            self._made["host", item.host_name] = LinkInfo(
                index + 1, item.host_name, "veth", item.host_mac, parent=index
            )
        elif isinstance(item, Macvlan | Ipvlan | Vlan | Dummy | Tap):
            kind = type(item).__name__.lower()
            self._made["sandbox", item.name] = LinkInfo(index, item.name, kind)


def _common(refusals: Sequence[Sequence[Fault]]) -> list[Fault]:
    first, *others = refusals
    return [fault for fault in first if all(fault in other for other in others)]

"""What the author of a delegate imports: configuration, desired state, addressing, registration.

A delegate of one file::

    from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate

    class DummyConf(DelegateConf, frozen=True, kw_only=True):
        mtu: int = 0

    @interface_delegate(DummyConf)
    def example(conf: DummyConf, pod: Sandbox, host: Facts) -> Desired: ...

It never creates, undoes or deletes anything itself: from the desired state one engine does ADD, CHECK, DEL,
GC and STATUS. Register it under the entry-point group ``multinet.delegates``.
"""

from multinet.adapters.kernel_values import LinkInfo, RouteInfo, RuleInfo
from multinet.engine.facts import Facts
from multinet.sdk.chained_plugin import chained_delegate
from multinet.sdk.delegate import DelegateConf, Desired, Sandbox
from multinet.sdk.interface_plugin import interface_delegate

__all__ = [
    "DelegateConf",
    "Desired",
    "Facts",
    "LinkInfo",
    "RouteInfo",
    "RuleInfo",
    "Sandbox",
    "chained_delegate",
    "interface_delegate",
]

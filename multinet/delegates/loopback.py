"""loopback: brings ``lo`` up in the sandbox, whatever interface name was asked for."""

from __future__ import annotations

from multinet.cni.result import Interface, IPConfig, Result
from multinet.core.desired import LinkUp
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate


class LoopbackConf(DelegateConf, frozen=True, kw_only=True):
    """No options of its own."""


@interface_delegate(LoopbackConf, existing="lo")
def loopback(conf: LoopbackConf, pod: Sandbox, host: Facts) -> Desired:
    """``lo``, up, with the addresses that the kernel gives it; a previous result is handed on as it is."""
    up = (LinkUp(name="lo", whose="borrowed"),)
    if pod.previous is not None:
        return Desired(up, pod.previous)
    ips = [IPConfig(address="127.0.0.1/8", interface=0)]
    if host.sysctl("net/ipv6/conf/lo/disable_ipv6", "sandbox") == "0":
        ips.append(IPConfig(address="::1/128", interface=0))
    link = Interface(name="lo", mac="00:00:00:00:00:00", sandbox=pod.netns)
    return Desired(up, Result(interfaces=(link,), ips=tuple(ips)))

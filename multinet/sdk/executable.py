"""A delegate's file as an executable: each call in a process of its own, with no daemon."""

from __future__ import annotations

import sys
from typing import Any

from multinet.adapters.firewall import HostFirewall, choose_backend
from multinet.adapters.kernel import Kernel
from multinet.cni import skeleton
from multinet.cni.chain import PluginCall
from multinet.cni.execution import ExecutableRunner
from multinet.cni.request import Request
from multinet.ports import Ipam
from multinet.sdk import registry
from multinet.sdk.executor import DelegateExecutor
from multinet.sdk.node import Node
from multinet.sdk.plugin import Plugin

__all__ = ["main", "run_called"]


def main(kind: str, plugin: Plugin | Ipam) -> None:
    """Serve the one call that this process was started for as the plugin ``kind``, and exit.

    For the last lines of a delegate's own file, which can then be put into a folder of plugins as it is.
    """
    registry.register(kind, plugin)
    sys.exit(skeleton.serve(f"CNI {kind} plugin", lambda request: run_called(kind, request)))


def run_called(kind: str, request: Request) -> dict[str, Any] | None:
    """The verb, by the delegate itself; external address managers run as executables. Raises CNIError."""
    kernel = Kernel()
    firewall = HostFirewall(kernel.host_netns)
    node = Node(kernel, firewall, ExecutableRunner(), lambda: choose_backend(kernel.host_netns))
    call = PluginCall(
        verb=request.invocation.command, type=kind, conf=request.conf, invocation=request.invocation
    )
    return DelegateExecutor(node).run_called(call)

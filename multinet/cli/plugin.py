"""A delegate as a plain CNI executable: environment and standard input in, result out, no daemon."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from multinet import __version__
from multinet.cni.errors import CNIError, Code

if TYPE_CHECKING:
    from multinet.cni.request import Request


def main(kind: str) -> None:
    """Serve one call of the plugin ``kind`` and exit."""
    sys.exit(serve(kind))


def serve(kind: str) -> int:
    """One call; the exit code."""
    # Imports are inside: a process is started for each call, and must not load what the verb doesn't need.
    if not os.environ.get("CNI_COMMAND"):
        from multinet.cni.invocation import about

        sys.stderr.write(about(f"CNI {kind} plugin v{__version__}"))
        return 0
    version = "1.1.0"
    try:
        from multinet.cli.standard_input import read_standard_input
        from multinet.cni.request import read_request, require_other_netns

        request = read_request(os.environ, read_standard_input)
        version = request.cni_version
        if request.invocation.command == "VERSION":
            from multinet.cni.versions import version_output

            return _print(version_output())
        if request.invocation.command in ("ADD", "CHECK"):
            require_other_netns(request.invocation.netns, os.environ)
        return _print(_run(kind, request))
    except CNIError as error:
        sys.stdout.write(error.to_json(version).decode() + "\n")
        return 1
    except Exception as error:  # the caller gets an error that it understands, not a traceback
        fault = CNIError(Code.INTERNAL, f"internal fault: {type(error).__name__}: {error}")
        sys.stdout.write(fault.to_json(version).decode() + "\n")
        return 1


def _run(kind: str, request: Request) -> dict[str, Any] | None:
    """The verb, by the delegate itself; external address managers run as executables."""
    from multinet.adapters.firewall import HostFirewall, choose_backend
    from multinet.adapters.kernel import Kernel
    from multinet.cni.chain import PluginCall
    from multinet.cni.execution import ExecutableRunner
    from multinet.sdk.executor import DelegateExecutor
    from multinet.sdk.node import Node

    kernel = Kernel()
    firewall = HostFirewall(kernel.host_netns)
    node = Node(kernel, firewall, ExecutableRunner(), lambda: choose_backend(kernel.host_netns))
    call = PluginCall(
        verb=request.invocation.command, type=kind, conf=request.conf, invocation=request.invocation
    )
    return DelegateExecutor(node).run_called(call)


def _print(answer: dict[str, Any] | None) -> int:
    if answer is not None:
        sys.stdout.write(json.dumps(answer, indent=4) + "\n")
    return 0

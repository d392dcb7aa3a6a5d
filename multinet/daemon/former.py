"""Attachments that other executables made, before multinet came: as long as those are there, they know best."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from multinet.adapters.installation import others_name
from multinet.cni.chain import Executor, PluginCall
from multinet.cni.errors import CNIError
from multinet.cni.execution import find_executable
from multinet.sdk.executor import DelegateExecutor
from multinet.sdk.node import Node


class FormerPlugins:
    """The ``Executor`` of an attachment that isn't multinet's own work."""

    def __init__(self, node: Node) -> None:
        self._others: Executor = node.external
        self._ours = DelegateExecutor(node)

    def run(self, call: PluginCall) -> dict[str, Any] | None:
        """CHECK and DEL by the executable that made it. Without it DEL goes by what carries the attachment's
        identity, and CHECK finds nothing: nobody knows how it should be. Raises CNIError.
        """
        name = _others_name(call.type, call.invocation.path)
        if name is not None:
            return self._others.run(replace(call, type=name))
        if call.verb == "CHECK":
            return None
        return self._ours.run(call)


def _others_name(kind: str, path: Sequence[str]) -> str | None:
    """The plugin's executable by another project, as it is called now; None when there is none (any more)."""
    try:
        folder, name = os.path.split(find_executable(kind, path))
    except CNIError:
        return None
    return others_name(folder, name)

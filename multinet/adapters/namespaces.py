"""The network namespaces that this process can see: named ones, and those of running processes."""

from __future__ import annotations

import os
from collections.abc import Iterator

from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError

_NAMED = "/run/netns"
"""Where ``ip netns`` and container runtimes bind them (ip-netns(8))."""


def visible_namespaces() -> Iterator[Netns]:
    """Each once, by the first path that leads to it; the caller closes them.

    A look through all processes: for failures that deserve it, not for the usual way.
    """
    seen: set[tuple[int, int]] = set()
    for path in _paths():
        try:
            netns = Netns.open(path)
        except CNIError:  # the process has ended, or isn't ours to look at
            continue
        if netns.identity in seen:
            netns.close()
            continue
        seen.add(netns.identity)
        yield netns


def _paths() -> Iterator[str]:
    for name in sorted(_names(_NAMED)):
        yield f"{_NAMED}/{name}"
    for name in _names("/proc"):
        if name.isdigit():
            yield f"/proc/{name}/ns/net"


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []

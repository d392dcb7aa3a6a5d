"""iproute2 on a namespace: what it makes, and what it says; the independent reader beside ours."""

from __future__ import annotations

import json
from typing import Any

from multinet.adapters.netns import Netns


def do(lab: Any, line: str, netns: Netns | None = None) -> None:
    """A command line without quotes, on the host or in ``netns``."""
    lab.run(*line.split(), netns=netns)


def ip(lab: Any, *arguments: str, netns: Netns | None = None) -> Any:
    """``ip -j -d …`` of the host, or ``netns``."""
    return json.loads(lab.run("ip", "-j", "-d", *arguments, netns=netns) or "[]")


def tc(lab: Any, *arguments: str, netns: Netns | None = None) -> Any:
    """``tc -j -d …`` of the host, or ``netns``."""
    return json.loads(lab.run("tc", "-j", "-d", *arguments, netns=netns) or "[]")


def link(lab: Any, name: str, netns: Netns | None = None) -> Any:
    """One link, as ``ip`` shows it."""
    (found,) = ip(lab, "link", "show", "dev", name, netns=netns)
    return found

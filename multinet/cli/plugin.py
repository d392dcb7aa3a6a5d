"""A delegate as a plain CNI executable, with no daemon."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from multinet import __version__
from multinet.cni import skeleton

if TYPE_CHECKING:
    from multinet.cni.request import Request


def main(kind: str) -> None:
    """Serve one call of the plugin ``kind`` and exit."""
    sys.exit(serve(kind))


def serve(kind: str) -> int:
    """One call; the exit code."""

    def run(request: Request) -> dict[str, Any] | None:
        # Inside: a process is started for each call, and VERSION needs none of it.
        from multinet.sdk.executable import run_called

        return run_called(kind, request)

    return skeleton.serve(f"CNI {kind} plugin v{__version__}", run)

"""The daemon's own socket: CNI calls, and questions about pods."""

from __future__ import annotations

import os
from collections.abc import Callable

from multinet.daemon.application import Application
from multinet.daemon.exchange import Door
from multinet.daemon.explainer import Explainer
from multinet.daemon.inquiry import PROGRAM as EXPLAIN
from multinet.daemon.inquiry import tell
from multinet.daemon.networks import META_TYPES
from multinet.daemon.safety import Safety
from multinet.daemon.wire_exchange import WireExchange
from multinet.wire.message import Request, Response

__all__ = ["own_door"]


def own_door(application: Application, safety: Safety) -> Door:
    """The socket of our own shim, and of those who ask why."""
    options = application.options
    explainer = Explainer(
        application.shared,
        safety.configuration,
        options.defaults,
        options.plugin_path,
        lambda: safety.report,
    )

    def answer(
        request: Request, netns_fd: int | None, hung_up: Callable[[], bool], connection_fd: int
    ) -> Response:
        if request.program != EXPLAIN:
            return application.service.answer(request, netns_fd, hung_up, connection_fd)
        if netns_fd is not None:  # a question has none
            os.close(netns_fd)
        return tell(request, explainer)

    def is_nested(program: str) -> bool:
        return program not in META_TYPES and program != EXPLAIN

    return Door(options.socket, lambda: WireExchange(answer, is_nested))

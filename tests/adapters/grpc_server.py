"""A real gRPC server on a unix socket, of methods given as functions from bytes to bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

Method = Callable[[bytes, grpc.ServicerContext], bytes]
NO_LIMITS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Methods(grpc.GenericRpcHandler):
    """Serves what ``methods`` have, by full name; the rest is unimplemented."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods

    def service(self, details: Any) -> Any:
        method = self._methods.get(details.method)
        return grpc.unary_unary_rpc_method_handler(method) if method else None


@contextmanager
def grpc_server(path: Path, methods: Mapping[str, Method]) -> Iterator[grpc.Server]:
    """Serve at ``path`` until the context ends."""
    server = grpc.server(ThreadPoolExecutor(8), handlers=[Methods(methods)], options=NO_LIMITS)
    assert server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield server
    finally:
        server.stop(None).wait()

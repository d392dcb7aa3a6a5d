"""Servers in namespaces that say who they are and whom they see, and clients that ask them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from multinet.adapters.netns import Netns

SCTP = 132
KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, SCTP),
}
PATIENCE = 10.0
"""Seconds for an answer that should come."""


def open_socket(netns: Netns, address: str, protocol: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.entered():
        return socket.socket(family, *KINDS[protocol])


@contextmanager
def server(netns: Netns, address: str, port: int, protocol: str = "tcp", name: str = "") -> Iterator[None]:
    """Answers everyone with its name and the address that it sees them come from."""
    listener = open_socket(netns, address, protocol)
    if ":" in address:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.settimeout(0.05)
    if protocol != "udp":
        listener.listen(16)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            with suppress(TimeoutError, ConnectionError):
                if protocol == "udp":
                    _, peer = listener.recvfrom(100)
                    listener.sendto(f"{name} {peer[0]}".encode(), peer)
                else:
                    accepted, peer = listener.accept()
                    with accepted:
                        accepted.sendall(f"{name} {peer[0]}".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        listener.close()


def ask(
    netns: Netns, address: str, port: int, protocol: str = "tcp", patience: float = PATIENCE, source: str = ""
) -> str:
    """What a server there says (``name address``); empty when nobody does."""
    with open_socket(netns, address, protocol) as client:
        return ask_by(client, address, port, patience, source)


def ask_by(
    client: socket.socket, address: str, port: int, patience: float = PATIENCE, source: str = ""
) -> str:
    """The same, by a socket that is there already."""
    client.settimeout(patience)
    try:
        if source:
            client.bind((source, 0))
        if client.type == socket.SOCK_DGRAM:
            client.sendto(b"?", (address, port))
            return client.recvfrom(100)[0].decode()
        client.connect((address, port))
        return client.recv(100).decode()
    except OSError:
        return ""

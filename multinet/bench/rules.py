"""What port mappings cost as they grow in number: a connection through one, and a pod's coming and going.

``python -m multinet.bench.rules [--json FILE] [COUNT …]`` measures both back ends, each in a node of its own: a
client outside, a pod, and as many mappings of other pods as asked for. docs/explanation/packet-rules.md has a run.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Literal

import msgspec

from multinet.adapters.firewall import HostFirewall
from multinet.adapters.netns import Netns
from multinet.bench.failure import BenchError
from multinet.bench.lab import Lab
from multinet.bench.samples import percentile
from multinet.core.desired import Owner, PortMapping

__all__ = ["Figures", "main", "measure"]

Backend = Literal["nftables", "iptables"]

_COUNTS: dict[Backend, tuple[int, ...]] = {"nftables": (10, 100, 1000, 10000), "iptables": (10, 100, 1000)}
"""iptables reads and writes its whole table for each change: 10,000 would take an hour."""
_HEADER = (
    "| back end | mappings | TCP connect | UDP question and answer"
    " | two TCP mappings made | removed | a UDP mapping made |"
)
_PORTS_A_POD = 2
_CLIENT, _NODE, _POD = "192.0.2.1", "192.0.2.2", "10.9.0.2"
_ECHO_PORT = 7
_PATIENCE = 5.0
_PERCENT = 10
_WARM_UP = 5


class Figures(msgspec.Struct, frozen=True):
    """One back end with one number of mappings, in milliseconds: the tenth percentile, since machines have moods."""

    backend: Backend
    mappings: int
    tcp: float
    """``connect`` of a new connection."""
    udp: float
    """Question and answer from a new port: every one is looked up anew."""
    apply: float
    """One more pod's two TCP mappings are made."""
    remove: float
    """And removed."""
    apply_udp: float
    """One more UDP mapping is made: conntrack's whole table, of the machine's size, is gone through as well."""


class _Node:
    """A host with ``count`` mappings, the one to the echoing pod the oldest of them, a client and the pod."""

    def __init__(self, lab: Lab, backend: Backend, count: int) -> None:
        self.client, self.pod = lab.sandbox(0), lab.sandbox(1)
        self.firewall = HostFirewall(lab.host)
        self._backend = backend
        places = (("out", self.client, _NODE, _CLIENT), ("pod", self.pod, "10.9.0.1", _POD))
        for name, netns, here, there in places:
            lab.ip(
                f"link add {name} up type veth peer name eth0 netns {_path(netns)}",
                f"addr add {here}/24 dev {name}",
            )
            with netns.entered():
                _ip(f"link set eth0 up\naddr add {there}/24 dev eth0\nroute add default via {here}\n")
        with lab.host.entered():
            _write("net/ipv4/ip_forward", "1")
        self.firewall.apply(self.mappings(0))
        others = [item for number in range(1, count // _PORTS_A_POD) for item in self.mappings(number)]
        for start in range(0, len(others), 1000):
            self.firewall.apply(others[start : start + 1000])

    def mappings(self, number: int) -> list[PortMapping]:
        """Those of pod ``number``; pod 0 is the one that echoes."""
        address = _POD if number == 0 else f"10.9.{1 + number // 250}.{1 + number % 250}"
        owner = Owner("bench", f"pod{number}", "eth0")
        protocols: tuple[Literal["tcp", "udp"], ...] = ("tcp", "udp")
        return [
            PortMapping(
                owner=owner,
                protocol=protocol,
                host_port=10000 + number,
                container_cidr=f"{address}/24",
                container_port=_ECHO_PORT,
                backend=self._backend,
            )
            for protocol in protocols
        ]


def measure(backend: Backend, count: int, tries: int = 300, updates: int = 20) -> Figures:
    """Figures with ``count`` mappings in a throw-away node. Raises BenchError, CNIError."""
    with Lab() as lab, ExitStack() as held:
        node = _Node(lab, backend, count)
        held.callback(node.firewall.close)
        held.enter_context(_echo(node.pod, socket.SOCK_STREAM))
        held.enter_context(_echo(node.pod, socket.SOCK_DGRAM))
        ports = node.mappings(0)
        tcp = _typical(tries, lambda: _connect(node.client, ports[0].host_port))
        udp = _typical(tries, lambda: _question(node.client, ports[1].host_port))
        number = count // _PORTS_A_POD + 1
        first, by_udp = node.mappings(number)
        coming = [first, msgspec.structs.replace(first, host_port=first.host_port - 1000)]
        apply, remove, apply_udp = [], [], []
        for _ in range(_WARM_UP + updates):
            apply.append(_timed(lambda: node.firewall.apply(coming)))
            remove.append(_timed(lambda: node.firewall.remove(coming)))
            apply_udp.append(_timed(lambda: node.firewall.apply([by_udp])))
            node.firewall.remove([by_udp])
        typical = (percentile(series[_WARM_UP:], _PERCENT) for series in (apply, remove, apply_udp))
        return Figures(backend, count, tcp, udp, *typical)


def main(arguments: Sequence[str] | None = None) -> int:
    """The table on standard output."""
    parser = argparse.ArgumentParser(prog="python -m multinet.bench.rules", description=__doc__)
    parser.add_argument(
        "counts",
        metavar="COUNT",
        type=int,
        nargs="*",
        help="how many mappings (default: 10 … 10000; iptables … 1000)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE, too")
    options = parser.parse_args(arguments)
    found = []
    print(_HEADER)
    print("|---" * _HEADER.count("| ") + "|")
    try:
        for backend, usual in _COUNTS.items():
            for count in options.counts or usual:
                one = measure(backend, count)
                found.append(one)
                figures = " | ".join(
                    f"{value:.3f}" for value in (one.tcp, one.udp, one.apply, one.remove, one.apply_udp)
                )
                print(f"| {one.backend} | {one.mappings:,} | {figures} |", flush=True)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        with open(options.json, "w") as file:
            json.dump(msgspec.to_builtins(found), file, indent=2)
    return 0


def _connect(client: Netns, port: int) -> float:
    with _client(client, socket.SOCK_STREAM) as caller:
        return _timed(lambda: caller.connect((_NODE, port)))


def _question(client: Netns, port: int) -> float:
    with _client(client, socket.SOCK_DGRAM) as caller:

        def ask() -> None:
            caller.sendto(b"?", (_NODE, port))
            caller.recv(10)

        return _timed(ask)


def _client(netns: Netns, kind: socket.SocketKind) -> socket.socket:
    with netns.entered():
        caller = socket.socket(socket.AF_INET, kind)
    caller.settimeout(_PATIENCE)
    return caller


def _typical(tries: int, once: Callable[[], float]) -> float:
    for _ in range(_WARM_UP):
        once()
    return percentile([once() for _ in range(tries)], _PERCENT)


def _timed(action: Callable[[], object]) -> float:
    """In milliseconds."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1e3


@contextmanager
def _echo(netns: Netns, kind: socket.SocketKind) -> Iterator[None]:
    """A server that answers questions, or takes connections."""
    with netns.entered():
        listener = socket.socket(socket.AF_INET, kind)
    listener.bind(("0.0.0.0", _ECHO_PORT))
    listener.settimeout(0.1)
    if kind == socket.SOCK_STREAM:
        listener.listen(64)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            with suppress(TimeoutError, ConnectionError):
                if kind == socket.SOCK_STREAM:
                    listener.accept()[0].close()
                else:
                    data, peer = listener.recvfrom(10)
                    listener.sendto(data, peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        listener.close()


def _path(netns: Netns) -> str:
    return f"/proc/{os.getpid()}/fd/{netns.fd}"


def _ip(batch: str) -> None:
    done = subprocess.run(["ip", "-batch", "-"], input=batch, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"ip: {done.stderr.strip()}")


def _write(key: str, value: str) -> None:
    with open(f"/proc/sys/{key}", "w") as file:
        file.write(value)


if __name__ == "__main__":
    sys.exit(main())

"""A world with DHCP: who serves on the wire, who keeps leases, and what came over the wire.

Every message of a client is read by tests/dhcp/servers.py, which shares no code with the client.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from multinet.adapters.firewall import HostFirewall, choose_backend
from multinet.adapters.kernel import Kernel
from multinet.adapters.netns import Netns
from multinet.cni.chain import PluginCall
from multinet.cni.errors import CNIError
from multinet.cni.execution import ExecutableRunner
from multinet.cni.request import read_request
from multinet.delegates.dhcp import dhcp
from multinet.delegates.dhcp_interface import PodInterfaces
from multinet.dhcp.client_values import Pace
from multinet.dhcp.keeper import Keeper
from multinet.sdk.executor import DelegateExecutor
from multinet.sdk.node import Node
from tests.dhcp.servers import Dnsmasq, Kea, Script, Seen, ToldServer, lease, obliging, until
from tests.differential.calls import GO, Json, Running

FIRST, LAST = "10.7.0.50", "10.7.0.60"
SETUP = ("ip addr add 10.7.0.1/24 dev wan0",)
"""Host commands beside the uplink's: the server's address."""
_LIMIT = 5.0
"""Seconds that our ADD takes at the most when no server is of use."""
_QUIET = 0.3
"""Seconds without a message, after which no more are expected."""
_HURRIED_PACE = Pace(first=0.4, longest=1.0, jitter=0.1)
_HURRIED_FLAGS = ("-timeout", "100ms", "-resendmax", "1s")


class Server(Protocol):
    """Something that grants addresses on a link."""

    def leases(self) -> list[str]:
        """Addresses that are leased."""

    def stop(self) -> None:
        """End it."""


Network = Callable[[Netns, Path], "tuple[Script, Server | None]"]
"""What serves on ``wan0`` in a namespace, with files in a folder: a script, or a server with its own process."""


def _silent(server: ToldServer, seen: Seen) -> None:
    """Listens only."""


def told(options: Mapping[int, bytes | None] | None = None, seconds: int = 3600, **more: bytes) -> Network:
    """A server that grants 10.7.0.50 with these options, whatever is asked for; None: without this one."""
    given = {**lease(seconds, **more), **(options or {})}
    sent = {code: value for code, value in given.items() if value is not None}
    return lambda netns, folder: (obliging(sent), None)


def scripted(script: Script) -> Network:
    """A server that does as it is told."""
    return lambda netns, folder: (script, None)


def dnsmasq(*options: str, first: str = FIRST, last: str = LAST) -> Network:
    """dnsmasq, which sends what is asked for."""
    return lambda netns, folder: (_silent, Dnsmasq(netns, folder, "wan0", first, last, *options))


def kea(pool: str = f"{FIRST} - {LAST}", **more: Any) -> Network:
    """Kea, whose socket sees what a kernel would drop."""
    return lambda netns, folder: (_silent, Kea(netns, folder, "wan0", "10.7.0.0/24", pool, 3600, **more))


class Wire:
    """The network behind a host's ``up0``: its server, and all that clients sent."""

    def __init__(self, network: Network, netns: Netns, folder: Path) -> None:
        folder.mkdir()
        script, self._server = network(netns, folder)
        self._ear = ToldServer(netns, "wan0", script)
        self._read = 0

    def heard(self) -> list[Seen]:
        """What came since the last call, once it is quiet."""
        count = -1
        while count != len(self._ear.seen):
            count = len(self._ear.seen)
            time.sleep(_QUIET)
        found, self._read = self._ear.seen[self._read : count], count
        return found

    def leases(self) -> list[str] | None:
        """Addresses that are leased; None when the server has no memory."""
        return sorted(self._server.leases()) if self._server is not None else None

    def stop(self) -> None:
        """End the server."""
        self._ear.stop()
        if self._server is not None:
            self._server.stop()


class TheirKeeper:
    """The reference plugin's daemon in a world's host namespace."""

    def __init__(self, netns: Netns, directory: Path, hurried: bool) -> None:
        self._netns, self._socket = netns, directory / "dhcp.sock"
        self._flags = _HURRIED_FLAGS if hurried else ()
        self.start()

    def start(self) -> None:
        """Serve."""
        self._process = subprocess.Popen(
            [
                *("nsenter", f"--net=/proc/{os.getpid()}/fd/{self._netns.fd}"),
                *(f"{GO}/dhcp", "daemon", "-socketpath", str(self._socket), *self._flags),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._socket.is_socket, "the reference plugin's daemon")

    def stop(self) -> None:
        """End it, as a service manager does."""
        self._process.terminate()
        self._process.wait()
        self._socket.unlink(missing_ok=True)  # 1.1.1 leaves it, and then can't start again


class OurKeeper:
    """The keeper of leases, as the node daemon has it."""

    def __init__(self, folder: Path, hurried: bool) -> None:
        self._folder, self._pace = folder, _HURRIED_PACE if hurried else Pace()
        self.start()

    def start(self) -> None:
        """Serve."""
        self._keeper = Keeper(str(self._folder), PodInterfaces(), self._pace)
        self._keeper.start()
        dhcp.serve(self._keeper)

    def stop(self) -> None:
        """End it; leases stay on disk."""
        dhcp.serve(None)
        self._keeper.stop()


class Kept(Running):
    """Our plugin as a thread of the process that keeps leases, in the host's namespace."""

    def _start(self, host: Netns, kind: str, environ: Mapping[str, str], stdin: IO[bytes]) -> None:
        self._code = 70
        work = (host, kind, environ, stdin.read())
        self._thread = threading.Thread(target=self._serve, args=work)
        self._thread.start()

    def _serve(self, host: Netns, kind: str, environ: Mapping[str, str], stdin: bytes) -> None:
        try:
            with host.entered():
                request = read_request(environ, lambda: stdin)
                kernel = Kernel()
                firewall = HostFirewall(kernel.host_netns)
                node = Node(kernel, firewall, ExecutableRunner(), lambda: choose_backend(kernel.host_netns))
                verb, limit = request.invocation.command, time.monotonic() + _LIMIT
                call = PluginCall(verb, kind, request.conf, request.invocation, deadline=limit)
                answer: Json | None = DelegateExecutor(node).run_called(call)
            self._code = 0
        except CNIError as error:
            self._code, answer = 1, json.loads(error.to_json("1.0.0"))
        except BaseException as error:
            print(f"{kind}: {type(error).__name__}: {error}", file=sys.stderr)
            raise
        self._output.write(json.dumps(answer).encode() if answer is not None else b"")

    def _wait(self) -> int:
        self._thread.join()
        return self._code


def spelled(seen: Seen) -> Json:
    """A message as values that compare; what is chosen at random is left out."""
    chaddr = seen.message[28:34].hex(":")
    return {
        "from": f"{seen.from_ip} {seen.from_mac}",
        "to": f"{seen.to_ip} {seen.to_mac}",
        "ciaddr": seen.ciaddr,
        "chaddr": chaddr,
        "broadcast": bool(seen.flags & 0x8000),
        "options": {str(code): _option(code, value) for code, value in seen.options.items()},
    }


def _option(code: int, value: bytes) -> str:
    if code in (55, 53):  # in which order theirs asks is a matter of chance
        return ",".join(map(str, sorted(value)))
    if code in (50, 54):
        return ".".join(map(str, value))
    text = value.removeprefix(b"\0").decode("latin1")
    return text if text.isprintable() else value.hex()

"""DHCP servers to try a client on: dnsmasq, Kea, and one that does as it is told, in namespaces of the lab."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from multinet.adapters.netns import Netns

Json = dict[str, Any]
Options = dict[int, bytes]
SECONDS = 30.0


def until(true: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """Wait until something is so; what it is then."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
    return found


class Process:
    """A server's process in a namespace."""

    def __init__(self, netns: Netns, log: Path, *command: str, env: dict[str, str] | None = None) -> None:
        self.log = log
        inside = ("nsenter", f"--net=/proc/{os.getpid()}/fd/{netns.fd}")
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*inside, *command], stdout=output, stderr=output, env={**os.environ, **(env or {})}
            )

    def wait_for(self, text: str) -> None:
        def said() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return text in self.log.read_text()

        until(said, text)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


class Dnsmasq(Process):
    """dnsmasq on an interface; leases last two minutes, its shortest."""

    def __init__(
        self, netns: Netns, folder: Path, interface: str, first: str, last: str, *options: str
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.lease_file = folder / "dnsmasq.leases"
        command = ["dnsmasq", "-k", "-p0", "-C", "/dev/null", "-i", interface, "--bind-interfaces"]
        command += [f"--dhcp-range={first},{last},120s", f"--dhcp-leasefile={self.lease_file}", "--pid-file="]
        command += ["--no-ping", "--log-dhcp", "--log-facility=-", "--user=root", *options]
        super().__init__(netns, folder / "dnsmasq.log", *command)
        self.wait_for("sockets bound exclusively to interface")

    def leases(self) -> list[str]:
        """Addresses that are leased."""
        return [line.split()[2] for line in self.lease_file.read_text().splitlines() if len(line.split()) > 4]


class Kea(Process):
    """Kea on an interface, with leases as short as it is told (seconds)."""

    def __init__(
        self, netns: Netns, folder: Path, interface: str, subnet: str, pool: str, lifetime: int, **more: Any
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.lease_file = folder / "kea.csv"
        options = [{"name": "routers", "data": more.pop("router", "10.7.0.1")}]
        conf = {
            "Dhcp4": {
                "interfaces-config": {"interfaces": [interface], "dhcp-socket-type": "raw"},
                "lease-database": {"type": "memfile", "name": str(self.lease_file), "lfc-interval": 0},
                "valid-lifetime": lifetime,
                "renew-timer": max(1, lifetime // 4),
                "rebind-timer": max(2, lifetime // 2),
                "option-data": options,
                "subnet4": [{"subnet": subnet, "id": 1, "pools": [{"pool": pool}]}],
                "loggers": [
                    {"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]}
                ],
                **more,
            }
        }
        (folder / "kea.json").write_text(json.dumps(conf))
        env = {"KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": str(folder)}
        command = ("kea-dhcp4", "-c", str(folder / "kea.json"))
        super().__init__(netns, folder / "kea.log", *command, env=env)
        self.wait_for("DHCP4_STARTED")

    def leases(self) -> list[str]:
        """Addresses that are leased: the last line of each counts, and whether its lifetime is 0."""
        lines = [line.split(",") for line in self.lease_file.read_text().splitlines()[1:]]
        last = {line[0]: line for line in lines}
        return [address for address, line in last.items() if line[3] != "0"]


class Seen:
    """A client's message as it came, read without any of our own code."""

    def __init__(self, frame: bytes) -> None:
        self.to_mac, self.from_mac = frame[:6].hex(":"), frame[6:12].hex(":")
        packet = frame[14:]
        self.from_ip, self.to_ip = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        self.udp = packet[(packet[0] & 15) * 4 :]
        self.message = self.udp[8:]
        self.xid = self.message[4:8]
        (self.flags,) = struct.unpack("!H", self.message[10:12])
        self.ciaddr = socket.inet_ntoa(self.message[12:16])
        self.options: Options = dict(_options(self.message[240:]))
        self.kind = {1: "DISCOVER", 3: "REQUEST", 4: "DECLINE", 7: "RELEASE"}[self.options[53][0]]


def _options(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while raw[at] != 255:
        yield raw[at], raw[at + 2 : at + 2 + raw[at + 1]]
        at += 2 + raw[at + 1]


Script = Callable[["ToldServer", Seen], None]


class ToldServer:
    """A server on a raw socket: ``script`` is called with each message of a client, and answers as it likes."""

    ip = "10.7.0.1"

    def __init__(self, netns: Netns, interface: str, script: Script) -> None:
        with netns.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            self._socket.bind((interface, 0x0800))
        self._socket.settimeout(0.1)
        self.mac = self._socket.getsockname()[4].hex(":")
        self.script = script
        self.seen: list[Seen] = []
        self.trouble: list[BaseException] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def kinds(self) -> list[str]:
        return [seen.kind for seen in self.seen]

    def answer(self, to: Seen, kind: int, options: Options | None = None, **more: Any) -> None:
        """``more``: address (yiaddr), xid, mac (chaddr), end (of options), server."""
        server = socket.inet_aton(more.get("server", self.ip))
        told = {53: bytes((kind,)), 54: server, **(options or {})}
        body = b"".join(
            bytes((code, len(value))) + value for code, value in told.items() if value is not None
        )
        mac = bytes.fromhex(more.get("mac", to.from_mac).replace(":", ""))
        message = b"\x02\x01\x06\x00" + more.get("xid", to.xid) + b"\0\0\0\0" + b"\0" * 4
        message += socket.inet_aton(more.get("address", "10.7.0.50")) + b"\0" * 8 + mac.ljust(16, b"\0")
        message += b"\0" * 192 + b"\x63\x82\x53\x63" + body + (b"\xff" if more.get("end", True) else b"")
        udp = struct.pack("!HHHH", 67, 68, 8 + len(message), 0) + message
        fields = (0x45, 0, 20 + len(udp), 0, 0, 64, 17)
        ends = (server, b"\xff" * 4)
        total = sum(struct.unpack("!10H", struct.pack("!BBHHHBBH4s4s", *fields, 0, *ends)))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        ip = struct.pack("!BBHHHBBH4s4s", *fields, ~total & 0xFFFF, *ends)
        mine = bytes.fromhex(self.mac.replace(":", ""))
        self._socket.send(b"\xff" * 6 + mine + b"\x08\x00" + ip + udp)

    def stop(self) -> None:
        self._stopping = True
        self._thread.join()
        self._socket.close()
        assert not self.trouble, self.trouble

    def _run(self) -> None:
        while not self._stopping:
            with suppress(OSError):  # the link's other end may be down for a while
                frame, address = self._socket.recvfrom(4096)
                if (
                    address[2] != socket.PACKET_OUTGOING
                    and frame[23:24] == b"\x11"
                    and frame[36:38] == b"\0\x43"
                ):
                    try:
                        self.seen.append(Seen(frame))
                        self.script(self, self.seen[-1])
                    except Exception as error:
                        self.trouble.append(error)


MASK = {1: bytes((255, 255, 255, 0))}


def lease(seconds: int = 3600, **more: bytes) -> Options:
    """Options of an ordinary ACK; ``more``: further ones, as o3=…"""
    return {51: seconds.to_bytes(4, "big"), **MASK, **{int(code[1:]): value for code, value in more.items()}}


def obliging(options: Options | None = None, address: str = "10.7.0.50") -> Script:
    """Offers and acknowledges whatever is asked."""

    def script(server: ToldServer, seen: Seen) -> None:
        if seen.kind in ("DISCOVER", "REQUEST"):
            kind = 2 if seen.kind == "DISCOVER" else 5
            server.answer(seen, kind, lease() if options is None else options, address=address)

    return script

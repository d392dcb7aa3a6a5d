"""Raw packets of DHCP on one interface: it need not have an address, and others' packets don't arrive.

Source: packet(7); Linux' Documentation/networking/filter.rst for the filters.
"""

from __future__ import annotations

import ctypes
import errno
import socket
from contextlib import suppress
from struct import pack

from multinet.adapters.netns import Netns
from multinet.dhcp.datagram import CLIENT_PORT

__all__ = ["LinkSocket"]

_ETH_P_IP = 0x0800
_SO_ATTACH_FILTER = 26
_EVERYBODY = b"\xff" * 6
_WHOLE = 0xFFFF
# Instructions: code, jump if true, jump if false, operand. The packet starts at its IPv4 header.
_TO_CLIENTS = (
    (0x30, 0, 0, 9),  # ldb [9]: protocol
    (0x15, 0, 6, 17),  # UDP?
    (0x28, 0, 0, 6),  # ldh [6]: fragment
    (0x45, 4, 0, 0x1FFF),  # has an offset?
    (0xB1, 0, 0, 0),  # ldxb 4*([0]&0xf): length of the header
    (0x48, 0, 0, 2),  # ldh [x+2]: destination port
    (0x15, 0, 1, CLIENT_PORT),
    (0x06, 0, 0, _WHOLE),
    (0x06, 0, 0, 0),
)
_NOTHING = ((0x06, 0, 0, 0),)
_PASSING = (errno.ENETDOWN, errno.ENOBUFS, errno.EAGAIN, errno.ENETUNREACH)
"""Errors of sending that may be over at the next try."""


class LinkSocket:
    """Sends and receives IPv4 packets on one interface. Only while answers are awaited: it keeps the namespace."""

    def __init__(self, netns: Netns, ifname: str, index: int) -> None:
        """Raises OSError."""
        with netns.entered():
            # No protocol yet: nothing arrives before the filter is in place.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
            try:
                _attach(self._socket, _TO_CLIENTS)
                self._socket.bind((ifname, _ETH_P_IP))
                bound = socket.if_nametoindex(ifname)
                if bound != index:
                    raise OSError(errno.ENODEV, f"{ifname} is another interface now")
                self._port = _occupied_port(ifname)
            except BaseException:
                self._socket.close()
                raise
        self._ifname = ifname

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def send(self, packet: bytes, mac: str = "") -> None:
        """Send an IPv4 packet to a MAC, or to everybody. What the link loses, the next try makes good.

        Raises OSError.
        """
        target = bytes.fromhex(mac.replace(":", "")) if mac else _EVERYBODY
        try:
            self._socket.sendto(packet, (self._ifname, _ETH_P_IP, 0, 0, target))
        except OSError as error:
            if error.errno not in _PASSING:
                raise

    def receive(self) -> tuple[bytes, str] | None:
        """A packet and the MAC that it came from; None when there is none (any more)."""
        try:
            packet, address = self._socket.recvfrom(_WHOLE)
        except OSError as error:
            if error.errno in _PASSING:
                return None
            raise
        return packet, ":".join(f"{octet:02x}" for octet in address[4])

    def close(self) -> None:
        """Stop listening; safe to repeat."""
        self._socket.close()
        if self._port is not None:
            self._port.close()


def _occupied_port(ifname: str) -> socket.socket | None:
    """A UDP socket that takes nothing in: without one, the pod's kernel would answer a server's unicast with
    "port unreachable". None when something in the pod has the port: then that is so already.
    """
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        _attach(port, _NOTHING)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, ifname.encode())
        port.bind(("0.0.0.0", CLIENT_PORT))
    except OSError:
        with suppress(OSError):
            port.close()
        return None
    return port


def _attach(to: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    code = b"".join(pack("=HBBI", *instruction) for instruction in program)
    room = ctypes.create_string_buffer(code, len(code))
    to.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pack("@HP", len(program), ctypes.addressof(room)))

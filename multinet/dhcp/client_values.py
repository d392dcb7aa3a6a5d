"""What a client is, and what goes in and out of it: values."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address

import msgspec

from multinet.dhcp.lease import Lease
from multinet.dhcp.message import ANY, Message

__all__ = ["Action", "Identity", "Leased", "Lost", "Pace", "Refused", "Send", "State"]


class State(Enum):
    """Where a client stands."""

    INIT = "INIT"
    SELECTING = "SELECTING"
    REQUESTING = "REQUESTING"
    REBOOTING = "REBOOTING"
    BOUND = "BOUND"
    RENEWING = "RENEWING"
    REBINDING = "REBINDING"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and for what. The lease is the server's by ``client_id``: RELEASE repeats it."""

    mac: bytes
    client_id: bytes
    """Option 61, with its type byte."""
    wanted: bytes = b""
    """Option 55: codes in the order of preference; empty: the server decides."""
    needed: tuple[int, ...] = ()
    """Codes without which a lease is of no use."""
    provided: dict[int, bytes] = {}
    """Further options to send."""
    broadcast: bool = False
    """Ask for answers to the broadcast address: for interfaces that share their MAC with others."""
    largest: int = 1500
    """Bytes of the largest message that fits (option 57)."""


class Pace(msgspec.Struct, frozen=True):
    """Seconds between packets (RFC 2131, 4.1 and 4.4.5)."""

    first: float = 4.0
    longest: float = 64.0
    jitter: float = 1.0
    requests: int = 4
    """REQUESTs after an OFFER, or after a restart, before another server is looked for."""
    renewal: float = 60.0
    """Between renewals, at least; but at least eight fit into a short lease."""


class Send(msgspec.Struct, frozen=True):
    """Send a message: to ``server`` at ``server_mac``, or to everybody."""

    message: Message
    source: IPv4Address = ANY
    server: str = ""
    server_mac: str = ""


class Leased(msgspec.Struct, frozen=True):
    """The lease, new or renewed: it may have other contents than before."""

    lease: Lease


class Lost(msgspec.Struct, frozen=True):
    """The address must not be used any more; another one is being asked for."""

    lease: Lease
    reason: str


class Refused(msgspec.Struct, frozen=True):
    """A server gave what nobody can use; asking again would not help."""

    reason: str


Action = Send | Leased | Lost | Refused

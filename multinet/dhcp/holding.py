"""One lease in its life: the client's decisions carried out, on its interface and on disk.

Everything here happens in the keeper's thread; only an ``Answer`` is shared with the thread that waits for it.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from ipaddress import IPv4Address
from random import Random
from typing import Protocol

from msgspec.structs import replace

from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Result
from multinet.dhcp import datagram
from multinet.dhcp.answer import Answer
from multinet.dhcp.client import Client
from multinet.dhcp.client_values import Action, Leased, Lost, Pace, Refused, Send
from multinet.dhcp.lease import Lease, result_of
from multinet.dhcp.link_socket import LinkSocket
from multinet.dhcp.message import Malformed, decode, encode
from multinet.dhcp.place import Gone, Place, Reach
from multinet.dhcp.record import Record, Records, Remains

__all__ = ["Holding", "Interfaces"]

_log = logging.getLogger(__name__)
_EVERYBODY = IPv4Address("255.255.255.255")
_BURST = 64
"""Packets read in one go, so that a flood on one interface doesn't hold up the others."""


class Interfaces(Protocol):
    """How a lease gets onto an interface when it changes: the first time it is the main plugin's work."""

    def withdraw(self, netns: Netns, place: Place, old: Result) -> Remains:
        """Take address and routes away; what went with them. Raises CNIError."""

    def configure(self, netns: Netns, place: Place, new: Result, remains: Remains) -> None:
        """Set address and routes, and others' routes as far as they still make sense. Raises CNIError."""


class Holding:
    """A lease, held or looked for."""

    def __init__(
        self, record: Record, reach: Reach, records: Records, interfaces: Interfaces, pace: Pace
    ) -> None:
        self.record = record
        self.client = Client(record.identity, Random(), pace)
        self.waiting: list[Answer] = []
        self.socket: LinkSocket | None = None
        self.over = False
        """Nothing is held any more: to be forgotten."""
        self.scheduled: float | None = None
        """For which ``timer`` the keeper will call."""
        self._reach = reach
        self._records = records
        self._interfaces = interfaces
        self._rubbish = 0

    @property
    def timer(self) -> float | None:
        """When ``tick`` is due (boot clock)."""
        return None if self.over else self.client.timer

    def begin(self, now: float, wish: str) -> None:
        """Look for a server."""
        self._perform(self.client.acquire(now, wish))

    def resume(self, now: float) -> None:
        """Go on after a restart, if the interface is still there."""
        try:
            self._open().close()
        except Gone as gone:
            self._end(f"its interface has gone while nobody looked: {gone}")
            return
        lease = self.record.lease
        if lease is None:
            self._perform(self.client.acquire(now))
            return
        if lease.expiry is not None and now >= lease.expiry:
            self._perform([Lost(lease, "its lease ended while nobody renewed it")])
        if not self.over:
            self._perform(self.client.resume(lease, now))

    def tick(self, now: float) -> None:
        """Time has passed."""
        self._perform(self.client.tick(now))

    def readable(self, now: float) -> None:
        """Packets may have come."""
        for _ in range(_BURST):
            try:
                received = self.socket.receive() if self.socket is not None else None
            except OSError as error:
                self._end(f"its interface can't be listened on: {error.strerror}")
                return
            if received is None:
                return
            payload = datagram.unwrap(received[0])
            if payload is not None:
                self._take(payload, received[1], now)

    def release(self, why: CNIError) -> None:
        """Give the lease back and end; whoever waits for it hears ``why``."""
        self._settle(why)
        try:
            for action in self.client.give_back():
                if isinstance(action, Send):
                    self._send(action)
        except (Gone, OSError) as problem:
            _log.warning(
                "dhcp: %s: no RELEASE could be sent, the server keeps the lease until it ends: %s",
                self,
                problem,
            )
        self._close()
        self.over = True
        self._records.remove(self.record.owner)

    def abandon(self, answer: Answer, why: CNIError) -> None:
        """Nobody waits for ``answer`` any more; without others who wait, what isn't held yet is given up."""
        if answer in self.waiting:
            self.waiting.remove(answer)
            if not self.waiting:
                self.release(why)

    def close(self) -> None:
        """Stop, without giving anything back."""
        self._settle(CNIError(Code.TRY_AGAIN, "the daemon is stopping"))
        self._close()

    def tried(self) -> str:
        """What was done and heard so far, for a message."""
        place = self.record.place
        sent = ", ".join(f"{count} {kind}" for kind, count in self.client.sent.items()) or "nothing"
        heard = "; ".join(self.client.heard)
        if self._rubbish:
            heard += f"{'; ' if heard else ''}{self._rubbish} malformed messages"
        where = f"{place.ifname} ({place.mac}) in {place.netns}"
        return f"on {where}: sent {sent}; heard {heard or 'nothing'}"

    def __str__(self) -> str:
        owner = self.record.owner
        return f"{owner.network}/{owner.container_id}/{owner.ifname}"

    def _take(self, payload: bytes, mac: str, now: float) -> None:
        try:
            message = decode(payload)
        except Malformed as problem:
            self._rubbish += 1
            _log.debug("dhcp: %s: malformed message from %s: %s", self, mac, problem)
            return
        self._perform(self.client.receive(message, mac, now))

    def _perform(self, actions: list[Action]) -> None:
        try:
            for action in actions:
                match action:
                    case Send():
                        self._send(action)
                    case Leased(lease):
                        self._leased(lease)
                    case Lost(lease, reason):
                        self._lost(lease, reason)
                    case Refused(reason):
                        self._refused(reason)
        except Gone as gone:
            self._end(f"its interface has gone: {gone}")
        except OSError as error:
            self._end(f"its interface can't be used: {error.strerror or error}")
        if not self.client.listens:
            self._close_socket()

    def _send(self, action: Send) -> None:
        netns = self._open()  # also when the socket is open: it would keep a dead pod's namespace
        try:
            if self.socket is None:
                place = self.record.place
                self.socket = LinkSocket(netns, place.ifname, place.index)
        finally:
            netns.close()
        destination = IPv4Address(action.server) if action.server else _EVERYBODY
        message = replace(action.message, mac=self.client.identity.mac)  # it may have changed just now
        packet = datagram.wrap(encode(message), action.source, destination)
        self.socket.send(packet, action.server_mac)

    def _open(self) -> Netns:
        """The namespace with the interface, the caller's to close. Raises Gone."""
        lease = self.record.lease
        netns, mac = self._reach.open(lease.address if lease is not None else "")
        if mac != self.record.place.mac:
            _log.info("dhcp: %s: the interface has the MAC %s now", self, mac)
            place = replace(self.record.place, mac=mac)
            identity = replace(self.record.identity, mac=bytes.fromhex(mac.replace(":", "")))
            self.record = replace(self.record, place=place, identity=identity)
            self._reach.place, self.client.identity = place, identity
        return netns

    def _leased(self, lease: Lease) -> None:
        old, remains = self.record.lease, self.record.remains
        self.record = replace(self.record, lease=lease, remains=None)
        # On disk before anybody uses it: what isn't written is forgotten by a restart, and never renewed.
        problem = self._keep()
        if problem is not None and self.waiting:
            self.release(problem)
        elif remains is not None:
            _log.warning("dhcp: %s: got a lease of %s again", self, lease.address)
            self._configure(lease, remains)
        elif old is not None and not old.configures_like(lease):
            _log.warning("dhcp: %s: the server changed %s", self, _change(old, lease))
            self._configure(lease, self._withdraw(old))
        else:
            _log.info("dhcp: %s: %s leased from %s", self, lease.address, lease.server)
        self._settle(lease)

    def _lost(self, lease: Lease, reason: str) -> None:
        if self.record.lease is None:  # taken off already
            return
        _log.error("dhcp: %s: %s is taken off the interface: %s", self, lease.address, reason)
        remains = self._withdraw(lease)
        self.record = replace(self.record, lease=None, remains=remains)
        self._keep()

    def _keep(self) -> CNIError | None:
        """Write the record. Renewing goes on without it; what can't be written is told."""
        try:
            self._records.write(self.record)
        except OSError as error:
            text = f"dhcp: the lease cannot be written to {self._records.folder}: {error.strerror}"
            _log.error("%s (%s)", text, self)
            return CNIError(Code.IO_FAILURE, text)
        return None

    def _refused(self, reason: str) -> None:
        if self.waiting:
            self._settle(CNIError(Code.IPAM, f"dhcp: {reason}", self.tried()))
            self._end(reason)

    def _withdraw(self, lease: Lease) -> Remains:
        netns = self._open()
        try:
            return self._interfaces.withdraw(netns, self.record.place, self._result(lease))
        except CNIError as error:
            _log.error("dhcp: %s: %s stays on the interface: %s", self, lease.address, error)
            return Remains(lease.gateway)
        finally:
            netns.close()

    def _configure(self, lease: Lease, remains: Remains) -> None:
        netns = self._open()
        try:
            self._interfaces.configure(netns, self.record.place, self._result(lease), remains)
        except CNIError as error:
            _log.error("dhcp: %s: %s could not be set: %s", self, lease.address, error)
        finally:
            netns.close()

    def _result(self, lease: Lease) -> Result:
        return result_of(lease, self.record.priority, self.record.link_mtu)

    def _settle(self, outcome: Lease | CNIError) -> None:
        for answer in self.waiting:
            answer.settle(outcome)
        self.waiting.clear()

    def _end(self, reason: str) -> None:
        """There is nothing left to hold, and no way to say so to a server."""
        _log.warning("dhcp: %s: lease given up: %s", self, reason)
        self._settle(CNIError(Code.TRY_AGAIN, f"dhcp: {reason}"))
        self._close()
        self.over = True
        self._records.remove(self.record.owner)

    def _close(self) -> None:
        self._close_socket()
        self._reach.close()

    def _close_socket(self) -> None:
        if self.socket is not None:
            with suppress(OSError):
                self.socket.close()
            self.socket = None


def _change(old: Lease, new: Lease) -> str:
    """What of a lease is different, for the log."""
    fields = ("address", "gateway", "mtu")
    found = [
        f"{f} {getattr(old, f)} to {getattr(new, f)}" for f in fields if getattr(old, f) != getattr(new, f)
    ]
    if old.routes != new.routes:
        found.append("routes")
    return ", ".join(found)

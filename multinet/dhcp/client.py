"""The client's states (RFC 2131, section 4.4): events in, packets and news out; no socket, no clock of its own.

``now`` is seconds of one clock that never goes back; the caller gives every event with its time, calls ``tick``
at ``timer``, and carries out what it gets: ``Send`` packets, ``Leased``, ``Lost`` and ``Refused`` news.

::

    INIT ──> SELECTING ──> REQUESTING ──> BOUND ──> RENEWING ──> REBINDING
      ^          ^                          ^           │            │
      │          └── pause ─────────────────┼───────────┴── NAK, ────┘
    INIT-REBOOT ────────────────────────────┘               expiry

A server that is silent is asked again after 4 s, then 8, 16, 32, 64 (each a second more or less, as the RFC
has it), for as long as the caller likes.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from random import Random

from multinet.dhcp import options as opt
from multinet.dhcp.client_values import Action, Identity, Leased, Lost, Pace, Refused, Send, State
from multinet.dhcp.lease import Lease, Unusable, lease_of
from multinet.dhcp.message import ANY, Kind, Message

__all__ = ["Client"]


_NOTES = 4
"""Kinds of things heard that are remembered for a message."""


class Client:
    """One client on one interface."""

    def __init__(self, identity: Identity, random: Random, pace: Pace | None = None) -> None:
        self.identity = identity
        self.state = State.INIT
        self.lease: Lease | None = None
        self.timer: float | None = None
        """When ``tick`` is due; None: never."""
        self.heard: dict[str, None] = {}
        """What came that was no lease, for a message to the user; in order, each once."""
        self.sent: dict[str, int] = {}
        """How often what was sent, since the last lease."""
        self._random = random
        self._pace = pace or Pace()
        self._xid = 0
        self._began = 0.0
        self._asked = 0.0
        self._tries = 0
        self._failures = 0
        self._offer: Message | None = None
        self._wish = ""

    @property
    def listens(self) -> bool:
        """Whether answers may come now."""
        return self.state is not State.BOUND

    def acquire(self, now: float, wish: str = "") -> list[Action]:
        """Begin to look for a server; ``wish`` is an address that would be welcome."""
        self._wish = wish
        self._began = now
        self.heard.clear()
        self.sent.clear()
        return self._discover(now)

    def resume(self, lease: Lease, now: float) -> list[Action]:
        """Go on with a lease of an earlier life: it is held on to if it still runs, else asked for again."""
        self.lease = lease
        self._began = now
        if lease.expiry is not None and now >= lease.expiry:
            self._enter(State.REBOOTING)
            return self._request_again(now)
        return self._bind(lease)

    def receive(self, message: Message, server_mac: str, now: float) -> list[Action]:
        """Take a message that came; those for others, or that make no sense now, change nothing."""
        if not message.reply or message.xid != self._xid or message.mac != self.identity.mac:
            return []
        match message.kind:
            case Kind.OFFER if self.state is State.SELECTING:
                return self._offered(message, now)
            case Kind.ACK if self._expects(message):
                return self._acknowledged(message, server_mac, now)
            case Kind.NAK if self._expects(message):
                return self._denied(message, now)
        return []

    def tick(self, now: float) -> list[Action]:
        """Time has passed: repeat what was not answered, or go on."""
        if self.timer is None or now < self.timer:
            return []
        match self.state:
            case State.INIT | State.SELECTING:
                return self._discover(now)
            case State.REQUESTING if self._tries >= self._pace.requests:
                self._note(f"server {self._offered_by} offered {self._address} and then fell silent")
                return self._discover(now)
            case State.REQUESTING:
                return self._request(now)
            case State.REBOOTING:
                return self._reboot(now)
            case State.BOUND | State.RENEWING | State.REBINDING:
                return self._extend(now)

    def give_back(self) -> list[Action]:
        """Give back the lease, or what is being asked for, under the id that it was asked for with."""
        lease, self.lease = self.lease or self._half_granted(), None
        self._enter(State.INIT)
        self.timer = None
        if lease is None:
            return []
        options = {
            opt.MESSAGE_TYPE: bytes((Kind.RELEASE,)),
            opt.SERVER_ID: IPv4Address(lease.server).packed,
            opt.CLIENT_ID: self.identity.client_id,
        }
        self._xid = self._random.getrandbits(32)
        message = Message(xid=self._xid, mac=self.identity.mac, ciaddr=lease.ip, options=options)
        return [Send(message, lease.ip, lease.server, lease.server_mac)]

    # What is sent

    def _discover(self, now: float) -> list[Action]:
        if self.state is not State.SELECTING:
            self._enter(State.SELECTING)
        self._wait(now)
        wish = {opt.REQUESTED_ADDRESS: IPv4Address(self._wish).packed} if self._wish else {}
        return [Send(self._message(Kind.DISCOVER, now, wish))]

    def _request(self, now: float) -> list[Action]:
        assert self._offer is not None and self._offer.server is not None
        self._wait(now)
        named = {
            opt.REQUESTED_ADDRESS: self._offer.yiaddr.packed,
            opt.SERVER_ID: self._offer.server.packed,
        }
        return [Send(self._message(Kind.REQUEST, now, named))]

    def _request_again(self, now: float) -> list[Action]:
        assert self.lease is not None
        self._wait(now)
        return [Send(self._message(Kind.REQUEST, now, {opt.REQUESTED_ADDRESS: self.lease.ip.packed}))]

    def _message(self, kind: Kind, now: float, more: dict[int, bytes], ciaddr: IPv4Address = ANY) -> Message:
        self.sent[kind.name] = self.sent.get(kind.name, 0) + 1
        own = {
            opt.MESSAGE_TYPE: bytes((kind,)),
            opt.LARGEST_MESSAGE: self.identity.largest.to_bytes(2, "big"),
            opt.CLIENT_ID: self.identity.client_id,
        }
        if self.identity.wanted:
            own[opt.PARAMETER_LIST] = self.identity.wanted
        return Message(
            xid=self._xid,
            mac=self.identity.mac,
            secs=int(max(0.0, now - self._began)),
            broadcast=self.identity.broadcast and not any(ciaddr.packed),
            ciaddr=ciaddr,
            options={**own, **self.identity.provided, **more},
        )

    # What came

    @property
    def _offered_by(self) -> str:
        return str(self._offer.server) if self._offer else ""

    @property
    def _address(self) -> str:
        return str(self._offer.yiaddr) if self._offer else ""

    def _half_granted(self) -> Lease | None:
        """A server that got our REQUEST keeps the address for us, whether its ACK arrives or not."""
        if self.state is not State.REQUESTING or self._offer is None:
            return None
        return Lease(address=f"{self._offer.yiaddr}/32", server=str(self._offer.server), server_mac="")

    def _expects(self, message: Message) -> bool:
        """Whether an answer may be for what was asked last, and from whom."""
        match self.state:
            case State.REQUESTING:
                return self._offer is not None and message.server == self._offer.server
            case State.RENEWING:
                return self.lease is not None and str(message.server) == self.lease.server
            case State.REBOOTING | State.REBINDING:
                return message.server is not None
        return False

    def _offered(self, offer: Message, now: float) -> list[Action]:
        if offer.server is None or not any(offer.yiaddr.packed):
            self._note("an OFFER that names no server or no address")
            return []
        self._offer = offer
        self.state = State.REQUESTING
        self._tries = 0
        return self._request(now)

    def _acknowledged(self, ack: Message, server_mac: str, now: float) -> list[Action]:
        try:
            lease = lease_of(ack, server_mac, self._asked, self._random.random())
            missing = [str(code) for code in self.identity.needed if code not in ack.options]
            if missing:
                raise Unusable(f"options {', '.join(missing)}, which the configuration needs, are missing")
        except Unusable as problem:
            return self._unusable(ack, server_mac, str(problem), now)
        self._failures = 0
        return [*self._bind(lease), Leased(lease)]

    def _unusable(self, ack: Message, server_mac: str, problem: str, now: float) -> list[Action]:
        """Give back what can't be used. A lease that we have keeps running until it ends."""
        self._note(f"server {ack.server} acknowledged a lease that can't be used: {problem}")
        if self.state in (State.RENEWING, State.REBINDING):
            return []
        refused = Lease(address=f"{ack.yiaddr}/32", server=str(ack.server), server_mac=server_mac)
        had, self.lease = self.lease, refused
        actions = self.give_back()
        self._pause(now)
        lost: list[Action] = [Lost(had, problem)] if had is not None else []
        return [*actions, *lost, Refused(problem)]

    def _denied(self, nak: Message, now: float) -> list[Action]:
        said = opt.text(nak.options.get(opt.ERROR_TEXT, b""))
        reason = f"server {nak.server} answered NAK: {said or 'no reason given'}"
        self._note(reason)
        return self._lose(reason, now)

    def _lose(self, reason: str, now: float, wish: str = "") -> list[Action]:
        """Begin anew; without a lease to lose, after a pause."""
        lost, self.lease = self.lease, None
        self._wish = wish
        self._enter(State.INIT)
        if lost is None:
            self._pause(now)
            return []
        self._began = now
        return [Lost(lost, reason), *self._discover(now)]

    # What follows

    def _bind(self, lease: Lease) -> list[Action]:
        self.lease = lease
        self.state = State.BOUND
        self.timer = lease.renew
        self.sent.clear()
        return []

    def _reboot(self, now: float) -> list[Action]:
        """No server knows the address of our earlier life, or none is there: begin anew."""
        if self._tries < self._pace.requests:
            return self._request_again(now)
        assert self.lease is not None
        return self._lose("no server answered, and the lease has ended", now, str(self.lease.ip))

    def _extend(self, now: float) -> list[Action]:
        """Renew with the server until T2, with any server until the lease ends."""
        lease = self.lease
        assert lease is not None and lease.rebind is not None and lease.expiry is not None
        if now >= lease.expiry:
            reason = f"no server extended the lease of {lease.address} before it ended"
            return self._lose(reason, now, str(lease.ip))
        rebinding = now >= lease.rebind
        state = State.REBINDING if rebinding else State.RENEWING
        if self.state is not state:
            if self.state is State.BOUND:
                self._began = now
            self._enter(state)
        until = lease.expiry if rebinding else lease.rebind
        span = lease.expiry - (lease.renew or now)
        pause = max((until - now) / 2, min(self._pace.renewal, span / 8), 1.0)
        self.timer = min(now + pause, until)
        self._asked = now
        message = self._message(Kind.REQUEST, now, {}, ciaddr=lease.ip)
        if rebinding:
            return [Send(message, lease.ip)]
        return [Send(message, lease.ip, lease.server, lease.server_mac)]

    def _enter(self, state: State) -> None:
        """Begin another exchange."""
        self.state = state
        self._xid = self._random.getrandbits(32)
        self._tries = 0
        self._offer = None

    def _wait(self, now: float) -> None:
        """Until the next try: twice as long as before, a little more or less."""
        self._asked = now
        self.timer = now + self._backoff(self._tries)
        self._tries += 1

    def _pause(self, now: float) -> None:
        """Before looking for servers again after one said no: longer each time."""
        self.timer = now + self._backoff(self._failures)
        self._failures += 1

    def _backoff(self, step: int) -> float:
        base = min(self._pace.first * (1 << min(step, 16)), self._pace.longest)
        return max(0.05, base + self._random.uniform(-self._pace.jitter, self._pace.jitter))

    def _note(self, text: str) -> None:
        if len(self.heard) < _NOTES:
            self.heard[text] = None

"""The client's states, with a clock and a network that are only values."""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multinet.dhcp.client import Client
from multinet.dhcp.client_values import Identity, Leased, Lost, Pace, Refused, Send, State
from multinet.dhcp.lease import Lease
from multinet.dhcp.message import Kind, Message

MAC = bytes.fromhex("020000000001")
SERVER, SERVER_MAC = "10.7.0.1", "02:00:00:00:00:99"
IDENTITY = Identity(mac=MAC, client_id=b"\0c1/net/eth0", wanted=b"\1\3", broadcast=True)
NO_JITTER = Pace(jitter=0.0)


def client(identity: Identity = IDENTITY, pace: Pace = NO_JITTER, seed: int = 1) -> Client:
    return Client(identity, Random(seed), pace)


def reply(to: Message, kind: Kind, server: str = SERVER, **more: Any) -> Message:
    options = {
        53: bytes((kind,)),
        54: IPv4Address(server).packed,
        1: bytes((255, 255, 255, 0)),
        51: more.pop("seconds", 1000).to_bytes(4, "big"),
        **more.pop("options", {}),
    }
    kept = {code: value for code, value in options.items() if value is not None}
    address = IPv4Address(more.pop("address", "10.7.0.50"))
    return Message(
        xid=more.get("xid", to.xid),
        mac=more.get("mac", to.mac),
        reply=more.get("reply", True),
        yiaddr=address,
        options=kept,
    )


def sent(actions: list[Any]) -> Message:
    """The one message among the actions."""
    (message,) = [action.message for action in actions if isinstance(action, Send)]
    return message


def bound(seconds: int = 1000, now: float = 0.0, **more: Any) -> Client:
    one = client()
    discover = sent(one.acquire(now))
    request = sent(one.receive(reply(discover, Kind.OFFER, **more), SERVER_MAC, now))
    actions = one.receive(reply(request, Kind.ACK, seconds=seconds, **more), SERVER_MAC, now)
    assert [type(action) for action in actions] == [Leased]
    return one


def test_four_messages_to_a_lease() -> None:
    one = client()
    discover = sent(one.acquire(10.0))
    assert (discover.kind, discover.broadcast, discover.secs) == (Kind.DISCOVER, True, 0)
    assert one.state is State.SELECTING and one.timer == 14.0
    actions = one.receive(reply(discover, Kind.OFFER), SERVER_MAC, 12.0)
    request = sent(actions)
    assert (one.state, request.kind, request.xid, request.secs) == (
        State.REQUESTING,
        Kind.REQUEST,
        discover.xid,
        2,
    )
    assert (
        request.options[50] == IPv4Address("10.7.0.50").packed
        and request.options[54] == IPv4Address(SERVER).packed
    )
    (leased,) = one.receive(reply(request, Kind.ACK), SERVER_MAC, 13.0)
    assert isinstance(leased, Leased)
    assert (leased.lease.address, leased.lease.server, leased.lease.server_mac) == (
        "10.7.0.50/24",
        SERVER,
        SERVER_MAC,
    )
    assert leased.lease.expiry == 1012.0  # from the REQUEST on, RFC 2131, 4.4.1
    assert not one.listens and one.timer == leased.lease.renew


def test_an_unanswered_discover_is_repeated_ever_more_slowly() -> None:
    one = client()
    first = sent(one.acquire(0.0))
    times = []
    for _ in range(7):
        assert one.timer is not None
        times.append(one.timer)
        assert one.tick(one.timer - 0.01) == []
        assert sent(one.tick(one.timer)).xid == first.xid
    assert times == [4, 12, 28, 60, 124, 188, 252]
    assert one.sent == {"DISCOVER": 8}


def test_jitter() -> None:
    waits = set()
    for seed in range(200):
        one = client(pace=Pace(), seed=seed)
        one.acquire(0.0)
        assert one.timer is not None and 3 <= one.timer <= 5
        waits.add(one.timer)
    assert len(waits) > 100


def test_a_server_that_offers_and_falls_silent_is_left() -> None:
    one = client()
    discover = sent(one.acquire(0.0))
    one.receive(reply(discover, Kind.OFFER), SERVER_MAC, 0.0)
    kinds = []
    for _ in range(4):
        assert one.timer is not None
        message = sent(one.tick(one.timer))
        kinds.append(message.kind)
    assert kinds == [Kind.REQUEST] * 3 + [Kind.DISCOVER]
    assert message.xid != discover.xid
    assert any("fell silent" in text for text in one.heard)


@pytest.mark.parametrize(
    "wrong",
    [
        {"xid": 7},
        {"mac": b"\2\0\0\0\0\7"},
        {"reply": False},
        {"options": {53: None}},
        {"options": {54: None}},
        {"address": "0.0.0.0"},
    ],
)
def test_offers_that_are_none(wrong: Any) -> None:
    one = client()
    discover = sent(one.acquire(0.0))
    timer = one.timer
    assert one.receive(reply(discover, Kind.OFFER, **wrong), SERVER_MAC, 1.0) == []
    assert (one.state, one.timer) == (State.SELECTING, timer)


@pytest.mark.parametrize("kind", [Kind.ACK, Kind.NAK])
@pytest.mark.parametrize(
    "wrong", [{"xid": 7}, {"mac": b"\2\0\0\0\0\7"}, {"server": "10.7.0.2"}, {"reply": False}]
)
def test_answers_to_a_request_that_are_none(kind: Kind, wrong: Any) -> None:
    one = client()
    request = sent(one.receive(reply(sent(one.acquire(0.0)), Kind.OFFER), SERVER_MAC, 0.0))
    assert one.receive(reply(request, kind, **wrong), SERVER_MAC, 1.0) == []
    assert one.state is State.REQUESTING


def test_the_first_offer_wins() -> None:
    one = client()
    discover = sent(one.acquire(0.0))
    one.receive(reply(discover, Kind.OFFER), SERVER_MAC, 0.0)
    assert one.receive(reply(discover, Kind.OFFER, server="10.7.0.2"), SERVER_MAC, 0.0) == []


def test_a_nak_starts_anew_after_a_while() -> None:
    one = client()
    pauses = []
    now = 0.0
    discover = sent(one.acquire(now))
    for _ in range(3):
        request = sent(one.receive(reply(discover, Kind.OFFER), SERVER_MAC, now))
        nak = reply(request, Kind.NAK, options={56: b"no"})
        assert one.receive(nak, SERVER_MAC, now) == []
        assert one.state is State.INIT and one.timer is not None
        pauses.append(one.timer - now)
        now = one.timer
        discover = sent(one.tick(now))
    assert pauses == [4, 8, 16] and list(one.heard) == [f"server {SERVER} answered NAK: no"]


def test_an_unusable_ack_is_refused_and_given_back() -> None:
    one = client()
    request = sent(one.receive(reply(sent(one.acquire(0.0)), Kind.OFFER), SERVER_MAC, 0.0))
    actions = one.receive(reply(request, Kind.ACK, options={1: None}), SERVER_MAC, 0.0)
    assert [type(action) for action in actions] == [Send, Refused]
    release = sent(actions)
    assert release.kind is Kind.RELEASE and release.options[61] == IDENTITY.client_id
    assert one.lease is None and one.state is State.INIT


def test_needed_options() -> None:
    one = client(Identity(mac=MAC, client_id=b"\0x", needed=(42,)))
    request = sent(one.receive(reply(sent(one.acquire(0.0)), Kind.OFFER), SERVER_MAC, 0.0))
    refused = one.receive(reply(request, Kind.ACK), SERVER_MAC, 0.0)[-1]
    assert isinstance(refused, Refused) and "options 42" in refused.reason


def renewals(one: Client) -> list[tuple[float, bool]]:
    """Times of the requests until the lease is lost, and whether each is a unicast."""
    found = []
    while one.state is not State.SELECTING:
        assert one.timer is not None
        now = one.timer
        for action in one.tick(now):
            if isinstance(action, Send) and action.message.kind is Kind.REQUEST:
                assert action.message.ciaddr == IPv4Address("10.7.0.50") == action.source
                assert not {50, 54} & set(action.message.options)
                found.append((now, action.server == SERVER))
    return found


def test_renewing_then_rebinding_then_lost() -> None:
    """RFC 2131, 4.4.5: half of what is left, but not below 60 s."""
    one = bound(7200)
    lease = one.lease
    assert lease is not None and lease.renew is not None and lease.rebind is not None
    found = renewals(one)
    assert found[0] == (lease.renew, True)
    unicast = [time for time, alone in found if alone]
    broadcast = [time for time, alone in found if not alone]
    assert unicast == sorted(unicast) and broadcast[0] == lease.rebind == 6300
    gaps = [b - a for a, b in zip(unicast, [*unicast[1:], lease.rebind], strict=True)]
    assert all(gap >= 60 for gap in gaps[:-1]) and gaps[0] == pytest.approx((6300 - lease.renew) / 2)
    assert all(time < 7200 for time in broadcast) and len(found) < 20


def test_a_short_lease_is_asked_for_often_enough() -> None:
    found = renewals(bound(60))
    assert len(found) >= 5 and all(b[0] - a[0] >= 1 for a, b in pairwise(found))


def test_the_loss_is_told_and_the_address_wished_for() -> None:
    one = bound(10)
    actions: list[Any] = []
    while one.state is not State.SELECTING:
        assert one.timer is not None
        now = one.timer
        actions = one.tick(now)
    assert now == 10 and isinstance(actions[0], Lost)
    assert sent(actions).options[50] == IPv4Address("10.7.0.50").packed
    assert one.lease is None


def renewing(rebinding: bool = False) -> tuple[Client, Message]:
    one = bound(1000)
    message: Message | None = None
    while message is None or one.state is not (State.REBINDING if rebinding else State.RENEWING):
        assert one.timer is not None
        message = sent(one.tick(one.timer))
    return one, message


def test_a_renewal_brings_new_contents() -> None:
    one, request = renewing()
    assert one.timer is not None
    answer = reply(request, Kind.ACK, options={3: bytes((10, 7, 0, 9))})
    (leased,) = one.receive(answer, SERVER_MAC, one.timer)
    assert isinstance(leased, Leased) and leased.lease.gateway == "10.7.0.9" and one.state is State.BOUND


@pytest.mark.parametrize(("rebinding", "taken"), [(False, False), (True, True)])
def test_only_rebinding_takes_another_servers_word(rebinding: bool, taken: bool) -> None:
    one, request = renewing(rebinding)
    answered = one.receive(reply(request, Kind.ACK, server="10.7.0.2"), "02:00:00:00:00:98", 900.0)
    assert bool(answered) is taken
    if taken:
        assert one.lease is not None and (one.lease.server, one.lease.server_mac) == (
            "10.7.0.2",
            "02:00:00:00:00:98",
        )


@pytest.mark.parametrize("rebinding", [False, True])
def test_a_nak_to_a_renewal_loses_the_address_at_once(rebinding: bool) -> None:
    one, request = renewing(rebinding)
    lost, discover = one.receive(reply(request, Kind.NAK), SERVER_MAC, 900.0)
    assert isinstance(lost, Lost) and isinstance(discover, Send) and discover.message.kind is Kind.DISCOVER
    assert 50 not in discover.message.options


def test_an_unusable_renewal_changes_nothing() -> None:
    one, request = renewing()
    assert one.receive(reply(request, Kind.ACK, options={1: None}), SERVER_MAC, 600.0) == []
    assert one.state is State.RENEWING and one.lease is not None


def test_an_endless_lease_has_no_timers() -> None:
    one = bound(0xFFFFFFFF)
    assert one.timer is None and one.tick(1e12) == []


LEASE = Lease(address="10.7.0.50/24", server=SERVER, server_mac=SERVER_MAC, renew=50, rebind=80, expiry=100)


@pytest.mark.parametrize(
    ("now", "state"), [(10, State.BOUND), (60, State.RENEWING), (85, State.REBINDING), (100, State.REBOOTING)]
)
def test_a_restart_goes_on_where_time_is(now: float, state: State) -> None:
    one = client()
    one.resume(LEASE, now)
    one.tick(now)
    assert one.state is state


def test_init_reboot() -> None:
    one = client()
    request = sent(one.resume(LEASE, 200.0))
    assert request.options[50] == IPv4Address("10.7.0.50").packed and 54 not in request.options
    assert request.ciaddr == IPv4Address(0)
    (leased,) = one.receive(reply(request, Kind.ACK, server="10.7.0.2"), SERVER_MAC, 201.0)
    assert isinstance(leased, Leased) and one.state is State.BOUND


def test_init_reboot_refused_or_unanswered() -> None:
    one = client()
    request = sent(one.resume(LEASE, 200.0))
    lost, _ = one.receive(reply(request, Kind.NAK), SERVER_MAC, 201.0)
    assert isinstance(lost, Lost) and one.state is State.SELECTING
    one = client()
    one.resume(LEASE, 200.0)
    messages = []
    for _ in range(4):
        assert one.timer is not None
        messages.append(sent(one.tick(one.timer)).kind)
    assert messages == [Kind.REQUEST] * 3 + [Kind.DISCOVER]


def test_giving_back() -> None:
    one = bound()
    (send,) = one.give_back()
    assert isinstance(send, Send) and (send.server, send.server_mac) == (SERVER, SERVER_MAC)
    assert send.message.kind is Kind.RELEASE and set(send.message.options) == {53, 54, 61}
    assert not send.message.broadcast and one.give_back() == [] and one.timer is None


def test_what_was_requested_is_given_back_too() -> None:
    one = client()
    assert one.give_back() == []
    discover = sent(one.acquire(0.0))
    assert client().give_back() == []
    one.receive(reply(discover, Kind.OFFER), SERVER_MAC, 0.0)
    (send,) = one.give_back()
    assert (
        isinstance(send, Send) and send.message.ciaddr == IPv4Address("10.7.0.50") and send.server == SERVER
    )


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["OFFER", "ACK", "NAK", "tick", "wait"]),
        st.floats(0, 2000, allow_nan=False),
        st.sampled_from([SERVER, "10.7.0.2"]),
        st.sampled_from([0, 1, 5, 60, 3600, 0xFFFFFFFF]),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(EVENTS, st.integers(0, 100))
def test_whatever_happens_the_client_stays_sound(events: Any, seed: int) -> None:
    """It never spins, never holds a lease beyond its end, and says when it has one and when it lost it."""
    one = client(pace=Pace(), seed=seed)
    now = 0.0
    last = sent(one.acquire(now))
    held = False
    for kind, delay, server, seconds, usable in events:
        if kind == "wait":
            now += delay
            continue
        if kind == "tick":
            now = max(now, one.timer if one.timer is not None else now)
            actions = one.tick(now)
            assert one.timer is None or one.timer > now
        else:
            options = {} if usable else {1: None}
            actions = one.receive(
                reply(last, Kind[kind], server=server, seconds=seconds, options=options), SERVER_MAC, now
            )
        for action in actions:
            match action:
                case Send():
                    last = action.message
                case Leased():
                    held = True
                case Lost():
                    assert held
                    held = False
        assert (
            (one.lease is not None) == held == (one.state in (State.BOUND, State.RENEWING, State.REBINDING))
        )
        if kind == "tick" and one.lease is not None and one.lease.expiry is not None:
            assert now < one.lease.expiry

"""Which events are written: repeated ones count, similar ones are joined, too many are left out."""

from __future__ import annotations

from multinet.adapters.event_correlation import EventCorrelation, EventLimits, Subject
from multinet.ports import Event

WEB = Subject("v1", "Pod", "default", "web", "u1")


def event(message: str = "no", reason: str = "Bad") -> Event:
    return Event(reason=reason, message=message)


def correlation(**limits: float) -> EventCorrelation:
    return EventCorrelation(EventLimits(**limits), now=0.0)  # type: ignore[arg-type]


def test_the_same_event_counts_up() -> None:
    events = correlation()
    first = events.observe(WEB, event(), 1.0)
    assert first is not None
    assert (first.message, first.count, first.first, first.last) == ("no", 1, 1.0, 1.0)
    first.name = "written"
    again = events.observe(WEB, event(), 5.0)
    assert again is not None
    assert (again.name, again.count, again.first, again.last) == ("written", 2, 1.0, 5.0)


def test_subjects_reasons_and_texts_are_told_apart() -> None:
    events = correlation()
    made_anew = Subject("v1", "Pod", "default", "web", "u2")
    for pod, one in (
        (WEB, event()), (WEB, event("other")), (WEB, event(reason="Worse")), (made_anew, event()),
        (WEB, Event(reason="Bad", message="no", warning=False)),
    ):  # fmt: skip
        note = events.observe(pod, one, 1.0)
        assert note is not None
        assert note.count == 1


def test_similar_events_are_joined_beyond_ten() -> None:
    events = correlation()
    notes = [events.observe(WEB, event(f"try {turn}"), float(turn)) for turn in range(15)]
    texts = [note.message for note in notes if note is not None]
    assert texts[:10] == [f"try {turn}" for turn in range(10)]
    assert notes[10] is notes[14]
    assert notes[14] is not None
    assert (notes[14].message, notes[14].count) == ("(combined from similar events): try 14", 5)


def test_similar_events_far_apart_are_not_joined() -> None:
    events = correlation(window=10.0, subject_burst=100)
    for turn in range(10):
        events.observe(WEB, event(f"try {turn}"), float(turn))
    late = events.observe(WEB, event("late"), 100.0)
    assert late is not None
    assert late.message == "late"


def test_a_pod_has_a_burst_and_then_one_each_five_minutes_and_what_was_left_out_is_counted() -> None:
    events = correlation()
    told = [events.observe(WEB, event(), 1.0) is not None for _ in range(30)]
    assert told == [True] * 25 + [False] * 5
    assert events.observe(WEB, event(), 300.0) is None
    late = events.observe(WEB, event(), 302.0)
    assert late is not None
    assert late.count == 32
    assert events.observe(Subject("v1", "Pod", "default", "other"), event(), 302.0) is not None


def test_all_together_have_a_limit() -> None:
    events = correlation(burst=3, refill=10.0)
    pods = [Subject("v1", "Pod", "default", f"p{index}") for index in range(5)]
    assert [events.observe(pod, event(), 1.0) is not None for pod in pods] == [True] * 3 + [False] * 2
    assert events.observe(pods[4], event(), 12.0) is not None


def test_memory_is_bounded() -> None:
    events = correlation(remembered=10)
    for index in range(1000):
        events.observe(Subject("v1", "Pod", "default", f"p{index}"), event(), float(index))
    for kept in (events._notes, events._similar, events._subjects):
        assert len(kept._entries) == 10
    fresh = events.observe(Subject("v1", "Pod", "default", "p0"), event(), 2000.0)
    assert fresh is not None
    assert fresh.count == 1

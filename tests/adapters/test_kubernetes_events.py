"""Events as they arrive at the apiserver, and what becomes of those that can't."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multinet.adapters.event_correlation import EventLimits
from multinet.adapters.kubernetes_events import KubernetesEvents
from multinet.adapters.kubernetes_session import Session
from multinet.ports import Event, Pod

from .apiserver import EVENTS, APIServer, Fault
from .objects import eventually

WEB = Pod(namespace="shop", name="web", uid="u1")
MISSING = Event(reason="NoNetworkFound", message="cannot find net1")
Start = Callable[..., KubernetesEvents]


@pytest.fixture
def start(session: Session) -> Iterator[Start]:
    """Starts recorders of events over ``server``."""
    started: list[KubernetesEvents] = []

    def make(**limits: Any) -> KubernetesEvents:
        events = KubernetesEvents(session, "n1", EventLimits(**limits))
        started.append(events)
        return events

    yield make
    for events in started:
        events.close()


def written(server: APIServer) -> list[dict[str, Any]]:
    with server.lock:
        return list(server.objects[EVENTS].values())


def test_an_event_is_as_kubectl_describe_looks_for_it(server: APIServer, start: Start) -> None:
    start().record(WEB, MISSING)
    eventually(lambda: written(server) != [])
    [event] = written(server)
    assert event["metadata"]["namespace"] == "shop"
    assert event["metadata"]["name"].startswith("web.")
    assert event["involvedObject"] == {
        "apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web", "uid": "u1",
    }  # fmt: skip
    assert (event["type"], event["reason"], event["message"]) == (
        "Warning",
        "NoNetworkFound",
        "cannot find net1",
    )
    assert event["source"] == {"component": "multus", "host": "n1"}
    assert (event["reportingComponent"], event["reportingInstance"]) == ("multinet", "n1")
    assert event["count"] == 1
    assert event["firstTimestamp"] == event["lastTimestamp"]


def test_a_normal_event(server: APIServer, start: Start) -> None:
    start().record(WEB, Event(reason="AddedInterface", message="Add eth0 [] from a", warning=False))
    eventually(lambda: [event["type"] for event in written(server)] == ["Normal"])


def test_a_static_pods_events_go_to_the_uid_that_kubelet_uses(server: APIServer, start: Start) -> None:
    mirror = {"kubernetes.io/config.mirror": "0f0f", "kubernetes.io/config.source": "file"}
    start().record(Pod(namespace="shop", name="web", uid="mirror", annotations=mirror, static=True), MISSING)
    eventually(lambda: written(server) != [])
    assert written(server)[0]["involvedObject"]["uid"] == "0f0f"


def test_a_repetition_is_one_patch_of_the_same_event(server: APIServer, start: Start) -> None:
    events = start()
    for _ in range(3):
        events.record(WEB, MISSING)
    eventually(lambda: [event["count"] for event in written(server)] == [3])
    assert [entry[:2] for entry in server.log] == [("create", EVENTS), ("patch", EVENTS), ("patch", EVENTS)]


def test_an_event_that_the_apiserver_forgot_is_made_anew(server: APIServer, start: Start) -> None:
    events = start()
    events.record(WEB, MISSING)
    eventually(lambda: written(server) != [])
    with server.lock:
        server.objects[EVENTS].clear()
    events.record(WEB, MISSING)
    eventually(lambda: [event["count"] for event in written(server)] == [2])


def test_too_many_are_left_out_and_counted(server: APIServer, start: Start) -> None:
    events = start(subject_burst=2)
    for _ in range(5):
        events.record(WEB, MISSING)
    eventually(lambda: events.dropped == {"rate": 3})
    assert len(server.log) == 2


def test_long_texts_are_cut_between_characters(server: APIServer, start: Start) -> None:
    start().record(WEB, Event(reason="Bad", message="é" * 2000))
    eventually(lambda: written(server) != [])
    message = written(server)[0]["message"]
    assert len(message.encode()) <= 1024
    assert message.endswith("é…")


def test_a_long_pod_name_makes_a_legal_event_name(server: APIServer, start: Start) -> None:
    start().record(Pod(namespace="shop", name="w" * 253, uid="u1"), MISSING)
    eventually(lambda: written(server) != [])
    assert len(written(server)[0]["metadata"]["name"]) <= 253


def test_a_failing_apiserver_is_tried_again(server: APIServer, start: Start) -> None:
    server.faults.append(Fault("create", EVENTS, status=503, times=2))
    start().record(WEB, MISSING)
    eventually(lambda: written(server) != [], seconds=10)
    assert len(server.log) == 3


def test_one_that_is_refused_is_lost_and_counted_and_the_next_is_told(
    server: APIServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server.forbidden.add(("create", EVENTS))
    events = start()
    with caplog.at_level(logging.WARNING):
        events.record(WEB, MISSING)
        eventually(lambda: events.dropped["api"] == 1)
    assert "event NoNetworkFound of pod shop/web is lost" in caplog.text
    server.forbidden.clear()
    events.record(WEB, MISSING)
    eventually(lambda: [event["count"] for event in written(server)] == [2])


def test_recording_never_waits_and_the_queue_has_an_end(server: APIServer, start: Start) -> None:
    server.faults.append(Fault("create", EVENTS, delay=2.0))
    events = start()
    began = time.monotonic()
    for turn in range(600):
        events.record(WEB, Event(reason="Bad", message=str(turn)))
    assert time.monotonic() - began < 1.0
    assert events.dropped["queue"] >= 600 - 512 - 2


def test_closing_delivers_what_is_waiting(server: APIServer, start: Start) -> None:
    events = start()
    for turn in range(5):
        events.record(WEB, Event(reason="Bad", message=str(turn)))
    events.close(timeout=5.0)
    assert len(written(server)) == 5
    events.record(WEB, MISSING)
    assert events.dropped == {"closed": 1}


def test_closing_waits_for_no_dead_apiserver(server: APIServer, start: Start) -> None:
    server.faults.append(Fault("create", EVENTS, status=503, headers={"Retry-After": "30"}, times=100))
    events = start()
    for turn in range(5):
        events.record(WEB, Event(reason="Bad", message=str(turn)))
    eventually(lambda: server.log != [])
    began = time.monotonic()
    events.close(timeout=0.5)
    assert time.monotonic() - began < 3.0
    assert events._thread is not None
    assert not events._thread.is_alive()
    assert events.dropped == {"api": 1, "closed": 4}


def test_nobody_who_tells_nothing_has_a_thread(start: Start) -> None:
    assert start()._thread is None

"""Who runs without the networks that he asks for, and when something is done about it: pains 1, 9.4, 2.46."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest

from multinet.cni.errors import CNIError, Code
from multinet.core.record import AttachmentRecord
from multinet.daemon.boot.agenda import Agenda
from multinet.daemon.boot.guard import FAILED, Guard
from multinet.daemon.boot.plan import BootTimes
from multinet.daemon.boot.remedies import MISSING, Evict, Report
from multinet.daemon.boot.unserved import Suspects, Unserved, asked_networks, find_unserved
from multinet.npwg.selection import DEFAULT_NETWORK, NETWORK_STATUS, NETWORKS
from multinet.ports import (
    ClusterUnavailable,
    Event,
    NotFound,
    Pod,
    PodSandbox,
    RuntimeUnavailable,
    UIDMismatch,
)


def pod(name: str = "web", networks: str = "a", **more: Any) -> Pod:
    annotations = {**({NETWORKS: networks} if networks else {}), **more.pop("annotations", {})}
    return Pod(
        namespace="default", name=name, uid=more.pop("uid", f"u-{name}"), annotations=annotations, **more
    )


def sandbox(name: str = "web", container: str = "c1", **more: Any) -> PodSandbox:
    given = {"uid": f"u-{name}", "ready": True, "netns": "/run/netns/x", **more}
    return PodSandbox(container_id=container, namespace="default", name=name, **given)


def status(*interfaces: str) -> dict[str, str]:
    entries = [{"name": "cbr0", "interface": "eth0", "default": True, "dns": {}}]
    entries += [{"name": f"default/{one}", "interface": one, "dns": {}} for one in interfaces]
    return {NETWORK_STATUS: json.dumps(entries)}


def names(
    pods: list[Pod],
    sandboxes: list[PodSandbox],
    attached: Collection[str] = (),
    links: Collection[str] = ("lo", "eth0"),
) -> list[str]:
    return [one.sandbox.container_id for one in find_unserved(pods, sandboxes, attached, lambda _: links)]


class TestWho:
    def test_runs_without(self) -> None:
        [one] = find_unserved([pod(networks="a, prod/b@x")], [sandbox()], (), lambda _: ())
        assert (one.who, one.networks) == ("default/web", ("default/a", "prod/b"))

    def test_is_attached(self) -> None:
        assert names([pod()], [sandbox()], attached={"c1"}) == []
        assert names([pod()], [sandbox()], attached={"c0"}) == ["c1"]

    def test_asks_for_nothing(self) -> None:
        assert names([pod(networks=""), pod(networks=" ")], [sandbox()]) == []

    @pytest.mark.parametrize(
        ("why", "a_pod", "a_sandbox"),
        [
            ("host network", pod(), sandbox(netns="")),
            ("ended", pod(), sandbox(ready=False)),
            ("being deleted", pod(deleting=True), sandbox()),
            ("an earlier pod of that name", pod(), sandbox(uid="u-old")),
            ("another pod", pod("other"), sandbox()),
        ],
    )
    def test_is_left_alone(self, why: str, a_pod: Pod, a_sandbox: PodSandbox) -> None:
        """2.46."""
        assert names([a_pod], [a_sandbox]) == []

    def test_no_sandbox_yet(self) -> None:
        assert names([pod()], []) == []

    def test_static_pod(self) -> None:
        """4.23: the API knows it by another UID."""
        assert names([pod(static=True)], [sandbox(uid="of-kubelet")]) == ["c1"]

    def test_new_sandbox_of_a_served_pod(self) -> None:
        """After a reboot the network-status still is that of the sandbox from before."""
        before = pod(networks="a,b", annotations=status("net1", "net2"))
        assert names([before], [sandbox()], links={"lo", "eth0"}) == ["c1"]
        assert names([before], [sandbox()], links={"lo", "eth0", "net1"}) == ["c1"]
        assert names([before], [sandbox()], links={"lo", "eth0", "net1", "net2"}) == []

    def test_served_by_another_meta_plugin(self) -> None:
        """Its sandbox is only looked into where the status says that all is there."""

        def never(_: PodSandbox) -> Collection[str]:
            raise AssertionError

        assert [*find_unserved([pod(annotations=status())], [sandbox()], (), never)] != []
        served = pod(annotations={NETWORK_STATUS: json.dumps([{"name": "default/dpdk", "dns": {}}])})
        assert names([served], [sandbox()]) == []  # a device without an interface

    @pytest.mark.parametrize("text", ["", "{", "3", "[3]", "null"])
    def test_unreadable_status(self, text: str) -> None:
        assert names([pod(annotations={NETWORK_STATUS: text})], [sandbox()]) == ["c1"]

    def test_a_default_network_of_its_own(self) -> None:
        own = pod(networks="", annotations={DEFAULT_NETWORK: "mine"})
        assert asked_networks(own) == ("default/mine",)
        assert names([own], [sandbox()]) == ["c1"]
        assert names([pod(networks="", annotations={DEFAULT_NETWORK: "mine", **status()})], [sandbox()]) == []

    def test_annotation_that_cannot_be_read(self) -> None:
        assert asked_networks(pod(networks="[{")) == ("[{",)
        assert names([pod(networks="[{")], [sandbox()]) == ["c1"]


class TestSuspects:
    def found(self, *containers: str) -> list[Unserved]:
        return [
            Unserved(pod=pod(), sandbox=sandbox(container=c), networks=("default/a",)) for c in containers
        ]

    def test_counts_after_a_while(self) -> None:
        """One that is just being added isn't unserved."""
        suspects = Suspects(grace=10)
        assert suspects.confirm(self.found("c1"), 0) == []
        assert suspects.confirm(self.found("c1", "c2"), 9) == []
        assert suspects.confirm(self.found("c1", "c2"), 10) == self.found("c1")
        assert suspects.confirm(self.found("c1", "c2"), 19) == self.found("c1", "c2")

    def test_begins_anew_once_it_was_served(self) -> None:
        suspects = Suspects(grace=10)
        suspects.confirm(self.found("c1"), 0)
        suspects.confirm([], 5)
        assert suspects.confirm(self.found("c1"), 10) == []
        assert suspects.confirm(self.found("c1"), 20) == self.found("c1")


class TestAgenda:
    def test_failures_come_later_and_later(self) -> None:
        agenda = Agenda(first=10, longest=60)
        assert agenda.is_due("a", 0)
        assert [agenda.failed("a", 0) for _ in range(5)] == [10, 20, 40, 60, 60]
        assert not agenda.is_due("a", 59)
        assert agenda.is_due("a", 60)
        agenda.done("a", 100)
        assert agenda.next() == 100
        assert agenda.failed("a", 100) == 10

    def test_forgets_who_is_gone(self) -> None:
        agenda = Agenda()
        agenda.done("a", 1000)
        agenda.done("b", 2000)
        agenda.keep(["b"])
        assert agenda.is_due("a", 0)
        assert agenda.next() == 2000
        agenda.keep([])
        assert agenda.next() is None


class World:
    """The ports that the guard looks at: what is said of pods, sandboxes and journal is what there is."""

    def __init__(self) -> None:
        self.now = 0.0
        self.there: list[Pod] = []
        self.running: list[PodSandbox] = []
        self.records: list[AttachmentRecord] = []
        self.events: list[tuple[str, str]] = []
        self.evicted: list[str] = []
        self.adopted: list[str] = []
        self.published: list[list[str]] = []
        self.refusal: Exception | None = None
        self.asked = 0
        self.is_in_place = True
        self.unknown = False

    def pods(self) -> list[Pod]:
        if self.unknown:
            raise ClusterUnavailable("not listed yet")
        return self.there

    def sandboxes(self, timeout: float = 10.0) -> list[PodSandbox]:
        self.asked += 1
        return self.running

    def all(self) -> list[AttachmentRecord]:
        return self.records

    def record(self, pod: Pod, event: Event) -> None:
        self.events.append((pod.name, event.reason))

    def evict(self, pod: Pod, timeout: float = 10.0) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.evicted.append(pod.name)

    def adopt(self, one: PodSandbox) -> None:
        self.adopted.append(one.container_id)
        if one.container_id == "odd":
            raise CNIError(Code.KERNEL, "no eth0")

    def start(self, *names: str) -> None:
        """Pods that run without their networks."""
        self.there += [pod(name) for name in names]
        self.running += [sandbox(name, f"c-{name}") for name in names]

    def guard(self, remedy: Any = None, **times: float) -> Guard:
        chosen = BootTimes(**times)
        return Guard(
            cluster=self,  # type: ignore[arg-type]
            sandboxes=self,
            journal=self,  # type: ignore[arg-type]
            links=lambda _: ("lo", "eth0"),
            remedy=remedy or Report(self, chosen),
            adopt=self.adopt,
            events=self,
            publish=lambda found: self.published.append([one.who for one in found]),
            times=chosen,
            clock=lambda: self.now,
        )

    def evict_remedy(self, remember: Any = lambda _: None) -> Evict:
        return Evict(self, BootTimes(), self, remember, lambda: self.is_in_place)  # type: ignore[arg-type]

    def seen_twice(self, guard: Guard) -> None:
        for _ in range(2):
            guard.look()
            self.now += 10


@pytest.fixture
def world() -> World:
    return World()


class TestReport:
    def test_told_once_an_hour(self, world: World) -> None:
        world.start("web", "db")
        guard = world.guard()
        guard.look()
        assert world.events == []
        assert guard.looked.is_set()
        world.now = 10
        guard.look()
        assert world.events == [("web", MISSING), ("db", MISSING)]
        assert world.published == [[], ["default/web", "default/db"]]
        while world.now < 3500:
            world.now += 60
            guard.look()
        assert len(world.events) == 2
        world.now = 3700
        guard.look()
        assert len(world.events) == 4

    def test_served_meanwhile(self, world: World) -> None:
        world.start("web")
        guard = world.guard()
        world.seen_twice(guard)
        world.records = [
            AttachmentRecord(
                container_id="c-web",
                ifname="net1",
                position=1,
                name="a",
                network=b"",
                network_name="a",
                phase="adding",
            )
        ]
        assert guard.look() == []
        assert world.published == [[], ["default/web"], []]

    def test_the_default_network_alone_is_not_served(self, world: World) -> None:
        world.start("web")
        world.records = [
            AttachmentRecord(
                container_id="c-web", ifname="eth0", position=0, name="a", network=b"", network_name="a"
            )
        ]
        guard = world.guard()
        world.seen_twice(guard)
        assert world.events == [("web", MISSING)]

    def test_event_names_pod_and_networks(self, world: World) -> None:
        told: list[Event] = []
        world.start("web")
        world.record = lambda pod, event: told.append(event)  # type: ignore[method-assign, assignment]
        world.seen_twice(world.guard())
        assert told == [
            Event(
                reason="NetworksMissing",
                message="the pod runs without networks that it asks for (default/a): it was started while multinet "
                "was not in place; delete the pod to have it started anew",
            )
        ]


class TestEvict:
    def test_is_evicted_once(self, world: World) -> None:
        """And again only if it still runs after a minute."""
        world.start("web")
        remembered: list[str] = []
        guard = world.guard(world.evict_remedy(lambda one: remembered.append(one.container_id)))
        world.seen_twice(guard)
        guard.look()
        assert (world.evicted, remembered) == (["web"], ["c-web"])
        assert world.events == [("web", MISSING)]
        world.now += 60
        guard.look()
        assert world.evicted == ["web", "web"]

    def test_a_budget_that_forbids_it(self, world: World) -> None:
        """Later and later, told each time; then it works."""
        world.start("web")
        guard = world.guard(world.evict_remedy())
        world.refusal = ClusterUnavailable("disruption budget default/web forbids it now")
        tries = 0
        world.seen_twice(guard)
        while world.now < 1000:
            if guard.is_due():
                before = len(world.events)
                guard.look()
                tries += len(world.events) > before
            world.now += 5
        assert 5 <= tries <= 8
        assert ("web", FAILED) in world.events
        world.refusal = None
        world.now += 700
        guard.look()
        assert world.evicted == ["web"]

    @pytest.mark.parametrize("gone", [NotFound("pod default/web"), UIDMismatch("default/web", "a", "b")])
    def test_gone_already(self, world: World, gone: Exception) -> None:
        world.start("web")
        world.refusal = gone
        world.seen_twice(world.guard(world.evict_remedy()))
        assert world.events == [("web", MISSING)]

    def test_not_before_the_next_one_would_be_served(self, world: World) -> None:
        world.start("web")
        world.is_in_place = False
        guard = world.guard(world.evict_remedy())
        world.seen_twice(guard)
        assert world.evicted == []
        world.is_in_place = True
        world.now += 10
        guard.look()
        assert world.evicted == ["web"]

    def test_static_pods_are_told_only(self, world: World) -> None:
        world.there = [pod("web", static=True)]
        world.running = [sandbox("web")]
        world.seen_twice(world.guard(world.evict_remedy()))
        assert (world.evicted, world.events) == ([], [("web", MISSING)])

    def test_what_cannot_be_remembered_is_no_reason_to_keep_it(self, world: World) -> None:
        def remember(_: PodSandbox) -> None:
            raise CNIError(Code.KERNEL, "no eth0")

        world.start("web")
        world.seen_twice(world.guard(world.evict_remedy(remember)))
        assert world.evicted == ["web"]


class TestStrangers:
    def test_each_is_adopted_once(self, world: World) -> None:
        """All that run and that the journal knows nothing of, whatever they ask for."""
        world.running = [
            sandbox("a", "c1"),
            sandbox("b", "odd"),
            sandbox("host", "c2", netns=""),
            sandbox("old", "c3", ready=False),
            sandbox("ours", "c4"),
        ]
        world.records = [
            AttachmentRecord(
                container_id="c4", ifname="eth0", position=0, name="a", network=b"", network_name="a"
            )
        ]
        guard = world.guard()
        guard.look()
        assert world.adopted == []
        for _ in range(3):
            world.now += 10
            assert guard.is_due() == (world.now == 10)
            guard.look()
        assert world.adopted == ["c1", "odd"]


class TestWhen:
    def test_the_runtime_is_asked_only_when_needed(self, world: World) -> None:
        """A served or quiet node: once a minute."""
        guard = world.guard()
        for _ in range(120):
            if guard.is_due():
                guard.look()
            world.now += 5
        assert world.asked == 10

    def test_a_new_pod_calls_for_a_look(self, world: World) -> None:
        guard = world.guard()
        guard.look()
        world.now = 5
        assert not guard.is_due()
        world.there.append(pod("plain", networks=""))
        assert not guard.is_due()
        world.there.append(pod("web"))
        assert guard.is_due()
        guard.look()
        assert not guard.is_due()

    def test_a_suspect_is_looked_at_again_soon(self, world: World) -> None:
        world.start("web")
        guard = world.guard()
        guard.look()
        world.now = 9
        assert not guard.is_due()
        world.now = 10
        assert guard.is_due()

    def test_nothing_is_decided_before_the_pods_are_known(self, world: World) -> None:
        world.unknown = True
        guard = world.guard()
        with pytest.raises(ClusterUnavailable):
            guard.look()
        assert not guard.looked.is_set()

    def test_the_thread_goes_on_after_faults(self, world: World) -> None:
        world.start("web")
        answers: list[Exception | None] = [RuntimeUnavailable("away"), ValueError("ours"), None]
        said = world.sandboxes

        def sandboxes(timeout: float = 10.0) -> list[PodSandbox]:
            answer = answers.pop(0) if answers else None
            if answer is not None:
                raise answer
            return said()

        world.sandboxes = sandboxes  # type: ignore[method-assign]
        guard = world.guard(period=0.01)
        guard.start()
        try:
            assert guard.looked.wait(20)
        finally:
            guard.stop()
        assert answers == []

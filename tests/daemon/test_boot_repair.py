"""A running pod gets what it lacks, on the real kernel: pains 1. Its default network was attached by others."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from multinet.adapters.netns import Netns
from multinet.daemon.boot.guard import FAILED
from multinet.daemon.boot.plan import BootPlan, BootTimes
from multinet.daemon.boot.remedies import MISSING, REPAIRED
from multinet.daemon.node_report import read_report
from multinet.daemon.safety import Safety, SafetyPlan
from multinet.ports import Event, Pod, PodSandbox

Site = Any
L2 = {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1"}


def static(*addresses: str, **more: Any) -> dict[str, Any]:
    return {"type": "static", "addresses": [{"address": address} for address in addresses], **more}


class Runtime:
    """The container runtime's sandboxes (the port; the real one is tried in tests/runtime)."""

    def __init__(self) -> None:
        self.there: list[PodSandbox] = []

    def sandboxes(self, timeout: float = 10.0) -> list[PodSandbox]:
        return self.there


class Told:
    """Events of a cluster that keeps none."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def record(self, pod: Pod, event: Event) -> None:
        self.events.append((event.reason, event.message))

    def close(self, timeout: float = 1.0) -> None:
        pass

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.events]


class Booted:
    """A node whose pods started with the default network alone, made by its plugin as the runtime would."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.runtime = Runtime()
        self.told = Told()
        self._started: dict[str, Netns] = {}
        (site.conf_dir / "00-multinet.conflist").write_text(
            json.dumps({"cniVersion": "1.0.0", "name": "multinet", "plugins": [{"type": "multinet"}]})
        )

    def start(self, container: str = "c1", name: str = "web", **sandbox: Any) -> Netns:
        netns: Netns = self.site.lab.sandbox()
        self.alone("ADD", container, netns, name)
        self._started[container] = netns
        given = {"uid": "", "ready": True, "netns": netns.path, **sandbox}
        self.runtime.there.append(PodSandbox(container_id=container, namespace="default", name=name, **given))
        return netns

    def alone(self, verb: str, container: str, netns: Netns, name: str = "web") -> None:
        """The default network's plugin, called by its own name."""
        conf = {**self.site.bridge("10.244.0.0/24", "fd00:244::/64"), "cniVersion": "1.0.0", "name": "cbr0"}
        self.site.ok(verb, container, netns, conf=conf, program="bridge", pod=name)

    def end(self) -> None:
        """What is left of pods that only their default network's plugin knows."""
        for container, netns in self._started.items():
            self.alone("DEL", container, netns)

    def safety(self, policy: str = "repair", access: Any = None) -> Safety:
        app = self.site.app
        app.access = access or app.access._replace(events=self.told)
        plan = SafetyPlan(
            boot=BootPlan(policy=policy),  # type: ignore[arg-type]
            times=BootTimes(grace=0.0, first_retry=0.0),
        )
        return Safety(app, plan, self.runtime)

    def look(self, policy: str = "repair") -> list[str]:
        """One look; who is without networks afterwards."""
        guard = self.safety(policy).guard
        assert guard is not None
        guard.look()
        return [one.who for one in guard.look()]


@pytest.fixture
def booted(site: Site) -> Iterator[Booted]:
    site.nad("a", {**L2, "ipam": static("10.50.0.2/24")})
    site.nad("b", L2)
    site.pod(networks="a, b@data")
    booted = Booted(site)
    yield booted
    booted.end()


def snapshot(site: Site, netns: Netns) -> Any:
    return sorted(site.lab.links(netns)), site.routes(netns)


class TestReport:
    def test_is_seen_and_left_alone(self, booted: Booted) -> None:
        netns = booted.start()
        assert booted.look("report") == ["default/web"]
        assert booted.told.reasons == [MISSING]
        assert sorted(booted.site.lab.links(netns)) == ["eth0", "lo"]
        report = read_report(booted.site.options.state_dir)
        assert report.unserved is not None
        [one] = report.unserved
        assert (one.name, one.container_id, one.networks) == ("web", "c1", ("default/a", "default/b"))

    def test_an_add_is_no_case(self, booted: Booted) -> None:
        netns = booted.site.lab.sandbox()
        booted.site.ok("ADD", "c1", netns)
        booted.runtime.there = [
            PodSandbox(
                container_id="c1", namespace="default", name="web", uid="", ready=True, netns=netns.path
            )
        ]
        assert booted.look("report") == []
        assert booted.told.events == []
        booted.site.ok("DEL", "c1", netns)


class TestRepair:
    def test_gets_what_it_lacks(self, booted: Booted) -> None:
        """By the names and in the order of an ADD; what was there stays; traffic flows; DEL takes all along."""
        site = booted.site
        netns = booted.start()
        eth0 = {link.name: link for link in _links(netns)}["eth0"]
        routes = site.routes(netns)
        assert booted.look() == []
        assert booted.told.reasons == [MISSING, REPAIRED]
        assert booted.told.events[1][1] == "attached to the running pod: net1, data (default/a, default/b)"
        assert sorted(site.lab.links(netns)) == ["data", "eth0", "lo", "net1"]
        assert {link.name: link for link in _links(netns)}["eth0"] == eth0
        assert site.routes(netns) >= routes
        assert [(row.ifname, row.position, row.phase) for row in site.rows] == [
            ("eth0", 0, "ready"),
            ("net1", 1, "ready"),
            ("data", 2, "ready"),
        ]
        other = site.lab.sandbox()
        site.pod("peer", networks=[{"name": "peer-net"}])
        site.nad("peer-net", {**L2, "ipam": static("10.50.0.3/24")})
        site.ok("ADD", "c2", other, pod="peer")
        assert "1 received" in site.lab.run("ping", "-c1", "-W5", "10.50.0.3", netns=netns)
        for container, sandbox in (("c1", netns), ("c2", other)):
            site.ok("DEL", container, sandbox)
        site.assert_clean(netns, other)

    def test_status(self, booted: Booted) -> None:
        """As if the ADD had come: the default network first, with its addresses and gateways."""
        site = booted.site
        netns = booted.start()
        booted.look()
        default, first, second = json.loads(site.status())
        assert (default["name"], default["interface"], default["default"]) == ("cbr0", "eth0", True)
        assert default["ips"] == ["10.244.0.2", "fd00:244::2"]
        assert default["gateway"] == ["10.244.0.1", "fd00:244::1"]
        assert (first["name"], first["interface"], first["ips"]) == ("default/a", "net1", ["10.50.0.2"])
        assert (second["name"], second["interface"]) == ("default/b", "data")
        site.ok("CHECK", "c1", netns)
        site.ok("DEL", "c1", netns)
        site.assert_clean(netns)

    def test_default_route_goes_where_the_pod_asks(self, booted: Booted) -> None:
        site = booted.site
        site.pod(networks=[{"name": "a", "default-route": ["10.50.0.1"]}])
        netns = booted.start()
        booted.look()
        assert {route for route in site.defaults(netns) if ":" not in route[0]} == {
            ("0.0.0.0/0", "10.50.0.1", "net1")
        }
        assert ("::/0", "fd00:244::1", "eth0") in site.defaults(netns)
        site.ok("DEL", "c1", netns)
        site.assert_clean(netns)

    def test_all_or_none(self, booted: Booted) -> None:
        """The second fails: the pod is as before, it is told why, and tried again."""
        site = booted.site
        site.nad(
            "b", {**L2, "ipam": {"type": "static", "addresses": [{"address": "10.50.0.2/24"}]}, "mtu": -1}
        )
        site.pod(networks=[{"name": "a", "default-route": ["10.50.0.1"]}, {"name": "b"}])
        netns = booted.start()
        before = snapshot(site, netns)
        assert booted.look() == ["default/web"]
        assert booted.told.reasons[:2] == [MISSING, FAILED]
        assert "b" in booted.told.events[1][1]
        assert snapshot(site, netns) == before
        assert [row.ifname for row in site.rows] == ["eth0"]
        site.nad("b", L2)
        assert booted.look() == []
        assert sorted(site.lab.links(netns)) == ["eth0", "lo", "net1", "net2"]
        site.ok("DEL", "c1", netns)
        site.assert_clean(netns)

    def test_routes_come_back_when_it_fails_at_the_end(self, booted: Booted) -> None:
        """The status can't be written: everything else was done by then."""
        site = booted.site
        site.pod(networks=[{"name": "a", "default-route": ["10.50.0.1", "fd00:50::1"]}])
        site.nad("a", {**L2, "ipam": static("10.50.0.2/24", "fd00:50::2/64")})
        netns = booted.start()
        before = snapshot(site, netns)
        blocker = site.manifests / ".status"
        blocker.write_text("")
        assert booted.look() == ["default/web"]
        assert FAILED in booted.told.reasons
        after = snapshot(site, netns)
        assert after[0] == before[0]
        assert {route for route in after[1] if route[0].endswith("/0")} == {
            route for route in before[1] if route[0].endswith("/0")
        }
        blocker.unlink()
        site.ok("DEL", "c1", netns)
        site.assert_clean(netns)

    def test_name_that_is_taken(self, booted: Booted) -> None:
        """Somebody made an interface of that name: it isn't touched."""
        netns = booted.start()
        booted.site.lab.ip("link", "add", "net1", "type", "veth", "peer", "name", "theirs", netns=netns)
        assert booted.look() == ["default/web"]
        assert "net1 already exists" in dict(booted.told.events)[FAILED]
        assert {"net1", "theirs"} <= set(booted.site.lab.links(netns))
        booted.site.lab.ip("link", "del", "net1", netns=netns)
        booted.site.ok("DEL", "c1", netns)
        booted.site.assert_clean(netns)

    def test_no_definition(self, booted: Booted) -> None:
        booted.site.pod(networks="nowhere")
        netns = booted.start()
        assert booted.look() == ["default/web"]
        assert "nowhere" in dict(booted.told.events)[FAILED]
        booted.site.ok("DEL", "c1", netns)
        booted.site.assert_clean(netns)

    def test_a_default_network_of_its_own(self, booted: Booted) -> None:
        """That of a running pod can't be replaced; it is said."""
        booted.site.pod(networks="a", **{"v1.multus-cni.io/default-network": "default/b"})
        netns = booted.start()
        assert booted.look() == ["default/web"]
        assert "can't be replaced: delete the pod" in dict(booted.told.events)[FAILED]
        assert sorted(booted.site.lab.links(netns)) == ["eth0", "lo"]

    def test_no_default_network_there(self, booted: Booted) -> None:
        netns = booted.site.lab.sandbox()
        booted.runtime.there = [
            PodSandbox(
                container_id="c1", namespace="default", name="web", uid="", ready=True, netns=netns.path
            )
        ]
        assert booted.look() == ["default/web"]
        assert "has no eth0" in dict(booted.told.events)[FAILED]
        booted.site.assert_clean(netns)

    def test_sandbox_that_went_meanwhile(self, booted: Booted) -> None:
        booted.runtime.there = [
            PodSandbox(
                container_id="c1",
                namespace="default",
                name="web",
                uid="",
                ready=True,
                netns="/run/netns/gone",
            )
        ]
        assert booted.look() == ["default/web"]
        assert "failed to open netns" in dict(booted.told.events)[FAILED]

    def test_after_a_crash_in_the_middle(self, booted: Booted) -> None:
        """What was begun is undone; the default network, whose links are in the same group, stays."""
        site = booted.site
        netns = booted.start()
        before = snapshot(site, netns)
        booted.look()
        rows = {row.ifname: row for row in site.rows}
        site.app.journal.forget(list(rows.values()))
        site.app.journal.ready([rows["eth0"]])
        site.app.journal.begin([rows["net1"], rows["data"]])
        site.restart()
        assert snapshot(site, netns) == before
        assert [row.ifname for row in site.rows] == ["eth0"]
        assert booted.look() == []
        site.ok("DEL", "c1", netns)
        site.assert_clean(netns)

    def test_removal_comes_meanwhile(self, booted: Booted) -> None:
        """One after the other, whichever is first; nothing is left."""
        site = booted.site
        guard = booted.safety().guard
        assert guard is not None
        for number in range(6):
            container = f"c{number}"
            netns = booted.start(container)
            guard.look()
            thread = threading.Thread(target=guard.look)
            thread.start()
            site.ok("DEL", container, netns)
            thread.join()
            site.ok("DEL", container, netns)  # runtimes come twice
            site.assert_clean(netns)
            booted.runtime.there.clear()


class TestEvict:
    def test_its_default_network_is_given_back(self, booted: Booted) -> None:
        """The DEL of a pod that nobody attached through us still releases its address."""
        site = booted.site
        netns = booted.start()
        evicted: list[str] = []

        class Control:
            def remove_taint(self, key: str, timeout: float = 10.0) -> bool:
                return False

            def evict(self, pod: Pod, timeout: float = 10.0) -> None:
                evicted.append(pod.name)

        access = site.app.access._replace(events=booted.told, control=Control())
        guard = booted.safety("evict", access).guard
        assert guard is not None
        guard.look()
        guard.look()
        assert evicted == ["web"]
        assert [row.ifname for row in site.rows] == ["eth0"]
        site.ok("DEL", "c1", netns)
        site.assert_clean(netns)

    def test_where_nothing_can_be_evicted_it_is_told(self, booted: Booted) -> None:
        booted.start()
        assert booted.look("evict") == ["default/web"]
        assert booted.told.reasons == [MISSING]


def _links(netns: Netns) -> Any:
    from multinet.adapters.kernel import NetworkStack

    with NetworkStack(netns) as stack:
        return stack.links()

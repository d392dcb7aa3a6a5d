"""The engine's own parts against the real kernel: steps, facts, indexes, removal by group, default routes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from multinet.adapters import kernel_messages as messages
from multinet.adapters.firewall import HostFirewall
from multinet.adapters.kernel import NetworkStack
from multinet.cni.errors import CNIError
from multinet.cni.result import Route as ResultRoute
from multinet.core.desired import Address, Bridge, LinkUp, Macvlan, Owner, Route, Sysctl, Veth
from multinet.core.routes import DefaultRoutePlan
from multinet.engine.apply import apply
from multinet.engine.compare import compare
from multinet.engine.facts import Facts
from multinet.engine.remove import drop_sandbox_links, remove
from multinet.engine.routes import settle_default_routes
from multinet.engine.scene import Scene
from multinet.engine.stage import FactsChanged
from multinet.engine.steps import EXISTS, GONE, Step, perform
from multinet.engine.undo import Undo


class Stage:
    """A host and a sandbox, and scenes on them."""

    def __init__(self, lab: Any) -> None:
        self.lab, self.netns = lab, lab.sandbox()
        lab.ip("link", "set", "lo", "up", netns=self.netns)
        self.sandbox = NetworkStack(self.netns)
        self.host = lab.kernel.host
        self.firewall = HostFirewall(lab.host)

    def scene(self, container: str = "c", ifname: str = "eth0", **terms: Any) -> Scene:
        facts = Facts(self.host, self.sandbox)
        return Scene(Owner("net", container, ifname), self.host, self.sandbox, self.firewall, facts, **terms)

    def close(self) -> None:
        self.sandbox.close()
        self.firewall.close()


@pytest.fixture
def stage(lab: Any) -> Iterator[Stage]:
    made = Stage(lab)
    yield made
    made.close()


def veth(name: str = "eth0", container: str = "c", master: str = "", **more: Any) -> Veth:
    owner = Owner("net", container, name)
    host_name, macs = owner.host_ifname, (owner.mac("sandbox"), owner.mac("host"))
    return Veth(name=name, mac=macs[0], host_name=host_name, host_mac=macs[1], master=master, **more)


def bridge(name: str = "br0", **more: Any) -> Bridge:
    return Bridge(place="host", whose="shared", name=name, mac="02:00:00:00:00:b0", **more)


def test_a_refusal_says_what_it_means(stage: Stage) -> None:
    stage.lab.allowed.add("br0")
    message = messages.create_bridge(Bridge(place="host", name="br0"), 0)
    said: list[int] = []

    def explain(number: int) -> str:
        said.append(number)
        return "somebody has it"

    step = Step(message, "failed to make it", explain=explain)
    perform([step], stage.host, Undo())
    assert said == []
    with pytest.raises(CNIError) as caught:
        perform([step], stage.host, Undo())
    assert caught.value.msg == "failed to make it: file exists: somebody has it"
    assert said == [errno.EEXIST]


def test_steps_that_are_fine_and_steps_that_fail(stage: Stage) -> None:
    stage.lab.allowed |= {"br0", "br1"}
    undone: list[str] = []

    def step(name: str, fine: tuple[int, ...] = ()) -> Step:
        message = messages.create_bridge(Bridge(place="host", name=name), 0)
        return Step(message, f'failed to create "{name}"', fine, lambda: undone.append(name), name)

    undo = Undo()
    done = perform([step("br0"), step("br0", EXISTS), step("br1")], stage.host, undo)
    assert [one.subject for one in done] == ["br0", "br1"]
    with pytest.raises(CNIError) as caught:
        perform([step("br2"), step("br1"), step("br3")], stage.host, undo)
    assert caught.value.code == 100 and caught.value.msg == 'failed to create "br1": file exists'
    assert getattr(caught.value.__cause__, "errno", 0) == errno.EEXIST
    undo.run()
    assert undone == ["br3", "br2", "br1", "br0"]
    assert perform([], stage.host, undo) == []
    gone = [Step(messages.delete_link(name=n), "x", GONE) for n in ("br2", "br3", "none")]
    assert len(perform(gone, stage.host, Undo())) == 2


def test_applying_comparing_and_removing(stage: Stage) -> None:
    stage.lab.allowed.add("br0")
    items = [
        bridge(),
        veth(master="br0", hairpin=True, mtu=1400),
        Sysctl(key="net/ipv4/conf/eth0/arp_notify", value="1"),
        Address(link="eth0", cidr="10.1.2.3/24"),
        Address(place="host", whose="shared", link="br0", cidr="10.1.2.1/24"),
        Route(link="eth0", dst="0.0.0.0/0", gateways=("10.1.2.1",)),
    ]
    scene = stage.scene()
    undo = Undo()
    apply(items, scene, undo)
    assert compare(items, scene) == []
    link = stage.lab.links()[scene.owner.host_ifname]
    assert (link.alias, link.group) == (scene.owner.mark, scene.owner.group)
    remove(items, scene)
    found = {difference.subject for difference in compare(items, scene)}
    assert {"eth0", scene.owner.host_ifname} <= found and "bridge br0" not in found
    remove(items, scene)
    undo.run()
    assert "br0" not in stage.lab.links()


def test_taking_back_leaves_a_bridge_that_others_use(stage: Stage) -> None:
    stage.lab.allowed.add("br0")
    first, undo = stage.scene("one"), Undo()
    apply([bridge(), veth("eth0", "one", "br0")], first, undo)
    second = stage.scene("two", "net1")
    apply([bridge(), veth("net1", "two", "br0")], second, Undo())
    undo.run()
    assert "br0" in stage.lab.links() and "net1" in stage.lab.links(stage.netns)
    remove([veth("net1", "two", "br0")], second)


def test_a_bridge_that_came_meanwhile_is_a_changed_fact(stage: Stage) -> None:
    stage.lab.allowed.add("br0")
    scene = stage.scene()
    assert scene.facts.link("br0") is None
    stage.lab.ip("link", "add", "br0", "type", "bridge")
    with pytest.raises(FactsChanged, match="br0"), Undo() as undo:
        apply([bridge(), veth(master="br0")], scene, undo)
    assert set(stage.lab.links()) == {"lo", "br0"} and set(stage.lab.links(stage.netns)) == {"lo"}


def test_a_bridge_that_went_meanwhile_is_a_changed_fact(stage: Stage) -> None:
    stage.lab.ip("link", "add", "br0", "address", "02:00:00:00:00:b0", "type", "bridge")
    scene = stage.scene()
    assert scene.facts.link("br0") is not None
    stage.lab.ip("link", "del", "br0")
    with pytest.raises(FactsChanged, match="br0"), Undo() as undo:
        apply([bridge(), veth(master="br0")], scene, undo)
    assert set(stage.lab.links()) == {"lo"}


@pytest.mark.parametrize("taken", [2, 3, 4])
def test_an_index_that_is_taken_is_no_obstacle(stage: Stage, taken: int) -> None:
    script = f"link add index {taken} name other type bridge\n"
    stage.lab.run("ip", "-batch", "-", netns=stage.netns, stdin=script)
    scene = stage.scene()
    apply([veth()], scene, Undo())
    assert compare([veth()], scene) == []
    remove([veth()], scene)
    assert set(stage.lab.links(stage.netns)) == {"lo", "other"}


def test_many_links_go_at_once(stage: Stage) -> None:
    for n in range(12):
        apply([veth(f"net{n}")], stage.scene("c", f"net{n}"), Undo())
    apply([veth("net99", "other")], stage.scene("other", "net99"), Undo())
    assert len(stage.lab.links(stage.netns)) == 14
    drop_sandbox_links(stage.scene())
    assert set(stage.lab.links(stage.netns)) == {"lo", "net99"}
    drop_sandbox_links(stage.scene())
    drop_sandbox_links(stage.scene("other"))


@pytest.mark.parametrize("place", ["host", "sandbox"])
def test_facts_are_read_once(stage: Stage, place: Any) -> None:
    stage.lab.allowed.add("br0")
    facts = Facts(stage.host, stage.sandbox)
    netns = None if place == "host" else stage.netns
    assert facts.link("br0", place) is None and "br0" not in facts.links(place)
    stage.lab.ip("link", "add", "br0", "type", "bridge", netns=netns)
    assert facts.link("br0", place) is None and "br0" not in facts.links(place)
    assert Facts(stage.host, stage.sandbox).link("br0", place) is not None
    assert facts.fresh_mac("br0") == facts.fresh_mac("br0") != facts.fresh_mac("br1")
    assert int(facts.fresh_mac("br0")[:2], 16) & 3 == 2, "locally administered, unicast"


def test_facts_of_a_sandbox_that_is_gone(stage: Stage) -> None:
    facts = Facts(stage.host, None)
    with pytest.raises(CNIError) as caught:
        facts.link("eth0", "sandbox")
    assert caught.value.code == 8


def test_addresses_as_facts(stage: Stage) -> None:
    stage.lab.allowed.add("br0")
    stage.lab.ip("link", "add", "br0", "up", "type", "bridge")
    for cidr in ("10.1.2.1/24", "2001:db8::1/64", "fe80::5/64"):
        stage.lab.ip("addr", "add", cidr, "dev", "br0")
    facts = Facts(stage.host, None)
    link = facts.link("br0")
    assert link is not None and facts.addresses(link) == ("10.1.2.1/24", "2001:db8::1/64")


def test_a_master_in_use_is_told_after_a_few_tries(stage: Stage) -> None:
    """EBUSY means an index that is taken, or a master that is: the kernel doesn't say which."""
    stage.lab.ip("link", "add", "up0", "type", "bridge")
    stage.lab.ip("link", "add", "v0", "up", "type", "veth", "peer", "name", "v1")
    stage.lab.ip("link", "set", "v0", "master", "up0")
    stage.lab.allowed |= {"up0", "v0", "v1"}
    item = Macvlan(name="eth0", mac="02:00:00:00:00:01", parent="v0")
    with pytest.raises(CNIError) as caught, Undo() as undo:
        apply([item], stage.scene(), undo)
    assert 'failed to create macvlan "eth0" on "v0"' in caught.value.msg and "busy" in caught.value.msg
    assert set(stage.lab.links(stage.netns)) == {"lo"}


def test_loopback_is_borrowed(stage: Stage) -> None:
    stage.lab.ip("link", "set", "lo", "down", netns=stage.netns)
    scene, undo = stage.scene(), Undo()
    item = LinkUp(name="lo", whose="borrowed")
    assert [d.phrase for d in compare([item], scene)] == ["loopback interface is down"]
    apply([item], scene, undo)
    assert compare([item], scene) == []
    undo.run()
    assert not stage.lab.links(stage.netns)["lo"].up
    apply([item], stage.scene(), Undo())
    remove([item], stage.scene())
    assert not stage.lab.links(stage.netns)["lo"].up


def test_comparing_without_a_sandbox_names_what_cannot_be_seen(stage: Stage) -> None:
    scene = Scene(Owner("net", "c", "eth0"), stage.host, None, stage.firewall, Facts(stage.host, None))
    items = [veth(), Address(link="eth0", cidr="10.1.2.3/24"), bridge()]
    found = compare(items, scene)
    assert len(found) == 3 and sum(d.field == "namespace" for d in found) == 2


@pytest.fixture
def two_links(stage: Stage) -> Any:
    for n, ifname in enumerate(("eth0", "net1")):
        apply([veth(ifname)], stage.scene("c", ifname), Undo())
        stage.lab.ip("addr", "add", f"10.{n}.0.2/24", "dev", ifname, netns=stage.netns)
        stage.lab.ip("addr", "add", f"2001:db8:{n}::2/64", "dev", ifname, "nodad", netns=stage.netns)
    stage.lab.ip("route", "add", "default", "via", "10.0.0.1", netns=stage.netns)
    stage.lab.ip("route", "add", "default", "via", "2001:db8::1", netns=stage.netns)
    yield stage
    drop_sandbox_links(stage.scene())


def defaults(stage: Stage) -> set[tuple[str, str, int]]:
    names = {link.index: link.name for link in stage.sandbox.links()}
    return {
        (names[index], gateway, route.metric if "." in route.dst else 0)
        for route in stage.sandbox.routes()
        if route.dst in ("0.0.0.0/0", "::/0")
        for gateway, index in route.hops
    }


def test_the_default_route_is_moved_to_another_interface(two_links: Stage) -> None:
    plan = DefaultRoutePlan(
        remove=(("eth0", 4), ("eth0", 6)),
        install=(
            ("net1", ResultRoute("0.0.0.0/0", "10.1.0.1")),
            ("net1", ResultRoute("::/0", "2001:db8:1::1")),
        ),
    )
    for _ in range(2):
        settle_default_routes(plan, two_links.sandbox)
        assert defaults(two_links) == {("net1", "10.1.0.1", 0), ("net1", "2001:db8:1::1", 0)}


def test_a_route_that_is_wanted_stays(two_links: Stage) -> None:
    plan = DefaultRoutePlan(remove=(("eth0", 4),), install=(("eth0", ResultRoute("0.0.0.0/0", "10.0.0.1")),))
    settle_default_routes(plan, two_links.sandbox)
    assert ("eth0", "10.0.0.1", 0) in defaults(two_links)


def test_a_gateway_that_is_not_on_the_link(two_links: Stage) -> None:
    plan = DefaultRoutePlan(remove=(), install=(("net1", ResultRoute("0.0.0.0/0", "10.99.0.1")),))
    with pytest.raises(CNIError) as caught:
        settle_default_routes(plan, two_links.sandbox)
    assert caught.value.code == 100 and "10.99.0.1 dev net1" in caught.value.msg


def test_an_empty_plan_asks_the_kernel_nothing(stage: Stage) -> None:
    stage.sandbox.close()
    settle_default_routes(DefaultRoutePlan((), ()), stage.sandbox)

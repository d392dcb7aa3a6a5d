"""The test kit's three questions, asked of delegates that pass them, and of ones that must not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from multinet.core.desired import Address, Bridge, Dummy, Item, Macvlan, Sysctl, Veth
from multinet.engine import kinds
from multinet.engine.kinds.veth import VethKind
from multinet.testkit.fields import untrue
from multinet.testkit.snapshot import changes


@pytest.fixture
def conf(bench: Any, make: Any) -> Any:
    bench.lab.allowed.add("br0")
    bench.lab.ip("link", "add", "br0", "type", "bridge")
    bench.lab.ip("link", "set", "br0", "up")
    first = bench.pod("first")
    conf = make(
        "bridge",
        bridge="br0",
        isGateway=True,
        ipMasq=True,
        macspoofchk=True,
        ipMasqBackend="nftables",
        ipam=bench.host_local("10.1.2.0/24", "2001:db8:1::/64", routes=[{"dst": "0.0.0.0/0"}]),
    )
    first.add(conf)  # from now on the bridge is a gateway, and the rules' tables are there
    first.delete(conf)
    return conf


class TestOfBridge:
    def test_whichever_step_fails(self, bench: Any, conf: Any, whichever_step_fails: Any) -> None:
        assert whichever_step_fails(bench.pod(), conf) >= 8

    def test_wherever_it_dies(self, bench: Any, conf: Any, wherever_it_dies: Any) -> None:
        assert wherever_it_dies(bench.pod(), conf) >= 8

    def test_every_field_is_checked(self, bench: Any, conf: Any, every_field_is_checked: Any) -> None:
        pod = bench.pod()
        pod.add(conf)
        assert every_field_is_checked(pod, conf) >= 30


class TestOfMacvlan:
    @pytest.fixture
    def conf(self, bench: Any, make: Any) -> Any:
        bench.uplink("up0")
        return make("macvlan", master="up0", ipam=bench.host_local("10.1.2.0/24"))

    def test_whichever_step_fails(self, bench: Any, conf: Any, whichever_step_fails: Any) -> None:
        assert whichever_step_fails(bench.pod(), conf) >= 3

    def test_wherever_it_dies(self, bench: Any, conf: Any, wherever_it_dies: Any) -> None:
        assert wherever_it_dies(bench.pod(), conf) >= 3

    def test_every_field_is_checked(self, bench: Any, conf: Any, every_field_is_checked: Any) -> None:
        pod = bench.pod()
        pod.add(conf)
        assert every_field_is_checked(pod, conf) >= 6


class TestThatItCanFail:
    def test_a_field_that_nobody_compares(
        self, bench: Any, conf: Any, every_field_is_checked: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Careless(VethKind):
            def compare(self, item: Veth, views: Any) -> Any:
                known = super().compare(msgspec.structs.replace(item, mtu=0), views)
                return iter([one for one in known if one.field != "mtu"])

        pod = bench.pod()
        pod.add(conf)
        monkeypatch.setitem(kinds._KINDS, Veth, Careless())
        with pytest.raises(AssertionError, match=r"Veth\.mtu is not compared"):
            every_field_is_checked(pod, conf)

    def test_a_step_that_is_not_undone(
        self, bench: Any, conf: Any, whichever_step_fails: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Forgetful(VethKind):
            def create(self, item: Veth, stage: Any) -> Any:
                for place, step in super().create(item, stage):
                    yield place, step._replace(undo=None)

        monkeypatch.setitem(kinds._KINDS, Veth, Forgetful())
        pod = bench.pod()
        with pytest.raises(AssertionError, match="left after message"):
            whichever_step_fails(pod, conf)
        pod.delete(conf, recorded=False)

    def test_an_orphan_that_nobody_finds(
        self, bench: Any, conf: Any, wherever_it_dies: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("multinet.engine.remove.remove_host_link", lambda name, scene: None)
        monkeypatch.setattr("multinet.engine.remove.remove_sandbox_link", lambda name, scene: True)
        pod = bench.pod()
        with pytest.raises(AssertionError, match="left when it died"):
            wherever_it_dies(pod, conf)
        monkeypatch.undo()
        pod.delete(conf, recorded=False)


class TestFields:
    def test_each_value_differs_and_keeps_its_form(self) -> None:
        items: list[Item] = [
            Veth(name="eth0", mac="02:00:00:00:00:01", host_name="v", host_mac="02:00:00:00:00:00", mtu=1400),
            Macvlan(name="eth0", mac="02:00:00:00:00:01", parent="up0"),
            Address(link="eth0", cidr="fd00::1/64"),
            Dummy(name="d", up=True),
        ]
        found = list(untrue(items))  # type: ignore[arg-type]
        assert all(changed not in items for changed, _ in found)
        fields = {(type(changed).__name__, field) for changed, field in found}
        assert {("Veth", "mac"), ("Veth", "mtu"), ("Macvlan", "mode"), ("Address", "cidr")} <= fields
        assert not {field for _, field in fields} & {"place", "whose", "detect"}

    def test_what_was_before_is_no_state(self) -> None:
        changed = list(untrue([Sysctl(key="net/x", value="1", before="0", whose="borrowed")]))
        assert [field for _, field in changed] == ["key", "value"]

    def test_a_bridge_of_the_hosts_own(self) -> None:
        assert ("promisc") in {field for _, field in untrue([Bridge(name="br0", mtu=0)])}


def test_changes_are_told_by_path() -> None:
    assert changes({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2}) == [".a.b: 1 → 3"]
    assert changes({"a": 1}, {}) == [".a: 1 → None"]

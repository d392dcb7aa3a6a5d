"""vrf: domains made, joined and left. This machine's kernel may lack them; what needs none is tried with a bridge."""

from __future__ import annotations

from typing import Any

import pytest

from multinet.cni.result import Result
from multinet.core.desired import Member
from multinet.delegates.vrf import vrf
from multinet.engine.apply import apply
from multinet.engine.compare import compare
from multinet.engine.remove import remove
from multinet.engine.undo import Undo
from tests.delegates.chained import FAR, after, attached, routes

NETS = ("10.1.2.0/24", "2001:db8:2::/64")
MOVED = {
    "10.1.2.0/24",
    "10.50.0.0/16 via 10.1.2.1",
    "2001:db8:2::/64",
    "2001:db8:50::/48 via 2001:db8:2::1",
    "fe80::/64",
}
needs_vrf = pytest.mark.needs_kind("vrf")


@pytest.fixture
def base(bench: Any, make: Any) -> Any:
    return attached(bench, make, ipam=bench.host_local(*NETS, routes=list(FAR)), ifname="net1")


@pytest.fixture
def conf(make: Any) -> Any:
    return make("vrf", vrfname="red")


def table_of(pod: Any, name: str = "red") -> int:
    return int(pod.link(name)["linkinfo"]["info_data"]["table"])


def vrfs(pod: Any) -> set[str]:
    return {link["ifname"] for link in pod.ip("link", "show", "type", "vrf")}


@needs_vrf
class TestAdd:
    def test_made_and_joined(self, base: Any, conf: Any) -> None:
        pod, conf = after(base, conf)
        addresses = pod.addresses()
        result = pod.add(conf)
        assert table_of(pod) == 1
        made = pod.link("red")
        assert "UP" in made["flags"] and made["ifalias"] == pod.owner(conf).mark
        assert pod.link()["master"] == "red"
        assert pod.addresses() == addresses
        assert routes(pod, "1") == MOVED and routes(pod, "main") == set()
        assert [route["table"] for route in result["routes"]] == [1, 1]
        assert {**result, "routes": 0} == {**base.result, "routes": 0}
        pod.check_both(conf)

    def test_addresses_that_the_kernel_would_drop_come_back(self, bench: Any, base: Any, conf: Any) -> None:
        bench.lab.run("sysctl", "-qw", "net.ipv6.conf.net1.keep_addr_on_down=0", netns=base.netns)
        pod, conf = after(base, conf)
        addresses = pod.addresses()
        pod.add(conf)
        assert pod.addresses() == addresses and routes(pod, "1") == MOVED
        pod.delete(conf)
        assert pod.addresses() == addresses

    @pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
    def test_result_versions(self, base: Any, conf: Any, version: str) -> None:
        previous = Result.from_json(base.result, "1.1.0").as_version(version)
        pod, conf = after(base, {**conf, "cniVersion": version}, previous)
        result = pod.add(conf)
        if version[0] == "1":
            assert [route["table"] for route in result["routes"]] == [1, 1]
        else:
            assert result == previous
        if version >= "0.4.0":
            pod.check_both(conf)

    def test_a_given_table(self, base: Any, make: Any) -> None:
        pod, conf = after(base, make("vrf", vrfName="blue", table=70000))
        pod.add(conf)
        assert table_of(pod, "blue") == 70000 and routes(pod, "70000") == MOVED
        pod.check_both(conf)

    def test_tables_in_use_are_left_alone(self, bench: Any, base: Any, conf: Any) -> None:
        lab, netns = bench.lab, base.netns
        lab.ip("link", "add", "one", "type", "vrf", "table", "1", netns=netns)
        lab.ip("rule", "add", "from", "192.0.2.1", "table", "2", netns=netns)
        lab.ip("-6", "route", "add", "2001:db8:99::/64", "dev", "lo", "table", "3", netns=netns)
        pod, conf = after(base, conf)
        pod.add(conf)
        assert table_of(pod) == 4

    def test_an_administrators(self, bench: Any, base: Any, conf: Any) -> None:
        bench.lab.ip("link", "add", "red", "type", "vrf", "table", "55", netns=base.netns)
        pod, conf = after(base, conf)
        pod.add(conf)
        assert table_of(pod) == 55 and routes(pod, "55") == MOVED
        pod.check_both(conf)
        pod.delete(conf)
        assert vrfs(pod) == {"red"} and "master" not in pod.link()

    def test_repeated(self, bench: Any, base: Any, conf: Any, unchanged: Any) -> None:
        pod, conf = after(base, conf)
        result = pod.add(conf)
        before = bench.snapshot(pod.netns)
        assert pod.add(conf) == result
        unchanged(before, bench.snapshot(pod.netns))
        pod.check_both(conf)

    def test_two_members(self, bench: Any, make: Any, base: Any, conf: Any) -> None:
        ipam = bench.host_local("10.1.3.0/24")
        other = attached(bench, make, ifname="net2", netns=base.netns, bridge="br1", ipam=ipam)
        (one, one_conf), (two, two_conf) = after(base, conf), after(other, conf)
        one.add(one_conf)
        two.add(two_conf)
        assert vrfs(one) == {"red"}
        one.delete(one_conf)
        assert vrfs(two) == {"red"}
        two.check_both(two_conf)
        two.delete(two_conf, recorded=False)
        assert vrfs(two) == set()

    def test_two_domains_may_have_the_same_addresses(self, bench: Any, make: Any) -> None:
        """Each interface has the same address as the other, and a neighbour of the same address."""

        def joined(bridge: str, ifname: str, address: str, **more: Any) -> Any:
            ipam = {"type": "static", "addresses": [{"address": address}]}
            return attached(bench, make, ifname=ifname, ipam=ipam, bridge=bridge, isGateway=False, **more)

        joined("br0", "eth0", "10.1.2.1/24", name="left")
        right = joined("br1", "eth0", "10.1.2.1/24", name="right")
        first = joined("br0", "net1", "10.1.2.5/24")
        second = joined("br1", "net2", "10.1.2.5/24", netns=first.netns)
        one, one_conf = after(first, make("vrf", vrfname="red"))
        two, two_conf = after(second, make("vrf", vrfname="blue"))
        one.add(one_conf)
        two.add(two_conf)
        assert (table_of(one, "red"), table_of(two, "blue")) == (1, 2)

        def answers(domain: str) -> bool:
            ping = ("ping", "-n", "-I", domain, "-c", "2", "-W", "5", "10.1.2.1")
            return "0 received" not in bench.lab.run(*ping, netns=one.netns, check=False)

        assert answers("red") and answers("blue")
        bench.lab.ip("link", "set", "eth0", "down", netns=right.netns)
        assert answers("red") and not answers("blue")


class TestBadInput:
    @pytest.mark.parametrize(
        ("more", "path", "words"),
        [
            ({}, "$.vrfname", "configuration is expected to have a valid vrf name"),
            ({"vrfname": ""}, "$.vrfname", "configuration is expected to have a valid vrf name"),
            ({"vrfname": None}, "$.vrfname", "configuration is expected to have a valid vrf name"),
            ({"vrfname": "a/b"}, "$.vrfname", "contains / or :"),
            ({"vrfname": "a" * 16}, "$.vrfname", "too long"),
            ({"vrfname": 5}, "$.vrfname", "str"),
            ({"vrfname": "red", "table": -1}, "$.table", "-1 is outside 0..4294967295"),
            ({"vrfname": "red", "table": 1 << 32}, "$.table", "is outside"),
            ({"vrfname": "red", "table": "1"}, "$.table", "int"),
            ({"vrfname": "eth9"}, "$.vrfname", "Netlink eth9 is not a VRF"),
        ],
    )
    def test_is_named_and_changes_nothing(
        self, bench: Any, base: Any, make: Any, refused: Any, unchanged: Any, more: Any, path: str, words: str
    ) -> None:
        bench.lab.ip("link", "add", "eth9", "type", "bridge", netns=base.netns)
        before = bench.snapshot(base.netns)
        pod, conf = after(base, make("vrf", **more))
        error = refused(7, pod.add, conf)
        assert error.msg.startswith(f"{path}: ") and words in error.msg
        unchanged(before, bench.snapshot(base.netns))
        pod.delete(conf, recorded=False)
        unchanged(before, bench.snapshot(base.netns))

    def test_without_previous_result(self, bench: Any, conf: Any, refused: Any) -> None:
        pod = bench.pod()
        assert refused(7, pod.add, conf).msg == "missing prevResult from earlier plugin"
        pod.result = None
        assert refused(7, pod.check, conf).msg == "missing prevResult from earlier plugin"

    def test_no_interface(self, bench: Any, base: Any, conf: Any, refused: Any) -> None:
        pod = bench.pod("c1", "net7", netns=base.netns)
        error = refused(100, pod.add, {**conf, "prevResult": base.result})
        assert error.msg == "could not get link by name net7"

    def test_another_master(self, bench: Any, base: Any, conf: Any, refused: Any, unchanged: Any) -> None:
        bench.lab.ip("link", "add", "br9", "type", "bridge", netns=base.netns)
        bench.lab.ip("link", "set", "net1", "master", "br9", netns=base.netns)
        before = bench.snapshot(base.netns)
        pod, conf = after(base, conf)
        assert refused(100, pod.add, conf).msg == "interface net1 has already a master set: br9"
        pod.delete(conf, recorded=False)
        unchanged(before, bench.snapshot(base.netns))

    @needs_vrf
    def test_another_table(self, bench: Any, base: Any, make: Any, refused: Any) -> None:
        bench.lab.ip("link", "add", "red", "type", "vrf", "table", "55", netns=base.netns)
        pod, conf = after(base, make("vrf", vrfname="red", table=56))
        assert "VRF red already exist with different routing table 55" in refused(7, pod.add, conf).msg

    def test_status(self, bench: Any, make: Any, refused: Any) -> None:
        pod = bench.pod()
        vrf.status(pod.call("STATUS", make("vrf", vrfname="red")), bench.node())
        refused(50, vrf.status, pod.call("STATUS", make("vrf")), bench.node())


@needs_vrf
class TestCheck:
    @pytest.fixture
    def joined(self, base: Any, conf: Any) -> Any:
        pod, conf = after(base, conf)
        pod.add(conf)
        return pod, conf

    def test_every_field(self, joined: Any, every_field_is_checked: Any) -> None:
        assert every_field_is_checked(*joined) >= 10

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("link set net1 nomaster", "failed to find net1 associated to vrf red"),
            ("link set red down", "red: state is down"),
            ("route del 10.50.0.0/16 table 1", "Expected Route 10.50.0.0/16 via 10.1.2.1 dev net1 not found"),
            ("-6 route del 2001:db8:50::/48 table 1", "Expected Route 2001:db8:50::/48 via 2001:db8:2::1"),
        ],
    )
    def test_what_others_changed(
        self, bench: Any, joined: Any, refused: Any, command: str, words: str
    ) -> None:
        pod, conf = joined
        bench.lab.ip(*command.split(), netns=pod.netns)
        for recorded in (True, False):
            assert words in str(refused(102, pod.check, conf, recorded=recorded))

    def test_the_domain_is_gone(self, bench: Any, joined: Any, refused: Any) -> None:
        pod, conf = joined
        bench.lab.ip("link", "del", "red", netns=pod.netns)
        for recorded in (True, False):
            assert "could not get link by name red" in str(refused(102, pod.check, conf, recorded=recorded))

    def test_the_interface_plugin_knows_of_the_move(self, base: Any, joined: Any) -> None:
        pod, _ = joined
        base.result = pod.result
        base.check_both(base.attached)


@needs_vrf
class TestDelete:
    @pytest.mark.parametrize("recorded", [True, False])
    def test_leaves_nothing_and_can_be_repeated(
        self, bench: Any, base: Any, conf: Any, unchanged: Any, recorded: bool
    ) -> None:
        pod, conf = after(base, conf)
        pod.add(conf)
        pod.delete(conf)  # once before: the kernel keeps its own rule for VRFs from the first on
        before, main = bench.snapshot(base.netns), routes(pod, "main")
        assert main == MOVED
        pod.add(conf)
        for _ in range(2):
            pod.delete(conf, recorded=recorded)
            assert routes(pod, "main") == main
            unchanged(before, bench.snapshot(base.netns))

    @pytest.mark.parametrize("recorded", [True, False])
    @pytest.mark.parametrize("path", ["", "/run/netns/that-is-gone"])
    def test_without_the_namespace(self, base: Any, conf: Any, recorded: bool, path: str) -> None:
        pod, conf = after(base, conf)
        pod.add(conf)
        pod.delete(conf, recorded=recorded, netns=path)

    @pytest.mark.parametrize("recorded", [True, False])
    def test_when_the_interface_is_gone(self, bench: Any, base: Any, conf: Any, recorded: bool) -> None:
        pod, conf = after(base, conf)
        pod.add(conf)
        bench.lab.ip("link", "del", "net1", netns=pod.netns)
        pod.delete({**conf, "prevResult": None}, recorded=recorded)
        assert vrfs(pod) == set()

    @pytest.mark.parametrize("recorded", [True, False])
    def test_leaves_another_master_alone(self, bench: Any, base: Any, conf: Any, recorded: bool) -> None:
        pod, conf = after(base, conf)
        pod.add(conf)
        bench.lab.ip("link", "add", "br9", "type", "bridge", netns=pod.netns)
        bench.lab.ip("link", "set", "net1", "nomaster", netns=pod.netns)
        bench.lab.ip("link", "set", "net1", "master", "br9", netns=pod.netns)
        pod.delete(conf, recorded=recorded)
        assert pod.link()["master"] == "br9" and vrfs(pod) == set()


@needs_vrf
class TestUndo:
    @pytest.fixture
    def used(self, base: Any, conf: Any) -> Any:
        """A pod that had a VRF before: the kernel keeps its own rule for them from the first on."""
        pod, conf = after(base, conf)
        pod.add(conf)
        pod.delete(conf)
        return pod, conf

    @pytest.mark.parametrize("keeps", ["0", "1"])
    def test_whichever_step_fails(self, bench: Any, used: Any, keeps: str, whichever_step_fails: Any) -> None:
        pod, conf = used
        bench.lab.run("sysctl", "-qw", f"net.ipv6.conf.net1.keep_addr_on_down={keeps}", netns=pod.netns)
        main = routes(pod, "main")
        assert whichever_step_fails(pod, conf) >= 5
        pod.check_both(conf)
        pod.delete(conf)
        assert routes(pod, "main") == main

    def test_wherever_it_dies(self, used: Any, wherever_it_dies: Any) -> None:
        pod, conf = used
        assert wherever_it_dies(pod, conf) >= 5


class TestMember:
    """With a bridge as master, which every kernel has."""

    ITEM = Member(link="net1", master="br9", whose="borrowed")

    @pytest.fixture
    def inside(self, bench: Any, base: Any, conf: Any) -> Any:
        mac = ("address", "02:00:00:00:00:09")
        bench.lab.ip("link", "add", "br9", *mac, "type", "bridge", netns=base.netns)
        return base

    def test_joins_and_leaves(self, bench: Any, inside: Any, conf: Any, unchanged: Any) -> None:
        before = bench.snapshot(inside.netns)
        with bench.scene(inside, conf) as scene:
            assert [d.field for d in compare([self.ITEM], scene)] == ["master"]
            for _ in range(2):
                apply([self.ITEM], scene, Undo())
                assert compare([self.ITEM], scene) == []
            assert inside.link()["master"] == "br9"
            for _ in range(2):
                remove([self.ITEM], scene)
            unchanged(before, bench.snapshot(inside.netns))

    def test_is_taken_back(self, bench: Any, inside: Any, conf: Any, unchanged: Any) -> None:
        before = bench.snapshot(inside.netns)
        with bench.scene(inside, conf) as scene:
            undo = Undo()
            apply([self.ITEM], scene, undo)
            undo.run()
            assert undo.errors == []
        unchanged(before, bench.snapshot(inside.netns))

    def test_addresses_stay(self, bench: Any, inside: Any, conf: Any) -> None:
        addresses = inside.addresses()
        with bench.scene(inside, conf) as scene:
            apply([self.ITEM], scene, Undo())
        assert inside.addresses() == addresses

"""sbr: rules and tables for a second interface, how they are compared and removed, and what it is all for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.netns import Netns
from multinet.cni.result import Result
from multinet.core.desired import MADE_BY_MULTINET
from multinet.delegates.sbr import sbr
from multinet.sdk.tables import first_free
from tests.delegates.chained import FAR, after, attached, routes

V4, V6 = "10.1.3.0/24", "2001:db8:3::/64"


def rules(pod: Any) -> dict[str, int]:
    """Source → table of the rules that the kernel doesn't make itself."""
    found = [rule for family in ("-4", "-6") for rule in pod.ip(family, "rule")]
    return {rule["src"]: int(rule["table"]) for rule in found if rule["src"] != "all"}


@pytest.fixture
def first(bench: Any, make: Any) -> Any:
    """The pod with ``eth0``, which has the default routes."""
    return attached(bench, make, "10.1.2.0/24", "2001:db8:2::/64", isDefaultGateway=True)


@pytest.fixture
def second(bench: Any, make: Any, first: Any) -> Any:
    """The same pod with ``net1`` on a bridge of its own."""
    ipam = bench.host_local(V4, V6, routes=list(FAR))
    return attached(bench, make, ifname="net1", netns=first.netns, bridge="br1", ipam=ipam)


@pytest.fixture
def conf(make: Any) -> Any:
    return make("sbr")


MOVED_4 = {"10.1.3.0/24", "10.50.0.0/16 via 10.1.3.1"}
MOVED_6 = {"2001:db8:3::/64", "2001:db8:50::/48 via 2001:db8:3::1"}
LOCAL = {"fe80::/64"}


class TestAdd:
    def test_two_addresses(self, second: Any, conf: Any) -> None:
        pod, conf = after(second, conf)
        assert routes(pod, "main") == MOVED_4 | MOVED_6 | LOCAL
        others = routes(pod, "main", "eth0")
        pod.add(conf)
        assert rules(pod) == {"10.1.3.2": 100, "2001:db8:3::2": 101}
        assert routes(pod, "100") == MOVED_4 | {"default via 10.1.3.1"}
        assert routes(pod, "101") == MOVED_6 | {"default via 2001:db8:3::1"} | LOCAL
        assert routes(pod, "main") == LOCAL
        assert routes(pod, "main", "eth0") == others
        pod.check_both(conf)

    def test_the_result_names_the_tables(self, second: Any, conf: Any) -> None:
        pod, conf = after(second, conf)
        result = pod.add(conf)
        assert {route["dst"]: route["table"] for route in result["routes"]} == {
            "10.50.0.0/16": 100,
            "2001:db8:50::/48": 101,
        }
        assert {**result, "routes": 0} == {**second.result, "routes": 0}

    @pytest.mark.parametrize("version", ["0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
    def test_result_versions(self, second: Any, conf: Any, version: str) -> None:
        previous = Result.from_json(second.result, "1.1.0").as_version(version)
        pod, conf = after(second, {**conf, "cniVersion": version}, previous)
        result = pod.add(conf)
        if version[0] == "1":
            assert [route["table"] for route in result["routes"]] == [100, 101]
        else:
            assert result == previous
        if version != "0.2.0":
            assert rules(pod) == {"10.1.3.2": 100, "2001:db8:3::2": 101}
        if version >= "0.4.0":
            pod.check_both(conf)

    def test_of_0_2_0_all_addresses_are_the_interfaces(self, second: Any, conf: Any) -> None:
        previous = Result.from_json(second.result, "1.1.0").as_version("0.1.0")
        pod, conf = after(second, {**conf, "cniVersion": "0.1.0"}, previous)
        pod.add(conf)
        assert set(rules(pod)) == {"10.1.3.2", "2001:db8:3::2"}

    def test_several_addresses_of_a_family(self, bench: Any, make: Any, first: Any, conf: Any) -> None:
        ipam = bench.host_local(V4, "10.1.4.0/24", routes=[{"dst": "10.60.0.0/16", "gw": "10.1.4.1"}])
        second = attached(bench, make, ifname="net1", netns=first.netns, bridge="br1", ipam=ipam)
        pod, conf = after(second, conf)
        pod.add(conf)
        assert rules(pod) == {"10.1.3.2": 100, "10.1.4.2": 101}
        assert routes(pod, "100") >= {"10.1.3.0/24", "default via 10.1.3.1"}
        assert routes(pod, "101") >= {"10.1.4.0/24", "default via 10.1.4.1", "10.60.0.0/16 via 10.1.4.1"}
        assert "10.60.0.0/16 via 10.1.4.1" not in routes(pod, "100")
        pod.check_both(conf)

    def test_tables_in_use_are_left_alone(self, second: Any, conf: Any, bench: Any) -> None:
        lab, netns = bench.lab, second.netns
        lab.ip("rule", "add", "from", "192.0.2.1", "table", "100", netns=netns)
        lab.ip("-6", "rule", "add", "from", "2001:db8::99", "table", "101", netns=netns)
        lab.ip("route", "add", "192.0.2.0/24", "dev", "lo", "table", "102", netns=netns)
        lab.ip("-6", "route", "add", "2001:db8:99::/64", "dev", "lo", "table", "104", netns=netns)
        pod, conf = after(second, conf)
        pod.add(conf)
        assert rules(pod)["10.1.3.2"] == 103
        assert rules(pod)["2001:db8:3::2"] == 105

    def test_two_interfaces(self, bench: Any, make: Any, first: Any, second: Any, conf: Any) -> None:
        one, one_conf = after(second, conf)
        two, two_conf = after(first, conf)
        one.add(one_conf)
        two.add(two_conf)
        assert sorted(rules(one).values()) == [100, 101, 102, 103]
        one.check_both(one_conf)
        two.check_both(two_conf)
        one.delete(one_conf)
        assert set(rules(two)) == {"10.1.2.2", "2001:db8:2::2"}
        two.check_both(two_conf)

    def test_at_the_same_time(self, first: Any, second: Any, conf: Any) -> None:
        """Executables know nothing of one another: the sandbox's lock keeps their choices apart."""
        pods = [after(base, conf) for base in (first, second)]
        for _ in range(5):
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda pair: pair[0].add(pair[1]), pods))
            assert sorted(rules(first).values()) == [100, 101, 102, 103]
            for pod, chained in pods:
                pod.delete(chained)

    def test_repeated(self, bench: Any, second: Any, conf: Any, unchanged: Any) -> None:
        pod, conf = after(second, conf)
        result = pod.add(conf)
        before = bench.snapshot(pod.netns)
        assert pod.add(conf) == result
        unchanged(before, bench.snapshot(pod.netns))
        pod.check_both(conf)

    def test_a_rule_that_is_there_keeps_its_table(self, bench: Any, second: Any, conf: Any) -> None:
        bench.lab.ip("rule", "add", "from", "10.1.3.2", "table", "777", netns=second.netns)
        pod, conf = after(second, conf)
        pod.add(conf)
        assert rules(pod)["10.1.3.2"] == 777
        assert routes(pod, "777") == MOVED_4 | {"default via 10.1.3.1"}


class TestGateways:
    @pytest.fixture
    def without(self, bench: Any, make: Any, first: Any) -> Any:
        """``net1`` whose addresses came without a gateway, and a default route that names one."""
        static = {
            "type": "static",
            "addresses": [{"address": "10.1.3.2/24"}, {"address": "2001:db8:3::2/64"}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.3.9"}, {"dst": "::/0", "gw": "2001:db8:3::9"}],
        }
        more = {"isGateway": False, "bridge": "br1"}
        return attached(bench, make, ifname="net1", netns=first.netns, ipam=static, **more)

    def test_of_a_default_route(self, without: Any, conf: Any) -> None:
        pod, conf = after(without, conf)
        pod.add(conf)
        assert "default via 10.1.3.9" in routes(pod, "100")
        assert "default via 2001:db8:3::9" in routes(pod, "101")
        assert routes(pod, "main") == LOCAL
        assert "default via 10.1.2.1" in routes(pod, "main", "eth0")
        pod.check_both(conf)

    def test_of_a_default_route_that_was_never_made(self, bench: Any, without: Any, conf: Any) -> None:
        bench.lab.ip("route", "del", "default", "dev", "net1", netns=without.netns)
        pod, conf = after(without, conf)
        pod.add(conf)
        assert "default via 10.1.3.9" in routes(pod, "100")

    def test_configured(self, without: Any, make: Any) -> None:
        pod, conf = after(without, make("sbr", gateways=["2001:db8:3::7", "10.1.3.7"]))
        pod.add(conf)
        assert {r for r in routes(pod, "100") if "default" in r} == {"default via 10.1.3.7"}
        assert {r for r in routes(pod, "101") if "default" in r} == {"default via 2001:db8:3::7"}
        pod.check_both(conf)

    def test_outside_the_subnet(self, second: Any, make: Any) -> None:
        pod, conf = after(second, make("sbr", gateways=["10.200.0.1"]))
        pod.add(conf)
        assert "default via 10.200.0.1" in routes(pod, "100")

    def test_none_at_all(self, bench: Any, make: Any, first: Any, conf: Any) -> None:
        static = {"type": "static", "addresses": [{"address": "10.1.3.2/24"}]}
        more = {"isGateway": False, "bridge": "br1"}
        pod, conf = after(attached(bench, make, ifname="net1", netns=first.netns, ipam=static, **more), conf)
        pod.add(conf)
        assert routes(pod, "100") == {"10.1.3.0/24"}
        pod.check_both(conf)

    def test_a_route_by_a_gateway_elsewhere_is_not_lost(self, bench: Any, second: Any, conf: Any) -> None:
        far = ("10.70.0.0/16", "via", "10.99.0.1", "dev", "net1", "onlink")
        bench.lab.ip("route", "add", *far, netns=second.netns)
        pod, conf = after(second, conf)
        pod.add(conf)
        assert "10.70.0.0/16 via 10.99.0.1" in routes(pod, "100")


class TestOptions:
    def test_a_table_of_others(self, second: Any, make: Any) -> None:
        pod, conf = after(second, make("sbr", table=3000, gateways=["not looked at"]))
        before = routes(pod, "main")
        assert pod.add(conf) == second.result
        assert rules(pod) == {"10.1.3.2": 3000, "2001:db8:3::2": 3000}
        assert routes(pod, "main") == before and routes(pod, "3000") == set()
        pod.check_both(conf)
        pod.delete(conf, recorded=False)
        assert rules(pod) == {}

    def test_source_hints(self, bench: Any, second: Any, make: Any) -> None:
        pod, conf = after(second, make("sbr", addSourceHints=True))
        pod.add(conf)
        assert routes(pod, "main") == {V4, V6} | LOCAL
        shown = pod.ip("-4", "route", "show", "dev", "net1") + pod.ip("-6", "route", "show", "dev", "net1")
        assert {r["prefsrc"] for r in shown if r["dst"] in (V4, V6)} == {"10.1.3.2", "2001:db8:3::2"}
        assert routes(pod, "100") >= MOVED_4
        pod.check_both(conf)

    @pytest.mark.parametrize(
        ("more", "path", "words"),
        [
            (
                {"gateways": ["10.0.0.1", "fd00::1", "10.0.0.2"]},
                "$.gateways",
                "gateways list cannot contain more than 2 entries (one IPv4, one IPv6)",
            ),
            ({"gateways": ["10.0.0"]}, "$.gateways[0]", "invalid static gateway IP address: 10.0.0"),
            ({"gateways": ["fd00::1", ""]}, "$.gateways[1]", "invalid static gateway IP address: "),
            (
                {"gateways": ["10.0.0.1", "10.0.0.2"]},
                "$.gateways",
                "gateways list contains multiple IPv4 addresses: 10.0.0.1 and 10.0.0.2",
            ),
            (
                {"gateways": ["fd00::1", "fd00::2"]},
                "$.gateways",
                "gateways list contains multiple IPv6 addresses: fd00::1 and fd00::2",
            ),
            ({"gateways": "10.0.0.1"}, "$.gateways", "array"),
            ({"gateways": [1]}, "$.gateways[0]", "str"),
            ({"table": "100"}, "$.table", "int"),
            ({"table": 0}, "$.table", "0 is outside 1..4294967295"),
            ({"table": -1}, "$.table", "-1 is outside"),
            ({"table": 1 << 32}, "$.table", "is outside"),
            ({"addSourceHints": "yes"}, "$.addSourceHints", "bool"),
        ],
    )
    def test_bad_input(
        self,
        bench: Any,
        second: Any,
        make: Any,
        refused: Any,
        unchanged: Any,
        more: Any,
        path: str,
        words: str,
    ) -> None:
        before = bench.snapshot(second.netns)
        pod, conf = after(second, make("sbr", **more))
        error = refused(7, pod.add, conf)
        assert error.msg.startswith(f"{path}: ") and words in error.msg
        unchanged(before, bench.snapshot(second.netns))
        pod.delete(conf, recorded=False)

    def test_without_previous_result(self, bench: Any, conf: Any, refused: Any) -> None:
        assert refused(7, bench.pod().add, conf).msg == "This plugin must be called as chained plugin"

    def test_without_addresses(self, bench: Any, first: Any, conf: Any, refused: Any) -> None:
        pod = bench.pod("c1", "net1", netns=first.netns)
        error = refused(7, pod.add, {**conf, "prevResult": first.result})
        assert error.msg == "No IP addresses supplied on interface: net1"

    def test_without_interface(self, bench: Any, second: Any, conf: Any, refused: Any) -> None:
        bench.lab.ip("link", "set", "net1", "down", netns=second.netns)
        bench.lab.ip("link", "set", "net1", "name", "net9", netns=second.netns)
        pod, conf = after(second, conf)
        assert 'failed to get "net1": Link not found' in refused(100, pod.add, conf).msg


class TestCheck:
    @pytest.fixture
    def routed(self, second: Any, conf: Any) -> Any:
        pod, conf = after(second, conf)
        pod.add(conf)
        return pod, conf

    def test_every_field(self, routed: Any, every_field_is_checked: Any) -> None:
        assert every_field_is_checked(*routed) > 20

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("rule del from 10.1.3.2", "rule from 10.1.3.2/32"),
            ("-6 rule del from 2001:db8:3::2", "rule from 2001:db8:3::2/128"),
            ("route del default table 100", "Expected Route 0.0.0.0/0 via 10.1.3.1 dev net1 not found"),
            ("-6 route del default table 101", "Expected Route ::/0 via 2001:db8:3::1 dev net1 not found"),
            ("route del 10.50.0.0/16 table 100", "Expected Route 10.50.0.0/16 via 10.1.3.1 dev net1 not"),
        ],
    )
    def test_what_others_removed(
        self, bench: Any, routed: Any, refused: Any, command: str, words: str
    ) -> None:
        pod, conf = routed
        bench.lab.ip(*command.split(), netns=pod.netns)
        for recorded in (True, False):
            assert words in str(refused(102, pod.check, conf, recorded=recorded))

    def test_a_route_that_is_back_in_the_main_table(self, bench: Any, routed: Any, refused: Any) -> None:
        pod, conf = routed
        bench.lab.ip("route", "add", V4, "dev", "net1", "src", "10.1.3.2", netns=pod.netns)
        assert "place in table 254" in str(refused(102, pod.check, conf).details)

    def test_the_interface_plugin_knows_of_the_move(
        self, second: Any, conf: Any, make: Any, bench: Any
    ) -> None:
        """Its CHECK gets the result of the whole list, which says the tables."""
        pod, chained = after(second, conf)
        second.result = pod.add(chained)
        second.check_both(second.attached)


class TestDelete:
    @pytest.mark.parametrize("recorded", [True, False])
    @pytest.mark.parametrize("more", [{}, {"addSourceHints": True}, {"table": 500}])
    def test_leaves_nothing_and_can_be_repeated(
        self, bench: Any, second: Any, conf: Any, unchanged: Any, recorded: bool, more: Any
    ) -> None:
        before, main = bench.snapshot(second.netns), routes(second, "main")
        pod, conf = after(second, conf | more)
        pod.add(conf)
        for _ in range(2):
            pod.delete(conf, recorded=recorded)
            assert routes(pod, "main") == main
            unchanged(before, bench.snapshot(second.netns))

    @pytest.mark.parametrize("recorded", [True, False])
    @pytest.mark.parametrize("path", ["", "/run/netns/that-is-gone"])
    def test_without_the_namespace(self, second: Any, conf: Any, recorded: bool, path: str) -> None:
        pod, conf = after(second, conf)
        pod.add(conf)
        pod.delete(conf, recorded=recorded, netns=path)
        assert not Path("/run/netns/that-is-gone").exists()

    def test_by_the_record_when_the_interface_is_gone(self, bench: Any, second: Any, conf: Any) -> None:
        pod, conf = after(second, conf)
        pod.add(conf)
        bench.lab.ip("link", "del", "net1", netns=pod.netns)
        pod.delete({**conf, "prevResult": None})
        assert rules(pod) == {}

    def test_by_their_mark_when_nothing_else_is_known(
        self, bench: Any, first: Any, second: Any, conf: Any
    ) -> None:
        other, other_conf = after(first, conf)
        other.add(other_conf)
        kept = rules(other)
        pod, conf = after(second, conf)
        pod.add(conf)
        bench.lab.ip("rule", "add", "from", "192.0.2.1", "table", "900", netns=pod.netns)
        bench.lab.ip("link", "del", "net1", netns=pod.netns)
        pod.delete({**conf, "prevResult": None}, recorded=False)
        assert rules(pod) == kept | {"192.0.2.1": 900}

    def test_of_what_the_reference_plugin_made(self, bench: Any, second: Any, conf: Any) -> None:
        bench.lab.ip("rule", "add", "from", "10.1.3.2", "table", "100", netns=second.netns)
        pod, conf = after(second, conf)
        pod.delete({**conf, "prevResult": None}, recorded=False)
        assert rules(pod) == {}


class TestUndo:
    @pytest.mark.parametrize("more", [{}, {"addSourceHints": True}, {"table": 500}])
    def test_whichever_step_fails(self, second: Any, conf: Any, whichever_step_fails: Any, more: Any) -> None:
        pod, conf = after(second, conf | more)
        main = routes(pod, "main")
        assert whichever_step_fails(pod, conf) >= 2
        pod.delete(conf)
        assert routes(pod, "main") == main

    @pytest.mark.parametrize("more", [{}, {"addSourceHints": True}, {"table": 500}])
    def test_wherever_it_dies(self, second: Any, conf: Any, wherever_it_dies: Any, more: Any) -> None:
        pod, conf = after(second, conf | more)
        main = routes(pod, "main")
        assert wherever_it_dies(pod, conf) >= 2
        assert routes(pod, "main") == main


def test_status(bench: Any, make: Any, refused: Any) -> None:
    pod = bench.pod()
    sbr.status(pod.call("STATUS", make("sbr", gateways=["10.0.0.1"])), bench.node())
    call = pod.call("STATUS", make("sbr", gateways=["x"]))
    assert "invalid static gateway" in refused(50, sbr.status, call, bench.node()).msg


def test_collect_touches_nothing(bench: Any, second: Any, conf: Any) -> None:
    pod, conf = after(second, conf)
    pod.add(conf)
    other = {**conf, "name": "other", "cni.dev/valid-attachments": []}
    sbr.gc(pod.call("GC", other, netns=""), bench.node())
    pod.check_both(conf)


@pytest.mark.parametrize(
    ("used", "start", "table"),
    [
        ((), 100, 100),
        ((100, 101), 100, 102),
        ((99, 101), 100, 100),
        (range(100, 253), 100, 256),
        (range(100, 300), 100, 300),
        ((), 1, 1),
        ((1, 2, 3, 5), 1, 4),
        (range(1, 1000), 1, 1000),
    ],
)
def test_the_first_free_table(used: Any, start: int, table: int) -> None:
    assert first_free(used, start) == table


class TestTraffic:
    """A caller from afar asks for ``net1``'s address; the host lets the answer through only by ``net1``."""

    @pytest.fixture
    def beyond(self, bench: Any) -> Netns:
        beyond: Netns = bench.uplink()
        for address, other in (("10.9.0.1/24", "10.9.0.2/24"), ("2001:db8:9::1/64", "2001:db8:9::2/64")):
            nodad = ("nodad",) if ":" in address else ()
            bench.lab.ip("addr", "add", address, "dev", "up0", *nodad)
            bench.lab.ip("addr", "add", other, "dev", "wan0", *nodad, netns=beyond)
        bench.lab.ip("route", "add", "default", "via", "10.9.0.1", netns=beyond)
        bench.lab.ip("-6", "route", "add", "default", "via", "2001:db8:9::1", netns=beyond)
        script = f"""
            table inet strict {{
                chain forward {{
                    type filter hook forward priority 0;
                    ip saddr {V4} iifname != "br1" drop
                    ip6 saddr {V6} iifname != "br1" drop
                }}
            }}"""
        bench.lab.run("nft", "-f", "-", stdin=script)
        return beyond

    def answers(self, bench: Any, netns: Netns, address: str) -> bool:
        shown = bench.lab.run(
            "ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", address, netns=netns, check=False
        )
        return "0 received" not in shown

    def test_answers_leave_by_the_interface_that_was_asked(
        self, bench: Any, second: Any, conf: Any, beyond: Netns
    ) -> None:
        pod, conf = after(second, conf)
        addresses = ("10.1.3.2", "2001:db8:3::2")
        assert not any(self.answers(bench, beyond, address) for address in addresses)
        pod.add(conf)
        assert all(self.answers(bench, beyond, address) for address in addresses)
        assert pod.ping("10.9.0.2")  # what the pod itself begins still leaves by eth0
        pod.delete(conf)
        assert not any(self.answers(bench, beyond, address) for address in addresses)


def test_rules_carry_our_mark(bench: Any, second: Any, conf: Any) -> None:
    pod, conf = after(second, conf)
    pod.add(conf)
    shown = [rule for rule in pod.ip("rule") if rule["src"] == "10.1.3.2"]
    assert [rule["protocol"] for rule in shown] == [str(MADE_BY_MULTINET)]

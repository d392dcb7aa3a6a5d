"""bandwidth: what is made, compared and removed; names and numbers are the reference plugin's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multinet.cni.errors import CNIError
from multinet.core.desired import Owner
from multinet.delegates.bandwidth import ifb_names
from multinet.delegates.bandwidth_conf import BandwidthConf, limits_of
from multinet.delegates.bandwidth_numbers import Limit, ticks_per_microsecond, token_bucket
from tests.delegates.chained import after, attached

USUAL_CLOCK = "000003e8 00000040 000f4240 3b9aca00\n"
BOTH = {"ingressRate": 8_000_000, "ingressBurst": 80_000, "egressRate": 16_000_000, "egressBurst": 160_000}
SUBNETS = ["10.9.0.0/16", "2001:db8::/48"]


@pytest.fixture
def conf(make: Any) -> Any:
    return make("bandwidth", **BOTH)


@pytest.fixture
def base(bench: Any, make: Any) -> Any:
    return attached(bench, make, "10.1.2.0/24", "2001:db8:1::/64")


def host_end(pod: Any) -> str:
    return str(pod.owner({"name": "net"}).host_ifname)


def qdiscs(bench: Any, link: str) -> list[Any]:
    """Those that someone made."""
    found = json.loads(bench.lab.run("tc", "-j", "qdisc", "show", "dev", link))
    return [one for one in found if one["kind"] not in ("noqueue", "pfifo_fast")]


def ifbs(bench: Any) -> list[str]:
    return [link["ifname"] for link in bench.ip("link", "show", "type", "ifb")]


class TestNumbers:
    @pytest.mark.parametrize(
        ("rate", "burst", "want"), [(8, 8, (1, 1)), (16, 8, (2, 1)), (8000, 80, (1000, 35))]
    )
    def test_rate_and_limit_are_the_reference_plugins(
        self, rate: int, burst: int, want: tuple[int, int]
    ) -> None:
        bucket = token_bucket("v", Limit(rate, burst), 15.625)
        assert (bucket.rate, bucket.limit) == want

    def test_burst_as_ticks(self) -> None:
        # 10,000 bytes at 1,000,000 bytes a second: 10,000 microseconds of 15.625 ticks
        assert token_bucket("v", Limit(8_000_000, 80_000), 15.625).buffer == 156_250
        # both steps cut the fraction off: 3,333 microseconds, 52,078 ticks
        assert token_bucket("v", Limit(24_000_000, 80_000), 15.625).buffer == 52_078

    def test_what_the_kernel_cannot_hold_is_the_most_it_can(self) -> None:
        bucket = token_bucket("v", Limit(8, 8 * 0xFFFF_FFFE), 15.625)
        assert (bucket.limit, bucket.buffer) == (0xFFFF_FFFE, 0xFFFF_FFFF)
        assert token_bucket("v", Limit((1 << 64) - 1, 80), 15.625).limit == 0xFFFF_FFFF

    def test_the_kernels_clock(self) -> None:
        assert ticks_per_microsecond(USUAL_CLOCK) == 15.625
        assert ticks_per_microsecond("3e8 40 3b9aca00 0") == 1000.0

    @pytest.mark.parametrize("text", [None, "", "3e8 40", "x y z w", "3e8 0 f4240 0"])
    def test_a_clock_that_says_nothing(self, text: str | None) -> None:
        with pytest.raises(CNIError) as caught:
            ticks_per_microsecond(text)
        assert caught.value.code == 5


class TestName:
    def test_is_the_reference_plugins(self) -> None:
        first, _ = ifb_names(Owner("cni-plugin-bandwidth-test", "dummy", "eth0"))
        assert first == "bwpa8eda89404b7"

    def test_of_the_second_attachment_has_the_interface_in_it(self) -> None:
        one, other = ifb_names(Owner("net", "c1", "eth0")), ifb_names(Owner("net", "c1", "net1"))
        assert one[0] == other[0]
        assert len({one[0], one[1], other[1]}) == 3
        assert all(len(name) == 15 for name in (*one, *other))


class TestAdd:
    def test_both_directions(self, bench: Any, base: Any, conf: Any) -> None:
        pod, conf = after(base, conf)
        result = pod.add(conf)
        veth = host_end(pod)
        (name,) = ifbs(bench)
        assert name == ifb_names(pod.owner(conf))[0]
        ifb = bench.link(name)
        assert (ifb["mtu"], ifb.get("txqlen", 0)) == (1500, 0)
        assert "UP" in ifb["flags"] and ifb["ifalias"] == pod.owner(conf).mark
        assert result == {
            **base.result,
            "interfaces": [*base.result["interfaces"], {"name": name, "mac": ifb["address"], "mtu": 1500}],
        }
        root, ingress = qdiscs(bench, veth)
        assert (root["kind"], root["handle"], root["options"]["rate"]) == ("tbf", "1:", 1_000_000)
        assert root["options"]["burst"] == 10_000
        assert (ingress["kind"], ingress["handle"]) == ("ingress", "ffff:")
        (root,) = qdiscs(bench, name)
        assert (root["kind"], root["handle"], root["options"]["rate"]) == ("tbf", "1:", 2_000_000)
        shown = bench.lab.run("tc", "filter", "show", "dev", veth, "ingress")
        assert "protocol all pref 1 u32" in shown and "match 00000000/00000000 at 0" in shown
        assert "flowid 1:1" in shown and f"Egress Redirect to device {name}" in shown
        pod.check_both(conf)

    def test_ingress_alone(self, bench: Any, base: Any, make: Any) -> None:
        pod, conf = after(base, make("bandwidth", ingressRate=8000, ingressBurst=8000))
        assert pod.add(conf) == base.result
        assert ifbs(bench) == [] and [q["kind"] for q in qdiscs(bench, host_end(pod))] == ["tbf"]
        pod.check_both(conf)

    def test_egress_alone(self, bench: Any, base: Any, make: Any) -> None:
        pod, conf = after(base, make("bandwidth", egressRate=8000, egressBurst=8000))
        pod.add(conf)
        assert [q["kind"] for q in qdiscs(bench, host_end(pod))] == ["ingress"]
        assert [q["kind"] for q in qdiscs(bench, *ifbs(bench))] == ["tbf"]
        pod.check_both(conf)

    @pytest.mark.parametrize(
        "more", [{}, {"ingressRate": 0}, {"egressRate": None, "runtimeConfig": {"bandwidth": None}}]
    )
    def test_no_limits(self, base: Any, make: Any, more: Any) -> None:
        pod, conf = after(base, make("bandwidth", **more))
        assert pod.add(conf) == base.result
        assert pod.items == ()
        pod.check_both(conf)
        pod.delete(conf)

    @pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
    def test_result_versions(self, bench: Any, base: Any, conf: Any, version: str) -> None:
        from multinet.cni.result import Result

        previous = Result.from_json(base.result, "1.1.0").as_version(version)
        pod, conf = after(base, {**conf, "cniVersion": version}, previous)
        result = pod.add(conf)
        assert result["cniVersion"] == version
        (name,) = ifbs(bench)
        added = {"name": name, "mac": bench.link(name)["address"]}
        assert result["interfaces"][-1] == added | ({"mtu": 1500} if version[0] == "1" else {})
        assert result["ips"] == previous["ips"]
        if version >= "0.4.0":
            pod.check_both(conf)

    def test_rates_beyond_32_bits(self, bench: Any, base: Any, make: Any) -> None:
        more = {"ingressRate": 80_000_000_000, "ingressBurst": 800_000_000}
        pod, conf = after(base, make("bandwidth", **more))
        pod.add(conf)
        (root,) = qdiscs(bench, host_end(pod))
        assert root["options"]["rate"] == 10_000_000_000
        pod.check_both(conf)

    def test_a_burst_is_cut_to_the_most_that_is_allowed(self, bench: Any, base: Any, make: Any) -> None:
        asked = {"ingressRate": 8_000_000, "ingressBurst": (1 << 31) - 1}
        pod, conf = after(base, make("bandwidth", maxBurst=80_000, runtimeConfig={"bandwidth": asked}))
        pod.add(conf)
        assert qdiscs(bench, host_end(pod))[0]["options"]["burst"] == 10_000

    def test_repeated(self, bench: Any, base: Any, conf: Any, unchanged: Any) -> None:
        pod, conf = after(base, conf)
        pod.add(conf)
        before = bench.snapshot(pod.netns)
        pod.add(conf)
        unchanged(before, bench.snapshot(pod.netns))
        pod.check_both(conf)

    def test_two_attachments_to_one_network(self, bench: Any, make: Any, base: Any, conf: Any) -> None:
        second = attached(bench, make, ifname="net1", netns=base.netns)
        (one, first_conf), (two, second_conf) = after(base, conf), after(second, conf)
        one.add(first_conf)
        two.add(second_conf)
        names = {ifb_names(one.owner(conf))[0], ifb_names(two.owner(conf))[1]}
        assert set(ifbs(bench)) == names
        one.check_both(first_conf)
        two.check_both(second_conf)
        one.delete(first_conf, recorded=False)
        assert set(ifbs(bench)) == names - {ifb_names(one.owner(conf))[0]}
        two.check_both(second_conf)
        two.delete(second_conf, recorded=False)
        assert ifbs(bench) == []


class TestLimitsByTheRuntime:
    def test_in_any_case(self, bench: Any, base: Any, make: Any) -> None:
        asked = {"IngressRate": 8000, "ingressburst": 800}
        pod, conf = after(base, make("bandwidth", runtimeConfig={"bandWidth": asked}))
        pod.add(conf)
        assert qdiscs(bench, host_end(pod))[0]["options"]["rate"] == 1000

    def test_are_put_aside_by_any_key_of_the_configuration(self, caplog: Any) -> None:
        asked = {"bandwidth": {"egressRate": 8000, "egressBurst": 800}}
        limits = limits_of(BandwidthConf(name="n", ingress_rate=0, runtime_config=asked))
        assert not limits
        assert "runtimeConfig.bandwidth is ignored" in caplog.text and "network n" in caplog.text

    def test_count_when_the_configuration_says_nothing(self, caplog: Any) -> None:
        asked = {"bandwidth": {"egressRate": 8000, "egressBurst": 800}}
        limits = limits_of(BandwidthConf(runtime_config=asked))
        assert (limits.ingress, limits.egress) == (Limit(), Limit(8000, 800))
        assert caplog.text == ""


class TestBadInput:
    @pytest.mark.parametrize(
        ("more", "path", "words"),
        [
            ({"ingressRate": 8}, "$.ingressBurst", "if rate is set, burst must also be set"),
            ({"ingressBurst": 8}, "$.ingressRate", "if burst is set, rate must also be set"),
            ({"egressRate": 8}, "$.egressBurst", "if rate is set, burst must also be set"),
            ({"egressBurst": 8}, "$.egressRate", "if burst is set, rate must also be set"),
            (
                {"ingressRate": 8, "ingressBurst": 8 * 0xFFFF_FFFF},
                "$.ingressBurst",
                "burst cannot be more than 4GB",
            ),
            ({"ingressRate": 7, "ingressBurst": 80}, "$.ingressRate", "at least 8"),
            ({"egressRate": 80, "egressBurst": 7}, "$.egressBurst", "at least 8"),
            ({"egressRate": -1, "egressBurst": 8}, "$.egressRate", "-1 is outside"),
            ({"egressRate": 1 << 64, "egressBurst": 8}, "$.egressRate", "is outside"),
            ({"egressRate": "8000"}, "$.egressRate", "int"),
            ({"ingressBurst": [8]}, "$.ingressBurst", "int"),
            ({"maxBurst": 7}, "$.maxBurst", "less than a byte"),
            ({"maxBurst": -8}, "$.maxBurst", "less than a byte"),
            (
                {"runtimeConfig": {"bandwidth": {"ingressRate": 8}}},
                "$.runtimeConfig.bandwidth.ingressBurst",
                "if rate is set, burst must also be set",
            ),
            (
                {"runtimeConfig": {"bandwidth": {"ingressRate": True}}},
                "$.runtimeConfig.bandwidth.ingressRate",
                "int",
            ),
            ({"runtimeConfig": {"bandwidth": 5}}, "$.runtimeConfig.bandwidth", "object"),
            (
                {**BOTH, "shapedSubnets": ["10.0.0.0/8"], "unshapedSubnets": ["10.1.0.0/16"]},
                "$.unshapedSubnets",
                "unshapedSubnets and shapedSubnets cannot be both specified, one of them should be discarded",
            ),
            (
                {**BOTH, "shapedSubnets": ["10.0.0.0/8", "10.1.0.0"]},
                "$.shapedSubnets[1]",
                'bad subnet "10.1.0.0" provided, details',
            ),
            ({**BOTH, "unshapedSubnets": ["x/8"]}, "$.unshapedSubnets[0]", 'bad subnet "x/8" provided'),
            ({**BOTH, "unshapedSubnets": "x/8"}, "$.unshapedSubnets", "array"),
        ],
    )
    def test_is_named_and_changes_nothing(
        self, bench: Any, base: Any, make: Any, refused: Any, unchanged: Any, more: Any, path: str, words: str
    ) -> None:
        before = bench.snapshot(base.netns)
        pod, conf = after(base, make("bandwidth", **more))
        error = refused(7, pod.add, conf)
        assert error.msg.startswith(f"{path}: ") and words in error.msg
        unchanged(before, bench.snapshot(base.netns))
        pod.delete(conf, recorded=False)  # no obstacle for a DEL

    def test_without_previous_result(self, bench: Any, conf: Any, refused: Any) -> None:
        pod = bench.pod()
        assert refused(7, pod.add, conf).msg == "must be called as chained plugin"
        pod.result = None
        assert refused(7, pod.check, conf).msg == "must be called as a chained plugin"
        pod.delete(conf)

    def test_without_interfaces(self, base: Any, conf: Any, refused: Any) -> None:
        pod, conf = after(base, conf, {"cniVersion": "1.1.0"} | {"ips": [{"address": "10.1.2.2/24"}]})
        assert refused(7, pod.add, conf).msg == "no interfaces provided"

    def test_another_kind_of_interface(self, bench: Any, make: Any, conf: Any, refused: Any) -> None:
        bench.uplink()
        pod = bench.pod()
        pod.add(make("macvlan", master="up0"))
        pod, conf = after(pod, conf)
        error = refused(7, pod.add, conf)
        assert error.msg == "container interface eth0 has no veth peer: it is a macvlan"
        assert "veth pairs only" in error.details

    def test_no_interface(self, bench: Any, base: Any, conf: Any, refused: Any) -> None:
        other = bench.pod(netns=base.netns, ifname="eth7")
        error = refused(7, other.add, {**conf, "prevResult": base.result})
        assert error.msg == "container interface eth7 has no veth peer: Link not found"

    def test_a_pair_that_ends_elsewhere(self, bench: Any, base: Any, conf: Any, refused: Any) -> None:
        elsewhere = bench.lab.sandbox()
        peer = ("peer", "name", "x", "netns", elsewhere.path)
        bench.lab.ip("link", "add", "eth5", "type", "veth", *peer, netns=base.netns)
        other = bench.pod(netns=base.netns, ifname="eth5")
        error = refused(7, other.add, {**conf, "prevResult": base.result})
        assert "veth peer with index" in error.msg and error.msg.endswith("is not in host ns")

    def test_a_host_end_that_the_result_does_not_name(self, base: Any, conf: Any, refused: Any) -> None:
        previous = {**base.result, "interfaces": base.result["interfaces"][2:], "ips": []}
        pod, conf = after(base, conf, previous)
        assert "no veth peer of container interface found in host ns" in refused(7, pod.add, conf).msg

    def test_a_foreign_ingress_filter(
        self, bench: Any, base: Any, conf: Any, refused: Any, unchanged: Any
    ) -> None:
        veth = host_end(base)
        bench.lab.run("tc", "qdisc", "add", "dev", veth, "ingress")
        rule = "protocol ip pref 1 u32 match u32 0 0 flowid 2:3"
        bench.lab.run("tc", "filter", "add", "dev", veth, "parent", "ffff:", *rule.split())
        before = bench.snapshot(base.netns)
        pod, conf = after(base, conf)
        assert "it has a u32 filter of priority 1 already" in refused(100, pod.add, conf).msg
        unchanged(before, bench.snapshot(base.netns))


class TestCheck:
    @pytest.fixture
    def shaped(self, base: Any, conf: Any) -> Any:
        pod, conf = after(base, conf)
        pod.add(conf)
        return pod, conf

    def test_every_field(self, shaped: Any, every_field_is_checked: Any) -> None:
        assert every_field_is_checked(*shaped) >= 12

    def test_every_field_with_subnets(self, base: Any, conf: Any, every_field_is_checked: Any) -> None:
        pod, conf = after(base, {**conf, "unshapedSubnets": SUBNETS})
        pod.add(conf)
        assert every_field_is_checked(pod, conf) >= 15

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("qdisc del dev VETH root", "Failed to find qdisc"),
            ("qdisc del dev IFB root", "Failed to find qdisc"),
            ("qdisc del dev VETH ingress", "Failed to find qdisc"),
            ("qdisc replace dev VETH root tbf rate 9mbit burst 10000 limit 35000", "Rate doesn't match"),
            ("qdisc replace dev VETH root tbf rate 8mbit burst 20000 limit 35000", "Buffer doesn't match"),
            ("qdisc replace dev IFB root tbf rate 16mbit burst 20000 limit 9", "Limit doesn't match"),
            ("qdisc replace dev VETH root pfifo", "qdisc is pfifo, expected tbf"),
            ("filter del dev VETH parent ffff:", "redirection is absent"),
        ],
    )
    def test_what_others_changed(
        self, bench: Any, shaped: Any, refused: Any, command: str, words: str
    ) -> None:
        pod, conf = shaped
        chosen = command.replace("VETH", host_end(pod)).replace("IFB", ifbs(bench)[0])
        bench.lab.run("tc", *chosen.split())
        for recorded in (True, False):
            assert words in str(refused(102, pod.check, conf, recorded=recorded))

    def test_a_filter_ahead_of_the_redirection(self, bench: Any, shaped: Any, refused: Any) -> None:
        pod, conf = shaped
        veth = host_end(pod)
        bench.lab.run("tc", "filter", "del", "dev", veth, "parent", "ffff:")
        bench.lab.ip("link", "add", "other", "type", "ifb")
        bench.lab.allowed.add("other")
        rule = "protocol all pref 1 u32 match u32 0 0 action mirred egress redirect dev other"
        bench.lab.run("tc", "filter", "add", "dev", veth, "parent", "ffff:", *rule.split())
        for recorded in (True, False):
            error = refused(102, pod.check, conf, recorded=recorded)
            assert "first a u32 filter that leads to other" in error.details

    def test_the_ifb(self, bench: Any, shaped: Any, refused: Any) -> None:
        pod, conf = shaped
        (name,) = ifbs(bench)
        bench.lab.ip("link", "set", name, "down")
        assert f"{name}: state is down" in str(refused(102, pod.check, conf))
        bench.lab.ip("link", "del", name)
        for recorded in (True, False):
            assert f"get ifb device: Link not found: {name}" in str(
                refused(102, pod.check, conf, recorded=recorded)
            )

    @pytest.mark.parametrize("key", ["shapedSubnets", "unshapedSubnets"])
    def test_of_subnets(self, bench: Any, base: Any, conf: Any, refused: Any, key: str) -> None:
        pod, conf = after(base, {**conf, key: SUBNETS})
        pod.add(conf)
        pod.check_both(conf)
        veth = host_end(pod)
        bench.lab.run("tc", "filter", "del", "dev", veth, "parent", "1:", "pref", "16")
        changed = "rate 9mbit burst 10000 cburst 10000"
        bench.lab.run("tc", "class", "change", "dev", veth, "classid", "1:30", "htb", *changed.split())
        for recorded in (True, False):
            error = str(refused(102, pod.check, conf, recorded=recorded))
            assert "Rate doesn't match" in error and "subnet filters" in error
        bench.lab.run("tc", "qdisc", "del", "dev", veth, "root")
        assert "Failed to find qdisc" in str(refused(102, pod.check, conf))


class TestDelete:
    @pytest.mark.parametrize("recorded", [True, False])
    @pytest.mark.parametrize("more", [{}, {"shapedSubnets": SUBNETS}])
    def test_leaves_nothing_and_can_be_repeated(
        self, bench: Any, base: Any, conf: Any, unchanged: Any, recorded: bool, more: Any
    ) -> None:
        before = bench.snapshot(base.netns)
        pod, conf = after(base, conf | more)
        pod.add(conf)
        for _ in range(2):
            pod.delete(conf, recorded=recorded)
            unchanged(before, bench.snapshot(base.netns))

    @pytest.mark.parametrize("recorded", [True, False])
    @pytest.mark.parametrize("path", ["", "/run/netns/that-is-gone"])
    def test_without_the_namespace(self, bench: Any, base: Any, conf: Any, recorded: bool, path: str) -> None:
        pod, conf = after(base, conf)
        pod.add(conf)
        bench.lab.ip("link", "del", "eth0", netns=base.netns)
        pod.delete({**conf, "prevResult": None}, recorded=recorded, netns=path)
        assert ifbs(bench) == []

    def test_of_what_the_reference_plugin_left(self, bench: Any, base: Any, conf: Any) -> None:
        name = ifb_names(base.owner(conf))[0]
        bench.lab.ip("link", "add", name, "type", "ifb")
        pod, conf = after(base, conf)
        pod.delete(conf, recorded=False)
        assert ifbs(bench) == []

    def test_with_a_faulty_configuration(self, bench: Any, base: Any, conf: Any) -> None:
        pod, conf = after(base, conf)
        pod.add(conf)
        pod.delete({**conf, "ingressRate": "x", "prevResult": {"ips": 5}}, recorded=False)
        assert ifbs(bench) == []

    def test_leaves_what_others_put_on_the_link(self, bench: Any, base: Any, conf: Any) -> None:
        pod, conf = after(base, conf)
        pod.add(conf)
        veth = host_end(pod)
        bench.lab.run("tc", "qdisc", "replace", "dev", veth, "root", "pfifo")
        rule = "protocol all pref 9 u32 match u32 0 0 flowid 2:3"
        bench.lab.run("tc", "filter", "add", "dev", veth, "parent", "ffff:", *rule.split())
        pod.delete(conf)
        assert [q["kind"] for q in qdiscs(bench, veth)] == ["pfifo", "ingress"]
        shown = bench.lab.run("tc", "filter", "show", "dev", veth, "ingress")
        assert "pref 9" in shown and "pref 1 " not in shown


class TestCollect:
    def collect(self, pod: Any, conf: Any, *valid: tuple[str, str]) -> None:
        from multinet.delegates.bandwidth import bandwidth

        listed = [{"containerID": container, "ifname": ifname} for container, ifname in valid]
        call = pod.call("GC", {**conf, "cni.dev/valid-attachments": listed})
        bandwidth.gc(call, pod.bench.node())

    def test_removes_what_is_not_valid(self, bench: Any, base: Any, conf: Any) -> None:
        pod, conf = after(base, conf)
        pod.add(conf)
        self.collect(pod, conf, ("c1", "eth0"))
        assert len(ifbs(bench)) == 1
        self.collect(pod, conf, ("c2", "eth0"))
        assert ifbs(bench) == []

    def test_leaves_other_networks_alone(self, bench: Any, base: Any, conf: Any) -> None:
        pod, conf = after(base, conf)
        pod.add(conf)
        self.collect(pod, {**conf, "name": "other"})
        assert len(ifbs(bench)) == 1

    def test_the_reference_plugins(self, bench: Any, base: Any, conf: Any) -> None:
        """Unmarked ones: of a valid attachment, in use by some network's pod, and left over."""
        pod, conf = after(base, conf)
        pod.add(conf)
        (used,) = ifbs(bench)
        bench.lab.ip("link", "set", used, "alias", "")
        kept = ifb_names(Owner("other", "valid", "eth0"))[0]
        for name in (kept, "bwp000000000000", "bwX"):
            bench.lab.ip("link", "add", name, "type", "ifb")
        self.collect(pod, {**conf, "name": "other"}, ("valid", "eth0"))
        assert set(ifbs(bench)) == {used, kept, "bwX"}
        bench.lab.allowed |= {kept, "bwX"}


class TestStatus:
    def test_answers(self, bench: Any, conf: Any) -> None:
        from multinet.delegates.bandwidth import bandwidth

        pod = bench.pod()
        bandwidth.status(pod.call("STATUS", conf), bench.node())

    def test_a_fault(self, bench: Any, conf: Any, refused: Any) -> None:
        from multinet.delegates.bandwidth import bandwidth

        call = bench.pod().call("STATUS", {**conf, "ingressRate": 5})
        assert "at least 8" in refused(50, bandwidth.status, call, bench.node()).msg


class TestUndo:
    @pytest.mark.parametrize("more", [{}, {"unshapedSubnets": SUBNETS}])
    def test_whichever_step_fails(self, base: Any, conf: Any, whichever_step_fails: Any, more: Any) -> None:
        pod, conf = after(base, conf | more)
        assert whichever_step_fails(pod, conf) >= 6
        pod.check_both(conf)

    @pytest.mark.parametrize("more", [{}, {"unshapedSubnets": SUBNETS}])
    def test_wherever_it_dies(self, base: Any, conf: Any, wherever_it_dies: Any, more: Any) -> None:
        pod, conf = after(base, conf | more)
        assert wherever_it_dies(pod, conf) >= 6

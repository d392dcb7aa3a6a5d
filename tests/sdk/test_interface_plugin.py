"""An interface delegate as a plugin, with a delegate of a few lines: what every author gets for nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from multinet.adapters.firewall import HostFirewall
from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError, InvalidConfig
from multinet.cni.invocation import Invocation
from multinet.cni.plugin_call import PluginCall
from multinet.cni.result import Interface, Result
from multinet.core.desired import Veth
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate
from multinet.sdk.addressing import addressed
from multinet.sdk.delegate import chosen_dns, described
from multinet.sdk.executor import located
from multinet.sdk.mac import parse_mac
from multinet.sdk.node import Node


class PairConf(DelegateConf, frozen=True, kw_only=True):
    mtu: int = 0


@interface_delegate(PairConf)
def pair(conf: PairConf, pod: Sandbox, host: Facts) -> Desired:
    """A pair of interfaces."""
    if conf.mtu < 0:
        raise InvalidConfig("$.mtu", "below zero")
    link = Veth(name=pod.ifname, mac=pod.mac, host_name=pod.host_ifname, host_mac=pod.host_mac, mtu=conf.mtu)
    made = Interface(name=pod.ifname, mac=pod.mac, mtu=conf.mtu, sandbox=pod.netns)
    result = described((made,), 0, pod.ipam, chosen_dns(conf, pod.ipam))
    return Desired((link, *addressed(pod.ifname, pod.ipam)), result)


class Nothing:
    """An executor that is never asked."""

    def run(self, call: PluginCall) -> Any:
        raise AssertionError(f"{call.type} was run")


class Stage:
    def __init__(self, lab: Any) -> None:
        self.lab, self.netns = lab, lab.sandbox()
        self.firewall = HostFirewall(lab.host)

    def node(self, netns: Netns | None = None) -> Node:
        return Node(self.lab.kernel, self.firewall, Nothing(), lambda: "nftables", netns=netns)

    def call(self, verb: str, netns: str | None = None, args: str = "", **conf: Any) -> PluginCall:
        path = self.netns.path if netns is None else netns
        invocation = Invocation(verb, "container", path, "eth0", args, ())
        whole = {"cniVersion": "1.1.0", "name": "net", "type": "pair", **conf}
        return PluginCall(verb, "pair", whole, invocation)


@pytest.fixture
def stage(lab: Any) -> Any:
    made = Stage(lab)
    yield made
    made.firewall.close()


STATIC = {"type": "static", "addresses": [{"address": "10.1.2.3/24", "gateway": "10.1.2.1"}]}


def test_a_delegate_of_ten_lines_has_all_verbs(stage: Any) -> None:
    outcome = pair.add(stage.call("ADD", ipam=STATIC), stage.node())
    assert outcome.result["ips"] == [{"address": "10.1.2.3/24", "gateway": "10.1.2.1", "interface": 0}]
    for items in (outcome.items, None):
        pair.check(stage.call("CHECK", ipam=STATIC, prevResult=outcome.result), stage.node(), items)
    pair.status(stage.call("STATUS", netns=""), stage.node())
    pair.gc(stage.call("GC", netns="", **{"cni.dev/valid-attachments": []}), stage.node())
    assert set(stage.lab.links(stage.netns)) == {"lo"} and set(stage.lab.links()) == {"lo"}
    pair.delete(stage.call("DEL", ipam=STATIC), stage.node(), None)
    assert pair.__doc__ == "A pair of interfaces."


def test_the_callers_descriptor_counts_rather_than_the_path(stage: Any) -> None:
    """The shim hands over the namespace opened; its path may mean nothing here."""
    node = stage.node(stage.netns)
    outcome = pair.add(stage.call("ADD", netns="/seen/by/the/caller"), node)
    assert outcome.result["interfaces"][0]["sandbox"] == "/seen/by/the/caller"
    assert "eth0" in stage.lab.links(stage.netns)
    previous = {"prevResult": outcome.result}
    pair.check(stage.call("CHECK", netns="/seen/by/the/caller", **previous), node, outcome.items)
    pair.delete(stage.call("DEL", netns="/seen/by/the/caller"), node, outcome.items)


def test_a_fault_of_the_configuration_is_found_before_an_address_is_taken(stage: Any) -> None:
    with pytest.raises(CNIError) as caught:
        pair.add(stage.call("ADD", mtu=-1, ipam=STATIC), stage.node())
    assert caught.value.msg == "$.mtu: below zero"


@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_the_hosts_own_namespace_is_no_sandbox(stage: Any, verb: str) -> None:
    call = stage.call(verb, netns=stage.lab.host.path, prevResult={"cniVersion": "1.1.0"})
    with pytest.raises(CNIError) as caught:
        pair.add(call, stage.node()) if verb == "ADD" else pair.check(call, stage.node(), None)
    assert caught.value.code == 8 and "should not be the same" in caught.value.msg


def test_status_says_not_available(stage: Any) -> None:
    with pytest.raises(CNIError) as caught:
        pair.status(stage.call("STATUS", netns="", mtu=-1), stage.node())
    assert caught.value.code == 50 and "$.mtu" in caught.value.msg


@pytest.mark.parametrize("listed", [5, [5], [{"containerID": "c"}], "x"])
def test_gc_with_a_list_that_is_none_removes_nothing(stage: Any, listed: Any) -> None:
    outcome = pair.add(stage.call("ADD"), stage.node())
    with pytest.raises(CNIError) as caught:
        pair.gc(stage.call("GC", netns="", **{"cni.dev/valid-attachments": listed}), stage.node())
    assert caught.value.code == 7 and "eth0" in stage.lab.links(stage.netns)
    pair.delete(stage.call("DEL"), stage.node(), outcome.items)


def test_an_address_manager_of_another_kind_is_refused(stage: Any) -> None:
    with pytest.raises(CNIError) as caught:
        pair.add(stage.call("ADD", ipam={"type": "bridge"}), stage.node())
    assert '"bridge" is no address manager' in caught.value.msg


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("02:00:00:00:00:0A", "02:00:00:00:00:0a"),
        ("02-00-00-00-00-0a", "02:00:00:00:00:0a"),
        ("0200.0000.000a", "02:00:00:00:00:0a"),
    ],
)
def test_spellings_of_a_mac(text: str, mac: str) -> None:
    assert parse_mac(text, "$.mac") == mac


@pytest.mark.parametrize(
    "value",
    [
        "",
        "02",
        "02:00:00:00:00:0g",
        "02:00:00:00:00:00:00",
        "+2:00:00:00:00:00",
        " 2:00:00:00:00:00",
        5,
        "0200.0000",
        None,
    ],
)
def test_what_is_no_mac(value: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"\$\.mac: invalid args"):
        parse_mac(value, "$.mac")


def test_a_pinned_executable() -> None:
    call = PluginCall("ADD", "bridge", {}, Invocation("ADD", path=("/opt/bin", "/usr/bin")))
    assert located(call, {}).type == located(call, {"multinet/executable": True}).type == "bridge"
    assert located(call, {"multinet/executable": "bridge.old"}).type == "bridge.old"
    assert located(call, {"multinet/executable": "/usr/bin/bridge.old"}).type == "bridge.old"
    for path in ("/bin/sh", "../sh", "/opt/bin/../../bin/sh", "/opt/bin/x/sh"):
        with pytest.raises(CNIError) as caught:
            located(call, {"multinet/executable": path})
        assert caught.value.code == 7


def test_what_was_made_is_only_looked_at_when_checking() -> None:
    """A previous plugin's links of the same chain aren't taken for this one's own."""
    from multinet.core.desired import Owner

    chain = Result(
        interfaces=(Interface("br9", "02:00:00:00:00:01"), Interface("other", "02:00:00:00:00:02"))
    )
    made = Result(interfaces=(*chain.interfaces, Interface("eth0", "02:00:00:00:00:03", sandbox="/x")))
    owner = Owner("net", "c", "eth0")
    adding = Sandbox(owner=owner, previous=chain)
    assert adding.host_ifname == owner.host_ifname and adding.mac == owner.mac("sandbox")
    checking = Sandbox(owner=owner, made=made)
    assert (checking.host_ifname, checking.host_mac) == ("other", "02:00:00:00:00:02")
    assert checking.mac == "02:00:00:00:00:03"


def test_time_to_release_is_left_when_the_deadline_is_over(stage: Any) -> None:
    """An in-process address manager gets more than none."""
    from multinet.sdk.ipam_source import _unhurried

    late = PluginCall("ADD", "pair", {}, Invocation("ADD"), deadline=time.monotonic() - 5, cancel_fd=3)
    fresh = _unhurried(late)
    assert fresh.deadline is not None and fresh.deadline > time.monotonic() + 5 and fresh.cancel_fd is None
    assert _unhurried(PluginCall("DEL", "pair", {}, Invocation("DEL"))).deadline is None

"""bridge: DEL takes away what the attachment owns and touches nothing else, in every condition a runtime makes."""

from __future__ import annotations

from typing import Any

import pytest

RECORD = pytest.mark.parametrize("recorded", [True, False], ids=["record", "no-record"])


@pytest.fixture
def conf(bench: Any, make: Any) -> Any:
    bench.lab.allowed.add("br0")
    return make(
        "bridge",
        bridge="br0",
        isDefaultGateway=True,
        macspoofchk=True,
        ipMasq=True,
        ipMasqBackend="nftables",
        ipam=bench.host_local("10.1.2.0/24", "2001:db8:1::/64"),
    )


def settled(bench: Any, conf: Any, *pods: Any) -> Any:
    """The state after a first attachment has come and gone: bridge, gateway and tables stay by design."""
    first = bench.pod("first")
    first.add(conf)
    first.delete(conf)
    return bench.snapshot(*(pod.netns for pod in pods))


@RECORD
def test_everything_owned_goes_and_a_second_time_is_fine(bench: Any, conf: Any, recorded: bool) -> None:
    pod = bench.pod()
    before = settled(bench, conf, pod)
    pod.add(conf)
    for _ in range(3):
        pod.delete(conf, recorded=recorded)
        assert bench.snapshot(pod.netns) == before


def test_what_was_never_added(bench: Any, conf: Any) -> None:
    other, pod = bench.pod("other"), bench.pod("never")
    other.add(conf)
    before = bench.snapshot(other.netns, pod.netns)
    pod.delete(conf)
    pod.delete(conf, netns="")
    assert bench.snapshot(other.netns, pod.netns) == before


@RECORD
@pytest.mark.parametrize("netns", ["", "/var/run/netns/gone", "/proc/self/status"])
def test_without_the_namespace(bench: Any, conf: Any, netns: str, recorded: bool) -> None:
    pod = bench.pod()
    before = settled(bench, conf)
    pod.add(conf)
    pod.delete(conf, netns=netns, recorded=recorded)
    assert bench.snapshot() == before
    assert set(bench.lab.links(pod.netns)) == {"lo"}, "the other end goes along"


@RECORD
def test_of_an_older_container_after_a_newer_ones_add(bench: Any, conf: Any, recorded: bool) -> None:
    old = bench.pod("old")
    old.add(conf)
    bench.lab.ip(
        "link", "del", "eth0", netns=old.netns
    )  # the runtime made the sandbox anew, in the same namespace
    new = bench.pod("new", netns=old.netns)
    new.add(conf)
    new.check(conf)
    address = new.addresses()
    old.delete(conf, recorded=recorded)
    new.check_both(conf)
    assert new.addresses() == address and bench.leases() == ["net/10.1.2.3", "net/2001:db8:1::3"]
    assert "old" not in bench.lab.run("nft", "list", "ruleset")


@RECORD
def test_with_another_namespace_than_adds(bench: Any, conf: Any, recorded: bool) -> None:
    mine, other = bench.pod("mine"), bench.pod("other")
    mine.add(conf)
    other.add(conf)
    mine.delete(conf, netns=other.netns.path, recorded=recorded)
    other.check_both(conf)
    assert set(bench.lab.links(mine.netns)) == {"lo"}
    assert bench.leases() == ["net/10.1.2.3", "net/2001:db8:1::3"]


@RECORD
def test_with_another_namespace_whose_link_is_nobodys(bench: Any, conf: Any, recorded: bool) -> None:
    mine, stranger = bench.pod("mine"), bench.pod("stranger")
    mine.add(conf)
    bench.lab.ip("link", "add", "eth0", "type", "bridge", netns=stranger.netns)
    mine.delete(conf, netns=stranger.netns.path, recorded=recorded)
    assert "eth0" in bench.lab.links(stranger.netns)
    assert set(bench.lab.links(mine.netns)) == {"lo"}


@RECORD
def test_with_the_hosts_own_namespace(bench: Any, conf: Any, recorded: bool) -> None:
    pod = bench.pod()
    before = settled(bench, conf)
    pod.add(conf)
    pod.delete(conf, netns=bench.lab.host.path, recorded=recorded)
    assert bench.snapshot() == before


@pytest.mark.parametrize(
    "broken",
    [
        {"mtu": "much"},
        {"isGateway": 3, "bridge": None},
        {"bridge": "x" * 40},
        {"vlan": 9999},
        {"hairpinMode": True, "promiscMode": True},
        {"ipMasqBackend": "pf"},
        {"runtimeConfig": {"mac": "nonsense"}},
        {"args": "nonsense"},
        {"prevResult": {"cniVersion": "9.9.9", "interfaces": 5}},
        {"dns": 7},
    ],
    ids=lambda broken: next(iter(broken)),
)
@RECORD
def test_with_a_configuration_that_has_been_broken_since(
    bench: Any, conf: Any, broken: Any, recorded: bool
) -> None:
    pod = bench.pod()
    before = settled(bench, conf)
    pod.add(conf)
    pod.delete(conf | broken, recorded=recorded, args="nonsense")
    assert bench.snapshot() == before


def test_a_broken_ipam_is_told_but_links_and_rules_go(bench: Any, conf: Any, refused: Any) -> None:
    pod = bench.pod()
    before = settled(bench, conf)
    pod.add(conf)
    refused(103, pod.delete, conf | {"ipam": {"type": "no-such-ipam"}})
    after = bench.snapshot()
    assert after["host"] == before["host"] and after["rules"] == before["rules"] and after["files"]
    pod.delete(conf)
    assert bench.snapshot() == before


@RECORD
@pytest.mark.parametrize("gone", ["container end", "host end", "bridge", "rules", "addresses"])
def test_when_part_of_it_is_gone_already(bench: Any, conf: Any, gone: str, recorded: bool) -> None:
    pod = bench.pod()
    pod.add(conf)
    if gone == "container end":
        bench.lab.ip("link", "del", "eth0", netns=pod.netns)
    elif gone == "host end":
        bench.lab.ip("link", "del", pod.owner(conf).host_ifname)
    elif gone == "bridge":
        bench.lab.ip("link", "del", "br0")
    elif gone == "rules":
        bench.lab.run("nft", "flush", "ruleset")
    else:
        for path in (bench.directory / "ipam" / "net").iterdir():
            path.unlink()
    pod.delete(conf, recorded=recorded)
    assert set(bench.lab.links()) <= {"lo", "br0"} and bench.leases() == []
    assert pod.container_id not in bench.lab.run("nft", "list", "ruleset")


def test_two_attachments_of_one_network_in_one_container(bench: Any, conf: Any) -> None:
    one = bench.pod("same", "eth0")
    two = bench.pod("same", "net1", netns=one.netns)
    plain = {key: value for key, value in conf.items() if key != "isDefaultGateway"} | {"isGateway": True}
    one.add(plain)
    two.add(plain)
    one.check_both(plain)
    two.check_both(plain)
    one.delete(plain)
    two.check_both(plain)
    assert bench.leases() == ["net/10.1.2.3", "net/2001:db8:1::3"]


def test_a_second_add_fails_and_the_first_stays_whole(bench: Any, conf: Any, refused: Any) -> None:
    pod = bench.pod()
    pod.add(conf)
    items, result = pod.items, pod.result
    before = bench.snapshot(pod.netns)
    error = refused(100, pod.add, conf)
    assert 'container veth name ("eth0")' in error.msg and "already exists" in error.msg
    assert bench.snapshot(pod.netns) == before
    assert (pod.items, pod.result) == (items, result)
    pod.check_both(conf)


def test_links_that_the_reference_plugins_made_go_too(bench: Any, conf: Any) -> None:
    pod = bench.pod()
    bench.lab.ip(
        "link", "add", "eth0", "netns", pod.netns.path, "type", "veth", "peer", "name", "veth0badcafe"
    )
    pod.delete(conf, recorded=False)
    assert set(bench.lab.links()) == {"lo"} and set(bench.lab.links(pod.netns)) == {"lo"}


@RECORD
def test_the_bridge_and_the_gateway_stay_for_others(bench: Any, conf: Any, recorded: bool) -> None:
    one, two = bench.pod(), bench.pod()
    one.add(conf)
    two.add(conf)
    one.delete(conf, recorded=recorded)
    two.check_both(conf)
    assert two.ping("10.1.2.1")

"""bridge: an ADD that fails leaves nothing, whichever step fails; host and sandbox are compared before and after."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest

from multinet.cni.errors import CNIError
from multinet.testkit.faults import Refusal, SpoiltKernel


@pytest.fixture
def conf(bench: Any, make: Any) -> Any:
    bench.lab.allowed.add("br0")
    more = {"hairpinMode": True, "portIsolation": True, "macspoofchk": True, "ipMasq": True}
    routes = [{"dst": "10.50.0.0/16"}, {"dst": "10.51.0.0/16", "table": 100}]
    ipam = bench.host_local("10.1.2.0/24", "2001:db8:1::/64", routes=routes)
    return make("bridge", bridge="br0", isDefaultGateway=True, ipMasqBackend="nftables", ipam=ipam, **more)


def tables_are_there(bench: Any, conf: Any) -> None:
    """The rules' tables and chains are the host's and stay: have them from the beginning."""
    first = bench.pod("first")
    first.add(conf)
    first.delete(conf)
    bench.lab.ip("link", "del", "br0")
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        bench.lab.run("sysctl", "-qw", f"{key}=0")


def existing_bridge(bench: Any) -> None:
    bench.lab.ip("link", "add", "br0", "type", "bridge")
    bench.lab.ip("addr", "add", "192.0.2.1/24", "dev", "br0")
    bench.lab.ip("addr", "add", "2001:db8:1::77/64", "dev", "br0", "nodad")
    bench.lab.run("sysctl", "-qw", "net.ipv6.conf.br0.accept_ra=1")


@pytest.mark.parametrize("bridge", ["new", "existing and down", "existing and up", "in use"])
def test_whichever_message_the_kernel_refuses(bench: Any, conf: Any, bridge: str, unchanged: Any) -> None:
    conf |= {"forceAddress": True}
    tables_are_there(bench, conf)
    pod = bench.pod()
    if bridge == "in use":
        bench.pod("neighbour").add(conf)
    elif bridge != "new":
        existing_bridge(bench)
        if bridge.endswith("up"):
            bench.lab.ip("link", "set", "br0", "up")
    honest, places = bench.lab.kernel, 0
    for place in itertools.count():
        before = bench.snapshot(pod.netns)
        refusal = Refusal(place)
        bench.lab.kernel = SpoiltKernel(bench.lab.host, refusal)
        try:
            pod.add(conf)
        except CNIError as error:
            assert error.code == 100 and "undo failed" not in error.details, error
            after = bench.snapshot(pod.netns)
            if bridge == "existing and down":  # it may stay up: going down again would cost it IPv6 addresses
                before["host"]["links"]["br0"]["up"] = after["host"]["links"]["br0"]["up"]
            unchanged(before, after)
            places += 1
        else:
            assert not refusal.happened, f"the refusal of message {place} went unnoticed"
            break
        finally:
            bench.lab.kernel = honest
    assert places > 10
    pod.check_both(conf)


@pytest.mark.parametrize("reason", ["cancelled", "deadline"])
def test_whenever_the_caller_hangs_up_or_time_runs_out(
    bench: Any, conf: Any, reason: str, unchanged: Any
) -> None:
    tables_are_there(bench, conf)
    pod = bench.pod()
    for steps in itertools.count():
        before = bench.snapshot(pod.netns)
        looks = itertools.count()
        terms: dict[str, Any] = {}
        if reason == "cancelled":
            terms["cancelled"] = lambda looks=looks, steps=steps: next(looks) >= steps
        else:
            # the moment of the deadline moves through the whole ADD
            terms["deadline"] = time.monotonic() + steps * 0.0004
        try:
            pod.add(conf, **terms)
        except CNIError as error:
            assert error.code in ((108,) if reason == "cancelled" else (11, 101)), error
            unchanged(before, bench.snapshot(pod.netns))
        else:
            break
    assert steps >= 3
    pod.check_both(conf)


def occupied_name(bench: Any, pod: Any, conf: Any) -> str:
    bench.lab.ip("link", "add", "eth0", "type", "bridge", netns=pod.netns)
    return "eth0"


def occupied_host_name(bench: Any, pod: Any, conf: Any) -> str:
    name = pod.owner(conf).host_ifname
    bench.lab.ip("link", "add", name, "type", "bridge")
    bench.lab.allowed.add(name)
    return name


def tiny_mtu(bench: Any, pod: Any, conf: Any) -> str:
    conf["mtu"] = 60
    return "mtu less than device minimum"


def mtu_without_ipv6(bench: Any, pod: Any, conf: Any) -> str:
    conf["mtu"] = 1000  # below 1280 the kernel has no IPv6 on a link, and so no settings for it
    return "net/ipv6/conf/eth0/disable_ipv6"


def address_twice(bench: Any, pod: Any, conf: Any) -> str:
    answer_with(bench, conf, ips=[{"address": "10.1.2.9/24"}, {"address": "10.1.2.9/24"}])
    return "10.1.2.9/24"


def address_that_is_none(bench: Any, pod: Any, conf: Any) -> str:
    answer_with(bench, conf, ips=[{"address": "ff02::5/64"}])
    return "ff02::5/64"


def gateway_that_is_none(bench: Any, pod: Any, conf: Any) -> str:
    conf["ipam"]["routes"] = [{"dst": "10.77.0.0/16", "gw": "10.1.2.255"}]  # the broadcast address
    return "10.77.0.0/16"


def gateway_beyond_the_link(bench: Any, pod: Any, conf: Any) -> str:
    conf["ipam"]["routes"] = [{"dst": "10.78.0.0/16", "gw": "10.1.2.9", "scope": 253}]
    return "10.78.0.0/16"


def foreign_rules(bench: Any, pod: Any, conf: Any) -> str:
    script = ""
    for entry in json.loads(bench.lab.run("nft", "-j", "list", "tables"))["nftables"]:
        if "table" in entry and entry["table"]["family"] == "bridge":
            name = entry["table"]["name"]
            chains = json.loads(bench.lab.run("nft", "-j", "list", "table", "bridge", name))["nftables"]
            chain = next(c["chain"]["name"] for c in chains if "chain" in c and "hook" in c["chain"])
            script += f"delete table bridge {name}\nadd table bridge {name}\n"
            script += f"add chain bridge {name} {chain} {{ type filter hook output priority 77; }}\n"
    bench.lab.run("nft", "-f", "-", stdin=script)
    return ""


def full_pool(bench: Any, pod: Any, conf: Any) -> str:
    conf["ipam"]["ranges"].append(
        [{"subnet": "10.9.9.0/30", "rangeStart": "10.9.9.2", "rangeEnd": "10.9.9.2"}]
    )
    bench.pod("holder").add(conf)
    return "10.9.9.2"


def failing_ipam(bench: Any, pod: Any, conf: Any) -> str:
    executable(bench, conf, 'echo \'{"code": 11, "msg": "come again"}\'; exit 1')
    return "come again"


def talkative_ipam(bench: Any, pod: Any, conf: Any) -> str:
    executable(bench, conf, "echo hello")
    return "hello"


def ipam_without_addresses(bench: Any, pod: Any, conf: Any) -> str:
    answer_with(bench, conf, ips=[])
    return "IPAM plugin returned missing IP config"


def executable(bench: Any, conf: Any, script: str) -> None:
    """An external address manager; it keeps a log of the verbs that it was asked."""
    path = bench.directory / "test-ipam"
    path.write_text(
        f"#!/bin/sh\necho $CNI_COMMAND >> {bench.directory}/verbs\n[ $CNI_COMMAND = DEL ] && exit 0\n{script}\n"
    )
    path.chmod(0o755)
    (bench.directory / "verbs").touch()
    conf["ipam"] = {"type": "test-ipam"}


def answer_with(bench: Any, conf: Any, **result: Any) -> None:
    executable(bench, conf, f"echo '{json.dumps({'cniVersion': '1.1.0', **result})}'")


STEPS = {
    occupied_name: 100,
    occupied_host_name: 100,
    tiny_mtu: 100,
    mtu_without_ipv6: 100,
    address_twice: 100,
    address_that_is_none: 100,
    gateway_that_is_none: 100,
    gateway_beyond_the_link: 100,
    foreign_rules: 107,
    full_pool: 101,
    failing_ipam: 11,
    talkative_ipam: 6,
    ipam_without_addresses: 101,
}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_whichever_step_fails(bench: Any, conf: Any, refused: Any, step: Any, unchanged: Any) -> None:
    tables_are_there(bench, conf)
    pod = bench.pod()
    named = step(bench, pod, conf)
    before = bench.snapshot(pod.netns)
    error = refused(STEPS[step], pod.add, conf, path=(str(bench.directory),))
    assert named in error.msg and "undo failed" not in error.details, error
    unchanged(before, bench.snapshot(pod.netns))
    verbs = Path(bench.directory, "verbs")
    if verbs.exists():
        assert verbs.read_text().split() in ([], ["ADD", "DEL"])


def test_an_iptables_that_refuses(bench: Any, conf: Any, refused: Any, unchanged: Any) -> None:
    """A chain of a foreign type stands where iptables keeps its own."""
    tables_are_there(bench, conf)
    chain = "add chain ip nat POSTROUTING { type filter hook input priority 7; }"
    bench.lab.run("nft", "-f", "-", stdin=f"add table ip nat\n{chain}\n")
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    error = refused(107, pod.add, conf | {"ipMasqBackend": "iptables"})
    assert "iptables" in str(error)
    unchanged(before, bench.snapshot(pod.netns))


def test_a_duplicate_address(bench: Any, conf: Any, refused: Any, unchanged: Any) -> None:
    """Another sandbox on the bridge has the address already, and answers to detection."""
    tables_are_there(bench, conf)
    conf |= {"enabledad": True}
    static = {"type": "static", "addresses": [{"address": "2001:db8:1::66/64"}]}
    holder, pod = bench.pod("holder"), bench.pod("second")
    holder.add(conf | {"ipam": static, "portIsolation": False, "hairpinMode": False})
    before = bench.snapshot(pod.netns)
    error = refused(100, pod.add, conf | {"ipam": static, "portIsolation": False, "hairpinMode": False})
    assert "2001:db8:1::66/64 in DADFAILED state" in error.msg
    assert 'failed to settle addresses for "eth0": link eth0 has address' in error.msg
    unchanged(before, bench.snapshot(pod.netns))


def test_a_sandbox_whose_ipv6_was_off_has_it_off_again(
    bench: Any, conf: Any, refused: Any, unchanged: Any
) -> None:
    tables_are_there(bench, conf)
    pod = bench.pod()
    bench.lab.run("sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=1", netns=pod.netns)
    gateway_that_is_none(bench, pod, conf)
    before = bench.snapshot(pod.netns)
    refused(100, pod.add, conf)
    unchanged(before, bench.snapshot(pod.netns))


def test_an_external_address_manager_is_released_after_the_deadline(
    bench: Any, conf: Any, refused: Any, unchanged: Any
) -> None:
    tables_are_there(bench, conf)
    pod = bench.pod()
    executable(bench, conf, "sleep 5")
    before = bench.snapshot(pod.netns)
    refused(108, pod.add, conf, path=(str(bench.directory),), deadline=time.monotonic() + 0.4)
    assert Path(bench.directory, "verbs").read_text().split() == ["ADD", "DEL"]
    unchanged(before, bench.snapshot(pod.netns))

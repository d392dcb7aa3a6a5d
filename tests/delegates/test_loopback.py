"""loopback: ``lo`` up in the sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from multinet.sdk import registry

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")


@pytest.fixture
def pod(bench: Any) -> Any:
    """A sandbox whose ``lo`` is still down."""
    return bench.pod("c", "lo", bench.lab.sandbox())


def is_up(pod: Any) -> bool:
    return "UP" in pod.link("lo")["flags"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("ipv6", [True, False])
def test_add_check_del(bench: Any, pod: Any, make: Any, version: str, ipv6: bool) -> None:
    if not ipv6:
        bench.lab.run("sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=1", netns=pod.netns)
    conf = make("loopback", version)
    assert not is_up(pod)
    result = pod.add(conf)
    assert is_up(pod)
    addresses = [("127.0.0.1/8", "4"), ("::1/128", "6")][: 2 if ipv6 else 1]
    if version in ("0.1.0", "0.2.0"):
        assert {key: part["ip"] for key, part in result.items() if key.startswith("ip")} == {
            f"ip{family}": address for address, family in addresses
        }
    else:
        assert result["interfaces"] == [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": pod.netns.path}]
        assert [(ip["address"], ip["interface"]) for ip in result["ips"]] == [(a, 0) for a, _ in addresses]
        assert all("gateway" not in ip for ip in result["ips"])
    found = [f"{a['local']}/{a['prefixlen']}" for a in pod.ip("addr", "show", "dev", "lo")[0]["addr_info"]]
    assert found == [address for address, _ in addresses]
    pod.check_both(conf)
    for _ in range(2):
        pod.delete(conf)
        assert not is_up(pod)


def test_the_interface_name_is_ignored(bench: Any, make: Any) -> None:
    pod = bench.pod("c", "eth7", bench.lab.sandbox())
    result = pod.add(make("loopback"))
    assert result["interfaces"][0]["name"] == "lo" and set(bench.lab.links(pod.netns)) == {"lo"}
    pod.check_both(make("loopback"))


@pytest.mark.parametrize("args", ["none", "K8S_POD_NAME=web", "a=b=c", ";"])
def test_any_arguments_are_tolerated(pod: Any, make: Any, args: str) -> None:
    pod.add(make("loopback"), args=args)
    pod.check_both(make("loopback"), args=args)
    pod.delete(make("loopback"), args=args)


def test_a_previous_result_is_handed_on(pod: Any, make: Any) -> None:
    previous = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/x"}],
        "ips": [{"address": "10.1.2.3/24", "interface": 0}],
    }
    assert pod.add(make("loopback") | {"prevResult": previous}) == previous
    assert is_up(pod)


@pytest.mark.parametrize(
    ("previous", "code"),
    [(5, 7), ({"cniVersion": "9"}, 6), ({"cniVersion": "1.1.0", "ips": [{"address": "x"}]}, 6)],
)
def test_a_bad_previous_result(pod: Any, make: Any, refused: Any, previous: Any, code: int) -> None:
    assert "prevResult" in refused(code, pod.add, make("loopback") | {"prevResult": previous}).msg
    assert not is_up(pod)


def test_a_foreign_address_on_lo_is_no_fault(bench: Any, pod: Any, make: Any) -> None:
    bench.lab.ip("addr", "add", "10.255.0.1/32", "dev", "lo", netns=pod.netns)
    result = pod.add(make("loopback"))
    assert [ip["address"] for ip in result["ips"]] == ["127.0.0.1/8", "::1/128"]


@pytest.mark.parametrize("recorded", [True, False])
def test_check_notices_that_it_is_down(bench: Any, pod: Any, make: Any, refused: Any, recorded: bool) -> None:
    pod.add(make("loopback"))
    bench.lab.ip("link", "set", "lo", "down", netns=pod.netns)
    error = refused(102, pod.check, make("loopback"), recorded=recorded)
    assert "loopback interface is down" in error.msg


def test_check_needs_no_previous_result(pod: Any, make: Any) -> None:
    pod.add(make("loopback"))
    pod.result = None
    pod.check_both(make("loopback"))


@pytest.mark.parametrize("netns", ["", "/gone"])
def test_del_without_namespace(pod: Any, make: Any, netns: str) -> None:
    pod.delete(make("loopback"), netns=netns)


def test_del_parses_no_configuration(pod: Any, make: Any) -> None:
    pod.add(make("loopback"))
    pod.delete(make("loopback") | {"prevResult": 5, "dns": 7, "args": "x"})
    assert not is_up(pod)


def test_add_without_namespace(pod: Any, make: Any, refused: Any) -> None:
    refused(8, pod.add, make("loopback"), netns="/gone")


def test_status_and_gc(pod: Any, bench: Any, make: Any) -> None:
    plugin = registry.plugin("loopback")
    assert plugin is not None
    pod.add(make("loopback"))
    plugin.status(pod.call("STATUS", make("loopback"), netns=""), bench.node())
    plugin.gc(pod.call("GC", make("loopback") | {"cni.dev/valid-attachments": []}, netns=""), bench.node())
    assert is_up(pod)


def test_an_add_that_is_cut_short_leaves_lo_as_it_was(pod: Any, make: Any, refused: Any) -> None:
    for steps in range(10):
        looks = iter(range(100))
        try:
            pod.add(make("loopback"), cancelled=lambda looks=looks, steps=steps: next(looks) >= steps)
        except Exception as error:
            assert getattr(error, "code", 0) == 108 and not is_up(pod)
        else:
            break
    assert steps and is_up(pod)


def test_one_that_was_up_before_stays_up_when_add_fails(
    bench: Any, pod: Any, make: Any, refused: Any
) -> None:
    bench.lab.ip("link", "set", "lo", "up", netns=pod.netns)
    refused(108, pod.add, make("loopback"), cancelled=lambda: True)
    assert is_up(pod)

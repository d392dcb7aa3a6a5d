"""tap: a device for a virtual machine; what each option makes of it, and frames through it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from struct import pack
from typing import Any

import pytest

from multinet.sdk import registry

pytestmark = pytest.mark.needs_kind("tap")

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
V4, V6 = "10.1.2.0/24", "2001:db8:1::/64"
MAC = "02:00:00:00:00:99"
_TUNSETIFF = 0x400454CA
_TAP, _NO_PI, _VNET_HDR, _MULTI_QUEUE = 0x2, 0x1000, 0x4000, 0x100


@contextmanager
def opened(netns: Any, name: str = "eth0", flags: int = 0) -> Iterator[int]:
    """The device as a virtual machine's process has it."""
    with netns.entered():
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, _TUNSETIFF, pack("=16sH22x", name.encode(), _TAP | _NO_PI | _VNET_HDR | flags))
    try:
        yield fd
    finally:
        os.close(fd)


def device(bench: Any, pod: Any) -> Any:
    return bench.lab.links(pod.netns)[pod.ifname].tun


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("subnets", [(V4,), (V6,), (V4, V6)], ids=["v4", "v6", "dual"])
def test_the_result_in_every_version(bench: Any, make: Any, version: str, subnets: tuple[str, ...]) -> None:
    pod = bench.pod(ifname="net1")
    conf = make("tap", version, ipam=bench.host_local(*subnets))
    result = pod.add(conf)
    if version not in ("0.1.0", "0.2.0"):
        (interface,) = result["interfaces"]
        assert interface["name"] == "net1" and interface["sandbox"] == pod.netns.path
        assert interface["mac"] == pod.link()["address"]
        assert [ip["interface"] for ip in result["ips"]] == [0] * len(subnets)
    assert len(pod.addresses()) == len(subnets) and "UP" in pod.link()["flags"]
    if version >= "0.4.0":
        pod.check_both(conf)
    pod.delete(conf)
    assert set(bench.lab.links(pod.netns)) == {"lo"} and bench.leases() == []


def test_how_it_is_made(bench: Any, make: Any) -> None:
    pod, conf = bench.pod(), make("tap")
    pod.add(conf)
    found = device(bench, pod)
    assert found.tap and found.persistent and found.vnet_header and not found.packet_info
    assert (found.owner, found.group, found.multi_queue) == (None, None, False)
    assert pod.link()["mtu"] == pod.result["interfaces"][0]["mtu"] == 1500
    pod.check_both(conf)


@pytest.mark.parametrize(
    ("options", "owner", "group"),
    [
        ({"owner": 0}, 0, None),
        ({"group": 0}, None, 0),
        ({"owner": 1000, "group": 1001}, 1000, 1001),
        ({"owner": 2**32 - 2, "group": 2**32 - 2}, 2**32 - 2, 2**32 - 2),
    ],
)
def test_who_may_open_it(
    bench: Any, make: Any, options: dict[str, int], owner: int | None, group: int | None
) -> None:
    """Each alone and both together, with MTU and MAC: there is one way of making it."""
    pod, conf = bench.pod(), make("tap", mtu=1400, mac=MAC, **options)
    pod.add(conf)
    found = device(bench, pod)
    assert (found.owner, found.group) == (owner, group)
    assert pod.link()["mtu"] == 1400 and pod.link()["address"] == MAC
    assert found.vnet_header and not found.packet_info
    pod.check_both(conf)


def test_several_queues(bench: Any, make: Any) -> None:
    pod, conf = bench.pod(), make("tap", multiQueue=True)
    pod.add(conf)
    assert device(bench, pod).multi_queue
    with opened(pod.netns, flags=_MULTI_QUEUE), opened(pod.netns, flags=_MULTI_QUEUE):
        pod.check_both(conf)


def test_frames_pass(bench: Any, make: Any) -> None:
    """What the pod sends comes out of the descriptor; IPv6 addresses are fit for use once it is open."""
    pod, conf = bench.pod(), make("tap", ipam=bench.host_local(V4, V6))
    pod.add(conf)
    with opened(pod.netns) as fd:
        os.set_blocking(fd, False)
        deadline, heard = time.monotonic() + 10, b""
        while b"\x0a\x01\x02\x01" not in heard and time.monotonic() < deadline:
            bench.lab.run("ping", "-c1", "-W1", "10.1.2.1", netns=pod.netns, check=False)
            try:
                while True:
                    heard += os.read(fd, 2048)
            except BlockingIOError:
                pass
        assert b"\x0a\x01\x02\x01" in heard, "nobody asked who has 10.1.2.1"
        while "tentative" in str(pod.ip("addr", "show", "eth0")):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_there_is_no_wait_for_a_carrier(bench: Any, make: Any) -> None:
    pod, started = bench.pod(), time.monotonic()
    pod.add(make("tap", ipam=bench.host_local(V6)), deadline=time.monotonic() + 4)
    assert time.monotonic() - started < 4, "duplicate detection would wait for 5 seconds"
    assert pod.addresses() == ["2001:db8:1::2/64"]


def test_a_bridge_in_the_sandbox(bench: Any, make: Any, refused: Any, whichever_step_fails: Any) -> None:
    pod, conf = bench.pod(), make("tap", bridge="br0")
    error = refused(7, pod.add, conf)
    assert "$.bridge: failed to get bridge br0: Link not found" in error.msg
    bench.lab.ip("link", "add", "br0", "address", MAC, "type", "bridge", netns=pod.netns)
    assert whichever_step_fails(pod, conf) >= 3
    assert pod.link()["master"] == "br0"
    pod.check_both(conf)
    bench.lab.ip("link", "set", "eth0", "nomaster", netns=pod.netns)
    for recorded in (True, False):
        assert "master" in str(refused(102, pod.check, conf, recorded=recorded))
    bench.lab.ip("link", "del", "br0", netns=pod.netns)
    for recorded in (True, False):
        assert "br0" in str(refused(102, pod.check, conf, recorded=recorded))
    pod.delete(conf)


def test_a_bridge_that_is_none(bench: Any, make: Any, refused: Any) -> None:
    assert "it is not a bridge" in refused(7, bench.pod().add, make("tap", bridge="lo")).msg


@pytest.mark.parametrize(
    ("sources", "winner"),
    [("conf", "0a"), ("conf args", "0b"), ("conf args cni", "0c"), ("conf args cni runtime", "0d")],
)
def test_whose_mac_wins(bench: Any, make: Any, sources: str, winner: str) -> None:
    pod, conf, given = bench.pod(), make("tap"), sources.split()
    if "conf" in given:
        conf["mac"] = "02:00:00:00:00:0a"
    if "cni" in given:
        conf["args"] = {"cni": {"mac": "02:00:00:00:00:0c"}}
    if "runtime" in given:
        conf["runtimeConfig"] = {"mac": "02:00:00:00:00:0d"}
    args = "MAC=02:00:00:00:00:0b" if "args" in given else ""
    pod.add(conf, args=args)
    assert pod.link()["address"] == f"02:00:00:00:00:{winner}"
    pod.check_both(conf, args=args)


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "MTU too small": ({"mtu": -1}, "$.mtu: invalid MTU -1"),
    "MTU too big": ({"mtu": 65522}, "$.mtu: invalid MTU 65522"),
    "MTU's type": ({"mtu": "x"}, "$.mtu"),
    "MAC": ({"mac": "nonsense"}, "$.mac: invalid args nonsense for MAC addr"),
    "owner too small": ({"owner": -1}, "$.owner: -1 is outside"),
    "owner too big": ({"owner": 2**32 - 1}, "$.owner: 4294967295 is outside"),
    "owner's type": ({"owner": "root"}, "$.owner"),
    "group too big": ({"group": 2**32}, "$.group: 4294967296 is outside"),
    "group's type": ({"group": "wheel"}, "$.group"),
    "queues' type": ({"multiQueue": "x"}, "$.multiQueue"),
    "label's type": ({"selinuxContext": 7}, "$.selinuxContext"),
    "bridge's type": ({"bridge": 7}, "$.bridge"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_bad_input(bench: Any, make: Any, refused: Any, unchanged: Any, what: str) -> None:
    options, words = FAULTS[what]
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    assert words in refused(7, pod.add, make("tap", ipam=bench.host_local(V4), **options)).msg
    unchanged(before, bench.snapshot(pod.netns))


def test_the_largest_mtu(bench: Any, make: Any) -> None:
    pod, conf = bench.pod(), make("tap", mtu=65521)
    pod.add(conf)
    assert pod.link()["mtu"] == 65521


def test_a_label_on_a_kernel_without_selinux(bench: Any, make: Any, refused: Any, unchanged: Any) -> None:
    if os.path.isdir("/sys/fs/selinux"):
        pytest.skip("SELinux is here")
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    error = refused(100, pod.add, make("tap", selinuxContext="a:b:c:s0", ipam=bench.host_local(V4)))
    assert "failed set socket label" in error.msg
    unchanged(before, bench.snapshot(pod.netns))


def test_a_name_that_is_taken(bench: Any, make: Any, refused: Any, unchanged: Any) -> None:
    """By another tap, too, which one could open."""
    pod, conf = bench.pod(), make("tap", ipam=bench.host_local(V4))
    bench.lab.ip("tuntap", "add", "dev", "eth0", "mode", "tap", netns=pod.netns)
    before = bench.snapshot(pod.netns)
    assert "eth0 already exists" in refused(100, pod.add, conf).msg
    unchanged(before, bench.snapshot(pod.netns))


CHANGES = {
    "link deleted": ("ip link del eth0", "Cannot find container link eth0"),
    "link down": ("ip link set eth0 down", "eth0"),
    "MAC": (f"ip link set eth0 address {MAC}", f"doesn't match container Mac: {MAC}"),
    "MTU": ("ip link set eth0 mtu 1400", "1400"),
    "kind": ("ip link del eth0;ip link add eth0 type bridge", "eth0 not of type tun"),
    "owner": ("ip link del eth0;ip tuntap add dev eth0 mode tap user 7", "owner: want 5, have 7"),
    "mode": ("ip link del eth0;ip tuntap add dev eth0 mode tun user 5", "mode: want tap, have tun"),
    "address": ("ip addr del 10.1.2.2/24 dev eth0", "10.1.2.2/24"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_check_notices(bench: Any, make: Any, refused: Any, what: str) -> None:
    pod, conf = bench.pod(), make("tap", owner=5, ipam=bench.host_local(V4, V6))
    pod.add(conf)
    pod.check_both(conf)
    commands, named = CHANGES[what]
    for command in commands.split(";"):
        bench.lab.run(*command.split(), netns=pod.netns)
    for recorded in (True, False):
        assert named in str(refused(102, pod.check, conf, recorded=recorded)), recorded


def test_every_field_is_compared(bench: Any, make: Any, every_field_is_checked: Any) -> None:
    pod = bench.pod()
    bench.lab.ip("link", "add", "br0", "type", "bridge", netns=pod.netns)
    conf = make("tap", owner=5, group=6, bridge="br0", ipam=bench.host_local(V4))
    pod.add(conf)
    assert every_field_is_checked(pod, conf) > 8


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("netns", [None, "", "/gone"], ids=["there", "empty", "gone"])
@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open"])
def test_del(bench: Any, make: Any, recorded: bool, netns: str | None, is_open: bool) -> None:
    pod, conf = bench.pod(), make("tap", ipam=bench.host_local(V4))
    pod.delete(conf)
    pod.add(conf)
    terms = {} if netns is None else {"netns": netns}
    with opened(pod.netns) if is_open else memoryview(b""):
        for _ in range(2):
            pod.delete(conf | {"mtu": "bad"}, recorded=recorded, **terms)
            assert bench.leases() == []
    assert set(bench.lab.links(pod.netns)) == ({"lo"} if netns is None else {"lo", "eth0"})


def test_whichever_step_fails(bench: Any, make: Any, whichever_step_fails: Any) -> None:
    conf = make("tap", ipam=bench.host_local(V4, V6, routes=[{"dst": "10.50.0.0/16"}]))
    assert whichever_step_fails(bench.pod(), conf) > 4


def test_wherever_it_dies(bench: Any, make: Any, wherever_it_dies: Any) -> None:
    assert wherever_it_dies(bench.pod(), make("tap", ipam=bench.host_local(V4, V6))) > 3


def test_status_and_gc(bench: Any, make: Any) -> None:
    plugin, pod = registry.plugin("tap"), bench.pod()
    assert plugin is not None
    conf = make("tap", bridge="in-the-pod", ipam=bench.host_local(V4))
    plugin.status(pod.call("STATUS", conf, netns=""), bench.node())
    pod.add(make("tap", ipam=bench.host_local(V4)))
    plugin.gc(pod.call("GC", conf | {"cni.dev/valid-attachments": []}, netns=""), bench.node())
    assert bench.leases() == []

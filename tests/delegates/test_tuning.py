"""tuning: sysctls and attributes of an interface that an earlier plugin made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from multinet.engine.host_files import HostFiles
from multinet.sdk import registry
from multinet.testkit.snapshot import changes
from tests.delegates.chained import after, attached

Json = dict[str, Any]
MAC = "02:00:00:aa:bb:cc"
EVERYTHING = {"mac": MAC, "mtu": 1300, "promisc": True, "allmulti": True, "txQLen": 77}
FORWARDING = "net.ipv4.conf.IFNAME.forwarding"
SYSCTLS = {FORWARDING: "1", "net.core.somaxconn": "500", "net.ipv4.tcp_rmem": "4096 65536 6291456"}


@pytest.fixture
def tuned(bench: Any, make: Any) -> Callable[..., tuple[Any, Json]]:
    """A pod with a bridge interface, and the configuration of tuning after it."""

    def start(name: str = "c1", version: str = "1.1.0", **options: Any) -> tuple[Any, Json]:
        earlier = attached(bench, make, "10.1.2.0/24", "2001:db8:1::/64", name=name, version=version)
        conf = make("tuning", version, dataDir=str(bench.directory / "tuning"), **options)
        return after(earlier, conf)

    return start


@pytest.fixture
def etc(bench: Any, tmp_path: Path) -> Path:
    """The host's ``/etc``, as the node sees it."""
    folder = tmp_path / "etc"
    (folder / "cni/tuning").mkdir(parents=True)
    honest = bench.node
    bench.node = lambda *given: replace(honest(*given), host_files=HostFiles(etc=str(folder)))
    return folder


def sysctl(pod: Any, key: str) -> str:
    found: str = pod.bench.lab.run("sysctl", "-n", key, netns=pod.netns)
    return found.strip().replace("\t", " ")


def file_of(pod: Any, conf: Json) -> Path:
    return Path(conf["dataDir"], f"{pod.container_id}_{pod.ifname}.json")


# What an ADD does


def test_everything(bench: Any, tuned: Any) -> None:
    pod, conf = tuned(**EVERYTHING, sysctl=SYSCTLS)
    was = pod.link()
    result = pod.add(conf)
    link = pod.link()
    assert (link["address"], link["mtu"], link["txqlen"]) == (MAC, 1300, 77)
    assert {"PROMISC", "ALLMULTI"} <= set(link["flags"])
    assert sysctl(pod, "net.ipv4.conf.eth0.forwarding") == "1"
    assert sysctl(pod, "net.core.somaxconn") == "500"
    assert sysctl(pod, "net.ipv4.tcp_rmem") == "4096 65536 6291456"
    (interface,) = [one for one in result["interfaces"] if one["name"] == "eth0"]
    assert (interface["mac"], interface["mtu"]) == (MAC, 1300)
    rest = [one for one in result["interfaces"] if one["name"] != "eth0"]
    assert rest == [one for one in conf["prevResult"]["interfaces"] if one["name"] != "eth0"]
    assert result["ips"] == conf["prevResult"]["ips"]
    pod.check_both(conf)
    assert pod.ping("10.1.2.1")
    told = json.loads(file_of(pod, conf).read_text())
    assert (told["mac"], told["mtu"], told["txQLen"]) == (was["address"], was["mtu"], was["txqlen"])
    assert (told["promisc"], told["allmulti"]) == (False, False)


def test_the_file_is_the_references(bench: Any, tuned: Any) -> None:
    pod, conf = tuned(**EVERYTHING)
    mac = pod.link()["address"]
    pod.add(conf)
    path = file_of(pod, conf)
    start = (
        f'{{\n "mac": "{mac}",\n "promisc": false,\n "mtu": 1500,\n "allmulti": false,\n "txQLen": 1000,\n'
    )
    assert path.read_text().startswith(start)
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


def test_only_what_changes_is_in_the_file(bench: Any, tuned: Any) -> None:
    pod, conf = tuned(mtu=1300)
    pod.add(conf)
    assert set(json.loads(file_of(pod, conf).read_text())) == {"mtu", "attachment"}


def test_nothing_is_asked_for(bench: Any, tuned: Any) -> None:
    pod, conf = tuned()
    before = bench.snapshot(pod.netns)
    assert pod.add(conf) == conf["prevResult"]
    pod.check_both(conf)
    assert not changes(before, bench.snapshot(pod.netns))


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_every_result_version(bench: Any, make: Any, version: str) -> None:
    earlier = attached(bench, make, cniVersion=version)
    conf = make("tuning", version, dataDir=str(bench.directory / "tuning"), mac=MAC, mtu=1300)
    pod, conf = after(earlier, conf)
    result = pod.add(conf)
    assert result["cniVersion"] == version
    if version >= "0.3.0":
        assert [i["mac"] for i in result["interfaces"] if i["name"] == "eth0"] == [MAC]
    if version >= "0.4.0":
        pod.check_both(conf)


def test_allmulti_can_be_switched_off_and_the_queue_be_none(bench: Any, tuned: Any) -> None:
    pod, conf = tuned(allmulti=False, txQLen=0)
    bench.lab.ip("link", "set", "eth0", "allmulticast", "on", netns=pod.netns)
    pod.add(conf)
    assert "ALLMULTI" not in pod.link()["flags"] and pod.link().get("txqlen", 0) == 0
    pod.check_both(conf)
    pod.delete(conf)
    assert "ALLMULTI" in pod.link()["flags"] and pod.link()["txqlen"] == 1000


def test_arguments_win(bench: Any, tuned: Any) -> None:
    args = {"mac": "02:00:00:00:00:04", "mtu": 1200, "promisc": False, "txQLen": 5, "allmulti": True}
    args["sysctl"] = {"net.core.somaxconn": "77"}
    pod, conf = tuned(**EVERYTHING, sysctl=SYSCTLS, args={"cni": args})
    pod.add(conf)
    link = pod.link()
    assert (link["address"], link["mtu"], link["txqlen"]) == ("02:00:00:00:00:04", 1200, 5)
    assert "PROMISC" not in link["flags"]
    assert sysctl(pod, "net.core.somaxconn") == "77" and sysctl(pod, "net.ipv4.conf.eth0.forwarding") == "1"
    pod.check_both(conf)


def test_sysctls_of_arguments_alone(bench: Any, tuned: Any) -> None:
    pod, conf = tuned(args={"cni": {"sysctl": {"net.core.somaxconn": "77"}}})
    pod.add(conf)
    assert sysctl(pod, "net.core.somaxconn") == "77"


@pytest.mark.parametrize("said", [1, 2, 3, 4])
def test_the_order_of_macs(bench: Any, tuned: Any, said: int) -> None:
    """Configuration, CNI_ARGS, runtime, arguments: each wins over those before it."""
    pod, conf = tuned(mac="02:00:00:00:00:01")
    terms = {"args": "IgnoreUnknown=1;MAC=02:00:00:00:00:02"} if said > 1 else {}
    if said > 2:
        conf |= {"runtimeConfig": {"mac": "02:00:00:00:00:03"}}
    if said > 3:
        conf |= {"args": {"cni": {"mac": "02:00:00:00:00:04"}}}
    pod.add(conf, **terms)
    assert pod.link()["address"] == f"02:00:00:00:00:0{said}"
    pod.check_both(conf, **terms)


def test_an_interface_with_dots_in_its_name(bench: Any, make: Any) -> None:
    earlier = attached(bench, make, ifname="eth0.100")
    conf = make("tuning", dataDir=str(bench.directory / "tuning"), sysctl={FORWARDING: "1"})
    pod, conf = after(earlier, conf)
    pod.add(conf)
    with pod.netns.entered():
        assert Path("/proc/sys/net/ipv4/conf/eth0.100/forwarding").read_text() == "1\n"
    pod.check_both(conf)


def test_a_sysctl_that_can_only_be_written(bench: Any, tuned: Any) -> None:
    pod, conf = tuned(sysctl={"net.ipv4.route.flush": "1"})
    pod.add(conf)
    pod.check_both(conf)
    pod.delete(conf)
    assert not file_of(pod, conf).exists()


# CHECK


CHANGES = {
    "mtu": (("mtu", "1280"), "Error: Tuning configured MTU of eth0 is 1300, current value is 1280"),
    "mac": (
        ("address", "02:00:00:00:00:09"),
        f"Error: Tuning configured Ethernet of eth0 is {MAC}, current value is 02:00:00:00:00:09",
    ),
    "promisc": (
        ("promisc", "off"),
        "Error: Tuning link eth0 configured promisc is true, current value is 0",
    ),
    "allmulti": (
        ("allmulticast", "off"),
        "Error: Tuning configured all-multicast mode of eth0 is true, current value is false",
    ),
    "txQLen": (
        ("txqueuelen", "9"),
        "Error: Tuning configured Transmit Queue Length of eth0 is 77, current value is 9",
    ),
}


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("field", CHANGES)
def test_check_fails(bench: Any, tuned: Any, refused: Any, field: str, recorded: bool) -> None:
    pod, conf = tuned(**EVERYTHING)
    pod.add(conf)
    change, words = CHANGES[field]
    bench.lab.ip("link", "set", "eth0", *change, netns=pod.netns)
    assert words in refused(102, pod.check, conf, recorded=recorded).msg


@pytest.mark.parametrize("recorded", [True, False])
def test_check_fails_for_a_sysctl(bench: Any, tuned: Any, refused: Any, recorded: bool) -> None:
    pod, conf = tuned(sysctl=SYSCTLS)
    pod.add(conf)
    bench.lab.run("sysctl", "-qw", "net.ipv4.tcp_rmem=4096 65536 6291455", netns=pod.netns)
    error = refused(102, pod.check, conf, recorded=recorded)
    file = "/proc/sys/net/ipv4/tcp_rmem"
    assert f"Error: Tuning configured value of {file} is 4096 65536 6291456, current value is" in error.msg


@pytest.mark.parametrize("recorded", [True, False])
def test_check_without_the_link(bench: Any, tuned: Any, refused: Any, recorded: bool) -> None:
    pod, conf = tuned(mtu=1300)
    pod.add(conf)
    bench.lab.ip("link", "del", "eth0", netns=pod.netns)
    assert "Cannot find container link eth0" in refused(102, pod.check, conf, recorded=recorded).msg


def test_what_is_not_configured_is_not_compared(bench: Any, tuned: Any) -> None:
    pod, conf = tuned(mtu=1300)
    pod.add(conf)
    bench.lab.ip("link", "set", "eth0", "promisc", "on", "allmulticast", "on", netns=pod.netns)
    pod.check_both(conf)


# DEL


@pytest.mark.parametrize("recorded", [True, False])
def test_everything_is_put_back(bench: Any, tuned: Any, recorded: bool) -> None:
    pod, conf = tuned(**EVERYTHING, sysctl=SYSCTLS)
    before, values = bench.snapshot(pod.netns), [sysctl(pod, k.replace("IFNAME", "eth0")) for k in SYSCTLS]
    pod.add(conf)
    pod.delete(conf, recorded=recorded)
    assert not changes(before, bench.snapshot(pod.netns))
    assert values == [sysctl(pod, k.replace("IFNAME", "eth0")) for k in SYSCTLS]
    pod.delete(conf, recorded=recorded)
    assert not changes(before, bench.snapshot(pod.netns))


@pytest.mark.parametrize("recorded", [True, False])
def test_a_repeated_add_keeps_what_the_first_found(bench: Any, tuned: Any, recorded: bool) -> None:
    pod, conf = tuned(**EVERYTHING, sysctl=SYSCTLS)
    before = bench.snapshot(pod.netns)
    pod.add(conf)
    pod.add(conf)
    pod.delete(conf, recorded=recorded)
    assert not changes(before, bench.snapshot(pod.netns))
    assert sysctl(pod, "net.core.somaxconn") != "500"


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("lost", ["namespace", "namespace path", "link"])
def test_the_file_goes_whatever_is_lost(bench: Any, tuned: Any, recorded: bool, lost: str) -> None:
    pod, conf = tuned(**EVERYTHING, sysctl=SYSCTLS)
    pod.add(conf)
    assert file_of(pod, conf).exists()
    terms = {"namespace": {"netns": ""}, "namespace path": {"netns": "/var/run/netns/gone"}}.get(lost, {})
    if lost == "link":
        bench.lab.ip("link", "del", "eth0", netns=pod.netns)
    pod.delete(conf, recorded=recorded, **terms)
    assert not file_of(pod, conf).exists()


@pytest.mark.parametrize("content", ["", "{", '{"mtu": "x"}', "[]", "\x00"])
def test_a_file_that_nobody_understands_just_goes(bench: Any, tuned: Any, content: str) -> None:
    pod, conf = tuned(mtu=1300)
    before = pod.link()
    file_of(pod, conf).parent.mkdir()
    file_of(pod, conf).write_text(content)
    pod.delete(conf, recorded=False)
    assert not file_of(pod, conf).exists() and pod.link() == before


# Failure


def test_whichever_step_fails(bench: Any, tuned: Any, whichever_step_fails: Any) -> None:
    pod, conf = tuned(**EVERYTHING, sysctl=SYSCTLS)
    assert whichever_step_fails(pod, conf) >= 5


def test_wherever_it_dies(bench: Any, tuned: Any, wherever_it_dies: Any) -> None:
    pod, conf = tuned(**EVERYTHING, sysctl=SYSCTLS)
    assert wherever_it_dies(pod, conf) >= 5


def test_every_field_is_checked(bench: Any, tuned: Any, every_field_is_checked: Any) -> None:
    pod, conf = tuned(**EVERYTHING, sysctl=SYSCTLS)
    pod.add(conf)
    assert every_field_is_checked(pod, conf) > 5


BAD: list[tuple[Json, int, str]] = [
    ({"sysctl": {"kernel.shmmax": "1"}}, 7, 'invalid net sysctl key: "kernel.shmmax"'),
    (
        {"sysctl": {"net/../kernel/shmmax": "1"}},
        100,
        "failed to write sysctl net/kernel/shmmax in the sandbox",
    ),
    ({"sysctl": {"/kernel/shmmax": "1"}}, 7, 'invalid net sysctl key: "/kernel/shmmax"'),
    ({"sysctl": {"": "1"}}, 7, 'invalid net sysctl key: ""'),
    ({"sysctl": {"net.no.such.key": "1"}}, 100, "failed to write sysctl net/no/such/key in the sandbox"),
    ({"sysctl": {"net.core.somaxconn": "many"}}, 100, "failed to write sysctl net/core/somaxconn"),
    ({"sysctl": {"net.core.somaxconn": 500}}, 7, '$.sysctl["net.core.somaxconn"]: expected str, got int'),
    ({"sysctl": []}, 7, "$.sysctl: "),
    ({"mac": "zz"}, 7, "$.mac: invalid args zz for MAC addr: address zz: invalid MAC address"),
    ({"mac": "01:00:5e:00:00:01"}, 7, "not a unicast address"),
    ({"mtu": -1}, 7, "$.mtu: -1 is outside"),
    ({"mtu": "1300"}, 7, "$.mtu: expected int, got str"),
    ({"mtu": 70000}, 100, 'failed to set MTU of "eth0" to 70000'),
    ({"promisc": "yes"}, 7, "$.promisc: "),
    ({"allmulti": 1}, 7, "$.allmulti: "),
    ({"txQLen": -5}, 7, "$.txQLen: -5 is outside"),
    ({"args": {"cni": {"mtu": -2}}}, 7, "$.args.cni.mtu: -2 is outside"),
    ({"args": {"cni": {"mac": "zz"}}}, 7, "$.args.cni.mac: invalid args zz"),
    ({"args": {"cni": {"sysctl": {"a": 1}}}}, 7, "$.args.cni.sysctl.a: "),
    ({"dataDir": "relative"}, 7, '$.dataDir: "relative" is not an absolute path'),
    ({"prevResult": None, "mtu": 1300}, 7, "Required prevResult missing"),
]


@pytest.mark.parametrize(("bad", "code", "words"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input(bench: Any, tuned: Any, refused: Any, bad: Json, code: int, words: str) -> None:
    pod, conf = tuned()
    before = bench.snapshot(pod.netns)
    assert words in refused(code, pod.add, {**conf, **bad}).msg
    assert not changes(before, bench.snapshot(pod.netns))


def test_unknown_arguments(bench: Any, tuned: Any, refused: Any) -> None:
    pod, conf = tuned(mtu=1300)
    refused(4, pod.add, conf, args="NOPE=1")
    pod.add(conf, args="IgnoreUnknown=1;NOPE=1")


def test_no_link(bench: Any, make: Any, refused: Any) -> None:
    conf = make(
        "tuning", dataDir=str(bench.directory / "tuning"), mtu=1300, prevResult={"cniVersion": "1.1.0"}
    )
    error = refused(100, bench.pod().add, conf)
    assert 'failed to get "eth0": Link not found' in error.msg


# The host's allow-list


def test_the_allow_list(bench: Any, tuned: Any, refused: Any, etc: Path) -> None:
    file = etc / "cni/tuning/allowlist.conf"
    file.write_text("\n  ^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]*$ \n\nsomax\n")
    pod, conf = tuned(sysctl={FORWARDING: "1", "net.core.somaxconn": "500"})
    pod.add(conf)
    file.write_text("^net\\.ipv4\n^net\\.ipv6")
    pod.check_both(conf)  # it says what may be set, not what may be there
    error = refused(7, pod.add, conf)
    text = "Sysctl net.core.somaxconn is not allowed. Only the following sysctls are allowed: "
    assert error.msg == text + "[^net\\.ipv4 ^net\\.ipv6]"
    by_args = {**conf, "sysctl": {}, "args": {"cni": {"sysctl": {"net.core.somaxconn": "5"}}}}
    assert text in refused(7, pod.add, by_args).msg
    plugin = registry.plugin("tuning")
    assert plugin is not None
    assert text in refused(50, plugin.status, pod.call("STATUS", conf, netns=""), bench.node()).msg
    file.write_text("")
    assert "are allowed: []" in refused(7, pod.add, conf).msg
    file.write_text("(")
    assert "is no regular expression" in refused(7, pod.add, conf).msg
    file.unlink()
    file.mkdir()
    refused(5, pod.add, conf)
    file.rmdir()
    plugin.status(pod.call("STATUS", conf, netns=""), bench.node())


# GC


def test_gc(bench: Any, tuned: Any) -> None:
    pod, conf = tuned(mtu=1300)
    pod.add(conf)
    plugin = registry.plugin("tuning")
    assert plugin is not None
    theirs = Path(conf["dataDir"], "somebody_eth0.json")
    theirs.write_text('{"mtu": 1500}')  # the reference plugin's

    def collect(valid: list[Json], **more: Any) -> None:
        plugin.gc(
            pod.call("GC", {**conf, **more, "cni.dev/valid-attachments": valid}, netns=""), bench.node()
        )

    collect([{"containerID": "c1", "ifname": "eth0"}])
    collect([], name="other")
    assert file_of(pod, conf).exists()
    collect([])
    assert not file_of(pod, conf).exists() and theirs.exists()

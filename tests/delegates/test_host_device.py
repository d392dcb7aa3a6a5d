"""host-device: a device of the host's is lent to a pod, and comes home as it was."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.netns import Netns
from multinet.engine.remove import drop_sandbox_links, sweep
from multinet.testkit.snapshot import changes

Json = dict[str, Any]
OUTSIDE = "192.0.2.9"


@pytest.fixture
def beyond(bench: Any) -> Netns:
    """What the device ``dev0`` leads to."""
    beyond: Netns = bench.uplink("dev0", mtu=1400)
    bench.lab.ip("addr", "add", f"{OUTSIDE}/24", "dev", "wan0", netns=beyond)
    bench.lab.ip("addr", "add", "2001:db8:9::9/64", "dev", "wan0", "nodad", netns=beyond)
    bench.lab.ip("addr", "add", "198.51.100.1/24", "dev", "dev0")
    bench.lab.ip("addr", "add", "2001:db8:5::1/64", "dev", "dev0", "nodad")
    return beyond


@pytest.fixture
def conf(bench: Any, make: Any, beyond: Netns) -> Json:
    addresses = [{"address": "192.0.2.5/24"}, {"address": "2001:db8:9::5/64"}]
    ipam = {"type": "static", "addresses": addresses}
    found: Json = make("host-device", device="dev0", dataDir=str(bench.directory / "lent"), ipam=ipam)
    return found


def home(bench: Any) -> Json:
    found: Json = bench.link("dev0")
    return found


# What an ADD does


def test_the_device_moves_and_works(bench: Any, conf: Json) -> None:
    before = home(bench)
    pod = bench.pod(ifname="net1")
    result = pod.add(conf)
    link = pod.link()
    assert "dev0" not in bench.lab.links()
    assert (link["address"], link["mtu"], link["ifalias"]) == (before["address"], 1400, "dev0")
    assert "UP" in link["flags"] and link.get("group", "default") == "default"
    (interface,) = result["interfaces"]
    assert interface == {"name": "net1", "mac": before["address"], "mtu": 1400, "sandbox": pod.netns.path}
    assert [ip["address"] for ip in result["ips"]] == ["192.0.2.5/24", "2001:db8:9::5/64"]
    assert all(ip["interface"] == 0 for ip in result["ips"])
    assert pod.ping(OUTSIDE) and pod.ping("2001:db8:9::9")
    pod.check_both(conf)


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_every_result_version(bench: Any, conf: Json, version: str) -> None:
    pod = bench.pod()
    result = pod.add(conf | {"cniVersion": version})
    assert result["cniVersion"] == version
    if version < "0.3.0":
        assert result["ip4"]["ip"] == "192.0.2.5/24" and result["ip6"]["ip"] == "2001:db8:9::5/64"
    else:
        assert result["interfaces"][0]["name"] == "eth0"
    if version >= "0.4.0":
        pod.check_both(conf | {"cniVersion": version})


def test_without_ipam(bench: Any, conf: Json) -> None:
    del conf["ipam"]
    pod = bench.pod()
    result = pod.add(conf)
    assert "ips" not in result and "routes" not in result
    assert pod.addresses() == []
    pod.check_both(conf)


def test_a_link_with_the_home_name_in_the_sandbox_is_no_obstacle(bench: Any, conf: Json) -> None:
    pod = bench.pod(ifname="net1")
    bench.lab.ip("link", "add", "dev0", "type", "bridge", netns=pod.netns)
    pod.add(conf)
    pod.check_both(conf)
    assert pod.link("dev0")["linkinfo"]["info_kind"] == "bridge"


def test_a_link_with_the_sandbox_name_on_the_host_is_no_obstacle(bench: Any, conf: Json) -> None:
    bench.lab.allowed.add("net1")
    bench.lab.ip("link", "add", "net1", "type", "bridge")
    before = bench.snapshot()
    pod = bench.pod(ifname="net1")
    pod.add(conf)
    pod.delete(conf)
    assert not changes(before, bench.snapshot())


def test_the_first_of_the_default_routes_leaves_with_a_warning(
    bench: Any, conf: Json, caplog: pytest.LogCaptureFixture
) -> None:
    bench.lab.ip("route", "add", "default", "via", "198.51.100.254", "dev", "dev0")
    with caplog.at_level(logging.WARNING):
        bench.pod().add(conf)
    assert "dev0 has the host's default route and leaves the host now" in caplog.text


# Which device


def test_by_mac_a_child_comes_after_the_card(bench: Any, conf: Json) -> None:
    del conf["device"]
    mac = home(bench)["address"]
    bench.lab.allowed.add("child")
    bench.lab.ip("link", "add", "child", "link", "dev0", "type", "macvlan", "mode", "passthru")
    pod = bench.pod()
    assert pod.add(conf | {"hwaddr": mac.upper().replace(":", "-")})["interfaces"][0]["mac"] == mac
    assert pod.link()["ifalias"] == "dev0"


class Sys:
    """A folder laid out as sysfs. The kernel's own can't hold the devices that these tests need (cards on a PCI bus
    bound to this driver or that), and the delegate only reads it; links and namespaces are the real kernel's.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def card(self, address: str, net: str = "", driver: str = "e1000e", below: str = "") -> None:
        folder = self.root / "bus/pci/devices" / address
        folder.mkdir(parents=True)
        if driver:
            (folder / "driver").symlink_to(f"../../../../bus/pci/drivers/{driver}")
        if net:
            (folder / below / "net" / net).mkdir(parents=True)

    def folder(self, path: str) -> None:
        (self.root / path).mkdir(parents=True)


@pytest.fixture
def sys(bench: Any, tmp_path: Path) -> Sys:
    from dataclasses import replace

    from multinet.engine.host_files import HostFiles

    files = HostFiles(etc=str(tmp_path / "etc"), sys=str(tmp_path / "sys"))
    honest = bench.node
    bench.node = lambda *given: replace(honest(*given), host_files=files)
    return Sys(tmp_path / "sys")


def asked(conf: Json, **how: Any) -> Json:
    return {key: value for key, value in conf.items() if key != "device"} | how


@pytest.mark.parametrize("below", ["", "virtio3"])
def test_by_pci_address(bench: Any, conf: Json, sys: Sys, below: str) -> None:
    sys.card("0000:03:00.0", "dev0", below=below)
    conf = asked(conf, pciBusID="0000:03:00.0")
    pod = bench.pod()
    assert pod.add(conf)["interfaces"][0]["pciID"] == "0000:03:00.0"
    assert pod.link()["ifalias"] == "dev0"


def test_by_kernel_path(bench: Any, conf: Json, sys: Sys) -> None:
    sys.folder("devices/pci0000:00/0000:00:19.0/net/dev0")
    pod = bench.pod()
    pod.add(asked(conf, kernelpath="/sys/devices/pci0000:00/0000:00:19.0"))
    assert pod.link()["ifalias"] == "dev0"


@pytest.mark.parametrize("device_id", ["0000:03:00.1", "mlx5_core.sf.4"])
def test_the_runtimes_device_wins(bench: Any, conf: Json, sys: Sys, device_id: str) -> None:
    sys.card("0000:03:00.0", "other")
    sys.card("0000:03:00.1", "dev0")
    sys.folder("bus/auxiliary/devices/mlx5_core.sf.4/net/dev0")
    conf |= {"device": "nowhere", "pciBusID": "0000:03:00.0", "runtimeConfig": {"deviceID": device_id}}
    pod = bench.pod()
    pod.add(conf)
    assert pod.link()["ifalias"] == "dev0"


@pytest.mark.parametrize("driver", ["vfio-pci", "uio_pci_generic", "igb_uio"])
def test_a_device_of_dpdk_stays_and_its_addresses_are_reported(
    bench: Any, conf: Json, sys: Sys, driver: str
) -> None:
    sys.card("0000:03:00.0", driver=driver)
    conf = asked(conf, pciBusID="0000:03:00.0")
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    result = pod.add(conf)
    (interface,) = result["interfaces"]
    assert interface == {"name": "eth0", "sandbox": pod.netns.path, "pciID": "0000:03:00.0"}
    assert [ip["address"] for ip in result["ips"]] == ["192.0.2.5/24", "2001:db8:9::5/64"]
    pod.check_both(conf)
    assert not changes(before, bench.snapshot(pod.netns))
    pod.delete(conf)
    pod.delete(conf, recorded=False)
    assert not changes(before, bench.snapshot(pod.netns))


# CHECK


def test_every_field_is_checked(bench: Any, conf: Json, every_field_is_checked: Any) -> None:
    del conf["ipam"]
    pod = bench.pod()
    pod.add(conf)
    assert every_field_is_checked(pod, conf) > 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("link", "set", "eth0", "mtu", "1300"), "mtu is 1300, expected 1400"),
        (("link", "set", "eth0", "address", "02:00:00:00:00:77"), "doesn't match container Mac"),
        (("link", "set", "eth0", "down"), "Interface eth0 is down"),
        (("addr", "del", "192.0.2.5/24", "dev", "eth0"), "192.0.2.5/24"),
    ],
)
@pytest.mark.parametrize("recorded", [True, False])
def test_check_fails(bench: Any, conf: Json, refused: Any, change: Any, words: str, recorded: bool) -> None:
    pod = bench.pod()
    pod.add(conf)
    bench.lab.ip(*change, netns=pod.netns)
    error = refused(102, pod.check, conf, recorded=recorded)
    assert words in str(error)


def test_check_fails_when_it_is_gone(bench: Any, conf: Json, refused: Any) -> None:
    pod = bench.pod()
    pod.add(conf)
    bench.lab.ip("link", "set", "eth0", "name", "other", netns=pod.netns)
    for recorded in (True, False):
        assert "Cannot find container link eth0" in str(refused(102, pod.check, conf, recorded=recorded))


# DEL


@pytest.mark.parametrize("recorded", [True, False])
def test_home_as_it_was(bench: Any, conf: Json, recorded: bool) -> None:
    bench.lab.ip("link", "set", "dev0", "alias", "the cable to the printer", "group", "77")
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    pod.add(conf)
    for change in (("mtu", "1280"), ("address", "02:00:00:00:00:77"), ("down",)):
        bench.lab.ip("link", "set", "eth0", *change, netns=pod.netns)
    pod.delete(conf, recorded=recorded)
    assert not changes(before, bench.snapshot(pod.netns))
    pod.delete(conf, recorded=recorded)
    pod.delete(conf, recorded=False)
    assert not changes(before, bench.snapshot(pod.netns))


@pytest.mark.parametrize("recorded", [True, False])
def test_a_device_that_was_down_is_down(bench: Any, conf: Json, recorded: bool) -> None:
    bench.lab.ip("link", "set", "dev0", "down")
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    pod.add(conf)
    assert "UP" in pod.link()["flags"]
    pod.delete(conf, recorded=recorded)
    assert not changes(before, bench.snapshot(pod.netns))


def test_home_to_the_bridge_that_it_was_a_port_of(bench: Any, conf: Json) -> None:
    bench.lab.allowed.add("br0")
    bench.lab.ip("link", "add", "br0", "address", "02:00:00:00:00:01", "type", "bridge")
    bench.lab.ip("link", "set", "dev0", "master", "br0")
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    pod.add(conf)
    pod.delete(conf)
    assert not changes(before, bench.snapshot(pod.netns))


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(
    "tampered",
    ["renamed", "renamed, no alias", "no alias", "name taken by another", "renamed, no alias, new MAC"],
)
def test_whatever_the_pod_did_to_it(bench: Any, conf: Json, recorded: bool, tampered: str) -> None:
    pod = bench.pod()
    before = bench.snapshot()
    pod.add(conf)
    if "no alias" in tampered:
        bench.lab.ip("link", "set", "eth0", "alias", "", netns=pod.netns)
    if "new MAC" in tampered:  # of a virtual link nothing is left but its index
        bench.lab.ip("link", "set", "eth0", "address", "02:00:00:00:be:ef", netns=pod.netns)
    if tampered != "no alias":
        bench.lab.ip("link", "set", "eth0", "name", "mine", netns=pod.netns)
    if tampered == "name taken by another":
        bench.lab.ip("link", "add", "eth0", "type", "bridge", netns=pod.netns)
    pod.delete(conf, recorded=recorded)
    assert not changes(before, bench.snapshot())
    left = set(bench.lab.links(pod.netns))
    assert left == {"lo"} | ({"eth0"} if tampered == "name taken by another" else set())


@pytest.mark.parametrize("recorded", [True, False])
def test_a_home_name_that_is_taken(
    bench: Any, conf: Json, recorded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    pod = bench.pod()
    pod.add(conf)
    bench.lab.allowed |= {"dev0-1", "dev0-2"}
    bench.lab.ip("link", "add", "dev0", "type", "bridge")
    bench.lab.ip("link", "add", "dev0-1", "type", "bridge")
    with caplog.at_level(logging.WARNING):
        pod.delete(conf, recorded=recorded)
    assert 'comes home as dev0-2: there is another "dev0" now' in caplog.text
    link = bench.link("dev0-2")
    assert link["linkinfo"]["info_kind"] == "veth" and "UP" in link["flags"] and link["mtu"] == 1400
    assert set(bench.addresses("dev0-2")) == {"198.51.100.1/24", "2001:db8:5::1/64"}


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("netns", ["", "/var/run/netns/gone"])
@pytest.mark.parametrize("name", ["eth0", "dev{index}"])
def test_what_the_kernel_sent_home(bench: Any, conf: Json, recorded: bool, netns: str, name: str) -> None:
    """When a namespace goes, the kernel moves its network cards to the host: under their names there, or as
    ``dev`` and the index. It destroys veth ends instead, so that the test does what the kernel does with a card.
    """
    pod = bench.pod()
    before = bench.snapshot()
    pod.add(conf)
    name = name.format(index=pod.link()["ifindex"])
    bench.lab.ip("link", "set", "eth0", "netns", bench.lab.host.path, "name", name, netns=pod.netns)
    pod.delete(conf, recorded=recorded, netns=netns)
    assert not changes(before, bench.snapshot())


@pytest.mark.parametrize("recorded", [True, False])
def test_gone_is_success(bench: Any, conf: Json, recorded: bool) -> None:
    pod = bench.pod()
    pod.add(conf)
    bench.lab.ip("link", "del", "eth0", netns=pod.netns)
    pod.delete(conf, recorded=recorded)
    assert bench.files() == [] and set(bench.lab.links()) == {"lo"}


@pytest.mark.parametrize("netns", ["", "/var/run/netns/gone"])
def test_addresses_are_given_back_without_a_namespace(bench: Any, conf: Json, netns: str) -> None:
    conf["ipam"] = bench.host_local("192.0.2.0/24")
    pod = bench.pod()
    pod.add(conf)
    assert bench.leases()
    bench.lab.ip("link", "del", "eth0", netns=pod.netns)
    pod.delete(conf, recorded=False, netns=netns)
    assert bench.leases() == []


# It is never deleted


@pytest.mark.parametrize("alias", ["dev0", "something else"])
def test_nothing_that_removes_links_takes_it_along(bench: Any, conf: Json, make: Any, alias: str) -> None:
    """The container's links go by group, and those of a plugin with no record by name."""
    pod = bench.pod()
    before = bench.snapshot()
    pod.add(conf)
    bench.lab.ip("link", "set", "eth0", "alias", alias, netns=pod.netns)
    with bench.scene(pod, conf) as scene:
        drop_sandbox_links(scene)
        sweep(scene, (), links=True)
    for kind in ("bridge", "macvlan"):
        other = make(kind, master="dev0")
        pod_call = pod.call("DEL", other)
        from multinet.sdk import registry

        found = registry.plugin(kind)
        assert found is not None
        found.delete(pod_call, bench.node(), None)
    assert "eth0" in bench.lab.links(pod.netns)
    pod.delete(conf)
    assert not changes(before, bench.snapshot())


def test_a_group_that_is_the_containers_by_chance(bench: Any, conf: Json) -> None:
    pod = bench.pod()
    group = pod.owner(conf).group
    bench.lab.ip("link", "set", "dev0", "group", str(group))
    before = bench.snapshot()
    pod.add(conf)
    with bench.scene(pod, conf) as scene:
        drop_sandbox_links(scene)
    pod.check_both(conf)
    pod.delete(conf)
    assert not changes(before, bench.snapshot())


# Failure


@pytest.mark.parametrize("kind", ["up", "down"])
def test_whichever_step_fails(bench: Any, conf: Json, whichever_step_fails: Any, kind: str) -> None:
    bench.lab.ip("link", "set", "dev0", "alias", "cable", "group", "5", kind)
    assert whichever_step_fails(bench.pod(), conf) > 4


def test_wherever_it_dies(bench: Any, conf: Json, wherever_it_dies: Any) -> None:
    bench.lab.ip("link", "set", "dev0", "alias", "cable", "group", "5")
    assert wherever_it_dies(bench.pod(), conf) > 4


def test_an_address_that_the_kernel_refuses(bench: Any, conf: Json, refused: Any) -> None:
    conf["ipam"]["addresses"] = [{"address": "ff02::5/64"}]
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    refused(100, pod.add, conf)
    assert not changes(before, bench.snapshot(pod.netns))


def test_a_name_that_is_taken(bench: Any, conf: Json, refused: Any) -> None:
    pod = bench.pod()
    bench.lab.ip("link", "add", "eth0", "type", "bridge", netns=pod.netns)
    before = bench.snapshot(pod.netns)
    assert "interface name eth0 already exists" in refused(100, pod.add, conf).msg
    pod.delete(conf, recorded=False)
    assert not changes(before, bench.snapshot(pod.netns))


def test_a_device_that_leaves_between_decision_and_move(bench: Any, conf: Json, refused: Any) -> None:
    """Whether the caller has hung up is asked in between."""
    pod = bench.pod()

    def steal() -> bool:
        bench.lab.run("ip", "link", "del", "dev0", check=False)
        return False

    error = refused(100, pod.add, conf, cancelled=steal)
    assert 'failed to find host device: Link not found: "dev0" has just left the host' in error.msg
    assert bench.files() == [] and set(bench.lab.links(pod.netns)) == {"lo"}


@pytest.mark.parametrize("how", ["device", "hwaddr", "pciBusID", "deviceID"])
def test_two_pods_that_want_one_device(bench: Any, conf: Json, refused: Any, sys: Sys, how: str) -> None:
    sys.card("0000:03:00.0", "dev0")
    values = {"device": "dev0", "hwaddr": home(bench)["address"], "pciBusID": "0000:03:00.0"}
    if how == "deviceID":
        conf = asked(conf, runtimeConfig={"deviceID": "0000:03:00.0"})
    else:
        conf = asked(conf, **{how: values[how]})
    bench.pod("first").add(conf)
    second = bench.pod("second")
    error = refused(7, second.add, conf)
    assert "failed to find host device: " in error.msg
    assert '"dev0" has been lent to eth0 of container first (network net)' in error.msg
    second.delete(conf, recorded=False)
    assert set(bench.lab.links(second.netns)) == {"lo"}


# Bad input


BAD: list[tuple[Json, int, str]] = [
    ({"device": 7}, 7, "$.device: "),
    ({"device": ""}, 7, 'specify either "device", "hwaddr", "kernelpath" or "pciBusID"'),
    ({"device": "nope"}, 7, 'failed to find host device: Link not found: $.device "nope"'),
    ({"device": "lo"}, 7, '$.device: "lo" (loopback) cannot be moved'),
    ({"device": "br0"}, 7, '$.device: "br0" (bridge) cannot be moved'),
    ({"device": "", "hwaddr": "zz"}, 7, '$.hwaddr: "zz" is no hardware address'),
    ({"device": "", "hwaddr": "02:00:00:00:00:99"}, 7, "failed to find physical interface"),
    (
        {"device": "", "kernelpath": "relative"},
        7,
        'kernel device path "relative" must be absolute and begin with /sys/devices/',
    ),
    ({"device": "", "kernelpath": "/sys/devices/../class"}, 7, "$.kernelpath: kernel device path"),
    ({"device": "", "kernelpath": "/sys/devices/none"}, 7, "failed to find host device: no net directory"),
    ({"device": "", "pciBusID": "0000:99:00.0"}, 7, "no net directory under pci device 0000:99:00.0"),
    ({"device": "", "pciBusID": "../../../../etc"}, 7, "$.pciBusID: "),
    (
        {"runtimeConfig": {"deviceID": "0000:98:00.0"}},
        7,
        "$.runtimeConfig.deviceID: runtime config DeviceID 0000:98:00.0 not found or unsupported",
    ),
    ({"runtimeConfig": {"deviceID": 3}}, 7, "$.runtimeConfig.deviceID: expected a string, got int"),
    ({"dataDir": "relative"}, 7, '$.dataDir: "relative" is not an absolute path'),
    ({"ipam": 5}, 7, "$.ipam: "),
    ({"DPDKMode": True, "device": ""}, 7, 'specify either "device"'),
]


@pytest.mark.parametrize(("bad", "code", "words"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input(bench: Any, conf: Json, refused: Any, sys: Sys, bad: Json, code: int, words: str) -> None:
    bench.lab.allowed.add("br0")
    bench.lab.ip("link", "add", "br0", "type", "bridge")
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    error = refused(code, pod.add, conf | bad)
    assert words in error.msg
    pod.delete(conf | bad, recorded=False)
    assert not changes(before, bench.snapshot(pod.netns))


def test_another_attachments_link_is_none_to_lend(bench: Any, conf: Json, make: Any, refused: Any) -> None:
    bench.lab.allowed.add("br0")
    first = bench.pod("first")
    first.add(make("bridge", bridge="br0"))
    name = first.owner(conf).host_ifname
    error = refused(7, bench.pod().add, conf | {"device": name})
    assert f'"{name}" belongs to another attachment (multinet:net/first/eth0)' in error.msg


# GC and STATUS


def test_gc(bench: Any, conf: Json) -> None:
    from multinet.sdk import registry

    plugin = registry.plugin("host-device")
    assert plugin is not None
    pod = bench.pod()
    before = bench.snapshot()
    pod.add(conf)
    valid = [{"containerID": pod.container_id, "ifname": "eth0"}]
    plugin.gc(pod.call("GC", conf | {"cni.dev/valid-attachments": valid}, netns=""), bench.node())
    plugin.gc(
        pod.call("GC", conf | {"name": "other", "cni.dev/valid-attachments": []}, netns=""), bench.node()
    )
    pod.check_both(conf)
    assert bench.files() == [f"lent/{pod.container_id}_eth0.json"]
    bench.lab.ip(
        "link", "set", "eth0", "netns", bench.lab.host.path, netns=pod.netns
    )  # as the kernel does it
    plugin.gc(pod.call("GC", conf | {"cni.dev/valid-attachments": []}, netns=""), bench.node())
    pod.attached = None
    assert not changes(before, bench.snapshot())


def test_status(bench: Any, conf: Json, refused: Any) -> None:
    from multinet.sdk import registry

    plugin = registry.plugin("host-device")
    assert plugin is not None
    pod = bench.pod()
    plugin.status(pod.call("STATUS", conf, netns=""), bench.node())
    missing = pod.call("STATUS", conf | {"device": "nope"}, netns="")
    assert "Link not found" in refused(50, plugin.status, missing, bench.node()).msg
    by_runtime = asked(conf, capabilities={"deviceID": True})
    plugin.status(pod.call("STATUS", by_runtime, netns=""), bench.node())


def test_an_index_alone_says_nothing_while_the_device_is_home(bench: Any, conf: Json) -> None:
    """DEL comes twice, and by then the sandbox may have a link of the index that the device has on the host."""
    pod = bench.pod()
    pod.add(conf)
    pod.delete(conf)
    index = str(home(bench)["ifindex"])
    theirs = ("theirs", "index", index, "type", "veth", "peer", "name", "peer", "index", "99")
    bench.lab.ip("link", "add", *theirs, netns=pod.netns)
    before = bench.snapshot(pod.netns)
    pod.delete(conf)
    assert not changes(before, bench.snapshot(pod.netns))


def test_the_file_is_the_operators_to_read(bench: Any, conf: Json) -> None:
    pod = bench.pod()
    pod.add(conf)
    path = Path(conf["dataDir"], f"{pod.container_id}_eth0.json")
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    told = json.loads(path.read_text())
    assert (told["network"], told["containerID"], told["ifname"]) == ("net", pod.container_id, "eth0")
    assert told["device"]["host_name"] == "dev0"

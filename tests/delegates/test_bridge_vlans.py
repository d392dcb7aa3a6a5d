"""bridge: VLANs of the pod's port, trunks, and the host's leg into a VLAN; the decisions alone, and on the kernel."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multinet.cni.errors import InvalidConfig
from multinet.core.desired import PortVlans
from multinet.delegates.bridge_vlans import TrunkConf, leg_name, port_vlans
from multinet.sdk import registry
from tests.vm.kinds import lacking

V4, V6 = "10.1.2.0/24", "2001:db8:1::/64"

filtering = pytest.mark.needs_kind("vlan_filtering")


class TestDecisions:
    """No kernel is asked."""

    @pytest.mark.parametrize(
        ("vlan", "trunk", "wanted"),
        [
            (0, None, None),
            (0, [], None),
            (100, None, PortVlans(100)),
            (4094, [], PortVlans(4094)),
            (0, [{"id": 7}], PortVlans(1, ((7, 7),))),
            (100, [{"minID": 10, "maxID": 12}, {"id": 13}, {"id": 11}], PortVlans(100, ((10, 13),))),
            (5, [{"minID": 4, "maxID": 6, "id": 9}], PortVlans(5, ((4, 4), (6, 6), (9, 9)))),
            (0, [{"minID": 1, "maxID": 4094}], PortVlans(1, ((2, 4094),))),
        ],
    )
    def test_ports(self, vlan: int, trunk: Any, wanted: PortVlans | None) -> None:
        ranges = None if trunk is None else [_trunk(**one) for one in trunk]
        assert port_vlans(vlan, ranges, False) == wanted

    def test_the_default_vlan_may_stay(self) -> None:
        assert port_vlans(5, None, True) == PortVlans(5, keep_default=True)

    @pytest.mark.parametrize(
        ("trunk", "words"),
        [
            ({"minID": 0, "maxID": 5}, "$.vlanTrunk[0].minID: incorrect trunk minID parameter"),
            ({"minID": 5, "maxID": 4095}, "$.vlanTrunk[0].maxID: incorrect trunk maxID parameter"),
            ({"minID": 9, "maxID": 5}, "$.vlanTrunk[0]: minID is greater than maxID in trunk parameter"),
            ({"minID": 5}, "minID and maxID should be configured simultaneously, maxID is missing"),
            ({"maxID": 5}, "minID and maxID should be configured simultaneously, minID is missing"),
            ({"id": 0}, "$.vlanTrunk[0].id: incorrect trunk id parameter"),
            ({"id": 4095}, "$.vlanTrunk[0].id: incorrect trunk id parameter"),
        ],
    )
    def test_trunks_that_are_none(self, trunk: dict[str, int], words: str) -> None:
        with pytest.raises(InvalidConfig) as caught:
            port_vlans(0, [_trunk(**trunk)], False)
        assert words in caught.value.msg

    @pytest.mark.parametrize("vlan", [-1, 4095])
    def test_vlans_that_are_none(self, vlan: int) -> None:
        with pytest.raises(InvalidConfig) as caught:
            port_vlans(vlan, None, False)
        assert f"invalid VLAN ID {vlan} (must be between 0 and 4094)" in caught.value.msg

    def test_names_of_legs(self) -> None:
        assert leg_name("br0", 100) == "br0.100"
        assert leg_name("abcdefghij", 4094) == "abcdefghij.4094"
        long = [leg_name("a-very-long-br" + end, 4094) for end in "01"]
        assert all(len(name) == 15 and name.endswith(".4094") and name.startswith("a-very") for name in long)
        assert long[0] != long[1]
        assert len(leg_name("ööööööö", 4094).encode()) <= 15


def _trunk(**numbers: int) -> TrunkConf:
    names = {"id": "id", "minID": "min_id", "maxID": "max_id"}
    return TrunkConf(**{names[key]: value for key, value in numbers.items()})


def vlans_of(bench: Any, name: str) -> dict[int, str]:
    """VLAN → "pvid untagged", "untagged" or "tagged", as ``bridge vlan`` shows them."""
    found = json.loads(bench.lab.run("bridge", "-j", "vlan", "show", "dev", name) or "[]")
    shown: dict[int, str] = {}
    for entry in found[0]["vlans"] if found else []:
        flags = entry.get("flags", [])
        words = "pvid untagged" if "PVID" in flags else "untagged" if flags else "tagged"
        for number in range(entry["vlan"], entry.get("vlanEnd", entry["vlan"]) + 1):
            shown[number] = words
    return shown


@pytest.fixture
def br0(bench: Any) -> None:
    bench.lab.allowed |= {"br0", "br0.100", "br0.200"}


def leg_port(bench: Any) -> str:
    """Name of the bridge's end of the leg into VLAN 100; the test leaves both ends, as a node does."""
    (index,) = [link.parent for link in bench.lab.links().values() if link.name == "br0.100"]
    (name,) = [link.name for link in bench.lab.links().values() if link.index == index]
    bench.lab.allowed.add(name)
    return name


def port(pod: Any, conf: Any) -> str:
    return str(pod.owner(conf).host_ifname)


@filtering
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"vlan": 100}, {100: "pvid untagged"}),
        ({"vlan": 1}, {1: "pvid untagged"}),
        ({"vlan": 100, "preserveDefaultVlan": True}, {1: "untagged", 100: "pvid untagged"}),
        ({"vlanTrunk": []}, {1: "pvid untagged"}),
        ({"vlanTrunk": [{"id": 5}]}, {1: "pvid untagged", 5: "tagged"}),
        (
            {"vlan": 100, "vlanTrunk": [{"minID": 5, "maxID": 7}, {"id": 100}]},
            {5: "tagged", 6: "tagged", 7: "tagged", 100: "pvid untagged"},
        ),
        (
            {"vlanTrunk": [{"id": 5}], "preserveDefaultVlan": True},
            {1: "pvid untagged", 5: "tagged"},
        ),
        ({"preserveDefaultVlan": True}, {}),
    ],
    ids=str,
)
def test_a_ports_vlans(bench: Any, make: Any, br0: None, options: Any, wanted: Any) -> None:
    pod, conf = bench.pod(), make("bridge", bridge="br0", **options)
    pod.add(conf)
    has = bench.link("br0")["linkinfo"]["info_data"]["vlan_filtering"]
    assert bool(has) == ("vlan" in options or "vlanTrunk" in options)
    if wanted:
        assert vlans_of(bench, port(pod, conf)) == wanted
    pod.check_both(conf)


@filtering
def test_pods_of_one_vlan_reach_each_other_and_no_other(bench: Any, make: Any, br0: None) -> None:
    ipam = bench.host_local(V4)
    one, same, other = bench.pod(), bench.pod(), bench.pod()
    one.add(make("bridge", bridge="br0", vlan=100, ipam=ipam))
    same.add(make("bridge", bridge="br0", vlan=100, ipam=ipam))
    other.add(make("bridge", bridge="br0", vlan=200, ipam=ipam))
    assert one.ping("10.1.2.3")
    assert "0 received" in bench.lab.run("ping", "-c2", "-W1", "10.1.2.4", netns=one.netns, check=False)


@filtering
@pytest.mark.needs_kind("vlan")
def test_a_trunk_carries_tagged_frames(bench: Any, make: Any, br0: None) -> None:
    trunk, plain = bench.pod(), bench.pod()
    trunk.add(make("bridge", bridge="br0", vlanTrunk=[{"minID": 100, "maxID": 101}]))
    plain.add(make("bridge", bridge="br0", vlan=100, ipam=bench.host_local(V4)))
    bench.lab.ip(
        "link", "add", "link", "eth0", "name", "tagged", "type", "vlan", "id", "100", netns=trunk.netns
    )
    bench.lab.ip("addr", "add", "10.1.2.99/24", "dev", "tagged", netns=trunk.netns)
    bench.lab.ip("link", "set", "tagged", "up", netns=trunk.netns)
    assert plain.ping("10.1.2.99")


@filtering
def test_filtering_is_switched_on_at_a_bridge_that_is_there(bench: Any, make: Any, br0: None) -> None:
    bench.lab.ip("link", "add", "br0", "mtu", "1400", "type", "bridge")
    pod, conf = bench.pod(), make("bridge", bridge="br0", vlan=100)
    result = pod.add(conf)
    assert bench.link("br0")["linkinfo"]["info_data"]["vlan_filtering"] == 1
    assert vlans_of(bench, port(pod, conf)) == {100: "pvid untagged"}
    assert result["interfaces"][0]["mtu"] == 1400
    pod.check_both(conf)


class TestLeg:
    """With ``vlan`` and a gateway, the host has a leg in the VLAN, with the gateway's addresses."""

    pytestmark = filtering

    @pytest.fixture
    def conf(self, bench: Any, make: Any, br0: None) -> Any:
        return make("bridge", bridge="br0", vlan=100, isGateway=True, ipam=bench.host_local(V4, V6))

    def test_it_is_the_gateway(self, bench: Any, conf: Any) -> None:
        pod = bench.pod()
        result = pod.add(conf)
        name = leg_port(bench)
        assert [i["name"] for i in result["interfaces"]] == ["br0", port(pod, conf), "eth0", "br0.100"]
        assert result["interfaces"][3]["mac"] == bench.link("br0.100")["address"]
        assert [ip["interface"] for ip in result["ips"]] == [2, 2]
        assert bench.addresses("br0.100") == ["10.1.2.1/24", "2001:db8:1::1/64"]
        assert bench.addresses("br0") == []
        assert vlans_of(bench, name) == {100: "pvid untagged"}
        assert pod.ping("10.1.2.1") and pod.ping("2001:db8:1::1")
        assert bench.ping("10.1.2.2")
        pod.check_both(conf)

    def test_all_pods_of_the_vlan_share_it_and_it_stays(self, bench: Any, conf: Any) -> None:
        one, two = bench.pod(), bench.pod()
        one.add(conf)
        before = bench.link("br0.100")
        leg_port(bench)
        two.add(conf)
        one.check_both(conf)
        two.check_both(conf)
        assert two.ping("10.1.2.2")
        one.delete(conf)
        two.delete(conf)
        assert bench.link("br0.100")["ifindex"] == before["ifindex"]
        three = bench.pod()
        three.add(conf)
        assert three.ping("10.1.2.1")
        three.check_both(conf)

    def test_a_leg_whose_bridge_went_away(self, bench: Any, conf: Any) -> None:
        one, two = bench.pod(), bench.pod()
        one.add(conf)
        leg_port(bench)
        one.delete(conf)
        bench.lab.ip("link", "del", "br0")
        two.add(conf)
        assert two.ping("10.1.2.1")
        two.check_both(conf)

    @pytest.mark.needs_kind("vlan")
    def test_a_vlan_link_of_the_administrators_serves_as_well(self, bench: Any, conf: Any) -> None:
        bench.lab.ip("link", "add", "br0", "type", "bridge", "vlan_filtering", "1")
        bench.lab.ip("link", "add", "link", "br0", "name", "br0.100", "type", "vlan", "id", "100")
        bench.lab.run("bridge", "vlan", "add", "dev", "br0", "vid", "100", "self")
        bench.lab.ip("link", "set", "br0", "up")
        pod = bench.pod()
        pod.add(conf)
        assert pod.ping("10.1.2.1")
        pod.check_both(conf)

    def test_something_else_of_that_name(self, bench: Any, conf: Any, refused: Any, unchanged: Any) -> None:
        bench.lab.ip("link", "add", "br0.100", "type", "bridge")
        pod = bench.pod()
        before = bench.snapshot(pod.netns)
        error = refused(7, pod.add, conf)
        assert '$.vlan: "br0.100" already exists but is no leg into VLAN 100 of "br0"' in error.msg
        unchanged(before, bench.snapshot(pod.netns))

    def test_a_long_name_is_shortened(self, bench: Any, conf: Any) -> None:
        long = conf | {"bridge": "a-long-bridge-0"}
        name = leg_name("a-long-bridge-0", 100)
        pod = bench.pod()
        result = pod.add(long)
        bench.lab.allowed |= {"a-long-bridge-0", name} | {
            link.name for link in bench.lab.links().values() if link.parent == bench.lab.links()[name].index
        }
        assert result["interfaces"][3]["name"] == name and bench.addresses(name)[0] == "10.1.2.1/24"
        pod.check_both(long)
        pod.delete(long)

    @pytest.mark.parametrize("force", [False, True])
    def test_addresses_that_conflict_are_looked_for_on_the_leg(
        self, bench: Any, conf: Any, refused: Any, force: bool
    ) -> None:
        bench.pod().add(conf)
        leg_port(bench)
        bench.lab.ip("addr", "add", "10.9.9.9/24", "dev", "br0")
        second = conf | {"forceAddress": force, "ipam": bench.host_local("10.3.0.0/24")}
        if not force:
            error = refused(7, bench.pod().add, second)
            assert '"br0.100" already has an IP address different from 10.3.0.1/24' in error.msg
            return
        bench.pod().add(second)
        assert bench.addresses("br0.100")[0] == "10.3.0.1/24" and bench.addresses("br0") == ["10.9.9.9/24"]

    CHANGES = {  # noqa: RUF012
        "leg gone": ("ip link del br0.100", "br0.100"),
        "leg down": ("ip link set br0.100 down", "br0.100 state"),
        "leg's MAC": ("ip link set br0.100 address 02:00:00:00:00:99", "br0.100 mac"),
        "leg's MTU": ("ip link set br0.100 mtu 1400", "br0.100 mtu"),
        "leg's address": ("ip addr del 10.1.2.1/24 dev br0.100", "10.1.2.1/24"),
        "leg's port left": ("ip link set {leg} nomaster", "br0.100 other end"),
        "leg's port down": ("ip link set {leg} down", "{leg} state"),
        "leg's VLAN": ("bridge vlan del dev {leg} vid 100", "{leg} untagged VLAN"),
        "port's VLAN": ("bridge vlan del dev {port} vid 100", "{port} untagged VLAN: want 100"),
        "port is in another": (
            "bridge vlan add dev {port} vid 7 untagged",
            "{port} untagged VLANs: want 100",
        ),
        "port has a tagged one": (
            "bridge vlan add dev {port} vid 8",
            "{port} tagged VLANs: want none, have 8",
        ),
        "filtering": ("ip link set br0 type bridge vlan_filtering 0", "bridge br0 VLAN filtering: want on"),
    }

    @pytest.mark.parametrize("what", CHANGES)
    def test_check_notices(self, bench: Any, conf: Any, refused: Any, what: str) -> None:
        pod = bench.pod()
        pod.add(conf)
        names = {"leg": leg_port(bench), "port": port(pod, conf)}
        command, named = (text.format(**names) for text in self.CHANGES[what])
        bench.lab.run(*command.split())
        for recorded in (True, False):
            assert named in str(refused(102, pod.check, conf, recorded=recorded)), recorded

    def test_every_field_is_compared(self, bench: Any, conf: Any, every_field_is_checked: Any) -> None:
        pod = bench.pod()
        pod.add(conf)
        leg_port(bench)
        assert every_field_is_checked(pod, conf) > 20

    @pytest.mark.parametrize("bridge", ["new", "in use"])
    def test_whichever_step_fails(
        self, bench: Any, conf: Any, whichever_step_fails: Any, bridge: str
    ) -> None:
        if bridge == "in use":
            bench.pod().add(conf)
            leg_port(bench)
        assert whichever_step_fails(bench.pod(), conf) >= (16 if bridge == "new" else 9)
        leg_port(bench)


@filtering
@pytest.mark.parametrize("recorded", [True, False])
def test_del_and_gc(bench: Any, make: Any, br0: None, recorded: bool) -> None:
    pod = bench.pod()
    conf = make("bridge", bridge="br0", vlan=100, vlanTrunk=[{"id": 7}], ipam=bench.host_local(V4))
    pod.add(conf)
    for _ in range(2):
        pod.delete(conf | {"vlan": "bad", "vlanTrunk": 7}, recorded=recorded)
    assert port(pod, conf) not in bench.lab.links()
    pod.add(conf)
    plugin = registry.plugin("bridge")
    assert plugin is not None
    plugin.gc(pod.call("GC", conf | {"cni.dev/valid-attachments": []}, netns=""), bench.node())
    assert port(pod, conf) not in bench.lab.links() and bench.leases() == []


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "vlan": ({"vlan": 4095}, "$.vlan: invalid VLAN ID 4095 (must be between 0 and 4094)"),
    "vlan's type": ({"vlan": "7"}, "$.vlan"),
    "trunk's type": ({"vlanTrunk": {"id": 7}}, "$.vlanTrunk"),
    "an element's type": ({"vlanTrunk": [7]}, "$.vlanTrunk[0]"),
    "a number's type": ({"vlanTrunk": [{"id": "7"}]}, "$.vlanTrunk[0].id"),
    "a range": ({"vlanTrunk": [{"id": 7}, {"minID": 9, "maxID": 8}]}, "$.vlanTrunk[1]: minID is greater"),
    "default's type": ({"preserveDefaultVlan": 1}, "$.preserveDefaultVlan"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_bad_input(bench: Any, make: Any, refused: Any, unchanged: Any, what: str) -> None:
    options, words = FAULTS[what]
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    conf = make("bridge", bridge="br0", ipam=bench.host_local(V4), **options)
    assert words in refused(7, pod.add, conf).msg
    unchanged(before, bench.snapshot(pod.netns))


@pytest.mark.parametrize("options", [{"vlan": 7}, {"vlanTrunk": []}, {"vlanTrunk": [{"id": 7}]}], ids=str)
@pytest.mark.parametrize("there", [False, True])
def test_a_kernel_without_vlan_filtering_says_so(
    bench: Any, make: Any, refused: Any, unchanged: Any, options: Any, there: bool
) -> None:
    if not lacking(["vlan_filtering"]):
        pytest.skip("this kernel has VLAN filtering")
    pod = bench.pod()
    if there:
        bench.lab.allowed.add("br0")
        bench.lab.ip("link", "add", "br0", "type", "bridge")
        bench.lab.ip("link", "set", "br0", "up")
    before = bench.snapshot(pod.netns)
    error = refused(100, pod.add, make("bridge", bridge="br0", ipam=bench.host_local(V4), **options))
    assert ('switch VLAN filtering on at "br0"' if there else 'create bridge "br0"') in error.msg
    assert "CONFIG_BRIDGE_VLAN_FILTERING, which vlan and vlanTrunk need" in error.msg
    unchanged(before, bench.snapshot(pod.netns))

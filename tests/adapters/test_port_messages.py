"""VLANs of bridges' ports, sent to the kernel and read back by ``bridge -j`` and by our own reader."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from typing import Any

import pytest

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import PortVlanInfo
from multinet.core.desired import Bridge, BridgeLeg, PortVlans
from tests.adapters.reading import do
from tests.vm.kinds import lacking

NOTHING = PortVlanInfo()


@pytest.fixture
def stack(lab: Any) -> Iterator[NetworkStack]:
    """A host with a bridge (index 77), ``p`` (index 7) and ``q`` (index 8) its ports."""
    with NetworkStack(lab.host) as opened:
        bridge = Bridge(place="host", name="br0", vlan_filtering=True)
        assert opened.send([messages.create_bridge(bridge, 77)]) == [None]
        do(lab, "ip link add p index 7 master br0 type veth peer name p0")
        do(lab, "ip link add q index 8 master br0 type veth peer name q0")
        lab.allowed |= {"br0", "p", "p0", "q", "q0"}
        yield opened


def done(stack: NetworkStack, *batch: bytes) -> None:
    assert stack.send(batch) == [None] * len(batch)


def shown(lab: Any, port: str) -> PortVlanInfo:
    """What ``bridge`` says, in our words."""
    found = json.loads(lab.run("bridge", "-compressvlans", "-j", "vlan", "show", "dev", port) or "[]")
    pvid, untagged, tagged = 0, [], []
    for entry in (entry for one in found for entry in one["vlans"]):
        flags = entry.get("flags", [])
        if "PVID" in flags:
            pvid = entry["vlan"]
        ends = (entry["vlan"], entry.get("vlanEnd", entry["vlan"]))
        (untagged if "Egress Untagged" in flags else tagged).append(ends)
    return PortVlanInfo(pvid, tuple(sorted(untagged)), tuple(sorted(tagged)))


CASES = [
    (PortVlans(untagged=100), PortVlanInfo(100, ((100, 100),), ())),
    (PortVlans(untagged=4094), PortVlanInfo(4094, ((4094, 4094),), ())),
    (PortVlans(tagged=((5, 5),)), PortVlanInfo(0, (), ((5, 5),))),
    (
        PortVlans(untagged=1, tagged=((5, 5), (100, 200), (4094, 4094))),
        PortVlanInfo(1, ((1, 1),), ((5, 5), (100, 200), (4094, 4094))),
    ),
    (PortVlans(tagged=((1, 4094),)), PortVlanInfo(0, (), ((1, 4094),))),
    (PortVlans(tagged=((7, 8),)), PortVlanInfo(0, (), ((7, 8),))),
    (
        PortVlans(untagged=50, tagged=tuple((n, n + 1) for n in range(100, 4000, 3))),
        PortVlanInfo(50, ((50, 50),), tuple((n, n + 1) for n in range(100, 4000, 3))),
    ),
]


@pytest.mark.needs_kind("vlan_filtering")
@pytest.mark.parametrize(("vlans", "expected"), CASES)
def test_vlans_in_place_of_the_default_one(
    lab: Any, stack: NetworkStack, vlans: PortVlans, expected: PortVlanInfo
) -> None:
    assert stack.port_vlans(7) == shown(lab, "p") == PortVlanInfo(1, ((1, 1),), ())
    done(stack, messages.delete_port_vlans(7, [(1, 4094)]), messages.add_port_vlans(7, vlans))
    assert stack.port_vlans(7) == shown(lab, "p") == expected
    assert stack.port_vlans(8) == PortVlanInfo(1, ((1, 1),), ()), "another port is left alone"
    done(stack, messages.delete_port_vlans(7, [*expected.untagged, *expected.tagged]))
    assert stack.port_vlans(7) == shown(lab, "p") == NOTHING


@pytest.mark.needs_kind("vlan_filtering")
def test_vlans_beside_the_default_one(lab: Any, stack: NetworkStack) -> None:
    """The default one is the PVID no longer, but its frames still leave without a tag."""
    done(stack, messages.add_port_vlans(7, PortVlans(untagged=100, tagged=((200, 201),))))
    expected = PortVlanInfo(100, ((1, 1), (100, 100)), ((200, 201),))
    assert stack.port_vlans(7) == shown(lab, "p") == expected


@pytest.mark.needs_kind("vlan_filtering")
def test_the_hosts_leg_in_its_vlan(lab: Any, stack: NetworkStack) -> None:
    leg = BridgeLeg(place="host", name="br0.5", mac="02:00:00:00:00:07", port="veth5", bridge="br0", vlan=5)
    done(
        stack,
        messages.create_leg(leg, 9, 10, 77, 0),
        messages.delete_port_vlans(10, [(1, 1)]),
        messages.add_port_vlans(10, PortVlans(untagged=5)),
    )
    lab.allowed |= {"br0.5", "veth5"}
    assert stack.port_vlans(10) == shown(lab, "veth5") == PortVlanInfo(5, ((5, 5),), ())


@pytest.mark.needs_kind("vlan_filtering")
def test_ranges_that_touch_are_read_as_one(lab: Any, stack: NetworkStack) -> None:
    do(lab, "bridge vlan add dev p vid 10-20")
    do(lab, "bridge vlan add dev p vid 21")
    do(lab, "bridge vlan set dev p vid 15 state blocking")
    assert stack.port_vlans(7).tagged == ((10, 21),)


def test_a_link_that_is_no_port_has_none(lab: Any) -> None:
    do(lab, "ip link add p type veth peer name q")
    lab.allowed |= {"p", "q"}
    with NetworkStack(lab.host) as stack:
        assert stack.port_vlans(lab.links()["p"].index) == NOTHING
        assert stack.port_vlans(12345) == NOTHING


def test_a_kernel_without_vlan_filtering_says_so(lab: Any) -> None:
    if not lacking(["vlan_filtering"]):
        pytest.skip("this kernel has VLAN filtering")
    lab.allowed |= {"br0", "p", "q"}
    with NetworkStack(lab.host) as stack:
        bridge = Bridge(place="host", name="br1", vlan_filtering=True)
        done(stack, messages.create_bridge(Bridge(place="host", name="br0"), 77))
        do(lab, "ip link add p index 7 master br0 type veth peer name q")
        refused = (
            messages.set_vlan_filtering(77),
            messages.add_port_vlans(7, PortVlans(untagged=5)),
            messages.create_bridge(bridge, 78),
        )
        assert [error and error.errno for error in stack.send(refused)] == [errno.EOPNOTSUPP] * 3
        done(stack, messages.delete_port_vlans(7, [(1, 4094)]))
        assert stack.port_vlans(7) == NOTHING

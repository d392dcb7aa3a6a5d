"""Which device goes to which network (5.37 to 5.39, 2.29, 9.27, 9.28)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.errors import CNIError, Code
from multinet.core.devices import DeviceRequest, by_resource, choose, needs_device, with_device

A, B = "intel.com/a", "intel.com/b"


def asks(*resources: str, pinned: str = "", required: bool = False) -> list[DeviceRequest]:
    return [
        DeviceRequest(network=f"ns/n{number}", resource=resource, pinned=pinned, required=required)
        for number, resource in enumerate(resources)
    ]


def test_each_use_takes_the_next_device_of_its_resource() -> None:
    """2.29: one count for all of the pod's networks, the default one included."""
    choice = choose(asks(A, "", B, A, A), {A: ("a1", "a2", "a3"), B: ("b1",)}, {})
    assert choice.devices == ("a1", "", "b1", "a2", "a3")
    assert choice.warnings == ()


def test_a_resource_that_runs_out_is_a_warning() -> None:
    """5.37"""
    choice = choose(asks(A, A, A), {A: ("a1", "a2")}, {})
    assert choice.devices == ("a1", "a2", "")
    assert choice.warnings == (
        f'network ns/n2: the pod has 2 of resource "{A}" (a1, a2), and 3 of its networks use it: request as many; '
        "it is attached without a device",
    )


def test_a_resource_that_the_pod_has_not_is_a_warning() -> None:
    choice = choose(asks(A), {B: ("b1",)}, {})
    assert choice.devices == ("",)
    assert choice.warnings[0].startswith(
        f'network ns/n0: the pod has no device of resource "{A}": request it in the resources of a container'
    )


def test_a_required_device_that_is_missing_is_a_failure() -> None:
    """9.28"""
    with pytest.raises(CNIError, match="request it in the resources") as caught:
        choose(asks(A, required=True), {}, {})
    assert caught.value.code == Code.ATTACHMENT


def test_a_device_that_someone_has_is_given_to_nobody() -> None:
    held = {(A, "a1"): "pod default/old"}
    assert choose(asks(A), {A: ("a1", "a2")}, held).devices == ("a2",)
    assert choose(asks(B), {B: ("a1",)}, held).devices == ("a1",)  # ids are unique within a resource only


def test_a_required_device_that_someone_has_is_to_be_tried_again() -> None:
    held = {(A, "a1"): "pod default/old"}
    with pytest.raises(CNIError, match='still in use: "a1" by pod default/old') as caught:
        choose(asks(A, required=True), {A: ("a1",)}, held)
    assert caught.value.code == Code.TRY_AGAIN


def test_a_pinned_device_goes_to_who_pinned_it() -> None:
    """9.27"""
    requests = [*asks(A), *asks(A, pinned="a1")]
    assert choose(requests, {A: ("a1", "a2")}, {}).devices == ("a2", "a1")


def test_a_pinned_device_must_be_among_the_pods() -> None:
    with pytest.raises(
        CNIError, match=r'device "a9".* isn\'t among the pod\'s of resource "intel.com/a" \(a1, a2\)'
    ) as caught:
        choose(asks(A, pinned="a9"), {A: ("a1", "a2")}, {})
    assert caught.value.code == Code.ATTACHMENT


@pytest.mark.parametrize("held", [{}, {(A, "a1"): "pod default/old"}])
def test_a_pinned_device_is_given_once(held: dict[tuple[str, str], str]) -> None:
    with pytest.raises(CNIError, match=r'"a1".* in use, or is asked for twice'):
        choose(asks(A, A, pinned="a1"), {A: ("a1", "a2")}, held)


def test_a_pin_without_a_resource_is_the_annotations_own_affair() -> None:
    assert choose(asks("", pinned="a1"), {A: ("a2",)}, {}).devices == ("",)
    assert choose(asks(A, pinned="a1"), {}, {}).devices == ("",)


ids = st.sampled_from([f"d{number}" for number in range(6)])
resources = st.sampled_from([A, B])
allocations = st.dictionaries(resources, st.lists(ids, unique=True, max_size=5))


@given(
    st.lists(st.sampled_from(["", A, B]), max_size=8),
    allocations,
    st.dictionaries(st.tuples(resources, ids), st.just("pod default/x")),
)
def test_nothing_is_given_twice_nor_taken_from_others(
    wanted: list[str], allocated: dict[str, list[str]], held: dict[tuple[str, str], str]
) -> None:
    choice = choose(asks(*wanted), allocated, held)
    given_out = [(r, d) for r, d in zip(wanted, choice.devices, strict=True) if d]
    assert max(Counter(given_out).values(), default=1) == 1
    assert all(device in allocated[resource] for resource, device in given_out)
    assert not held.keys() & set(given_out)
    missing = [r for r, d in zip(wanted, choice.devices, strict=True) if r and not d]
    assert len(choice.warnings) == len(missing)
    for resource in missing:  # nothing that could have been given was kept back
        free = {(resource, one) for one in allocated.get(resource, ())} - held.keys()
        assert free <= set(given_out)


def test_containers_keep_their_order_ids_within_one_are_sorted() -> None:
    """5.39"""
    containers = [[(A, ["9", "7"]), (A, ["8"])], [(B, ["5"]), (A, ["1", "7"])]]
    assert by_resource(containers) == {A: ("7", "8", "9", "1"), B: ("5",)}


@pytest.mark.parametrize(
    ("plugins", "needed"),
    [
        ([{"type": "sriov"}], True),
        ([{"type": "tuning"}, {"type": "ib-sriov"}], True),
        ([{"type": "bridge"}, {"type": "tuning"}], False),
        ([{"type": "ovs"}], False),
        ([{"type": "host-device"}], True),
        ([{"type": "host-device", "device": ""}], True),
        ([{"type": "host-device", "device": "eth1"}], False),
        ([{"type": "host-device", "pciBusID": "0000:00:01.0"}], False),
    ],
)
def test_types_that_need_a_device(plugins: list[dict[str, Any]], needed: bool) -> None:
    assert needs_device(plugins) is needed


@pytest.mark.parametrize(
    "network",
    [
        {"type": "sriov", "name": "n", "vlan": 5, "x-mine": {"deep": [1]}},
        {"name": "n", "plugins": [{"type": "sriov", "x-mine": 1}]},
        {
            "name": "n",
            "cniVersion": "1.0.0",
            "plugins": [{"type": "sriov"}, {"type": "tuning", "sysctl": {}}],
        },
    ],
)
def test_the_device_is_in_every_plugin_and_nothing_is_lost(network: dict[str, Any]) -> None:
    """5.38, themes 9 and 15"""
    added = {"deviceID": "0000:03:02.1", "pciBusID": "0000:03:02.1"}
    given_device = with_device(network, "0000:03:02.1")
    if "type" in network:
        assert given_device == network | added
    else:
        assert given_device == network | {"plugins": [one | added for one in network["plugins"]]}

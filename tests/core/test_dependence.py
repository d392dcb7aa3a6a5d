"""Which attachments wait for which."""

from __future__ import annotations

from typing import Any

import pytest

from multinet.core.dependence import dependences


def waits(*attachments: tuple[str, dict[str, Any]]) -> list[set[int]]:
    return [set(one) for one in dependences([(ifname, [plugin]) for ifname, plugin in attachments])]


@pytest.mark.parametrize(
    "plugin",
    [
        {"master": "net1"},
        {"links": [{"name": "net0"}, {"name": "net1"}]},
        {"sysctl": {"net/ipv4/conf/net1/arp_filter": "1"}},
        {"args": {"cni": {"parent": "net1.100"}}},
    ],
)
def test_names_an_earlier_interface(plugin: dict[str, Any]) -> None:
    assert waits(("net1", {"type": "a"}), ("net2", {"type": "b", **plugin})) == [set(), {0}]


@pytest.mark.parametrize(
    "plugin",
    [
        {"master": "eth1", "mtu": 1500},
        {"subnet": "10.1.0.0/16", "master": "subnet1", "parent": "net1-0", "vlan": "net12"},
        {"name": "net1", "type": "net1"},  # a network may be called like an interface
    ],
)
def test_names_none(plugin: dict[str, Any]) -> None:
    assert waits(("net1", {}), ("net2", plugin)) == [set(), set()]


def test_later_one_waits_whoever_names_the_other() -> None:
    assert waits(("net1", {"peer": "net2"}), ("net2", {"peer": "net1"}), ("net3", {})) == [set(), {0}, set()]

"""What a pod has in the end: records after the route plan, and the network-status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multinet.core.desired import Address, AnyItem, Route
from multinet.core.outcome import after_route_plan, attached, pod_status
from multinet.core.record import AttachmentRecord
from multinet.core.routes import plan_default_routes

V4, V6 = "0.0.0.0/0", "::/0"


def record(ifname: str, position: int, result: dict[str, Any] | None, **more: Any) -> AttachmentRecord:
    return AttachmentRecord(
        container_id="c1",
        ifname=ifname,
        position=position,
        name=f"default/{ifname}",
        network=b"{}",
        network_name=ifname,
        result=result,
        **more,
    )


def made(
    ifname: str, position: int, version: str = "1.0.0", external: bool = False, **more: Any
) -> AttachmentRecord:
    """An attachment of both families with default routes by its .1, as a plugin in process leaves it."""
    net = position + 1
    result = {
        "cniVersion": version,
        "interfaces": [{"name": ifname, "mac": f"02:00:00:00:00:0{net}", "sandbox": "/run/netns/x"}],
        "ips": [
            {"address": f"10.{net}.0.2/24", "interface": 0},
            {"address": f"fd0{net}::2/64", "interface": 0},
        ],
        "routes": [
            {"dst": V4, "gw": f"10.{net}.0.1"},
            {"dst": "10.99.0.0/16", "gw": f"10.{net}.0.1"},
            {"dst": V6, "gw": f"fd0{net}::1"},
        ],
    }
    items: tuple[AnyItem, ...] = (
        Address(link=ifname, cidr=f"10.{net}.0.2/24"),
        *(Route(link=ifname, dst=route["dst"], gateways=(route["gw"],)) for route in result["routes"]),
    )
    return record(ifname, position, result, applied={} if external else {"bridge": items}, **more)


def settled(*records: AttachmentRecord) -> list[AttachmentRecord]:
    plan = plan_default_routes([attached(one) for one in records])
    return [after_route_plan(one, plan) for one in records]


def defaults(one: AttachmentRecord) -> set[tuple[str, str]]:
    """By the result."""
    return {(route.dst, route.gw) for route in one.parsed_result().routes if route.dst.endswith("/0")}


def expected(one: AttachmentRecord) -> set[tuple[str, str]]:
    """By what is recorded as applied."""
    routes = (item for item in one.applied.get("bridge", ()) if isinstance(item, Route))
    return {(route.dst, route.gateways[0]) for route in routes if route.dst.endswith("/0")}


class TestRecords:
    def test_no_plan_changes_nothing(self) -> None:
        one = made("eth0", 0)
        assert settled(one) == [one]

    @pytest.mark.parametrize(
        ("requests", "holders"),
        [
            ((None, None), [{(V4, "10.1.0.1"), (V6, "fd01::1")}, set()]),
            ((None, ()), [set(), {(V4, "10.2.0.1"), (V6, "fd02::1")}]),
            ((None, ("10.2.0.9",)), [{(V6, "fd01::1")}, {(V4, "10.2.0.9")}]),
            ((None, ("fd02::9",)), [{(V4, "10.1.0.1")}, {(V6, "fd02::9")}]),
            ((("10.1.0.9",), ("fd02::9",)), [{(V4, "10.1.0.9")}, {(V6, "fd02::9")}]),
        ],
    )
    def test_result_and_items_agree(
        self, requests: tuple[Any, ...], holders: list[set[tuple[str, str]]]
    ) -> None:
        """CHECK and DEL of external plugins read the result, those in process the items."""
        records = [made(f"net{n}", n, default_route=request) for n, request in enumerate(requests)]
        after = settled(*records)
        assert [defaults(one) for one in after] == holders
        assert [expected(one) for one in after] == holders

    def test_everything_else_stays(self) -> None:
        before = [made("eth0", 0), made("net1", 1, default_route=("10.2.0.9", "fd02::9"))]
        for old, new in zip(before, settled(*before), strict=True):
            others = [route for route in new.parsed_result().routes if not route.dst.endswith("/0")]
            assert [route.dst for route in others] == ["10.99.0.0/16"]
            assert new.parsed_result().ips == old.parsed_result().ips
            assert [i for i in new.applied["bridge"] if isinstance(i, Address)] == [old.applied["bridge"][0]]

    def test_repeating_it_changes_nothing(self) -> None:
        after = settled(made("eth0", 0), made("net1", 1, default_route=("10.2.0.9",)))
        assert settled(*after) == after

    def test_external_plugins_have_no_items(self) -> None:
        after = settled(
            made("eth0", 0, external=True), made("net1", 1, external=True, default_route=("10.2.0.9",))
        )
        assert [one.applied for one in after] == [{}, {}]
        assert defaults(after[1]) == {(V4, "10.2.0.9")}

    def test_routes_of_other_tables_are_not_default_routes(self) -> None:
        one = made("eth0", 0)
        policy = Route(link="eth0", dst=V4, gateways=("10.1.0.1",), table=100)
        one = record("eth0", 0, one.result, applied={"bridge": (*one.applied["bridge"], policy)})
        after = settled(one, made("net1", 1, default_route=("10.2.0.9",)))
        assert policy in after[0].applied["bridge"]
        assert expected(after[0]) == {(V4, "10.1.0.1"), (V6, "fd01::1")}  # V4: the policy route

    @pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
    def test_result_stays_in_its_version(self, version: str) -> None:
        one = made("eth0", 0, version)
        assert one.result is not None
        if version < "1":
            one.result["ips"][0]["version"], one.result["ips"][1]["version"] = "4", "6"
        (after, _) = settled(one, made("net1", 1, default_route=("10.2.0.9",)))
        assert after.result is not None and after.result["cniVersion"] == version
        assert ("version" in after.result["ips"][0]) == (version < "1")

    def test_old_result_shape(self) -> None:
        result = {
            "cniVersion": "0.2.0",
            "ip4": {"ip": "10.1.0.2/24", "gateway": "10.1.0.1", "routes": [{"dst": V4, "gw": "10.1.0.1"}]},
        }
        (after, _) = settled(record("eth0", 0, result), made("net1", 1, default_route=("10.2.0.9",)))
        assert after.result is not None
        assert after.result["cniVersion"] == "0.2.0"
        assert not after.result["ip4"].get("routes")


def status_of(records: list[AttachmentRecord]) -> str:
    return pod_status(records, [attached(one) for one in records])


class TestStatus:
    def test_gateways_are_those_in_force(self) -> None:
        status = json.loads(status_of([made("eth0", 0), made("net1", 1, default_route=("10.2.0.9",))]))
        assert [(entry["interface"], entry.get("gateway")) for entry in status] == [
            ("eth0", ["fd01::1"]),
            ("net1", ["10.2.0.9"]),
        ]

    def test_same_before_and_after_the_plan(self) -> None:
        records = [made("eth0", 0), made("net1", 1, default_route=("10.2.0.9", "fd02::9"))]
        assert status_of(records) == status_of(settled(*records))

    def test_default_network_is_marked_and_first(self) -> None:
        status = json.loads(status_of([made("eth0", 0), made("net1", 1)]))
        assert [entry.get("default", False) for entry in status] == [True, False]
        assert [entry["name"] for entry in status] == ["default/eth0", "default/net1"]

    def test_nothing_to_tell(self) -> None:
        assert status_of([record("eth0", 0, {"cniVersion": "1.0.0"})]) == "[]"
        assert status_of([record("eth0", 0, None)]) == "[]"

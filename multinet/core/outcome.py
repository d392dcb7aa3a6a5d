"""What a pod has in the end: routes settled over all attachments, and the network-status that says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from multinet.core.desired import MAIN_TABLE, AnyItem, Route
from multinet.core.record import AttachmentRecord
from multinet.core.routes import Attached, DefaultRoutePlan, effective_gateways, installed_item
from multinet.npwg.default_routes import Family, default_family
from multinet.npwg.status import network_status, status_entries


def attached(record: AttachmentRecord) -> Attached:
    """The record as the route plan sees it."""
    return Attached(record.ifname, record.parsed_result(), record.default_route)


def after_route_plan(record: AttachmentRecord, plan: DefaultRoutePlan) -> AttachmentRecord:
    """The record with the default routes that the plan leaves: CHECK and DEL expect those and no others."""
    if not plan:
        return record
    removed = {family for ifname, family in plan.remove if ifname == record.ifname}
    installed = tuple(route for ifname, route in plan.install if ifname == record.ifname)
    before = record.parsed_result()
    replaced = removed | {default_family(route) for route in installed}
    routes = (*(route for route in before.routes if default_family(route) not in replaced), *installed)
    result = msgspec.structs.replace(before, routes=routes)
    applied = {
        kind: tuple(item for item in items if not _is_removed(item, removed))
        for kind, items in record.applied.items()
    }
    if applied and installed:  # a plugin in process compares with what is recorded, others with the result
        first = next(iter(applied))
        there = [(item.dst, item.gateways) for item in _routes_of(applied)]
        added = [installed_item(record.ifname, route) for route in installed]
        applied[first] += tuple(item for item in added if (item.dst, item.gateways) not in there)
    version = (record.result or {}).get("cniVersion", "1.1.0")
    return msgspec.structs.replace(record, result=result.as_version(version), applied=applied)


def pod_status(
    records: Sequence[AttachmentRecord],
    made: Sequence[Attached],
    devices: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """The text of the network-status annotation, the default network's interfaces first.

    ``made`` are the records as the route plan sees them; ``devices`` is the device information by interface.
    """
    known = devices or {}
    gateways = effective_gateways(made)
    return network_status(
        entry
        for record, one, mine in zip(records, made, gateways, strict=True)
        for entry in status_entries(
            record.name,
            one.result,
            is_default=record.position == 0,
            device_info=known.get(record.ifname),
            gateways=mine,
        )
    )


def _routes_of(applied: Mapping[str, tuple[AnyItem, ...]]) -> list[Route]:
    """The routes of the main table among what was applied."""
    items = (item for items in applied.values() for item in items)
    return [item for item in items if isinstance(item, Route) and item.table == MAIN_TABLE]


def _is_removed(item: AnyItem, families: Collection[Family | None]) -> bool:
    if not isinstance(item, Route) or item.table != MAIN_TABLE or not item.dst.endswith("/0"):
        return False
    return (6 if ":" in item.dst else 4) in families

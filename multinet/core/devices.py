"""Which device of a pod goes to which of its networks. Pure.

Source: NPWG multi-network specification 1.3, section 5.2 (``resourceName``); device plugins of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from multinet.cni.errors import CNIError, Code

__all__ = ["Choice", "DeviceRequest", "by_resource", "choose", "needs_device", "with_device"]

_ALWAYS = frozenset({"sriov", "ib-sriov", "accelerated-bridge", "vdpa", "rdma"})
"""Types of plugins that can do nothing without a device."""
_BY_OTHER_MEANS = {"host-device": ("device", "hwaddr", "kernelpath", "pciBusID", "deviceID")}
"""Types that need a device, with the options that name one as well."""


class DeviceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What one attachment asks for; one that asks for no resource has an empty ``resource``."""

    network: str
    """Display name, for messages."""
    resource: str = ""
    """Extended resource whose devices the network takes."""
    pinned: str = ""
    """The device that the pod's annotation asks for."""
    required: bool = False
    """A failure, not a warning, when there is no device."""


class Choice(msgspec.Struct, frozen=True):
    """The devices given, in the order of the requests ("" for none), and what the pod's users should learn."""

    devices: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def by_resource(containers: Iterable[Iterable[tuple[str, Iterable[str]]]]) -> dict[str, tuple[str, ...]]:
    """Device ids by resource, out of each container's (resource, ids).

    Containers keep their order, which says which one a network belongs to; within one the ids are sorted, since
    there the source's order means nothing. A device that two containers have, as an init container and one that
    follows it may, comes once.
    """
    found: dict[str, dict[str, None]] = {}
    for container in containers:
        ids: dict[str, set[str]] = {}
        for resource, some in container:
            ids.setdefault(resource, set()).update(some)
        for resource, all_of_them in ids.items():
            found.setdefault(resource, {}).update(dict.fromkeys(sorted(all_of_them)))
    return {resource: tuple(ids) for resource, ids in found.items()}


def choose(
    requests: Sequence[DeviceRequest],
    allocated: Mapping[str, Sequence[str]],
    held: Mapping[tuple[str, str], str],
) -> Choice:
    """Give each use of a resource its next device; one count a resource, over all of the pod's networks.

    ``allocated`` are the pod's devices by resource, ``held`` says who has a device (resource, id) already; those
    are given to nobody. A pinned device goes to who pinned it. Raises CNIError: code 105 for a pinned device that
    isn't the pod's, and for a required one that isn't there; code 11 when one is required that is still held.
    """
    free = {
        resource: [one for one in ids if (resource, one) not in held] for resource, ids in allocated.items()
    }
    pinned = [_pinned(request, allocated, free) for request in requests]
    devices: list[str] = []
    warnings: list[str] = []
    for request, device in zip(requests, pinned, strict=True):
        left = free.get(request.resource, [])
        if not device and request.resource:
            device = left.pop(0) if left else ""
            if not device:
                warnings.append(_without(request, requests, allocated, held))
        devices.append(device)
    return Choice(tuple(devices), tuple(warnings))


def needs_device(plugins: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a plugin of the network can do nothing without a device, and its options name none."""
    for plugin in plugins:
        kind = plugin.get("type")
        other = _BY_OTHER_MEANS.get(kind, ()) if isinstance(kind, str) else ()
        if kind in _ALWAYS or (other and not any(plugin.get(option) for option in other)):
            return True
    return False


def with_device(network: Mapping[str, Any], device_id: str) -> dict[str, Any]:
    """The configuration with the device in it, as ``deviceID`` and ``pciBusID`` of every plugin."""
    added = {"deviceID": device_id, "pciBusID": device_id}
    if network.get("type"):
        return {**network, **added}
    return {**network, "plugins": [{**plugin, **added} for plugin in network["plugins"]]}


def _pinned(
    request: DeviceRequest, allocated: Mapping[str, Sequence[str]], free: Mapping[str, list[str]]
) -> str:
    """The pinned device, taken out of ``free``; "" when there is no pin, or no device at all to choose from."""
    ids = allocated.get(request.resource, ()) if request.resource else ()
    if not request.pinned or not ids:
        return ""
    who = (
        f'network {request.network}: device "{request.pinned}", which its annotation asks for by "deviceID", '
    )
    if request.pinned not in ids:
        others = f"isn't among the pod's of resource \"{request.resource}\" ({', '.join(ids)})"
        raise CNIError(Code.ATTACHMENT, who + others)
    if request.pinned not in free[request.resource]:
        raise CNIError(Code.TRY_AGAIN, who + "is in use, or is asked for twice")
    free[request.resource].remove(request.pinned)
    return request.pinned


def _without(
    request: DeviceRequest,
    requests: Sequence[DeviceRequest],
    allocated: Mapping[str, Sequence[str]],
    held: Mapping[tuple[str, str], str],
) -> str:
    """Why the request gets no device, as a warning. Raises CNIError when it can't do without one."""
    resource = request.resource
    ids = allocated.get(resource, ())
    users = [f'"{one}" by {held[resource, one]}' for one in ids if (resource, one) in held]
    if not ids:
        reason = f'the pod has no device of resource "{resource}": request it in the resources of a container'
    elif users:
        reason = f'devices of resource "{resource}" are still in use: {", ".join(users)}'
    else:
        wanted = sum(one.resource == resource for one in requests)
        reason = (
            f'the pod has {len(ids)} of resource "{resource}" ({", ".join(ids)}), and {wanted} of its networks use it: '
            "request as many"
        )
    text = f"network {request.network}: {reason}"
    if request.required:
        raise CNIError(Code.TRY_AGAIN if users else Code.ATTACHMENT, text)
    return f"{text}; it is attached without a device"

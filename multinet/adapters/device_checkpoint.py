"""kubelet's own notes of the devices it has given out, for kubelets without the PodResources API.

Source: ``kubelet_internal_checkpoint`` of Kubernetes' device manager, versions 1 and 2 of its layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from multinet.core.devices import by_resource
from multinet.ports import DevicesUnavailable, Pod

__all__ = ["CHECKPOINT", "DeviceCheckpoint"]

CHECKPOINT = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"

_STATIC_UIDS = ("kubernetes.io/config.mirror", "kubernetes.io/config.hash")
"""Annotations of a static pod that have the UID by which kubelet knows it."""


class _Entry(msgspec.Struct, frozen=True, rename="pascal"):
    pod_uid: str = msgspec.field(name="PodUID", default="")
    container_name: str = ""
    resource_name: str = ""
    device_ids: dict[str, list[str] | None] | list[str] | None = msgspec.field(name="DeviceIDs", default=None)
    """By NUMA node; kubelets before 1.20 have a plain list."""

    def ids(self) -> list[str]:
        if isinstance(self.device_ids, list):
            return self.device_ids
        return [one for ids in (self.device_ids or {}).values() for one in ids or ()]


class _Data(msgspec.Struct, frozen=True, rename="pascal"):
    pod_device_entries: list[_Entry] | None = None


class _Checkpoint(msgspec.Struct, frozen=True, rename="pascal"):
    data: _Data


_DECODER = msgspec.json.Decoder(_Checkpoint)


class DeviceCheckpoint:
    """Reads the file at ``path``. Implements the port Devices."""

    def __init__(self, path: str = CHECKPOINT) -> None:
        self._path = path

    def allocated(self, pod: Pod, timeout: float = 10.0) -> Mapping[str, Sequence[str]]:
        """See Devices.allocated; containers come in the order of the file, which is all there is.

        The file is read at once, so ``timeout`` isn't used.
        """
        uids = {pod.uid, *(pod.annotations.get(key, "") for key in _STATIC_UIDS)} - {""}
        if not uids:
            raise DevicesUnavailable("GetPodResourceMap: invalid Pod cannot be empty")
        containers: dict[str, list[tuple[str, list[str]]]] = {}
        for entry in self._entries():
            if entry.pod_uid in uids:
                containers.setdefault(entry.container_name, []).append((entry.resource_name, entry.ids()))
        return by_resource(containers.values())

    def _entries(self) -> Iterator[_Entry]:
        try:
            with open(self._path, "rb") as file:
                data = file.read()
        except OSError as error:
            raise DevicesUnavailable(f"kubelet's checkpoint {self._path}: {error.strerror}") from None
        try:
            yield from _DECODER.decode(data).data.pod_device_entries or ()
        except msgspec.DecodeError as error:
            raise DevicesUnavailable(f"kubelet's checkpoint {self._path}: {error}") from None

"""The devices of a pod that its networks take: who gives them, and that nobody is given another's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from multinet.adapters.device_info_files import DeviceInfoFiles
from multinet.cni.errors import CNIError, Code
from multinet.core.devices import DeviceRequest, choose, needs_device, with_device
from multinet.core.planned import PlannedAttachment
from multinet.core.record import AttachmentRecord
from multinet.core.settings import Settings
from multinet.daemon.call import Call
from multinet.daemon.events import PodEvents
from multinet.daemon.networks import LoadedNetwork
from multinet.ports import Devices, DevicesUnavailable, Journal, Pod

_log = logging.getLogger(__name__)


class DeviceDesk:
    """Hands a pod's devices out to its networks. One a process: two calls never choose at once."""

    def __init__(
        self,
        source: Devices,
        journal: Journal,
        files: DeviceInfoFiles,
        is_gone: Callable[[AttachmentRecord], bool],
        events: PodEvents,
    ) -> None:
        """``is_gone`` says of an attachment that its sandbox isn't there any more, so that its device is back."""
        self._source = source
        self._journal = journal
        self._files = files
        self._is_gone = is_gone
        self._events = events
        self._choosing = threading.Lock()

    @contextmanager
    def given(
        self,
        pod: Pod,
        plan: Sequence[PlannedAttachment],
        loaded: Sequence[LoadedNetwork],
        settings: Settings,
        call: Call,
    ) -> Iterator[list[LoadedNetwork]]:
        """The networks with their devices in them. They are the pod's once its records are in the journal, so
        those are written within the context.

        Raises CNIError: code 105 for a device that a network can't do without, or that the annotation asks for and
        the pod hasn't; code 11 when one is still in use, or nobody can say which devices the pod has.
        """
        if not any(one.resource_name for one in loaded):  # nothing to ask or to wait for
            yield [self._with_file(*both, call) for both in zip(plan, loaded, strict=True)]
            return
        allocated = self._allocated(pod, call)
        requests = [_request(*both, settings) for both in zip(plan, loaded, strict=True)]
        with self._choosing:
            choice = choose(requests, allocated, self._held(pod, call.invocation.container_id))
            for text in choice.warnings:
                _log.warning("pod %s/%s: %s", pod.namespace, pod.name, text)
            given = [_given(*both) for both in zip(loaded, choice.devices, strict=True)]
            yield [self._with_file(*both, call) for both in zip(plan, given, strict=True)]
        self._events.without_device(pod, choice.warnings)

    def _allocated(self, pod: Pod, call: Call) -> Mapping[str, Sequence[str]]:
        if not pod.name:
            return {}
        try:
            return self._source.allocated(pod, call.time_left())
        except DevicesUnavailable as error:
            who = f"Multus: [{pod.namespace}/{pod.name}/{pod.uid}]: "
            raise CNIError(Code.TRY_AGAIN, f"{who}{error}") from None

    def _held(self, pod: Pod, container_id: str) -> dict[tuple[str, str], str]:
        """What other pods have. A pod's own earlier sandbox holds nothing back: kubelet gave it to the pod."""
        return {
            (record.resource_name, record.device_id): f"pod {record.pod} (container {record.container_id})"
            for record in self._journal.all()
            if record.device_id
            and record.container_id != container_id
            and not _is_of(record, pod)
            and not self._is_gone(record)
        }

    def _with_file(self, planned: PlannedAttachment, loaded: LoadedNetwork, call: Call) -> LoadedNetwork:
        """Secondary networks with a device have a file for what is known of it."""
        pinned = planned.selection.device_id if planned.selection else ""
        if planned.is_default or not (loaded.device_id or pinned):
            return loaded
        path = self._files.path(loaded.name, call.invocation.container_id, planned.ifname)
        return msgspec.structs.replace(loaded, device_info_file=path)


def _request(planned: PlannedAttachment, loaded: LoadedNetwork, settings: Settings) -> DeviceRequest:
    pinned = planned.selection.device_id if planned.selection else ""
    plugins = [{"deviceID": pinned, **plugin} for plugin in loaded.network.plugins]
    return DeviceRequest(
        network=loaded.name,
        resource=loaded.resource_name,
        pinned=pinned,
        required=settings.strict_devices or needs_device(plugins),
    )


def _given(loaded: LoadedNetwork, device_id: str) -> LoadedNetwork:
    if not device_id:
        return loaded
    network = with_device(msgspec.json.decode(loaded.network.raw), device_id)
    return msgspec.structs.replace(loaded, network=loaded.network.from_object(network), device_id=device_id)


def _is_of(record: AttachmentRecord, pod: Pod) -> bool:
    if record.pod_uid and pod.uid:
        return record.pod_uid == pod.uid
    return (record.pod_namespace, record.pod_name) == (pod.namespace, pod.name)

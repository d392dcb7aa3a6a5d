"""Devices that Kubernetes' dynamic resource allocation (DRA) gave to a pod.

A claim's allocation names driver, pool and device; which device of the node that is, and of which resource, the
driver publishes as attributes of the device in its ResourceSlices.

Source: Kubernetes API ``resource.k8s.io/v1``; attributes of the NPWG's ``k8s.cni.cncf.io``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

import msgspec

from multinet.adapters.kubernetes_call import Call, Refused
from multinet.adapters.kubernetes_claim_objects import (
    CLAIM,
    POD,
    SLICE,
    Claim,
    Device,
    PodObject,
    RequestMapping,
    Result,
    Slice,
)
from multinet.adapters.kubernetes_objects import Page
from multinet.adapters.kubernetes_session import Session
from multinet.ports import ClusterUnavailable, DevicesUnavailable, Pod

__all__ = ["ResourceClaims"]

log = logging.getLogger(__name__)

_ROOT = "/apis/resource.k8s.io/v1"
_DEVICE_ID = "k8s.cni.cncf.io/deviceID"
_RESOURCE_NAME = "k8s.cni.cncf.io/resourceName"
_NO_DRA = 600.0
"""Seconds for which a cluster without the API group isn't asked again; it may be upgraded."""
_LIMIT = 20.0
"""Seconds for all questions of one pod."""
_PAGE = 500

_PAGES = msgspec.json.Decoder(Page)


class ResourceClaims:
    """Asks the API for the claims of a pod. Implements the port Devices.

    Needs RBAC: get of pods and resourceclaims, list of resourceslices. A pod without claims costs one request,
    a cluster without DRA none once that is known.
    """

    def __init__(self, session: Session, node: str) -> None:
        self._session = session
        self._node = node
        self._absent_until = 0.0

    def allocated(self, pod: Pod, timeout: float = _LIMIT) -> Mapping[str, Sequence[str]]:
        """See Devices.allocated: in the order of the pod's claims."""
        if not pod.name or time.monotonic() < self._absent_until:
            return {}
        question = _Question(self._session, self._node, pod, time.monotonic() + min(timeout, _LIMIT))
        try:
            return question.answer()
        except _NoSuchGroup:
            self._absent_until = time.monotonic() + _NO_DRA
            log.info("no resource.k8s.io/v1 in this cluster: devices come from kubelet only")
            return {}
        except (Refused, ClusterUnavailable, msgspec.DecodeError) as error:
            hint = "; see the manual's RBAC rules" if getattr(error, "status", 0) == 403 else ""
            raise DevicesUnavailable(f"claims of pod {pod.namespace}/{pod.name}: {error}{hint}") from None


class _NoSuchGroup(Exception):
    """The cluster has no DRA, or not in this version."""


class _Question:
    """One look at one pod; what was read is kept for its further claims."""

    def __init__(self, session: Session, node: str, pod: Pod, deadline: float) -> None:
        self._session = session
        self._node = node
        self._pod = pod
        self._deadline = deadline
        self._claims: dict[str, Claim] = {}
        self._slices: dict[str, list[Slice]] = {}

    def answer(self) -> dict[str, list[str]]:
        pod = self._read_pod()
        found: dict[str, dict[str, None]] = {}
        for name in pod.claims():
            for result in self._results(name):
                resource, device_id = self._of_claim(name, result)
                if resource and device_id:
                    found.setdefault(resource, {})[device_id] = None
        extended = pod.status.extended_resource_claim_status
        for mapping in (extended.request_mappings or ()) if extended else ():
            for device_id in self._of_mapping(extended.resource_claim_name if extended else "", mapping):
                found.setdefault(mapping.resource_name, {})[device_id] = None
        return {resource: list(ids) for resource, ids in found.items()}

    def _read_pod(self) -> PodObject:
        path = f"/api/v1/namespaces/{quote(self._pod.namespace, '')}/pods/{quote(self._pod.name, '')}"
        pod = POD.decode(self._get("pods", path))
        if self._pod.uid and not self._pod.static and pod.metadata.uid != self._pod.uid:
            name = f"{self._pod.namespace}/{self._pod.name}"
            text = f'expected pod {name} UID "{self._pod.uid}" but got "{pod.metadata.uid}"'
            raise DevicesUnavailable(text)
        return pod

    def _results(self, claim: str) -> list[Result]:
        allocation = self._claim(claim).status.allocation
        if allocation is None:
            raise DevicesUnavailable(f"claim {claim} has no device allocation")
        return allocation.devices.results or []

    def _of_claim(self, claim: str, result: Result) -> tuple[str, str]:
        """Resource and id of the device; empty ones, with a warning, for a device that isn't a network's."""
        device = self._device(result)
        where = f"claim {claim}: device {result.device} of pool {result.pool} (driver {result.driver})"
        if device is None:
            log.warning("%s: %s is in no ResourceSlice of this node", self._pod.name, where)
            return "", ""
        resource, device_id = device.attribute(_RESOURCE_NAME), device.attribute(_DEVICE_ID)
        if not resource or not device_id:
            missing = _DEVICE_ID if resource else _RESOURCE_NAME
            log.warning("%s: %s has no attribute %s", self._pod.name, where, missing)
        return resource, device_id

    def _of_mapping(self, claim: str, mapping: RequestMapping) -> Iterator[str]:
        """The devices that stand for an extended resource: here they have to be as the mapping says."""
        results = [one for one in self._results(claim) if one.request.split("/")[0] == mapping.request_name]
        if not results:
            raise DevicesUnavailable(f"request {mapping.request_name} not found in claim {claim}")
        for result in results:
            device = self._device(result)
            where = f"claim {claim}, request {mapping.request_name}: device {result.device}"
            if device is None:
                raise DevicesUnavailable(f"{where} is in no ResourceSlice of this node")
            resource, device_id = device.attribute(_RESOURCE_NAME), device.attribute(_DEVICE_ID)
            if resource != mapping.resource_name:
                raise DevicesUnavailable(
                    f'{where} has {_RESOURCE_NAME} "{resource}", expected "{mapping.resource_name}"'
                )
            if not device_id:
                raise DevicesUnavailable(f"{where} has no attribute {_DEVICE_ID}")
            yield device_id

    def _claim(self, name: str) -> Claim:
        if name not in self._claims:
            path = f"{_ROOT}/namespaces/{quote(self._pod.namespace, '')}/resourceclaims/{quote(name, '')}"
            try:
                self._claims[name] = CLAIM.decode(self._get("resourceclaims", path))
            except Refused as error:
                if error.status == 404:
                    self._require_group()
                raise
        return self._claims[name]

    def _require_group(self) -> None:
        """Raises _NoSuchGroup when it isn't the object that is missing, but the whole API."""
        try:
            self._get("resource.k8s.io", _ROOT)
        except Refused as error:
            if error.status == 404:
                raise _NoSuchGroup from None

    def _device(self, result: Result) -> Device | None:
        """The device in the newest generation of its pool that has it."""
        if result.driver not in self._slices:
            self._slices[result.driver] = list(self._list_slices(result.driver))
        ours = [one.spec for one in self._slices[result.driver] if one.spec.pool.name == result.pool]
        for spec in sorted(ours, key=lambda spec: -spec.pool.generation):
            for device in spec.devices or ():
                if device.name == result.device:
                    return device
        return None

    def _list_slices(self, driver: str) -> Iterator[Slice]:
        selector = f"spec.nodeName={self._node},spec.driver={driver}"
        place: tuple[tuple[str, str], ...] = ()
        while True:
            query = (("fieldSelector", selector), ("limit", str(_PAGE)), *place)
            call = Call(verb="list", resource="resourceslices", path=f"{_ROOT}/resourceslices", query=query)
            page = _PAGES.decode(self._session.persist(call, self._deadline))
            yield from map(SLICE.decode, page.items or ())
            if not page.metadata.continue_:
                return
            place = (("continue", page.metadata.continue_),)

    def _get(self, resource: str, path: str) -> bytes:
        return self._session.persist(Call(verb="get", resource=resource, path=path), self._deadline)

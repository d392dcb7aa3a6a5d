"""The two resources that multinet reads from the Kubernetes API, and how their JSON becomes values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

from multinet.adapters.cluster_objects import Metadata, pod_of
from multinet.npwg.attachment_definition import NetworkAttachmentDefinition
from multinet.ports import Pod

__all__ = ["DEFINITIONS", "METADATA", "PODS", "Event", "Head", "Page", "Resource"]

V = TypeVar("V")

METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""``Accept`` that makes the apiserver leave out spec and status: of a pod only the metadata is wanted."""

_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class Resource(msgspec.Struct, Generic[V], frozen=True, kw_only=True):
    """One resource of the API and the value that is kept of each object."""

    name: str
    """Plural, as in RBAC."""
    root: str
    """``/api/v1`` or ``/apis/GROUP/VERSION``."""
    value: Callable[[bytes | msgspec.Raw], V]
    """Raises msgspec.ValidationError for an object that isn't as it has to be."""
    accept: str = "application/json"
    accept_list: str = "application/json"

    @property
    def everywhere(self) -> str:
        """Path of the collection over all namespaces."""
        return f"{self.root}/{self.name}"

    def path(self, namespace: str, name: str, subresource: str = "") -> str:
        """Path of one object, or of its ``subresource`` (``status``)."""
        below = f"/{subresource}" if subresource else ""
        return f"{self.root}/namespaces/{quote(namespace, '')}/{self.name}/{quote(name, '')}{below}"


class _ListMetadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, frozen=True):
    """One page of a list; ``metadata.continue_`` is empty on the last."""

    metadata: _ListMetadata = _ListMetadata()
    items: list[msgspec.Raw] | None = None


class Event(msgspec.Struct, frozen=True):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


class _HeadMetadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class Head(msgspec.Struct, frozen=True):
    """The least that every object has: enough to know which one it is when the rest can't be understood.

    Of a watch's ERROR event, whose object is a Status, ``code`` and ``message``.
    """

    metadata: _HeadMetadata = _HeadMetadata()
    code: int = 0
    message: str = ""


class _PodObject(msgspec.Struct, frozen=True):
    metadata: Metadata


class _Spec(msgspec.Struct, frozen=True):
    config: str | None = None


class _DefinitionObject(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: _Spec | None = None


_POD = msgspec.json.Decoder(_PodObject)
_DEFINITION = msgspec.json.Decoder(_DefinitionObject)


def _pod(raw: bytes | msgspec.Raw) -> Pod:
    return pod_of(_POD.decode(raw).metadata)


def _definition(raw: bytes | msgspec.Raw) -> NetworkAttachmentDefinition:
    found = _DEFINITION.decode(raw)
    return NetworkAttachmentDefinition(
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        config=found.spec.config if found.spec else None,
        annotations=found.metadata.kept_annotations(),
    )


PODS: Resource[Pod] = Resource(
    name="pods", root="/api/v1", value=_pod, accept=METADATA, accept_list=_METADATA_LIST
)
DEFINITIONS: Resource[NetworkAttachmentDefinition] = Resource(
    name="network-attachment-definitions", root="/apis/k8s.cni.cncf.io/v1", value=_definition
)

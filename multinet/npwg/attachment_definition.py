"""NetworkAttachmentDefinition: a named CNI configuration in the cluster.

Source: NPWG multi-network specification 1.3, sections 3 and 4; CRD ``k8s.cni.cncf.io/v1``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cni import jsontext
from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.cni.repeated_keys import require_distinct_sysctls
from multinet.npwg.network_object import check_network_object

__all__ = [
    "ALLOWED_NAMESPACES",
    "API_VERSION",
    "KIND",
    "RESOURCE_NAME",
    "NetworkAttachmentDefinition",
    "network_of",
]

API_VERSION = "k8s.cni.cncf.io/v1"
KIND = "NetworkAttachmentDefinition"
RESOURCE_NAME = "k8s.v1.cni.cncf.io/resourceName"
"""Annotation of the definition: the extended resource whose next device goes to the attachment."""
ALLOWED_NAMESPACES = "multinet.dev/allowed-namespaces"
"""Annotation of the definition: comma list of the namespaces whose pods may use it beside its own; ``*`` is all."""


class _Metadata(msgspec.Struct, frozen=True):
    name: str
    namespace: str = "default"
    annotations: dict[str, str] = {}


class _Spec(msgspec.Struct, frozen=True):
    config: str | None = None


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    metadata: _Metadata
    api_version: str = ""
    kind: str = ""
    spec: _Spec = _Spec()


class NetworkAttachmentDefinition(msgspec.Struct, frozen=True):
    """One definition; ``config`` is the CNI configuration as text, None or "" when it is kept in a file."""

    namespace: str
    name: str
    config: str | None = None
    annotations: Mapping[str, str] = {}

    @classmethod
    def from_object(cls, manifest: Mapping[str, Any]) -> NetworkAttachmentDefinition:
        """The definition in a Kubernetes object; no namespace means ``default``, as ``kubectl`` has it.

        Raises InvalidConfig (code 7) with the JSON path of what isn't as the CRD has it.
        """
        typed = convert(manifest, _Manifest)
        for path, have, want in (
            ("$.apiVersion", typed.api_version, API_VERSION),
            ("$.kind", typed.kind, KIND),
        ):
            if have != want:
                raise InvalidConfig(path, f'expected "{want}", got "{have}"')
        if not typed.metadata.name:
            raise InvalidConfig("$.metadata.name", "must not be empty")
        return cls(
            namespace=typed.metadata.namespace or "default",
            name=typed.metadata.name,
            config=typed.spec.config,
            annotations=typed.metadata.annotations,
        )

    @property
    def display_name(self) -> str:
        """``namespace/name``: how status, events and messages call the network."""
        return f"{self.namespace}/{self.name}"

    @property
    def resource_name(self) -> str:
        """The extended resource that devices of this network come from; "" for none."""
        return self.annotations.get(RESOURCE_NAME, "")

    @property
    def allowed_namespaces(self) -> frozenset[str] | None:
        """Namespaces whose pods may use the network beside its own, ``*`` for all; None when nothing is said of it.

        An empty annotation says: no others.
        """
        value = self.annotations.get(ALLOWED_NAMESPACES)
        if value is None:
            return None
        return frozenset(name for name in map(str.strip, value.split(",")) if name)


def network_of(definition: NetworkAttachmentDefinition) -> dict[str, Any] | None:
    """The CNI configuration object, every key as written, with the definition's name where it has none.

    None when the definition holds no configuration: then the file of that name in ``confDir`` counts.
    Raises CNIError code 6 for text that is no JSON object, code 7 for an object that is no network.
    """
    if not definition.config:
        return None
    where = f"network-attachment-definition {definition.display_name}, $.spec.config: "
    unmarshal = "GetCNIConfig: err in getCNIConfigFromSpec: failed to unmarshal Spec.Config: "
    try:
        network = jsontext.decode(definition.config)
    except jsontext.MalformedJSON as error:
        raise CNIError(Code.DECODING_FAILURE, f"{where}{unmarshal}{error}") from None
    if not isinstance(network, dict):
        problem = f"expected an object, got {type(network).__name__}"
        raise CNIError(Code.DECODING_FAILURE, f"{where}{unmarshal}{problem}")
    try:
        check_network_object(network)
        require_distinct_sysctls(definition.config)
    except CNIError as error:
        raise error.prefixed(where) from None
    if not network.get("name"):
        network["name"] = definition.name
    return network

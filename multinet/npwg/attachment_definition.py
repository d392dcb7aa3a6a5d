"""NetworkAttachmentDefinition: a named CNI configuration in the cluster.

Source: NPWG multi-network specification 1.3, sections 3 and 4; CRD ``k8s.cni.cncf.io/v1``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.npwg.json_text import BadJSON, parse_json

__all__ = ["API_VERSION", "KIND", "RESOURCE_NAME", "NetworkAttachmentDefinition", "network_of"]

API_VERSION = "k8s.cni.cncf.io/v1"
KIND = "NetworkAttachmentDefinition"
RESOURCE_NAME = "k8s.v1.cni.cncf.io/resourceName"
"""Annotation of the definition: the extended resource whose next device goes to the attachment."""


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


def network_of(definition: NetworkAttachmentDefinition) -> dict[str, Any] | None:
    """The CNI configuration object, every key as written, with the definition's name where it has none.

    None when the definition holds no configuration: then the file of that name in ``confDir`` counts.
    Raises CNIError code 6 for text that is no JSON object, code 7 for an object that is no network.
    """
    if not definition.config:
        return None
    where = f"network-attachment-definition {definition.display_name}, $.spec.config"
    unmarshal = "GetCNIConfig: err in getCNIConfigFromSpec: failed to unmarshal Spec.Config"
    try:
        network = parse_json(definition.config)
    except BadJSON as error:
        place = f"line {error.line}, column {error.column}"
        raise CNIError(Code.DECODING_FAILURE, f"{where}, {place}: {unmarshal}: {error.problem}") from None
    if not isinstance(network, dict):
        raise CNIError(
            Code.DECODING_FAILURE, f"{where}: {unmarshal}: expected an object, got {_kind(network)}"
        )
    for key in ("name", "cniVersion", "type"):
        if not isinstance(network.get(key), str | None):
            problem = f"expected a string, got {_kind(network[key])}"
            raise CNIError(Code.INVALID_CONFIG, f"{where}: $.{key}: {problem}")
    if not network.get("type"):
        _check_plugins(network, where)
    if not network.get("name"):
        network["name"] = definition.name
    return network


def _check_plugins(network: Mapping[str, Any], where: str) -> None:
    """Every plugin of a list has a type; upstream looks at the first only, and finds the rest at run time."""
    plugins = network.get("plugins")
    if not plugins or not isinstance(plugins, list):
        problem = "LoadDelegateNetConfList: delegate must have the 'type' or 'plugin' field"
        raise CNIError(Code.INVALID_CONFIG, f"{where}: $.plugins: {problem}")
    for index, plugin in enumerate(plugins):
        kind = plugin.get("type") if isinstance(plugin, dict) else None
        if not kind or not isinstance(kind, str):
            problem = "LoadDelegateNetConfList: a plugin delegate must have the 'type' field"
            raise CNIError(Code.INVALID_CONFIG, f"{where}: $.plugins[{index}].type: {problem}")


def _kind(value: Any) -> str:
    """What JSON calls the value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "a number")

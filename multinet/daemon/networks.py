"""From a planned attachment to the network configuration that its plugins get."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from multinet.cni.conf import NetworkList, NoConfiguration, find_by_name, first_valid, load_file, plugins_in
from multinet.cni.errors import CNIError, Code
from multinet.cni.names import validate_network_name
from multinet.core.permission import require_permission
from multinet.core.planned import (
    DefinitionRef,
    InlineNetwork,
    NamedNetwork,
    PathNetwork,
    PlannedAttachment,
)
from multinet.core.selection import display_name, prepare
from multinet.core.settings import Settings
from multinet.npwg.attachment_definition import NetworkAttachmentDefinition, network_of
from multinet.ports import Cluster, ClusterUnavailable, NotFound

META_TYPES = frozenset({"multinet", "multus", "multus-shim"})
"""Types of the meta-plugin itself: its own configuration never is its default network."""


class LoadedNetwork(msgspec.Struct, frozen=True):
    """A network ready to run, and what status and messages call it."""

    name: str
    network: NetworkList
    resource_name: str = ""
    """The extended resource that it takes a device of; empty for none."""
    device_id: str = ""
    """The device of that resource that it was given; empty for none."""
    device_info_file: str = ""
    """Where its plugins find, or leave, what is known of the device; empty for none."""


def load_network(
    planned: PlannedAttachment, settings: Settings, cluster: Cluster, timeout: Callable[[], float]
) -> LoadedNetwork:
    """The configuration of one planned attachment, what the pod asks for merged in.

    Raises CNIError: code 105 when there is none or the pod may not use it, 6 or 7 for a faulty one, 106 when the
    cluster is away.
    """
    definition, raw = _found(planned, settings, cluster, timeout)
    name = display_name(raw, definition)
    prepared = prepare(raw, planned, cni_version=settings.cni_version)
    try:
        network = NetworkList.from_object(prepared, f"network {name}")
    except CNIError as error:
        raise error.prefixed(f"{planned.name}: ") from None
    if is_meta(network):
        raise CNIError(
            Code.INVALID_CONFIG, f"network {name} is multinet itself: it cannot be its own delegate"
        )
    return LoadedNetwork(name, network, definition.resource_name if definition else "")


def auxiliary_chain(settings: Settings) -> tuple[InlineNetwork, ...]:
    """The network of ``auxiliaryCNIChainName``: a plugin that does nothing, then each ``*.conf`` in the folder of
    that name beside the cluster network's file. None when there is no such file.

    Raises CNIError code 5, 6 or 7 for a file that can't be used.
    """
    name, cluster_network = settings.auxiliary_chain, settings.cluster_network
    if not name or not cluster_network:
        return ()
    validate_network_name(name)
    beside = cluster_network if os.path.isdir(cluster_network) else os.path.dirname(cluster_network)
    plugins = plugins_in(os.path.join(beside, name))
    if not plugins:
        return ()
    chain = [{"type": "passthru", "name": "passthru-cni"}, *plugins]
    return (InlineNetwork({"cniVersion": settings.cni_version, "name": name, "plugins": chain}),)


def _found(
    planned: PlannedAttachment, settings: Settings, cluster: Cluster, timeout: Callable[[], float]
) -> tuple[NetworkAttachmentDefinition | None, Mapping[str, Any]]:
    """As ``_raw``; a failure says which key of the configuration named the network, if one did."""
    try:
        return _raw(planned, settings, cluster, timeout)
    except CNIError as error:
        if not isinstance(planned.source, PathNetwork | NamedNetwork):
            raise
        key = "clusterNetwork" if planned.is_default else "defaultNetworks"
        value = planned.source.path if isinstance(planned.source, PathNetwork) else planned.source.name
        raise error.prefixed(
            f"GetDefaultNetworks: failed to get {key} {value} in namespace {settings.multus_namespace}: "
        ) from None


def _raw(
    planned: PlannedAttachment, settings: Settings, cluster: Cluster, timeout: Callable[[], float]
) -> tuple[NetworkAttachmentDefinition | None, Mapping[str, Any]]:
    match planned.source:
        case InlineNetwork(conf):
            return None, conf
        case PathNetwork(path):
            return None, _object(_by_path(path))
        case NamedNetwork(namespace, name):
            try:
                return _defined(planned, namespace, name, settings, cluster, timeout)
            except CNIError as missing:
                try:
                    return None, _object(find_by_name(settings.conf_dir, name))
                except NoConfiguration as absent:
                    raise CNIError(missing.code, missing.msg, f"as a configuration: {absent}") from None
        case DefinitionRef(namespace, name):
            return _defined(planned, namespace, name, settings, cluster, timeout)


def _defined(
    planned: PlannedAttachment,
    namespace: str,
    name: str,
    settings: Settings,
    cluster: Cluster,
    timeout: Callable[[], float],
) -> tuple[NetworkAttachmentDefinition, Mapping[str, Any]]:
    """The definition, which the pod may use, and what it holds."""
    try:
        definition = cluster.attachment_definition(namespace, name, timeout())
    except NotFound as error:
        require_permission(planned, None, settings)
        raise CNIError(
            Code.ATTACHMENT,
            f"cannot find a network-attachment-definition ({name}) in namespace ({namespace}): {error}",
            f"looked for in namespace {namespace} and in no other: a name alone means the pod's own; "
            f'to take it from another one, ask for "namespace/{name}"',
        ) from None
    except ClusterUnavailable as error:
        raise CNIError(
            Code.CLUSTER, f"cannot read network-attachment-definition {namespace}/{name}: {error}"
        ) from None
    require_permission(planned, definition, settings)
    return definition, _content(definition, settings)


def _content(definition: NetworkAttachmentDefinition, settings: Settings) -> Mapping[str, Any]:
    """What the definition itself says, else the configuration of its name in ``confDir``."""
    raw = network_of(definition)
    if raw is not None:
        return raw
    try:
        return _object(find_by_name(settings.conf_dir, definition.name))
    except NoConfiguration as error:
        raise CNIError(
            Code.ATTACHMENT,
            f"network-attachment-definition {definition.display_name} has no $.spec.config: GetCNIConfig: err in "
            f"GetCNIConfigFromFile: no network available in the name {definition.name} in cni dir "
            f"{settings.conf_dir}",
            str(error),
        ) from None


def _by_path(path: str) -> NetworkList:
    if os.path.isdir(path):
        return first_valid(path, skip=is_meta)
    if not os.path.isfile(path):
        raise CNIError(
            Code.ATTACHMENT,
            f"getNetDelegate: cannot find network: {path}",
            "it is neither a file nor a directory: put the configuration there, or name where it is",
        )
    return load_file(path)


def is_own_configuration(path: str) -> bool:
    """True for a file that configures the meta-plugin; one that can't be read is judged by its name."""
    try:
        network = load_file(path)
    except CNIError:
        return os.path.basename(path).startswith(("00-multinet", "00-multus"))
    return is_meta(network)


def is_meta(network: NetworkList) -> bool:
    """True for a network that is the meta-plugin itself."""
    return any(plugin["type"] in META_TYPES for plugin in network.plugins)


def _object(network: NetworkList) -> Mapping[str, Any]:
    raw: Mapping[str, Any] = msgspec.json.decode(network.raw)
    return raw

"""What one attachment's plugins are given: configuration, capability arguments, ``CNI_ARGS``, display name.

Objects are copied where they change and never rebuilt from types, so that every key survives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.core.planned import PlannedAttachment
from multinet.core.settings import Settings
from multinet.npwg.attachment_definition import NetworkAttachmentDefinition
from multinet.npwg.network_object import plugins_of
from multinet.npwg.selection import NetworkSelection, PortMapping

__all__ = [
    "capability_args",
    "capability_warnings",
    "delegate_args",
    "display_name",
    "prepare",
    "withheld_capabilities",
]

_KUBERNETES_ARGS = ("K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID")
_OF_KUBELET = ("portMappings", "bandwidth")
"""Capabilities whose arguments come from the pod's own specification, with no annotation of a network."""
_ONE_INTERFACE_ARGS = ("MAC", "IP", "GATEWAY")
"""Arguments that mean the default network's interface when the runtime sends them."""


def display_name(network: Mapping[str, Any], definition: NetworkAttachmentDefinition | None) -> str:
    """What status, events and messages call the network, once it is loaded.

    ``namespace/name`` of the definition it came from; else the configuration's name, else its first type.
    """
    if definition is not None:
        return definition.display_name
    return str(network.get("name") or next((plugin.get("type") for plugin in plugins_of(network)), ""))


def capability_args(
    planned: PlannedAttachment,
    runtime_config: Mapping[str, Any],
    device_id: str = "",
    device_info_file: str = "",
) -> dict[str, Any]:
    """The capability arguments of an attachment, by capability; plugins get those that they declare.

    The default network gets what the runtime sent, and only that; others get what their element asks for.
    ``device_id`` is the device that was allocated for the network; it counts before the element's.
    """
    if planned.is_default:
        return dict(runtime_config)
    selection = planned.selection
    device = device_id or (selection.device_id if selection else "")
    args = _requested(selection) if selection else {}
    if device:
        args["deviceID"] = device
        if device_info_file:
            args["CNIDeviceInfoFile"] = device_info_file
    return args


def capability_warnings(
    planned: PlannedAttachment, network: Mapping[str, Any], settings: Settings
) -> tuple[str, ...]:
    """Requests of the element that no plugin of ``network`` takes, since none declares the capability.

    Raises CNIError code 105 instead when ``settings`` are strict about it.
    """
    if planned.is_default or planned.selection is None:
        return ()
    plugins = plugins_of(network)
    ignored = [name for name in _requested(planned.selection) if not _declared(name, plugins)]
    problems = tuple(
        f'{planned.name}: "{name}" is asked for, but no plugin of the network has capabilities.{name}'
        for name in ignored
    )
    if problems and settings.strict_capabilities:
        raise CNIError(Code.ATTACHMENT, "; ".join(problems))
    return problems


def withheld_capabilities(network: Mapping[str, Any], settings: Settings) -> tuple[str, ...]:
    """What the default network's plugins would heed and never get, since the runtime hands over to the meta-plugin
    only what its own configuration declares: host ports then lead nowhere, limits don't hold.
    """
    plugins = plugins_of(network)
    return tuple(
        f'$.capabilities: "{name}" of the default network is not handed over by the runtime: '
        f'add "capabilities": {{"{name}": true}} to this configuration'
        for name in _OF_KUBELET
        if _declared(name, plugins) and not settings.capabilities.get(name)
    )


def delegate_args(args: str, planned: PlannedAttachment, uid: str = "") -> str:
    """``CNI_ARGS`` for an attachment's plugins, made of the request's: the pod, then others, then MAC and IP.

    No key comes twice; malformed pairs are left out. ``uid`` is the pod's, where the runtime sent none.
    Made for ADD; later verbs of the attachment use what ADD used.
    """
    given = dict(pair.split("=", 1) for pair in args.split(";") if pair.find("=") > 0)
    pairs = {"IgnoreUnknown": "true"}
    pairs |= {key: given[key] for key in _KUBERNETES_ARGS if given.get(key)}
    if uid:
        pairs.setdefault("K8S_POD_UID", uid)
    selection = planned.selection
    foreign = () if planned.is_default else _ONE_INTERFACE_ARGS
    wanted = {"MAC": selection.mac, "IP": ",".join(selection.ips)} if selection else {}
    wanted = {key: value for key, value in wanted.items() if value}
    skipped = {*pairs, *_KUBERNETES_ARGS, *foreign, *wanted}
    pairs |= {key: value for key, value in given.items() if key not in skipped}
    return ";".join(f"{key}={value}" for key, value in (pairs | wanted).items())


def prepare(network: Mapping[str, Any], planned: PlannedAttachment, cni_version: str = "") -> dict[str, Any]:
    """The network's configuration as its plugins get it; ``network`` itself stays as it is.

    The element's ``cni-args`` go into ``args.cni`` of every plugin and win over what is there; a list without a
    version takes ``cni_version``. Raises InvalidConfig (code 7) if ``args`` or ``args.cni`` is no object.
    """
    cni_args = planned.selection.cni_args if planned.selection else {}
    if network.get("type"):
        return _extended(network, cni_args, "$")
    prepared = dict(network)
    if cni_version and not prepared.get("cniVersion"):
        prepared["cniVersion"] = cni_version
    prepared["plugins"] = [
        _extended(plugin, cni_args, f"$.plugins[{index}]") for index, plugin in enumerate(network["plugins"])
    ]
    return prepared


def _extended(plugin: Mapping[str, Any], cni_args: Mapping[str, Any], path: str) -> dict[str, Any]:
    extended = dict(plugin)
    if cni_args:
        args = _object(extended.get("args"), f"{path}.args")
        args["cni"] = _object(args.get("cni"), f"{path}.args.cni") | dict(cni_args)
        extended["args"] = args
    return extended


def _object(value: Any, path: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise InvalidConfig(path, f"expected an object, got {type(value).__name__}")
    return dict(value or {})


def _requested(selection: NetworkSelection) -> dict[str, Any]:
    requested: dict[str, Any] = {
        "ips": list(selection.ips),
        "mac": selection.mac,
        "infinibandGUID": selection.infiniband_guid,
        "portMappings": [_port_mapping(mapping) for mapping in selection.port_mappings],
        "bandwidth": msgspec.to_builtins(selection.bandwidth),
        "deviceID": selection.device_id,
    }
    return {name: value for name, value in requested.items() if value}


def _port_mapping(mapping: PortMapping) -> dict[str, Any]:
    """As container runtimes send it: with a protocol, in lower case."""
    built: dict[str, Any] = msgspec.to_builtins(mapping)
    return {**built, "protocol": (mapping.protocol or "tcp").lower()}


def _declared(capability: str, plugins: list[Mapping[str, Any]]) -> bool:
    declared = (plugin.get("capabilities") for plugin in plugins)
    return any(isinstance(names, Mapping) and names.get(capability) is True for names in declared)

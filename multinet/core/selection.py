"""Which networks a pod gets, in which order, under which interface names.

What annotations alone tell to be impossible is refused here: double interface names, more than one gateway a
family. Whether the pod may use the networks is known with their definitions: ``multinet.core.permission``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from multinet.cni.errors import CNIError, Code
from multinet.core.delegate_request import (
    capability_args,
    capability_warnings,
    delegate_args,
    display_name,
    prepare,
    withheld_capabilities,
)
from multinet.core.planned import (
    DefinitionRef,
    InlineNetwork,
    NamedNetwork,
    NetworkSource,
    PathNetwork,
    PlannedAttachment,
)
from multinet.core.routes import refuse_several_gateways
from multinet.core.settings import Settings
from multinet.npwg.selection import (
    DEFAULT_NETWORK,
    NETWORKS,
    NetworkSelection,
    declines_default_networks,
    parse_default_network,
    parse_networks,
    warnings,
)

__all__ = [
    "DefinitionRef",
    "InlineNetwork",
    "NamedNetwork",
    "NetworkSource",
    "PathNetwork",
    "PlannedAttachment",
    "capability_args",
    "capability_warnings",
    "delegate_args",
    "display_name",
    "prepare",
    "select_networks",
    "selection_warnings",
    "withheld_capabilities",
]

_Wanted = tuple[NetworkSource, NetworkSelection | None]


def select_networks(
    annotations: Mapping[str, str],
    namespace: str,
    settings: Settings,
    runtime_ifname: str = "eth0",
    last: Sequence[InlineNetwork] = (),
) -> tuple[PlannedAttachment, ...]:
    """The pod's attachments in the order in which they are made; the first is the default network.

    ``annotations`` and ``namespace`` are the pod's, ``runtime_ifname`` is the caller's ``CNI_IFNAME``, and
    ``last`` are networks that come after all that the pod asks for (``auxiliaryCNIChainName``).
    The same input gives the same plan at every verb. Raises CNIError code 6 or 7 for an annotation or interface
    names that can't be.
    """
    wanted = [_default(annotations, settings), *_everyones(annotations, namespace, settings)]
    for selection in parse_networks(annotations.get(NETWORKS, ""), namespace):
        wanted.append((DefinitionRef(selection.namespace, selection.name), selection))
    wanted += [(network, None) for network in last]
    planned = tuple(
        PlannedAttachment(
            position=position,
            name=_label(source),
            ifname=_ifname(position, selection, runtime_ifname),
            source=source,
            selection=selection,
            asked_from=namespace if selection else "",
        )
        for position, (source, selection) in enumerate(wanted)
    )
    refuse_same_ifname(planned)
    refuse_several_gateways([(attachment.name, attachment.default_route) for attachment in planned])
    return planned


def selection_warnings(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """What is tolerated in the pod's annotations but hardly meant, each with the annotation's name."""
    return tuple(
        f"{key}: {text}" for key in (DEFAULT_NETWORK, NETWORKS) for text in warnings(annotations.get(key, ""))
    )


def refuse_same_ifname(planned: Sequence[PlannedAttachment]) -> None:
    """Every attachment has an interface name of its own, and none is ``lo``. Raises CNIError code 7."""
    owners: dict[str, PlannedAttachment] = {}
    for attachment in planned:
        if attachment.ifname == "lo":
            raise CNIError(
                Code.INVALID_CONFIG,
                f'{_who(attachment)} asks for interface "lo", which every pod has: choose another name',
            )
        first = owners.setdefault(attachment.ifname, attachment)
        if first is not attachment:
            raise CNIError(
                Code.INVALID_CONFIG,
                f'{_who(first)} and {_who(attachment)} both get interface "{attachment.ifname}": '
                'choose another name by "interface" for one of them',
            )


def _default(annotations: Mapping[str, str], settings: Settings) -> _Wanted:
    """The pod's own choice; else the cluster's network, which then need not even exist."""
    annotation = annotations.get(DEFAULT_NETWORK)
    if annotation is not None:
        selection = parse_default_network(annotation, settings.multus_namespace)
        return DefinitionRef(selection.namespace, selection.name), selection
    if settings.cluster_network:
        return _configured(settings.cluster_network, settings), None
    return InlineNetwork(settings.delegates[0]), None


def _everyones(annotations: Mapping[str, str], namespace: str, settings: Settings) -> list[_Wanted]:
    """What the configuration gives to every pod besides the default network."""
    declined = declines_default_networks(annotations)
    if not settings.cluster_network:
        return [(InlineNetwork(conf), None) for conf in settings.delegates[1:]]
    if declined or namespace in settings.system_namespaces:
        return []
    return [(_configured(value, settings), None) for value in settings.default_networks]


def _configured(value: str, settings: Settings) -> NetworkSource:
    return PathNetwork(value) if "/" in value else NamedNetwork(settings.multus_namespace, value)


def _ifname(position: int, selection: NetworkSelection | None, runtime_ifname: str) -> str:
    if selection and selection.interface:
        return selection.interface
    return f"net{position}" if position else runtime_ifname


def _label(source: NetworkSource) -> str:
    match source:
        case DefinitionRef(namespace, name) | NamedNetwork(namespace, name):
            return f"{namespace}/{name}"
        case PathNetwork(path):
            return path
        case InlineNetwork(conf):
            return display_name(conf, None)


def _who(attachment: PlannedAttachment) -> str:
    role = "default network" if attachment.is_default else f"network {attachment.position}"
    return f"{role} ({attachment.name})"

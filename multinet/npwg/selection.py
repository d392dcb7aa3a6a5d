"""Which networks a pod asks for: the network selection annotations, in comma and in JSON form.

Source: NPWG multi-network specification 1.3, section 4; behaviour of Multus 4 where the two differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from multinet.cni import jsontext
from multinet.cni.decode import convert, unknown_keys
from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.npwg.comma_form import parse_comma_form
from multinet.npwg.element_rules import faults
from multinet.npwg.network_selection import Bandwidth, NetworkSelection, PortMapping

__all__ = [
    "CONFIG_SOURCE",
    "DEFAULT_NETWORK",
    "DEFAULT_NETWORKS",
    "NETWORKS",
    "NETWORK_STATUS",
    "Bandwidth",
    "NetworkSelection",
    "PortMapping",
    "declines_default_networks",
    "parse_default_network",
    "parse_networks",
    "warnings",
]

NETWORKS = "k8s.v1.cni.cncf.io/networks"
"""Pod annotation: the pod's secondary attachments."""
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
"""Pod annotation: replaces the cluster's default network for the pod; exactly one element."""
DEFAULT_NETWORKS = "multinet.dev/default-networks"
"""Pod annotation: ``none`` leaves out what ``defaultNetworks`` gives to every pod; ``all`` takes it."""
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
"""Pod annotation, written by the meta-plugin: what was attached."""
CONFIG_SOURCE = "kubernetes.io/config.source"
"""Pod annotation: present and not ``api`` for static pods, whose UID in the API is another one."""

_PARSE = "parsePodNetworkAnnotation: "
_JSON = _PARSE + "failed to parse pod Network Attachment Selection Annotation JSON format: "


class _Element(NetworkSelection, frozen=True, kw_only=True):
    """An element as written: with the key that older clients use for ``interface``."""

    interface_request: str = msgspec.field(name="interfaceRequest", default="")


def parse_networks(annotation: str, default_namespace: str) -> tuple[NetworkSelection, ...]:
    """The elements of ``k8s.v1.cni.cncf.io/networks`` in order; none for an empty text.

    Elements without a namespace get ``default_namespace``. Raises CNIError, code 6 for broken JSON and
    code 7 for elements that break a rule; the message names each fault and where it is.
    """
    if not _is_json(annotation):
        try:
            written = parse_comma_form(annotation)
        except CNIError as error:
            raise error.prefixed(_PARSE) from None
    else:
        written = _parse_json_form(annotation)
    return tuple(
        selection if selection.namespace else msgspec.structs.replace(selection, namespace=default_namespace)
        for selection in written
    )


def parse_default_network(annotation: str, multus_namespace: str) -> NetworkSelection:
    """The one element of ``v1.multus-cni.io/default-network``.

    Raises CNIError code 7 unless there is exactly one, and as ``parse_networks`` does.
    """
    selections = parse_networks(annotation, multus_namespace)
    if not selections:
        raise CNIError(
            Code.INVALID_CONFIG,
            f'{_PARSE}pod annotation does not have "network" as key: {DEFAULT_NETWORK} is present but '
            "names no network; name one or remove the annotation",
        )
    if len(selections) > 1:
        raise CNIError(
            Code.INVALID_CONFIG,
            f"tryLoadK8sPodDefaultNetwork: more than one default network is specified: {annotation}",
        )
    return selections[0]


def declines_default_networks(annotations: Mapping[str, str]) -> bool:
    """Whether the pod does without the networks that the configuration gives to every pod.

    Its default network isn't one of these. Raises CNIError code 7 for a value that is neither.
    """
    value = annotations.get(DEFAULT_NETWORKS, "all").strip()
    if value not in ("all", "none"):
        raise CNIError(Code.INVALID_CONFIG, f'{DEFAULT_NETWORKS}: expected "none" or "all", got "{value}"')
    return value == "none"


def warnings(annotation: str) -> tuple[str, ...]:
    """What is tolerated in the annotation but hardly meant: unknown keys, keys in another case.

    Keys with a dot (reverse DNS) are other people's and pass. Text that can't be parsed has no warnings.
    """
    if not _is_json(annotation):
        return ()
    try:
        elements = jsontext.decode(annotation)
    except jsontext.MalformedJSON:
        return ()
    if not isinstance(elements, list):
        return ()
    return tuple(text for index, element in enumerate(elements) for text in _odd_keys(element, f"$[{index}]"))


def _is_json(annotation: str) -> bool:
    return any(mark in annotation for mark in '[{"')


def _parse_json_form(annotation: str) -> list[NetworkSelection]:
    try:
        elements = jsontext.decode(annotation)
    except jsontext.MalformedJSON as error:
        raise CNIError(Code.DECODING_FAILURE, f"{_JSON}{error}") from None
    if not isinstance(elements, list):
        raise CNIError(
            Code.INVALID_CONFIG, f"{_JSON}$: expected an array of objects, got {type(elements).__name__}"
        )
    selections: list[NetworkSelection] = []
    problems: list[str] = []
    for index, raw in enumerate(elements):
        path = f"$[{index}]"
        try:
            element = _element(raw, path)
        except InvalidConfig as error:
            raise error.prefixed(_JSON) from None
        problems.extend(faults(element, path))
        selections.append(element)
    if problems:
        raise CNIError(Code.INVALID_CONFIG, _PARSE + "; ".join(problems))
    return selections


def _element(raw: Any, path: str) -> NetworkSelection:
    if not isinstance(raw, Mapping):
        raise InvalidConfig(path, f"expected an object, got {type(raw).__name__}")
    written = convert(raw, _Element, path)
    fields = {name: getattr(written, name) for name in NetworkSelection.__struct_fields__}
    fields["interface"] = written.interface or written.interface_request
    return NetworkSelection(**fields)


def _odd_keys(element: Any, path: str) -> Iterator[str]:
    if not isinstance(element, Mapping):
        return
    yield from _odd_keys_of(element, _Element, path)
    mappings = element.get("portMappings")
    for index, mapping in enumerate(mappings if isinstance(mappings, list) else ()):
        if isinstance(mapping, Mapping):
            yield from _odd_keys_of(mapping, PortMapping, f"{path}.portMappings[{index}]")
    if isinstance(element.get("bandwidth"), Mapping):
        yield from _odd_keys_of(element["bandwidth"], Bandwidth, f"{path}.bandwidth")


def _odd_keys_of(raw: Mapping[str, Any], to: type[msgspec.Struct], path: str) -> Iterator[str]:
    strange = unknown_keys(raw, to)
    exact = {field.encode_name.lower(): field.encode_name for field in msgspec.structs.fields(to)}
    for key in raw:
        if key in strange:
            near = strange[key]
            if "." not in key:
                yield f'{path}: unknown key "{key}"' + (f', did you mean "{near}"?' if near else "")
        elif key != exact[key.lower()]:
            yield f'{path}: key "{key}" is read as "{exact[key.lower()]}"'

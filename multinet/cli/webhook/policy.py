"""What only some namespaces may write into their NetworkAttachmentDefinitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

__all__ = ["Policy", "violations"]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is reserved unless it is said."""

    types: frozenset[str] = frozenset()
    """Plugin types, address managers and inner delegates included, that only ``namespaces`` may use."""
    paths: bool = False
    """Whether files of the node are reserved as well: values that are paths, and definitions kept in a file."""
    namespaces: frozenset[str] = frozenset()


def violations(namespace: str, network: Mapping[str, Any] | None, policy: Policy) -> Iterator[str]:
    """What of ``network`` the namespace may not use, each with its JSON path; None is one kept in a node's file."""
    if namespace in policy.namespaces:
        return
    if network is not None:
        yield from _found(network, "$", policy, namespace)
    elif policy.paths:
        yield f"$.spec.config: namespace {namespace} may not use configurations out of the node's files: write it here"


def _found(value: Any, path: str, policy: Policy, namespace: str) -> Iterator[str]:
    match value:
        case Mapping():
            kind = next((inner for key, inner in value.items() if key.lower() == "type"), None)
            if isinstance(kind, str) and kind in policy.types:
                yield f'{path}.type: namespace {namespace} may not use "{kind}"'
            for key, inner in value.items():
                yield from _found(inner, f"{path}.{key}", policy, namespace)
        case list():
            for index, inner in enumerate(value):
                yield from _found(inner, f"{path}[{index}]", policy, namespace)
        case str() if policy.paths and _is_path(value):
            yield f'{path}: namespace {namespace} may not name files of the node, got "{value}"'


def _is_path(text: str) -> bool:
    """Addresses with a prefix length have a slash too, but never first, and no dots as a step."""
    return text.lstrip().startswith("/") or ".." in text.split("/") or text.startswith("./")

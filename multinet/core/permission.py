"""Who may use which network: isolation of namespaces, and what a definition itself says of its users.

Asked with the definition at hand and before its configuration is looked at, so that nobody learns anything of a
network that isn't his, not even whether there is one.
"""

from __future__ import annotations

from multinet.cni.errors import CNIError, Code
from multinet.core.planned import DefinitionRef, PlannedAttachment
from multinet.core.settings import Settings
from multinet.npwg.attachment_definition import ALLOWED_NAMESPACES, NetworkAttachmentDefinition

__all__ = ["require_permission"]


def require_permission(
    planned: PlannedAttachment, definition: NetworkAttachmentDefinition | None, settings: Settings
) -> None:
    """Whether the pod's namespace may use the network that ``planned`` asks for.

    Its own it may. Of another namespace's, a definition with ``multinet.dev/allowed-namespaces`` alone decides,
    isolation or not; without it, isolation does: then it may use those of the open namespaces. Networks that the
    configuration names are the administrator's and open to all.
    ``definition``: None when there is none by that name. Raises CNIError code 105.
    """
    source, user = planned.source, planned.asked_from
    if not user or not isinstance(source, DefinitionRef) or source.namespace == user:
        return
    allowed = definition.allowed_namespaces if definition else None
    if allowed is None:
        _require_open(source, user, planned, settings)
    elif not allowed & {user, "*"}:
        raise CNIError(
            Code.ATTACHMENT,
            f"network-attachment-definition {source.namespace}/{source.name} may not be used by pods of namespace "
            f"{user}: its annotation {ALLOWED_NAMESPACES} does not name it",
            f"network {planned.name}; add {user} to the annotation, or take another network",
        )


def _require_open(source: DefinitionRef, user: str, planned: PlannedAttachment, settings: Settings) -> None:
    """Isolation, with ``multusNamespace`` open to the choice of a default network."""
    if not settings.namespace_isolation:
        return
    allowed = settings.open_namespaces | ({settings.multus_namespace} if planned.is_default else set())
    if source.namespace in allowed:
        return
    raise CNIError(
        Code.ATTACHMENT,
        "GetNetworkDelegates: namespace isolation enabled, annotation violates permission, "
        f"pod is in namespace {user} but refers to target namespace {source.namespace}",
        f"network {planned.name}; allowed are {', '.join(sorted(allowed | {user}))}: use one of them, add the "
        f"namespace to globalNamespaces, or have the network's owner annotate it with {ALLOWED_NAMESPACES}: {user}",
    )

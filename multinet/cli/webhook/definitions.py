"""The cluster's NetworkAttachmentDefinitions, followed by one watch."""

from __future__ import annotations

from multinet.adapters.kubernetes_config import KubernetesConfig, require_way_in
from multinet.adapters.kubernetes_informer import Informer
from multinet.adapters.kubernetes_objects import DEFINITIONS
from multinet.adapters.kubernetes_session import Session
from multinet.npwg.attachment_definition import NetworkAttachmentDefinition
from multinet.ports import ClusterUnavailable

__all__ = ["KnownDefinitions"]


class KnownDefinitions:
    """Answers from memory, and never waits for the apiserver, which waits for the answer.

    Needs RBAC: list and watch of network-attachment-definitions.
    """

    def __init__(self, config: KubernetesConfig) -> None:
        """Raises InvalidConfig when there is no way to an API."""
        require_way_in(config)
        self._session = Session(config)
        self._informer = Informer(self._session, config, DEFINITIONS)
        self._informer.start()

    def find(self, namespace: str, name: str) -> NetworkAttachmentDefinition | None:
        """The definition; None when there is none. Raises ClusterUnavailable before the first list."""
        if not self._informer.synced(0):
            raise ClusterUnavailable(f"the definitions aren't known yet: {self._informer.problem}")
        return self._informer.get(namespace, name)

    def close(self) -> None:
        """End the watch."""
        self._informer.stop()
        self._session.close()
        self._informer.join(timeout=1.0)

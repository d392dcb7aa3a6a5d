"""The cluster that the node's options name, with what goes along with it: events, and a hold on the node."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

from multinet.daemon.events import NoEvents
from multinet.ports import Cluster, Devices, Events, NodeControl

if TYPE_CHECKING:
    from multinet.adapters.kubernetes_config import KubernetesConfig
    from multinet.daemon.app import Options

__all__ = ["ClusterAccess", "in_kubernetes", "kubernetes_config", "open_cluster"]


class ClosableEvents(Events, Protocol):
    """Events that may still be on their way at the end."""

    def close(self, timeout: float = 1.0) -> None:
        """Deliver what is waiting, for ``timeout`` seconds at most."""


class ClusterAccess(NamedTuple):
    """One cluster behind its ports."""

    cluster: Cluster
    events: ClosableEvents
    control: NodeControl | None
    """None where there are no nodes: a directory of manifests."""
    claims: Devices | None = None
    """Devices that the cluster itself allocates (DRA); None where there is no API that could."""

    def close(self) -> None:
        """Deliver the last events, then end watches and connections."""
        self.events.close()
        self.cluster.close()


def open_cluster(options: Options) -> ClusterAccess:
    """The cluster that the options name. Raises InvalidConfig when there is no way to reach one."""
    if options.manifests:
        from multinet.adapters.cluster_directory import DirectoryCluster

        return ClusterAccess(DirectoryCluster(options.manifests), NoEvents(), None)
    return in_kubernetes(kubernetes_config(options))


def in_kubernetes(config: KubernetesConfig) -> ClusterAccess:
    """Everything over one session. Raises InvalidConfig."""
    # The client costs 35 MB: only who talks to an apiserver pays for it.
    from multinet.adapters.cluster_kubernetes import KubernetesCluster
    from multinet.adapters.kubernetes_claims import ResourceClaims
    from multinet.adapters.kubernetes_events import KubernetesEvents
    from multinet.adapters.kubernetes_node import KubernetesNode

    cluster = KubernetesCluster(config)
    session = cluster.session
    return ClusterAccess(
        cluster,
        KubernetesEvents(session, config.node),
        KubernetesNode(session, config.node),
        ResourceClaims(session, config.node),
    )


def kubernetes_config(options: Options) -> KubernetesConfig:
    """How the options say that the API is reached, and for which node."""
    from multinet.adapters.kubernetes_config import KubernetesConfig

    node = options.node_name or os.environ.get("MULTINET_NODE_NAME") or os.uname().nodename
    return KubernetesConfig(node=node, kubeconfig=options.kubeconfig)

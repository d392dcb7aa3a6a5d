"""The cluster that the node's options name, with what goes along with it: events, and a hold on the node."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from multinet.daemon.events import NoEvents
from multinet.ports import Cluster, Devices, Events, NodeControl

if TYPE_CHECKING:
    from multinet.adapters.kubernetes_config import KubernetesConfig
    from multinet.adapters.node_certificate import CertificateKeeper
    from multinet.adapters.published_kubeconfig import PublishedKubeconfig
    from multinet.daemon.options import Options

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
    certificate: CertificateKeeper | None = None
    """Keeps the node's own client certificate, if it has one."""
    kubeconfig: PublishedKubeconfig | None = None
    """Keeps a kubeconfig for other plugins, if one is wanted."""

    def start(self) -> None:
        """Begin what goes on beside the calls, in a daemon."""
        for keeper in (self.certificate, self.kubeconfig):
            if keeper is not None:
                keeper.start()

    def close(self) -> None:
        """Deliver the last events, then end watches and connections."""
        self.events.close()
        for keeper in (self.certificate, self.kubeconfig):
            if keeper is not None:
                keeper.stop()
        self.cluster.close()


def open_cluster(options: Options) -> ClusterAccess:
    """The cluster that the options name. Raises InvalidConfig when there is no way to reach one."""
    if options.manifests:
        from multinet.adapters.cluster_directory import DirectoryCluster

        return ClusterAccess(DirectoryCluster(options.manifests), NoEvents(), None)
    config = kubernetes_config(options)
    published = _published(options, config)
    return in_kubernetes(config, _certificate(options, config))._replace(kubeconfig=published)


def in_kubernetes(config: KubernetesConfig, certificate: CertificateKeeper | None = None) -> ClusterAccess:
    """Everything over one session, by the credentials of ``config``, or by ``certificate``. Raises InvalidConfig."""
    # The client costs 35 MB: only who talks to an apiserver pays for it.
    from multinet.adapters.cluster_kubernetes import KubernetesCluster
    from multinet.adapters.kubernetes_claims import ResourceClaims
    from multinet.adapters.kubernetes_events import KubernetesEvents
    from multinet.adapters.kubernetes_node import KubernetesNode

    if certificate is not None:
        config = msgspec.structs.replace(config, client_certificate=certificate.path)
    cluster = KubernetesCluster(config)
    session = cluster.session
    if certificate is not None:
        session.unauthorized = certificate.distrusted
    return ClusterAccess(
        cluster,
        KubernetesEvents(session, config.node),
        KubernetesNode(session, config.node),
        ResourceClaims(session, config.node),
        certificate,
    )


def _published(options: Options, config: KubernetesConfig) -> PublishedKubeconfig | None:
    if not options.publish_kubeconfig:
        return None
    from multinet.adapters.published_kubeconfig import PublishedKubeconfig

    return PublishedKubeconfig(config, options.publish_kubeconfig)


def _certificate(options: Options, config: KubernetesConfig) -> CertificateKeeper | None:
    if not options.certificate_dir:
        return None
    from multinet.adapters.node_certificate import CertificateKeeper, Renewal

    return CertificateKeeper(config, options.certificate_dir, Renewal(duration=options.certificate_seconds))


def kubernetes_config(options: Options) -> KubernetesConfig:
    """How the options say that the API is reached, and for which node."""
    from multinet.adapters.kubernetes_config import KubernetesConfig

    node = options.node_name or os.environ.get("MULTINET_NODE_NAME") or os.uname().nodename
    return KubernetesConfig(
        node=node, kubeconfig=options.kubeconfig, api_server=options.api_server, api_ca=options.api_ca
    )

"""What the daemon, and a call with no daemon, need to know of the node."""

from __future__ import annotations

import os
from typing import Any, Literal

import msgspec

from multinet.adapters.device_info_files import DeviceInfoFiles
from multinet.daemon.events import EventLevel

__all__ = ["Options"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon, and an inline call, need to know of the node."""

    socket: str = "/run/multinet/multinet.sock"
    multus_socket: str = ""
    """Where Multus' own shim, and controllers that plug interfaces in, connect to; empty: nowhere."""
    state_dir: str = "/var/lib/multinet"
    """Journal and spool."""
    manifests: str = ""
    """Directory of pods and NetworkAttachmentDefinitions; empty: Kubernetes."""
    kubeconfig: str = ""
    """Empty: the service account of the pod we run in."""
    node_name: str = ""
    api_server: str = ""
    """URL of the Kubernetes API, where the kubeconfig's or the service's address isn't the one to use."""
    api_ca: str = ""
    """File of certificate authorities for ``api_server``."""
    publish_kubeconfig: str = ""
    """Where a kubeconfig with the service account's token is kept for other plugins. Empty: nowhere."""
    certificate_dir: str = ""
    """Where the node's own client certificate is kept; ``kubeconfig`` then serves to ask for it. Empty: none."""
    certificate_seconds: int = 600
    """Its life, as it is asked for."""
    conf_dir: str = "/etc/cni/net.d"
    """Where the default network is found when the configuration names none."""
    named_conf_dir: str = "/etc/cni/multus/net.d"
    """Where networks without a configuration of their own are found by name."""
    multus_cni_dir: str = "/var/lib/cni/multus"
    """Where Multus left what it knows of its pods."""
    bin_dir: str = ""
    """Searched for external plugins before the caller's CNI_PATH."""
    host_root: str = ""
    """Where the node's own file system is seen, for a daemon in a container: external plugins run in it."""
    pod_resources: str = "/var/lib/kubelet/pod-resources/kubelet.sock"
    """Socket by which kubelet says which devices a pod has."""
    device_checkpoint: str = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"
    """kubelet's own file of that, where there is no such socket."""
    device_info: str = "/var/run/k8s.cni.cncf.io/devinfo"
    """Folder of device information: ``dp`` is written by device plugins, ``cni`` is for the networks' plugins."""
    namespace_isolation: Literal["", "on", "off"] = ""
    """Whether pods are kept to networks of their own namespace, where the configuration says nothing. Empty:
    those of type ``multinet`` are, those of Multus' types aren't, as with Multus."""
    events: EventLevel = "warnings"
    """Which events pods get; see ``daemon.events``."""
    overrides: dict[str, Any] = {}
    """Keys of the meta-plugin's configuration that count before a call's own."""
    metrics: str = ""
    """Where metrics are served, as ``PORT`` or ``ADDRESS:PORT``. Empty: nowhere, and none are kept."""
    workers: int = 8

    @property
    def journal(self) -> str:
        """The journal's file."""
        return os.path.join(self.state_dir, "journal.db")

    @property
    def spool(self) -> str:
        """The directory where shims leave DELs."""
        return os.path.join(self.state_dir, "spool")

    @property
    def leases(self) -> str:
        """The directory of DHCP leases."""
        return os.path.join(self.state_dir, "dhcp")

    @property
    def plugin_path(self) -> tuple[str, ...]:
        """Where external plugins are looked for when no caller says it."""
        return (self.bin_dir or "/opt/cni/bin",)

    @property
    def device_files(self) -> DeviceInfoFiles:
        """The folders of device information."""
        return DeviceInfoFiles(os.path.join(self.device_info, "dp"), os.path.join(self.device_info, "cni"))

    @property
    def defaults(self) -> dict[str, Any]:
        """Keys of the meta-plugin's configuration that hold where a call's own says nothing."""
        given: dict[str, Any] = {
            "clusterNetwork": self.conf_dir,
            "confDir": self.named_conf_dir,
            "binDir": self.bin_dir,
        }
        if self.namespace_isolation:
            given["namespaceIsolation"] = self.namespace_isolation == "on"
        return {key: value for key, value in given.items() if value != ""}

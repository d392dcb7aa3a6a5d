"""The daemon put together: which adapters stand behind the ports, in which order things start and stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from multinet.adapters.device_info_files import DeviceInfoFiles
from multinet.adapters.firewall import HostFirewall, choose_backend
from multinet.adapters.journal import SqliteJournal
from multinet.adapters.kernel import Kernel
from multinet.adapters.netns import Netns
from multinet.adapters.node_devices import NodeDevices
from multinet.adapters.service_manager import inherited_listeners, notify
from multinet.adapters.spool import Spool
from multinet.cni.errors import CNIError, Code
from multinet.cni.execution import ExecutableRunner
from multinet.daemon.attachments import Attachments
from multinet.daemon.background import Background, drain
from multinet.daemon.cluster_access import ClusterAccess, open_cluster
from multinet.daemon.collection import sandbox_is_gone
from multinet.daemon.devices import DeviceDesk
from multinet.daemon.elsewhere import InNamespace
from multinet.daemon.events import EventLevel, PodEvents
from multinet.daemon.exchange import Door
from multinet.daemon.handler import Handler
from multinet.daemon.inherited import Inherited
from multinet.daemon.remembered import Remembered
from multinet.daemon.server import Server
from multinet.daemon.service import Service
from multinet.daemon.shared import Shared
from multinet.delegates.dhcp import dhcp
from multinet.delegates.dhcp_interface import PodInterfaces
from multinet.dhcp.keeper import Keeper
from multinet.sdk import registry

if TYPE_CHECKING:
    from multinet.daemon.multus_api.api import MultusApi
    from multinet.daemon.safety import SafetyPlan

_log = logging.getLogger(__name__)
_BACKEND_SECONDS = 30.0
"""How long a host is taken to keep to the packet filter that it uses."""


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


class Application:
    """Handler and service over real adapters: what daemon and inline calls have in common."""

    def __init__(
        self, options: Options, host: Netns | None = None, access: ClusterAccess | None = None
    ) -> None:
        """``host`` is the node's own namespace, the caller's by default; ``access``, which is closed with the
        application, the cluster that ``options`` name.

        Raises CNIError when the journal or the cluster can't be opened.
        """
        self.options = options
        self.access = access or open_cluster(options)
        self.cluster = self.access.cluster
        self.journal = SqliteJournal(options.journal)
        kernel = Kernel(host)
        runner = ExecutableRunner(root=options.host_root)
        plugins = InNamespace(host, runner) if host else runner
        self._firewall = HostFirewall(kernel.host_netns)
        backend = Remembered(lambda: choose_backend(kernel.host_netns), _BACKEND_SECONDS)
        files = options.device_files
        events = PodEvents(self.access.events, options.events)
        source = NodeDevices(options.pod_resources, options.device_checkpoint, self.access.claims)
        self.shared = Shared(
            self.cluster,
            self.journal,
            Attachments(kernel, self._firewall, plugins, backend, files),
            Inherited(self.journal, options.multus_cni_dir, options.plugin_path),
            DeviceDesk(source, self.journal, files, sandbox_is_gone, events),
            events,
        )
        self.handler = Handler(self.shared, options.defaults)
        self.service = Service(self.handler, options.overrides)
        self.spool = Spool(options.spool)

    def close(self) -> None:
        """Give everything back."""
        self.access.close()
        self._firewall.close()
        self.journal.close()


def load_delegates() -> None:
    """Load every delegate now, so that the first pod doesn't wait for it. One that can't be loaded is logged:
    it fails the pods that ask for it, and no others.
    """
    for kind in registry.types():
        try:
            registry.plugin(kind)
        except CNIError as error:
            _log.error("%s", error)


def multus_api(application: Application) -> MultusApi | None:
    """What serves Multus' callers; None when nobody is to be served."""
    options = application.options
    if not options.multus_socket:
        return None
    # Its parser of HTTP is half a megabyte that a node without such callers needn't have.
    from multinet.daemon.hot_plug import HotPlug
    from multinet.daemon.multus_api.api import MultusApi

    hot_plug = HotPlug(application.shared, options.bin_dir)
    return MultusApi(application.service, application.handler, hot_plug, options.plugin_path[0])


def run_daemon(options: Options, plan: SafetyPlan) -> None:
    """Serve until SIGTERM or SIGINT; calls that are waiting then are still finished."""
    # A call with no daemon needs none of it.
    from multinet.adapters.cri import CriSandboxes
    from multinet.daemon.doors import own_door
    from multinet.daemon.orphans import Orphans
    from multinet.daemon.safety import Safety

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    application = Application(options)
    leases = Keeper(options.leases, PodInterfaces())
    try:
        application.access.start()
        leases.start()
        dhcp.serve(leases)
        api = multus_api(application)
        safety = Safety(application, plan)
        own = own_door(application, safety)
        doors = [own, *([Door(options.multus_socket, api.exchange)] if api else [])]
        server = Server(doors, workers=options.workers, inherited=inherited_listeners())
        _catch_up(application)
        runtime = CriSandboxes(plan.boot.runtime_socket if plan.boot else "")
        orphans = Orphans(application.shared, runtime)
        background = Background(application.handler, application.service, application.spool, orphans=orphans)
        server.start()
        background.start()
        safety.start()
        _log.info("serving on %s", options.socket)
        notify("READY=1")
        stop.wait()
        _log.info("stopping")
        notify("STOPPING=1")
        safety.stop()
        if api:
            api.retire()
        server.stop()
        background.stop()
    finally:
        leases.stop()
        application.close()


def _catch_up(application: Application) -> None:
    """Before the first call: finish or undo what was begun, and carry out what came while we were away."""
    try:
        application.handler.recover()
        done = drain(application.spool, application.service)
        if done:
            _log.info("carried out %d spooled DEL", done)
    except CNIError as error:
        if error.code == Code.INTERNAL:
            raise
        _log.error("catching up: %s", error)

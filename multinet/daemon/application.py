"""Handler and service put together: which adapters stand behind the ports."""

from __future__ import annotations

from multinet.adapters.firewall import HostFirewall, choose_backend
from multinet.adapters.journal import SqliteJournal
from multinet.adapters.kernel import Kernel
from multinet.adapters.netns import Netns
from multinet.adapters.node_devices import NodeDevices
from multinet.adapters.spool import Spool
from multinet.cni.execution import ExecutableRunner
from multinet.daemon.attachments import Attachments
from multinet.daemon.cluster_access import ClusterAccess, open_cluster
from multinet.daemon.collection import sandbox_is_gone
from multinet.daemon.devices import DeviceDesk
from multinet.daemon.elsewhere import InNamespace
from multinet.daemon.events import PodEvents
from multinet.daemon.handler import Handler
from multinet.daemon.inherited import Inherited
from multinet.daemon.options import Options
from multinet.daemon.remembered import Remembered
from multinet.daemon.service import Service
from multinet.daemon.shared import Shared
from multinet.ports import UNMEASURED, Measures
from multinet.sdk.measured import MeasuredExecutor

__all__ = ["Application"]

_BACKEND_SECONDS = 30.0
"""How long a host is taken to keep to the packet filter that it uses."""


class Application:
    """Handler and service over real adapters: what daemon and inline calls have in common."""

    def __init__(
        self,
        options: Options,
        host: Netns | None = None,
        access: ClusterAccess | None = None,
        measures: Measures = UNMEASURED,
    ) -> None:
        """``host`` is the node's own namespace, the caller's by default; ``access``, which is closed with the
        application, the cluster that ``options`` name; ``measures`` is told of calls.

        Raises CNIError when the journal or the cluster can't be opened.
        """
        self.options = options
        self.measures = measures
        self.access = access or open_cluster(options)
        self.cluster = self.access.cluster
        self.journal = SqliteJournal(options.journal)
        kernel = Kernel(host)
        runner = ExecutableRunner(root=options.host_root)
        plugins = MeasuredExecutor(InNamespace(host, runner) if host else runner, measures)
        self._firewall = HostFirewall(kernel.host_netns)
        backend = Remembered(lambda: choose_backend(kernel.host_netns), _BACKEND_SECONDS)
        files = options.device_files
        events = PodEvents(self.access.events, options.events)
        source = NodeDevices(options.pod_resources, options.device_checkpoint, self.access.claims)
        self.shared = Shared(
            self.cluster,
            self.journal,
            Attachments(kernel, self._firewall, plugins, backend, files, measures),
            Inherited(self.journal, options.multus_cni_dir, options.plugin_path),
            DeviceDesk(source, self.journal, files, sandbox_is_gone, events),
            events,
        )
        self.handler = Handler(self.shared, options.defaults)
        self.service = Service(self.handler, options.overrides, measures)
        self.spool = Spool(options.spool)

    def close(self) -> None:
        """Give everything back."""
        self.access.close()
        self._firewall.close()
        self.journal.close()

"""What calls for whole pods and calls for single attachments have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from multinet.cni.turns import Turns
from multinet.daemon.attaching import Attaching
from multinet.daemon.attachments import Attachments
from multinet.daemon.devices import DeviceDesk
from multinet.daemon.events import NoEvents, PodEvents
from multinet.daemon.gate import Gate
from multinet.daemon.inherited import Inherited
from multinet.daemon.late_status import LateStatus
from multinet.daemon.recent_failures import RecentFailures
from multinet.daemon.removal import Removal
from multinet.daemon.steps import Threads
from multinet.ports import Cluster, Journal


@dataclass(frozen=True)
class Shared:
    """The node's adapters, and the order in which calls use them."""

    cluster: Cluster
    journal: Journal
    attachments: Attachments
    inherited: Inherited
    devices: DeviceDesk
    events: PodEvents = field(default_factory=lambda: PodEvents(NoEvents()))
    failures: RecentFailures = field(default_factory=RecentFailures)
    late: LateStatus = field(default_factory=LateStatus)
    threads: Threads = field(default_factory=Threads)
    turns: Turns = field(default_factory=Turns)
    """Calls of one container come one after another."""
    adding: Gate = field(default_factory=Gate)
    """Closed while what no attachment claims is collected."""

    @property
    def attaching(self) -> Attaching:
        """Makes attachments."""
        return Attaching(self.cluster, self.journal, self.attachments, self.devices, self.late, self.threads)

    @property
    def removal(self) -> Removal:
        """Takes attachments away."""
        return Removal(self.journal, self.attachments)

"""The daemon as a process: in which order its parts start and stop."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING

from multinet.adapters.cri import CriSandboxes
from multinet.adapters.service_manager import inherited_listeners, notify
from multinet.cni.errors import CNIError, Code
from multinet.daemon.application import Application
from multinet.daemon.background import Background, drain
from multinet.daemon.doors import own_door
from multinet.daemon.exchange import Door
from multinet.daemon.options import Options
from multinet.daemon.orphans import Orphans
from multinet.daemon.safety import Safety, SafetyPlan
from multinet.daemon.server import Server
from multinet.delegates.dhcp import dhcp
from multinet.delegates.dhcp_interface import PodInterfaces
from multinet.dhcp.keeper import Keeper
from multinet.ports import UNMEASURED
from multinet.sdk import registry

if TYPE_CHECKING:
    from multinet.daemon.metrics.listener import MetricsListener
    from multinet.daemon.metrics.measurements import Measurements
    from multinet.daemon.multus_api.api import MultusApi

_log = logging.getLogger(__name__)


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
    return MultusApi(
        application.service, application.handler, hot_plug, options.plugin_path[0], application.measures
    )


def run_daemon(options: Options, plan: SafetyPlan) -> None:
    """Serve until SIGTERM or SIGINT; calls that are waiting then are still finished."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    measurements = _measurements(options)
    application = Application(options, measures=measurements or UNMEASURED)
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
        metrics = _metrics(measurements, application, server, safety, leases)
        _catch_up(application)
        runtime = CriSandboxes(plan.boot.runtime_socket if plan.boot else "")
        orphans = Orphans(application.shared, runtime)
        background = Background(application.handler, application.service, application.spool, orphans=orphans)
        server.start()
        background.start()
        safety.start()
        if metrics:
            metrics.start()
        _log.info("serving on %s", options.socket)
        notify("READY=1")
        stop.wait()
        _log.info("stopping")
        notify("STOPPING=1")
        if metrics:
            metrics.stop()
        safety.stop()
        if api:
            api.retire()
        server.stop()
        background.stop()
    finally:
        leases.stop()
        application.close()


def _measurements(options: Options) -> Measurements | None:
    if not options.metrics:
        return None
    # The library is 4 MB that nobody else needs.
    from multinet.daemon.metrics.measurements import Measurements

    return Measurements()


def _metrics(
    measurements: Measurements | None,
    application: Application,
    server: Server,
    safety: Safety,
    leases: Keeper,
) -> MetricsListener | None:
    """What serves the metrics. Raises CNIError code 5 when it can't listen there."""
    if measurements is None:
        return None
    from multinet.daemon.metrics.listener import MetricsListener
    from multinet.daemon.metrics.node_facts import NodeFacts

    measurements.registry.register(NodeFacts(application, server, safety, leases).collector())
    return MetricsListener(application.options.metrics, measurements.registry)


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

"""``multinet approve-certificates``: judge the nodes' requests for client certificates until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse

from multinet.cli.failure import OK, Failure
from multinet.cli.node_options import add_log_level

SUMMARY = "Approve the nodes' requests for client certificates until SIGTERM."
EXAMPLE = """\
multinet approve-certificates
multinet approve-certificates --kubeconfig /etc/kubernetes/approver.conf"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to reach the cluster."""
    for option, metavar, what in (
        ("--kubeconfig", "FILE", "how to reach Kubernetes (default: the pod's service account)"),
        ("--api-server", "URL", "the Kubernetes API, if not where kubeconfig or service account say"),
        ("--api-ca", "FILE", "certificate authorities for --api-server"),
    ):
        parser.add_argument(option, metavar=metavar, default="", help=what)
    add_log_level(parser, "info")


def run(arguments: argparse.Namespace) -> int:
    """Judge; returns when told to stop."""
    import signal
    import threading

    from multinet.adapters.certificate_approver import CertificateApprover
    from multinet.adapters.kubernetes_config import KubernetesConfig
    from multinet.cli.logs import log_to_stderr
    from multinet.cni.errors import InvalidConfig

    try:
        import cryptography  # noqa: F401 - better missed now than at the first request
    except ImportError:
        raise Failure("the package cryptography is missing: install multinet[certificates]") from None
    log_to_stderr(arguments.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    config = KubernetesConfig(
        node="",
        kubeconfig=arguments.kubeconfig,
        api_server=arguments.api_server,
        api_ca=arguments.api_ca,
    )
    try:
        approver = CertificateApprover(config)
    except InvalidConfig as error:
        raise Failure(f"--kubeconfig: {error.problem}") from None
    approver.run(stop)
    return OK

"""``multinet admission``: a validating webhook for definitions and pods, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from multinet.cli.failure import OK, Failure, UsageError
from multinet.cli.node_options import add_log_level

if TYPE_CHECKING:
    from multinet.cli.webhook.definitions import KnownDefinitions

SUMMARY = "Judge definitions and pods before Kubernetes stores them, until SIGTERM."
EXAMPLE = """\
multinet admission --certificate /tls/tls.crt --key /tls/tls.key
multinet admission --certificate tls.crt --key tls.key --privileged-types host-device --privileged-namespaces infra"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it listens, what it allows."""
    parser.add_argument(
        "--certificate", metavar="FILE", required=True, help="certificate chain (PEM), read again"
    )
    parser.add_argument("--key", metavar="FILE", required=True, help="its private key (PEM), read again")
    parser.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        default="0.0.0.0:9443",
        help="where to listen (default: %(default)s)",
    )
    for option, what in (
        (
            "--privileged-types",
            "plugin types that definitions of other namespaces may not use, commas between",
        ),
        ("--privileged-namespaces", "namespaces that may, commas between"),
    ):
        parser.add_argument(option, metavar="NAMES", default="", help=what)
    parser.add_argument(
        "--privileged-paths",
        action="store_true",
        help="definitions of other namespaces may not name files of the node either",
    )
    parser.add_argument(
        "--namespace-isolation",
        choices=("on", "off"),
        default="on",
        help="as the nodes have it (default: %(default)s)",
    )
    parser.add_argument(
        "--global-namespaces",
        metavar="NAMES",
        default="default",
        help="as the nodes have them (default: %(default)s)",
    )
    for option, metavar, what in (
        (
            "--kubeconfig",
            "FILE",
            "how to reach Kubernetes (default: the pod's service account, if there is one)",
        ),
        ("--api-server", "URL", "the Kubernetes API, if not where kubeconfig or service account say"),
        ("--api-ca", "FILE", "certificate authorities for --api-server"),
    ):
        parser.add_argument(option, metavar=metavar, default="", help=what)
    add_log_level(parser, "info")


def run(arguments: argparse.Namespace) -> int:
    """Serve; returns when told to stop."""
    import signal
    import threading

    from multinet.cli.logs import log_to_stderr
    from multinet.cli.webhook.judgement import judge_definition, judge_pod
    from multinet.cli.webhook.policy import Policy
    from multinet.cli.webhook.server import Certificate, WebhookServer
    from multinet.core.settings import Settings

    host, port = _address(arguments.listen)
    log_to_stderr(arguments.log_level)
    policy = Policy(
        types=_names(arguments.privileged_types),
        paths=arguments.privileged_paths,
        namespaces=_names(arguments.privileged_namespaces),
    )
    settings = Settings(
        cluster_network="/",
        namespace_isolation=arguments.namespace_isolation == "on",
        global_namespaces=arguments.global_namespaces,
    )
    try:
        certificate = Certificate(arguments.certificate, arguments.key)
    except OSError as error:
        raise Failure(f"--certificate {arguments.certificate}, --key {arguments.key}: {error}") from None
    known = _definitions(arguments)
    find = known.find if known else None
    server = WebhookServer(
        host,
        port,
        certificate,
        {
            "/validate": lambda question: judge_definition(question, policy),
            "/pods": lambda question: judge_pod(question, settings, find),
        },
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # From another thread, since shutdown waits for the loop that the signal interrupts.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on {host}:{server.server_address[1]}", flush=True)
    try:
        with server:
            server.serve_forever(poll_interval=0.2)
    finally:
        if known is not None:
            known.close()
    return OK


def _definitions(arguments: argparse.Namespace) -> KnownDefinitions | None:
    """None where there is no way to an API, and none was asked for."""
    from multinet.adapters.kubernetes_config import KubernetesConfig
    from multinet.cli.webhook.definitions import KnownDefinitions
    from multinet.cni.errors import InvalidConfig

    config = KubernetesConfig(
        node="", kubeconfig=arguments.kubeconfig, api_server=arguments.api_server, api_ca=arguments.api_ca
    )
    try:
        return KnownDefinitions(config)
    except InvalidConfig as error:
        if arguments.kubeconfig or arguments.api_server:
            raise Failure(f"--kubeconfig: {error.problem}") from None
        return None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f'--listen: expected ADDRESS:PORT, got "{text}"')
    return host.strip("[]"), int(port)


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, text.split(","))))

"""The options that say what the node is like: the same for the daemon and for calls that need none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from multinet.daemon.options import Options

__all__ = ["LOG_LEVELS", "NODE_FLAGS", "add_log_level", "add_node_arguments", "node_options"]

LOG_LEVELS = ("debug", "info", "warning", "error")


class _Flag(NamedTuple):
    """One option; ``default`` repeats the daemon's, which would take long to import for a help text."""

    name: str
    metavar: str
    meaning: str
    default: str | int = ""
    choices: tuple[str, ...] | None = None
    most: int = 1024
    """Of a number."""
    parse: Callable[[str], str] | None = None
    """Refuses a text that can't be."""


def _listening(text: str) -> str:
    from multinet.core.listening import listening_address

    try:
        if text:
            listening_address(text)
    except ValueError as error:
        from argparse import ArgumentTypeError  # as below

        raise ArgumentTypeError(str(error)) from None
    return text


NODE_FLAGS = (
    _Flag("socket", "PATH", "unix socket that executables connect to", "/run/multinet/multinet.sock"),
    _Flag(
        "multus_socket",
        "PATH",
        "serve Multus' shim and hot-plug controllers too, on this socket (/run/multus/multus.sock is theirs)",
    ),
    _Flag("state_dir", "DIR", "journal, and DELs spooled while no daemon ran", "/var/lib/multinet"),
    _Flag("manifests", "DIR", "pods and NetworkAttachmentDefinitions as manifests, instead of Kubernetes"),
    _Flag("kubeconfig", "FILE", "how to reach Kubernetes (default: the pod's service account)"),
    _Flag("node_name", "NAME", "this node in Kubernetes (default: $MULTINET_NODE_NAME, else the host name)"),
    _Flag("api_server", "URL", "the Kubernetes API, if not where kubeconfig or service account say"),
    _Flag("api_ca", "FILE", "certificate authorities for --api-server"),
    _Flag(
        "publish_kubeconfig",
        "FILE",
        "keep a kubeconfig with the service account's token there, for plugins that need one",
    ),
    _Flag("certificate_dir", "DIR", "keep a client certificate of the node's own; --kubeconfig gets it"),
    _Flag("certificate_seconds", "N", "life of that certificate", 600, most=31_536_000),
    _Flag("conf_dir", "DIR", "where the default network's configuration is found", "/etc/cni/net.d"),
    _Flag("named_conf_dir", "DIR", "where networks are found by name", "/etc/cni/multus/net.d"),
    _Flag("multus_cni_dir", "DIR", "what Multus left of its pods: its cniDir", "/var/lib/cni/multus"),
    _Flag("bin_dir", "DIR", "where external plugins are looked for before the caller's CNI_PATH"),
    _Flag("host_root", "DIR", "where the node's own files are seen; external plugins run in it"),
    _Flag(
        "pod_resources",
        "PATH",
        "kubelet's socket for which devices a pod has",
        "/var/lib/kubelet/pod-resources/kubelet.sock",
    ),
    _Flag(
        "device_checkpoint",
        "FILE",
        "kubelet's own file of that, where there is no such socket",
        "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint",
    ),
    _Flag(
        "device_info",
        "DIR",
        "device information: dp/ by device plugins, cni/ for the networks' plugins",
        "/var/run/k8s.cni.cncf.io/devinfo",
    ),
    _Flag(
        "namespace_isolation",
        "on|off",
        "keep pods to networks of their own namespace, if the configuration doesn't say "
        "(default: on, but off for configurations that were written for Multus)",
        choices=("on", "off"),
    ),
    _Flag(
        "events",
        "LEVEL",
        "events on pods: only why an ADD failed, all (AddedInterface too, as Multus has it), or none",
        "warnings",
        choices=("warnings", "all", "none"),
    ),
    _Flag(
        "metrics",
        "[ADDRESS:]PORT",
        "serve metrics for Prometheus there, over HTTP (default: none; PORT alone: on all addresses)",
        parse=_listening,
    ),
    _Flag("workers", "N", "calls served at the same time", 8),
)


def add_node_arguments(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """Add the options but those named in ``without``."""
    for flag in NODE_FLAGS:
        if flag.name not in without:
            numeric = isinstance(flag.default, int)
            parser.add_argument(
                f"--{flag.name.replace('_', '-')}",
                metavar=flag.metavar,
                type=_numbers(flag.most) if numeric else flag.parse or str,
                default=flag.default,
                choices=flag.choices,
                help=flag.meaning + (" (default: %(default)s)" if flag.default else ""),
            )


def add_log_level(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--log-level``."""
    parser.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        default=default,
        help="the least important records to write to standard error (default: %(default)s)",
    )


def node_options(arguments: argparse.Namespace | SimpleNamespace) -> Options:
    """The options as the daemon takes them."""
    from multinet.daemon.options import Options  # and with it nearly all of multinet

    given: dict[str, Any] = {flag.name: getattr(arguments, flag.name, flag.default) for flag in NODE_FLAGS}
    return Options(**given)


def _numbers(most: int) -> Callable[[str], int]:
    def parsed(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= most):
            from argparse import ArgumentTypeError  # a call with no daemon needs no argparse at all

            raise ArgumentTypeError(f'"{text}" is no number from 1 to {most}')
        return int(text)

    return parsed

"""``multinet daemon``: serve this node's CNI calls until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from multinet.cli.config_file import add_config_file
from multinet.cli.failure import OK, Failure
from multinet.cli.node_options import add_log_level, add_node_arguments, node_options
from multinet.cli.safety_options import add_safety_arguments, safety_plan

if TYPE_CHECKING:
    from multinet.core.daemon_config import DaemonConfig
    from multinet.daemon.options import Options
    from multinet.daemon.safety import SafetyPlan

SUMMARY = "Serve this node's CNI calls until SIGTERM."
EXAMPLE = """\
multinet daemon --manifests /etc/multinet/manifests
multinet daemon --config /etc/cni/net.d/multus.d/daemon-config.json
MULTINET_NODE_NAME=n1 multinet daemon --kubeconfig /etc/multinet/kubeconfig --log-level warning"""

_OPTION_OF = {"$.kubeconfig": "--kubeconfig", "$.node": "--node-name"}
_OPTION_OF |= {"$.publishKubeconfig": "--publish-kubeconfig"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The node's options."""
    add_config_file(parser)
    add_node_arguments(parser)
    add_safety_arguments(parser)
    add_log_level(parser, "info")


def _configured(
    arguments: argparse.Namespace, options: Options, plan: SafetyPlan
) -> tuple[Options, SafetyPlan]:
    """Options and plan with what a configuration file says and no option can; its warnings are logged."""
    config: DaemonConfig | None = arguments.config
    if config is None:
        return options, plan
    import logging

    from msgspec.structs import replace

    for text in config.warnings:
        logging.getLogger(__name__).warning("%s: %s", arguments.config_path, text)
    if plan.slot is not None:
        plan = replace(plan, slot=replace(plan.slot, **config.slot))
    return replace(options, overrides=dict(config.overrides)), plan


_YOUNG_OBJECTS = 20_000
"""A pod makes a few thousand objects, hardly any in cycles: looking for those at each 700 costs more than it frees."""


def run(arguments: argparse.Namespace) -> int:
    """Serve; returns when the daemon was told to stop."""
    if arguments.manifests and not os.path.isdir(arguments.manifests):
        raise Failure(f"--manifests: {arguments.manifests} is not a directory: make it, or name another one")
    import gc

    from multinet.cli.logs import log_to_stderr
    from multinet.cni.errors import InvalidConfig
    from multinet.daemon.app import load_delegates, run_daemon

    log_to_stderr(arguments.log_level)
    options, plan = _configured(arguments, node_options(arguments), safety_plan(arguments))
    load_delegates()
    # What is loaded by now stays for ever: the collector needn't walk through it at each full collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
    try:
        run_daemon(options, plan)
    except InvalidConfig as error:
        option = _OPTION_OF.get(error.path, error.path)
        raise Failure(f"{option}: {error.problem}; or use --manifests DIR") from None
    return OK

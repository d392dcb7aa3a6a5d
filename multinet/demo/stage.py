"""The node that the demo plays on: its links, the storage server beside it, and commands run in namespaces."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

from multinet.demo.failure import DemoFailure
from multinet.demo.isolation import NETNS_DIR, make_netns, move_in
from multinet.demo.report import Report

__all__ = ["NODE_ADDRESS", "STORAGE_ADDRESS", "STORAGE_SERVER", "UPLINK", "build_node", "run", "run_in"]

UPLINK = "eth1"
"""The node's link to the storage network; the pods' macvlans are built on it."""
NODE_ADDRESS = "192.168.100.2"
STORAGE_ADDRESS = "192.168.100.1"
STORAGE_SERVER = "storage-server"

_TOOLS = {"ip": "iproute2", "nsenter": "util-linux", "ping": "iputils-ping"}
_LIMIT = 30.0
"""Seconds that any command may take."""


def build_node(out: Report) -> None:
    """Move this process into the node, and connect that with a storage server. Raises DemoFailure, OSError."""
    _require_tools()
    before = os.readlink("/proc/self/ns/net")
    move_in()
    out.say(f"this process left {before} for {os.readlink('/proc/self/ns/net')}, which has only a loopback;")
    out.say("what it writes under /etc, /opt, /run and /var/lib is kept in memory, for it alone")
    make_netns(STORAGE_SERVER)
    inside = ("nsenter", f"--net={NETNS_DIR}/{STORAGE_SERVER}")
    for command in (
        ("ip", "link", "set", "lo", "up"),
        ("ip", "link", "add", UPLINK, "up", "type", "veth", "peer", "name", "eth0", "netns", STORAGE_SERVER),
        ("ip", "address", "add", f"{NODE_ADDRESS}/24", "dev", UPLINK),
        (*inside, "ip", "address", "add", f"{STORAGE_ADDRESS}/24", "dev", "eth0"),
        (*inside, "ip", "link", "set", "eth0", "up"),
    ):
        out.command(shlex.join(command))
        run(command)
    out.done(
        f"{UPLINK} leads to a storage server, {STORAGE_ADDRESS}, which knows no way to the pods' 10.244.0.0/16"
    )


def run(command: tuple[str, ...]) -> str:
    """Run a command on the node; its standard output. Raises DemoFailure."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise DemoFailure(f"{shlex.join(command)}: took longer than {_LIMIT:.0f} s") from None
    if done.returncode != 0:
        said = " ".join((done.stderr.strip() or done.stdout.strip()).splitlines())
        raise DemoFailure(f"{shlex.join(command)}: exit code {done.returncode}{': ' if said else ''}{said}")
    return done.stdout


def run_in(netns: str, *command: str) -> str:
    """Run a command in the namespace at the path ``netns``; its standard output. Raises DemoFailure."""
    return run(("nsenter", f"--net={netns}", *command))


def _require_tools() -> None:
    missing = [f"{tool} ({package})" for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise DemoFailure(f"not installed, but needed: {', '.join(missing)}")

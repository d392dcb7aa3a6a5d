"""A throw-away world: a host, a sandbox, a directory. Two of them, made alike, are what plugins run in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multinet.adapters.netns import Netns
from tests.differential.calls import GO, Answer, Json, Running
from tests.differential.case import Case, Setup

CONTAINER = "c-1"
_HOST = "sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"
"""A new namespace takes these over from the machine's own."""
_QUICK = "sysctl -qw net.ipv6.conf.default.router_solicitation_delay=0"
"""Duplicate addresses are looked for without the usual pauses."""


class World:
    """Where one of the two plugins lives."""

    def __init__(self, new_netns: Callable[[], Netns], directory: Path, setup: Setup) -> None:
        self.host, self.sandbox, self.directory = new_netns(), new_netns(), directory
        directory.mkdir()
        for path, content in setup.files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(self.filled(content))
        self.shell(self.host, "\n".join(("ip link set lo up", _HOST, _QUICK, *setup.host)))
        self.shell(self.sandbox, "\n".join((_QUICK, *setup.sandbox)))

    def shell(self, netns: Netns, script: str) -> str:
        """A shell script in a namespace; its output. Fails the test if one of its commands fails."""
        with netns.entered():
            done = subprocess.run(["sh", "-ec", self.filled(script)], capture_output=True, text=True)
        assert done.returncode == 0, f"{script}\nexit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, player: type[Running], verb: str, case: Case, conf: Json, cni_args: str = "") -> Running:
        """A verb of a plugin, begun."""
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": CONTAINER,
            "CNI_IFNAME": case.ifname,
            "CNI_NETNS": self.sandbox.path,
            "CNI_PATH": GO,
            "CNI_ARGS": cni_args,
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        return player(self.host, conf["type"], environ, self.filled(conf))

    def call(self, player: type[Running], verb: str, case: Case, conf: Json, cni_args: str = "") -> Answer:
        """A verb of a plugin, done."""
        return self.start(player, verb, case, conf, cni_args).answer()

    def filled(self, value: Any) -> Any:
        """A configuration's placeholders replaced."""
        if isinstance(value, str):
            return value.replace("{dir}", str(self.directory)).replace("{netns}", self.sandbox.path)
        if isinstance(value, dict):
            return {key: self.filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.filled(one) for one in value]
        return value

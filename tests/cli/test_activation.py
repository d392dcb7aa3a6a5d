"""A service manager's socket: who calls while no daemon runs waits for it (pains 26).

Source: sd_listen_fds(3), sd_notify(3).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.conftest import Node, environment, nsenter

pytestmark = pytest.mark.kernel

LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="multinet.socket")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """What systemd does for a socket and a service of type notify."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(node.files.socket))
        self.listener.listen(64)
        self.told_path = str(node.files.short / "n")
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(self.told_path)
        self.told.settimeout(60)

    def start(self, *options: str, handed: int | None = None) -> None:
        handed = self.listener.fileno() if handed is None else handed
        files = self.node.files
        daemon = [sys.executable, "-m", "multinet", "daemon", *files.state]
        daemon += ["--manifests", str(files.manifests), "--conf-dir", str(files.conf_dir), *options]
        with self.node.errors.open("a") as errors:
            self.node.daemon = subprocess.Popen(
                [*nsenter(self.node.lab.host), sys.executable, "-c", LAUNCH, str(handed), *daemon],
                env=environment(NOTIFY_SOCKET=self.told_path),
                pass_fds=[handed],
                stderr=errors,
                cwd="/",
            )

    def hears(self) -> str:
        return self.told.recv(4096).decode()

    def close(self) -> None:
        self.listener.close()
        self.told.close()


@pytest.fixture
def manager(node: Node) -> Iterator[Manager]:
    assert node.files.install().returncode == 0
    manager = Manager(node)
    yield manager
    manager.close()


def status(node: Node) -> subprocess.Popen[str]:
    return node.begin("STATUS", "", conf={"cniVersion": "1.1.0"})


def test_a_call_from_before_the_daemon_is_answered(manager: Manager) -> None:
    call = status(manager.node)
    manager.start()
    out, errors = call.communicate(timeout=120)
    assert (call.returncode, out, errors) == (0, "", "")
    assert manager.hears() == "READY=1"


def test_a_call_between_two_daemons_is_answered(manager: Manager) -> None:
    node = manager.node
    manager.start()
    assert manager.hears() == "READY=1"
    before = os.stat(node.files.socket)
    assert node.stop() == 0
    assert manager.hears() == "STOPPING=1"
    assert os.stat(node.files.socket).st_ino == before.st_ino  # the name is the service manager's
    call = status(node)
    manager.start()
    out, _ = call.communicate(timeout=120)
    assert (call.returncode, out) == (0, "")


def test_plugins_that_the_daemon_starts_know_nothing_of_it(manager: Manager, lab: Any) -> None:
    """An inherited descriptor would keep callers waiting in a queue that nobody serves."""
    node = manager.node
    seen = node.files.root / "seen"
    plugin = node.files.bin_dir / "curious"
    plugin.write_text(
        f"#!/bin/sh\ncat >/dev/null\n{{ env; ls -l /proc/self/fd; }} >{seen}\n"
        'echo \'{"cniVersion": "1.0.0", "interfaces": [], "ips": []}\'\n'
    )
    plugin.chmod(0o755)
    (node.files.conf_dir / "10-base.conflist").write_text(
        '{"cniVersion": "1.0.0", "name": "base", "plugins": [{"type": "curious"}]}'
    )
    (node.files.manifests / "all.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: default}\n"
    )
    manager.start()
    assert manager.hears() == "READY=1"
    pod = lab.sandbox()
    code, out = node.call("ADD", pod.path)
    assert code == 0, out
    text = seen.read_text()
    assert "CNI_COMMAND=ADD" in text
    assert "LISTEN_" not in text
    assert f"socket:[{os.fstat(manager.listener.fileno()).st_ino}]" not in text
    assert node.call("DEL", pod.path)[0] == 0


def test_a_socket_elsewhere_is_told(manager: Manager) -> None:
    manager.start("--socket", str(manager.node.files.short / "other"))
    daemon = manager.node.daemon
    assert daemon is not None and daemon.wait(60) == 1
    manager.node.daemon = None
    assert "the service manager listens at" in manager.node.errors.read_text()
    assert manager.node.files.socket.exists()


@pytest.mark.parametrize("kind", ["datagrams", "no listener", "file"])
def test_what_is_no_listening_socket_is_told(manager: Manager, kind: str) -> None:
    with open("/dev/null") as file, socket.socket(socket.AF_UNIX) as connecting:
        handed = {"datagrams": manager.told, "no listener": connecting, "file": file}[kind]
        manager.start(handed=handed.fileno())
        daemon = manager.node.daemon
        assert daemon is not None and daemon.wait(60) == 1
    manager.node.daemon = None
    assert (
        "descriptor 3 of the service manager is no listening unix socket" in manager.node.errors.read_text()
    )


def test_variables_meant_for_another_process_count_for_nothing(node: Node) -> None:
    """A shell that was activated passes its variables on."""
    assert node.files.install().returncode == 0
    node.start(LISTEN_PID="1", LISTEN_FDS="1", NOTIFY_SOCKET="/nonexistent/notify")
    call = status(node)
    assert call.communicate(timeout=120)[0] == ""
    assert node.daemon is not None
    node.daemon.send_signal(signal.SIGTERM)
    assert node.daemon.wait(60) == 0
    node.daemon = None
    assert not node.files.socket.exists()

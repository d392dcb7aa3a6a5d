"""The demo as a user runs it: a process, its output and exit code, and the machine before and after."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.netns import Netns
from multinet.adapters.nftables_netlink import NftablesSocket
from multinet.demo.isolation import NETNS_DIR
from multinet.demo.steps import EXAMPLES

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

_PLACES = ("/etc/cni", "/etc/multinet", "/opt/cni", "/run/multinet", "/var/lib/cni", "/var/lib/multinet")
_LIMIT = 60.0
"""Seconds; the demo takes a few."""


def _machine() -> dict[str, object]:
    """What the demo would change if it weren't kept apart."""
    with Netns.current() as host:
        nftables = NftablesSocket(host)
        with NetworkStack(host) as stack:
            links = {link.name for link in stack.links() if link.kind in ("veth", "bridge", "macvlan")}
            addresses = {address.cidr for address in stack.addresses() if "192.168.100." in address.cidr}
        tables = nftables.tables()
        nftables.close()
    return {
        "links": links,
        "addresses": addresses,
        "tables": tables,
        "files": {place: sorted(str(path) for path in Path(place).rglob("*")) for place in _PLACES},
        "places": {place: os.path.exists(place) for place in _PLACES},
        "names": {name for name in ("web", "storage-server") if os.path.exists(f"{NETNS_DIR}/{name}")},
    }


@pytest.fixture
def machine() -> Iterator[None]:
    """The machine's links, rules and files are after the test what they were before."""
    before = _machine()
    yield
    assert _machine() == before


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "multinet", "demo", *arguments]


def _demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(*arguments), capture_output=True, text=True, timeout=_LIMIT)


def test_the_whole_story(machine: None) -> None:
    done = _demo()

    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in said  # no colours: it is no terminal
    numbers = [int(number) for number in re.findall(r"^ ?(\d+)  ", said, re.MULTILINE)]
    assert numbers == list(range(1, 16))
    for row in (
        r"multi-network-pod +eth0 +veth +10\.244\.0\.2/16 .* on cni0",
        r"multi-network-pod +net1 +macvlan bridge +192\.168\.100\.10/24 .* eth1",
        r"web +eth0 +veth +10\.244\.0\.3/16 .* on cni0",
        r"web +net1 +veth +172\.30\.0\.2/24 .* on backend0",
        r"database +backend +veth +172\.30\.0\.3/24 .* on backend0",
        r"all three pods' statuses agree with the kernel",
        r"web net1 to database 172\.30\.0\.3: [\d.]+ ms",
        r"multi-network-pod net1 to storage-server 192\.168\.100\.1: [\d.]+ ms",
        r"web eth0 to storage-server 192\.168\.100\.1: [\d.]+ ms \(masqueraded as 192\.168\.100\.2\)",
        r"kept in /var/lib/multinet/spool/\S+\.del",
        r"addresses are still reserved: backend-network/172\.30\.0\.2, dev-network/10\.244\.0\.3",
        r"the spool is empty",
        r"/opt/cni/bin is empty again",
        r"host links: none",
        r"reserved addresses: none",
        r"firewall entries: none",
        r"journal rows: none",
        r"spooled DELs: none",
        r"The bridges stay by design, for the next pod: backend0, cni0\.",
    ):
        assert re.search(row, said), f"{row} not in\n{said}"
    seconds = re.search(r"All of it worked, in ([\d.]+) s\.$", said.strip())
    assert seconds is not None


def test_a_step_that_fails_is_named_with_its_reason(machine: None, tmp_path: Path) -> None:
    broken = tmp_path / "examples"
    shutil.copytree(EXAMPLES, broken)
    network = broken / "storage-network.yaml"
    network.write_text(network.read_text().replace('"master": "eth1"', '"master": "eth9"'))

    done = _demo("--examples", str(broken))

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("multinet: demo: step 5 (ADD: three pods get their interfaces) failed: ")
    assert "eth9" in done.stderr
    assert re.search(r"✗ .*eth9", done.stdout)
    assert re.search(r"the end of the daemon's log:\n.*WARNING .*ADD .*failed.*eth9", done.stdout, re.DOTALL)
    assert "All of it worked" not in done.stdout
    _require_gone(_daemon_of(done.stdout))


def test_a_missing_pod_fails_too(machine: None, tmp_path: Path) -> None:
    broken = tmp_path / "examples"
    shutil.copytree(EXAMPLES, broken)
    (broken / "backend-pods.yaml").unlink()

    done = _demo("--examples", str(broken))

    assert done.returncode == 1
    assert "step 5 " in done.stderr
    assert "pod default/web not found" in done.stderr


def test_interrupted_it_ends_the_daemon_and_says_where(machine: None) -> None:
    process, said = _started()
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=_LIMIT)

    assert process.returncode == 1
    assert re.fullmatch(r"multinet: demo: interrupted in step \d+ \(.*\)\n", complaint)
    _require_gone(_daemon_of(said))


def test_killed_it_leaves_nothing(machine: None) -> None:
    process, said = _started()
    process.kill()
    process.communicate(timeout=_LIMIT)

    _require_gone(_daemon_of(said))


def _started() -> tuple[subprocess.Popen[str], str]:
    """A demo whose daemon runs, and what it has said so far."""
    process = subprocess.Popen(_command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = ""
    while "answers STATUS" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    return process, said


def _daemon_of(said: str) -> int:
    found = re.search(r"process (\d+) answers STATUS", said)
    assert found is not None, said
    return int(found[1])


def _require_gone(pid: int) -> None:
    give_up = time.monotonic() + 10
    while _runs_daemon(pid):
        assert time.monotonic() < give_up, f"process {pid} still runs"
        time.sleep(0.05)


def _runs_daemon(pid: int) -> bool:
    """Whether the daemon is alive under that id; another program may have got the id meanwhile."""
    try:
        return b"daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False

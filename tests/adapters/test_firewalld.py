"""firewalld itself, on a bus and in a namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from multinet.adapters.firewall import HostFirewall
from multinet.adapters.firewalld import firewalld_runs
from multinet.cni.errors import CNIError
from multinet.core.desired import ForwardAccept
from tests.adapters.node import OUTSIDE, POD_A, A, Node
from tests.adapters.servers import ask
from tests.debian.unpacked import Unavailable, unpacked

SHORT = 0.4
TRIPLET = f"{os.uname().machine}-linux-gnu"
BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
PACKAGES = (
    *(
        "firewalld",
        "python3-firewall",
        "python3-nftables",
        "python3-cap-ng",
        "libcap-ng0",
        "ipset",
        "libipset13",
    ),
    *(
        "python3-dbus",
        "libdbus-1-3",
        "python3-gi",
        "gir1.2-glib-2.0",
        "libgirepository-1.0-1",
        "libglib2.0-0",
    ),
)
"""Not installed: whoever calls firewalld on the bus would start it, and it takes over the machine's rules."""


@pytest.fixture(scope="session")
def root() -> Path:
    """Where Debian's firewalld is."""
    if Path("/usr/sbin/firewalld").exists():
        return Path("/")
    try:
        return unpacked("firewalld", PACKAGES)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system bus of the test's own."""
    if not shutil.which("dbus-daemon"):
        pytest.skip("dbus-daemon is not installed")
    socket = tmp_path / "bus"
    (tmp_path / "bus.conf").write_text(BUS.format(socket=socket))
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={socket}")
    daemon = subprocess.Popen(
        ["dbus-daemon", f"--config-file={tmp_path}/bus.conf", "--nofork", "--nopidfile"],
        stderr=subprocess.DEVNULL,
    )
    try:
        until(socket.exists)
        yield
    finally:
        daemon.terminate()
        daemon.wait()


@pytest.fixture
def zones(node: Node, bus: None, root: Path, tmp_path: Path) -> Iterator[Node]:
    """The node, in firewalld's hands."""
    program = root / "usr/sbin/firewalld"
    settings = tmp_path / "firewalld"
    settings.mkdir()
    (settings / "firewalld.conf").write_text("FirewallBackend=nftables\nCleanupOnExit=yes\n")
    library = root / "usr/lib"
    environment = {
        **os.environ,
        "PYTHONPATH": str(library / "python3/dist-packages"),
        "LD_LIBRARY_PATH": ":".join(str(root / place / TRIPLET) for place in ("usr/lib", "lib")),
        "GI_TYPELIB_PATH": str(library / TRIPLET / "girepository-1.0"),
    }
    log = (tmp_path / "firewalld.log").open("w")
    command = [
        *("nsenter", f"--net=/proc/{os.getpid()}/fd/{node.host.fd}", "/usr/bin/python3", str(program)),
        *("--nofork", "--nopid", "--system-config", str(settings)),
        *("--default-config", str(library / "firewalld"), "--log-target", "console"),
    ]
    daemon = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        until(firewalld_runs)
        yield node
    finally:
        daemon.terminate()
        daemon.wait()
        log.close()


def until(there, patience: float = 30.0) -> None:
    """Wait until it is so."""
    end = time.monotonic() + patience
    while not there():
        assert time.monotonic() < end, "it didn't start"
        time.sleep(0.05)


def accept(version: int, zone: str = "trusted") -> ForwardAccept:
    return ForwardAccept(
        owner=A, cidr=f"{POD_A[version]}/{ {4: 32, 6: 128}[version] }", backend="firewalld", zone=zone
    )


def test_a_pod_reaches_out_when_it_is_in_the_zone(zones: Node) -> None:
    zones.serve(zones.outside, OUTSIDE, 80, name="outside")
    items = [accept(4), accept(6)]
    assert len(zones.firewall.compare(items)) == 2
    assert ask(zones.a, OUTSIDE[4], 80, patience=SHORT) == ""
    zones.firewall.apply(items)
    zones.firewall.apply(items)
    assert zones.firewall.compare(items) == []
    for version in (4, 6):
        assert ask(zones.a, OUTSIDE[version], 80) == f"outside {POD_A[version]}"
    zones.firewall.remove(items[:1])
    [difference] = zones.firewall.compare(items)
    assert str(difference) == "firewalld zone trusted: source 10.9.0.2/32 is absent, expected there"
    assert ask(zones.a, OUTSIDE[4], 80, patience=SHORT) == ""
    zones.firewall.remove(items)
    zones.firewall.remove(items)
    with pytest.raises(
        CNIError, match=r"failed to add the address 10.9.0.2/32 to absent zone: .*INVALID_ZONE"
    ):
        zones.firewall.apply([accept(4, "absent")])


def test_a_bus_without_firewalld(lab, bus: None) -> None:
    assert not firewalld_runs()
    firewall = HostFirewall(lab.host)
    with pytest.raises(CNIError, match="firewalld: "):
        firewall.apply([accept(4)])
    firewall.close()


def test_no_bus_at_all(lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={lab.directory}/absent")
    assert not firewalld_runs()
    firewall = HostFirewall(lab.host)
    with pytest.raises(CNIError, match="firewalld: no system bus"):
        firewall.apply([accept(4)])
    firewall.close()

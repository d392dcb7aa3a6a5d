"""DHCP through the whole of it: shim, daemon, meta-plugin, and the reference plugins with our ``dhcp``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..dhcp.servers import Dnsmasq, until

Site = Any
Daemon = Any


@pytest.fixture
def server(site: Site, tmp_path: Path) -> Iterator[Dnsmasq]:
    """A server behind the bridge ``br1``."""
    beyond = site.lab.sandbox()
    site.lab.allowed.add("up0")
    peer = ("peer", "name", "wan0", "netns", beyond.path)
    site.lab.ip("link", "add", "br1", "type", "bridge")
    site.lab.ip("link", "add", "up0", "master", "br1", "type", "veth", *peer)
    for name in ("br1", "up0"):
        site.lab.ip("link", "set", name, "up")
    site.lab.ip("link", "set", "wan0", "up", netns=beyond)
    site.lab.ip("addr", "add", "10.7.0.1/24", "dev", "wan0", netns=beyond)
    server = Dnsmasq(beyond, tmp_path / "dnsmasq", "wan0", "10.7.0.50", "10.7.0.60")
    yield server
    server.stop()


def addresses(site: Site, sandbox: Any, name: str) -> list[str]:
    out = site.lab.ip("-4", "-o", "addr", "show", "dev", name, netns=sandbox)
    return [line.split()[3].partition("/")[0] for line in out.splitlines()]


def test_a_pods_second_network(site: Site, daemon: Daemon, server: Dnsmasq) -> None:
    """The lease is given back although all links of a pod go together, and after the daemon was killed."""
    site.default_network()
    site.nad("lan", {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", "ipam": {"type": "dhcp"}})
    site.pod(networks="lan,lan")
    daemon.start()
    sandbox = site.lab.sandbox()
    daemon.ok("ADD", netns=sandbox)
    leased = sorted(addresses(site, sandbox, "net1") + addresses(site, sandbox, "net2"))
    assert leased == sorted(server.leases()) and len(leased) == 2
    assert len(list((site.state / "dhcp").iterdir())) == 2
    daemon.kill()
    daemon.start()
    daemon.ok("CHECK", netns=sandbox)
    daemon.ok("DEL", netns=sandbox)
    until(lambda: server.leases() == [], "both RELEASEs")
    assert list((site.state / "dhcp").iterdir()) == []
    site.assert_clean(sandbox)
    daemon.stop()


def test_a_stop_gives_nothing_back(site: Site, daemon: Daemon, server: Dnsmasq) -> None:
    site.default_network()
    site.nad("lan", {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", "ipam": {"type": "dhcp"}})
    site.pod(networks="lan")
    daemon.start()
    sandbox = site.lab.sandbox()
    daemon.ok("ADD", netns=sandbox)
    daemon.stop()
    assert "DHCPRELEASE" not in server.log.read_text() and len(server.leases()) == 1
    daemon.ok("DEL", netns=sandbox)  # kept in the spool
    daemon.start()
    until(lambda: server.leases() == [], "the RELEASE")
    daemon.stop()


def test_a_failed_add_gives_the_lease_back(site: Site, daemon: Daemon, server: Dnsmasq) -> None:
    """The network after it is missing its plugin's address manager's configuration."""
    site.default_network()
    site.nad("lan", {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", "ipam": {"type": "dhcp"}})
    broken = {"type": "host-local", "dataDir": str(site.leases), "ranges": [[{"subnet": "10.9.0.0/32"}]]}
    site.nad("broken", {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", "ipam": broken})
    site.pod(networks="lan,broken")
    daemon.start()
    sandbox = site.lab.sandbox()
    response = daemon.shim("ADD", netns=sandbox)
    assert response.exit_code == 1
    until(lambda: server.leases() == [], "the RELEASE")
    assert "DHCPACK" in server.log.read_text() and list((site.state / "dhcp").iterdir()) == []
    site.assert_clean(sandbox)
    daemon.stop()


@pytest.mark.reference
@pytest.mark.parametrize(("kind", "given_back"), [("macvlan", True), ("bridge", False)])
def test_the_reference_plugins_run_our_dhcp(
    site: Site, daemon: Daemon, server: Dnsmasq, kind: str, given_back: bool
) -> None:
    """The reference bridge calls its address manager when the link is gone: no RELEASE can be sent any more."""
    daemon.install("dhcp")
    go = {"type": kind, "ipam": {"type": "dhcp"}, "multinet/executable": True}
    go["bridge" if kind == "bridge" else "master"] = "br1"
    site.default_network(go)
    daemon.start()
    sandbox = site.lab.sandbox()
    result = daemon.ok("ADD", netns=sandbox)
    assert server.leases() == addresses(site, sandbox, "eth0") == [result["ips"][0]["address"][:-3]]
    assert "dhcp ADD c1: done" in daemon.log.read_text()
    daemon.ok("CHECK", netns=sandbox)
    daemon.ok("DEL", netns=sandbox)
    if given_back:
        until(lambda: server.leases() == [], "the RELEASE")
    else:
        assert "no RELEASE could be sent" in daemon.log.read_text()
    assert list((site.state / "dhcp").iterdir()) == []
    site.assert_clean(sandbox)
    daemon.stop()

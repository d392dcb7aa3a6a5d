"""The reference Go plugins beside ours: as delegates, in chains, and as address managers under our bridge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multinet.cni.errors import Code

Site = Any
pytestmark = pytest.mark.reference
PIN = "multinet/executable"


def go_host_local(site: Site, subnet: str = "10.40.0.0/24", **more: Any) -> dict[str, Any]:
    ranges = [[{"subnet": subnet}]]
    return {"type": "host-local", "dataDir": str(site.leases), "ranges": ranges, PIN: True, **more}


def round_trip(site: Site, sandbox: Any) -> dict[str, Any]:
    """ADD, CHECK, and by another daemon CHECK and DEL; the result."""
    result: dict[str, Any] = site.ok("ADD", netns=sandbox)
    site.ok("CHECK", netns=sandbox)
    site.restart()
    site.ok("CHECK", netns=sandbox)
    site.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)
    return result


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
@pytest.mark.parametrize("pinned", [True, "bridge", "/usr/lib/cni/bridge"])
def test_bridge(site: Site, version: str, pinned: Any) -> None:
    """A type of ours, run as the executable that the configuration asks for."""
    bridge = site.bridge("10.41.0.0/24")
    site.default_network({**bridge, PIN: pinned}, version=version)
    result = round_trip(site, site.lab.sandbox())
    assert result["ips"][0]["address"] == "10.41.0.2/24"


def test_executable_outside_the_path(site: Site) -> None:
    """Whoever may write a network can't have any file of the host run."""
    site.nad("a", {"cniVersion": "1.0.0", "type": "bridge", PIN: "/bin/cat"})
    site.pod(networks="a")
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox)
    assert code == Code.INVALID_CONFIG
    assert "/bin/cat" in text and "CNI_PATH" in text
    site.assert_clean(sandbox)


def test_type_that_is_none_of_ours(site: Site) -> None:
    ipam = {"type": "host-local", "dataDir": str(site.leases), "ranges": [[{"subnet": "10.42.0.0/24"}]]}
    site.nad("p", {"cniVersion": "1.0.0", "type": "ptp", "ipam": ipam})
    site.pod(networks="p")
    sandbox = site.lab.sandbox()
    round_trip(site, sandbox)
    assert json.loads(site.status())[1]["ips"] == ["10.42.0.2"]


def test_chained_after_ours(site: Site) -> None:
    site.default_network(site.bridge("10.43.0.0/24"), {"type": "tuning", "mtu": 1300})
    sandbox = site.lab.sandbox()
    site.ok("ADD", netns=sandbox)
    assert site.lab.links(sandbox)["eth0"].mtu == 1300
    site.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)


class TestAddressManager:
    def test_under_our_bridge(self, site: Site) -> None:
        bridge = {"type": "bridge", "bridge": "cni0", "isDefaultGateway": True, "ipMasq": True}
        site.default_network({**bridge, "ipam": go_host_local(site)})
        sandbox = site.lab.sandbox()
        result = round_trip(site, sandbox)
        assert result["ips"][0]["address"] == "10.40.0.2/24"

    def test_released_when_the_namespace_is_gone(self, site: Site) -> None:
        site.default_network({"type": "bridge", "bridge": "cni0", "ipam": go_host_local(site)})
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        sandbox.close()
        site.ok("DEL")
        site.assert_clean()

    def test_released_when_a_later_network_fails(self, site: Site) -> None:
        site.default_network({"type": "bridge", "bridge": "cni0", "ipam": go_host_local(site)})
        site.nad("a", {"cniVersion": "1.0.0", "type": site.recorders.make("rec")})
        site.recorders.fail("rec", "ADD")
        site.pod(networks="a")
        sandbox = site.lab.sandbox()
        assert site.fails("ADD", netns=sandbox)[0] == 123
        site.assert_clean(sandbox)

    def test_its_failure_arrives(self, site: Site) -> None:
        """The pool is empty: the message is the plugin's, and nothing is left of the second pod."""
        site.default_network(
            {"type": "bridge", "bridge": "cni0", "ipam": go_host_local(site, "10.40.0.0/30")}
        )
        one, two = site.lab.sandbox(), site.lab.sandbox()
        site.ok("ADD", "c1", one)
        _, text = site.fails("ADD", "c2", two)
        assert "no IP addresses available in range set" in text
        assert {row.container_id for row in site.rows} == {"c1"}
        assert set(site.lab.links(two)) == {"lo"}
        site.ok("DEL", "c1", one)
        site.assert_clean(one, two)

    def test_lost_lease_is_found_by_check(self, site: Site) -> None:
        site.default_network({"type": "bridge", "bridge": "cni0", "ipam": go_host_local(site)})
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        (site.leases / "cbr0" / "10.40.0.2").unlink()
        code, text = site.fails("CHECK", netns=sandbox)
        assert code != 0
        assert "Failed to find address added by container" in text
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    def test_empty_result(self, site: Site) -> None:
        site.recorders.make("rec", {"cniVersion": "1.0.0"})
        site.default_network({"type": "bridge", "bridge": "cni0", "ipam": {"type": "rec"}})
        sandbox = site.lab.sandbox()
        code, text = site.fails("ADD", netns=sandbox)
        assert code == Code.IPAM
        assert "IPAM plugin returned missing IP config" in text
        assert ("rec", "DEL", "eth0") in site.recorders.asked()
        site.assert_clean(sandbox)

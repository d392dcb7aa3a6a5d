"""Devices that pods borrow, and interfaces that a later plugin tunes, from ADD to DEL by the daemon."""

from __future__ import annotations

from typing import Any

import pytest

Site = Any
Json = dict[str, Any]
MAC = "02:00:00:aa:bb:cc"


@pytest.fixture
def tuning(site: Site) -> Json:
    folder = str(site.lab.directory / "tuning")
    return {"type": "tuning", "mac": MAC, "mtu": 1300, "allmulti": True, "dataDir": folder}


@pytest.fixture
def device(site: Site) -> Json:
    """A network that lends the device ``dev0``."""
    lab = site.lab
    lab.allowed.add("dev0")
    far = lab.sandbox()
    lab.ip("link", "add", "dev0", "mtu", "1400", "type", "veth", "peer", "name", "far0", "netns", far.path)
    lab.ip("link", "set", "dev0", "up", "alias", "the cable")
    lab.ip("addr", "add", "198.51.100.1/24", "dev", "dev0")
    return {"type": "host-device", "device": "dev0", "dataDir": str(lab.directory / "lent")}


def as_it_was(site: Site) -> bool:
    link = site.lab.links()["dev0"]
    addresses = site.lab.ip("-br", "addr", "show", "dev", "dev0")
    return (link.alias, link.mtu, link.up) == ("the cable", 1400, True) and "198.51.100.1/24" in addresses


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
@pytest.mark.parametrize("kind", ["bridge", "macvlan"])
def test_check_of_what_a_later_plugin_tuned(site: Site, tuning: Json, kind: str, version: str) -> None:
    site.lab.allowed.add("up0")
    site.lab.ip("link", "add", "up0", "type", "bridge")
    site.lab.ip("link", "set", "up0", "up")
    first = site.bridge("10.7.0.0/24") if kind == "bridge" else {"type": "macvlan", "master": "up0"}
    site.default_network(first, tuning, version=version)
    sandbox = site.lab.sandbox()
    site.ok("ADD", netns=sandbox)
    link = site.lab.links(sandbox)["eth0"]
    assert (link.mac, link.mtu, link.allmulti) == (MAC, 1300, True)
    site.ok("CHECK", netns=sandbox)
    site.lab.ip("link", "set", "eth0", "mtu", "1280", netns=sandbox)
    code, text = site.fails("CHECK", netns=sandbox)
    assert code == 102 and "1280" in text
    site.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)
    assert not list((site.lab.directory / "tuning").iterdir())


@pytest.mark.parametrize("tuned", [False, True])
def test_a_device_comes_home(site: Site, device: Json, tuning: Json, tuned: bool) -> None:
    site.nad("lent", {"cniVersion": "1.1.0", "plugins": [device, tuning] if tuned else [device]})
    site.pod(networks="lent")
    sandbox = site.lab.sandbox()
    site.ok("ADD", netns=sandbox)
    assert site.lab.links(sandbox)["net1"].alias == "dev0" and "dev0" not in site.lab.links()
    site.ok("CHECK", netns=sandbox)
    site.ok("DEL", netns=sandbox)
    assert as_it_was(site)
    site.assert_clean(sandbox)
    site.ok("DEL", netns=sandbox)
    assert as_it_was(site)


def test_a_device_is_home_when_a_later_network_fails(site: Site, device: Json) -> None:
    site.recorders.make("last")
    site.recorders.fail("last", "ADD")
    site.nad("lent", {"cniVersion": "1.1.0", **device})
    site.nad("last", {"cniVersion": "1.0.0", "type": "last"})
    site.pod(networks="lent,last")
    sandbox = site.lab.sandbox()
    site.fails("ADD", netns=sandbox)
    assert as_it_was(site)
    site.assert_clean(sandbox)


@pytest.mark.parametrize("said", ["path", "nothing"])
def test_a_device_of_a_namespace_that_is_gone(site: Site, device: Json, said: str) -> None:
    """The kernel returns a network card to the host by itself, under the name that it had in the sandbox; with a
    veth end, which it would destroy, the test does so.
    """
    site.nad("lent", {"cniVersion": "1.1.0", **device})
    site.pod(networks="lent")
    sandbox = site.lab.sandbox()
    site.ok("ADD", netns=sandbox)
    site.lab.ip("link", "set", "net1", "netns", site.lab.host.path, netns=sandbox)
    site.ok("DEL", netns="/var/run/netns/gone" if said == "path" else "")
    assert as_it_was(site)


def test_a_second_pod_is_told_who_has_the_device(site: Site, device: Json) -> None:
    site.nad("lent", {"cniVersion": "1.1.0", **device})
    site.pod(networks="lent")
    first, second = site.lab.sandbox(), site.lab.sandbox()
    site.ok("ADD", netns=first)
    code, text = site.fails("ADD", "c2", netns=second)
    assert code == 7 and '"dev0" has been lent to net1 of container c1 (network lent)' in text
    assert set(site.lab.links(second)) == {"lo"} and "net1" in site.lab.links(first)
    site.ok("DEL", netns=first)
    site.ok("ADD", "c2", netns=second)
    site.ok("DEL", "c2", netns=second)
    assert as_it_was(site)
    site.assert_clean(first, second)


TWICE = '{"cniVersion": "1.1.0", "plugins": [{"type": "bridge", "bridge": "br1"}, {"type": "tuning", "sysctl": %s}]}'
KEYS = '{"net.core.somaxconn": "1", "net.core.somaxconn": "2"}'


def test_a_sysctl_twice(site: Site) -> None:
    site.nad("twice", TWICE % KEYS)
    site.pod(networks="twice")
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox)
    assert code == 7 and "duplicated sysctl keys are not allowed" in text and "net.core.somaxconn" in text
    inline = '{"cniVersion": "1.0.0", "name": "multinet", "type": "multinet", "delegates": [%s]}' % (
        TWICE % KEYS
    )
    code, text = site.fails("ADD", netns=sandbox, conf=inline.encode())
    assert (code, text.partition(";")[0]) == (7, "duplicated sysctl keys are not allowed")
    site.ok("DEL", netns=sandbox, conf=inline.encode())
    site.assert_clean(sandbox)

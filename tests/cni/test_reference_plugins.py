"""The Go plugins, driven by our runtime in namespaces of their own: what libcni does, the kernel as the judge."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.netns import Netns
from multinet.cni.cache import ResultCache
from multinet.cni.chain import PluginCall
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError
from multinet.cni.execution import ExecutableRunner
from multinet.cni.result import Result
from multinet.cni.runtime import Container, Runtime

pytestmark = [pytest.mark.reference, pytest.mark.kernel]

BIN = "/usr/lib/cni"
VERSIONS = ["0.2.0", "0.3.1", "0.4.0", "1.0.0"]


class OnHost:
    """Runs plugins with the lab's host namespace as theirs: a child is in its starting thread's namespace."""

    def __init__(self, host: Netns) -> None:
        self._host = host
        self.heard: list[bytes] = []

    def run(self, call: PluginCall) -> dict[str, Any] | None:
        with self._host.entered():
            return ExecutableRunner(heard=lambda _, text: self.heard.append(text)).run(call)


@pytest.fixture
def runtime(lab: Any, tmp_path: Path) -> Iterator[Runtime]:
    lab.allowed.add("cnitest0")  # a bridge outlives its ports, by design
    yield Runtime([BIN], ResultCache(str(tmp_path / "cache")), OnHost(lab.host))


def bridge(tmp_path: Path, version: str, **keys: Any) -> NetworkList:
    plugin = {
        "type": "bridge",
        "bridge": "cnitest0",
        "isGateway": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(tmp_path / "ipam"),
            "ranges": [[{"subnet": "10.77.0.0/24"}], [{"subnet": "fd00:77::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}],  # CHECK of the Go plugin doesn't find IPv6 ones
        },
        **keys,
    }
    return NetworkList.from_object({"cniVersion": version, "name": "net", "plugins": [plugin]})


def addresses(lab: Any, netns: Netns, link: str) -> set[str]:
    shown = json.loads(lab.ip("-j", "addr", "show", "dev", link, netns=netns))
    return {f"{a['local']}/{a['prefixlen']}" for a in shown[0]["addr_info"] if a.get("scope") != "link"}


def leases(tmp_path: Path) -> set[str]:
    return {file.name for file in (tmp_path / "ipam" / "net").iterdir() if file.name[0].isdigit()}


@pytest.mark.parametrize("version", VERSIONS)
def test_bridge_and_host_local(lab: Any, tmp_path: Path, runtime: Runtime, version: str) -> None:
    sandbox = lab.sandbox()
    network = bridge(tmp_path, version)
    container = Container("c1", sandbox.path)

    result = runtime.add(network, container)
    assert {ip.address for ip in result.ips} == addresses(lab, sandbox, "eth0")
    assert {ipaddress.ip_interface(ip.address).version for ip in result.ips} == {4, 6}
    assert [route.dst for route in result.routes] == ["0.0.0.0/0"]
    if version != "0.2.0":
        links = [result.interface_of(ip) for ip in result.ips]
        assert {link.name for link in links if link is not None} == {"eth0"}
    assert len(leases(tmp_path)) == 1

    entry = runtime.cache.get("net", "c1", "eth0")
    assert entry is not None and entry.result is not None
    assert entry.result["cniVersion"] == version
    assert Result.from_json(entry.result, version) == result

    if version >= "0.4.0":
        runtime.check(network, container)
        lab.ip("addr", "flush", "dev", "eth0", netns=sandbox)
        with pytest.raises(CNIError):
            runtime.check(network, container)

    runtime.delete(network, container)
    assert "eth0" not in lab.links(sandbox)
    assert leases(tmp_path) == set()
    runtime.delete(network, container)  # any number of times
    assert runtime.cache.attachments() == []


def test_what_the_go_plugin_prints_we_print(lab: Any, tmp_path: Path, runtime: Runtime) -> None:
    """One result in each version, read and written again; Debian's plugins print an empty ``dns`` in 1.0.0 too."""
    sandbox = lab.sandbox()
    printed: dict[str, Any] = {}
    for version in VERSIONS:
        container = Container("c1", sandbox.path)
        network = bridge(tmp_path / version, version)  # each has all addresses free
        runtime.add(network, container)
        entry = runtime.cache.get("net", "c1", "eth0")
        assert entry is not None
        printed[version] = entry.result
        runtime.delete(network, container)
    assert printed["0.2.0"]["ip4"]["gateway"] == "10.77.0.1"
    for version, raw in printed.items():
        assert {"dns": {}, **Result.from_json(raw, version).as_version(version)} == raw
    newest = Result.from_json(printed["1.0.0"], "1.0.0")
    for version in ("0.2.0", "0.3.1", "0.4.0"):
        converted = newest.as_version(version)
        for body in (converted, printed[version]):
            for link in body.get("interfaces", ()):
                link.update(name=link["name"][:4], mac="any")  # the kernel's choice at each ADD
        assert converted == printed[version]


def test_a_failed_chain_leaves_nothing(lab: Any, tmp_path: Path, runtime: Runtime) -> None:
    sandbox = lab.sandbox()
    good = bridge(tmp_path, "1.0.0")
    bad = {"type": "tuning", "sysctl": {"net.ipv4.no_such_key": "1"}}
    network = NetworkList.from_object({"cniVersion": "1.0.0", "name": "net", "plugins": [*good.plugins, bad]})
    with pytest.raises(CNIError, match='plugin type="tuning" failed') as caught:
        runtime.add(network, Container("c1", sandbox.path))
    assert "undo" not in caught.value.details
    assert "eth0" not in lab.links(sandbox)
    assert leases(tmp_path) == set()
    assert runtime.cache.attachments() == []


def test_a_fault_of_the_configuration_comes_back_as_the_plugin_says_it(
    lab: Any, tmp_path: Path, runtime: Runtime
) -> None:
    network = bridge(tmp_path, "1.0.0", vlan=5000)
    with pytest.raises(CNIError, match=r'^plugin type="bridge" failed \(add\): invalid VLAN ID 5000'):
        runtime.add(network, Container("c1", lab.sandbox().path))


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_loopback(lab: Any, runtime: Runtime, version: str) -> None:
    sandbox = lab.sandbox()
    network = NetworkList.from_object(
        {"cniVersion": version, "name": "lo", "plugins": [{"type": "loopback"}]}
    )
    container = Container("c1", sandbox.path, "lo")
    result = runtime.add(network, container)
    assert [link.name for link in result.interfaces] == ["lo"]
    assert "127.0.0.1/8" in addresses(lab, sandbox, "lo")
    if version != "0.3.1":
        runtime.check(network, container)
    runtime.delete(network, container)
    assert "UP" not in json.loads(lab.ip("-j", "link", "show", "lo", netns=sandbox))[0]["flags"]


@pytest.mark.parametrize("plugin", ["bridge", "host-local", "loopback", "macvlan", "static"])
def test_4_6_versions_of_the_go_plugins(plugin: str) -> None:
    versions = ExecutableRunner().versions(plugin, [BIN])
    assert set(VERSIONS) <= set(versions)


def test_a_libcni_cache_entry_is_read(tmp_path: Path) -> None:
    """The keys of ``cniCacheV1`` in the order in which Go's encoder prints them."""
    cache = ResultCache(str(tmp_path))
    path = Path(cache.path("podman", "c1", "eth0"))
    path.parent.mkdir()
    path.write_text(
        '{"kind":"cniCacheV1","containerId":"c1","config":"eyJjbmlWZXJzaW9uIjoiMC40LjAiLCJuYW1lIjoicG9kbWFuIiw'
        'icGx1Z2lucyI6W3sidHlwZSI6ImJyaWRnZSJ9XX0=","ifName":"eth0","networkName":"podman",'
        '"cniArgs":[["IgnoreUnknown","1"]],"result":{"cniVersion":"0.4.0","dns":{},"ips":'
        '[{"address":"10.88.0.2/16","gateway":"10.88.0.1","interface":0,"version":"4"}],'
        '"interfaces":[{"name":"eth0","sandbox":"/run/netns/x"}],"routes":[{"dst":"0.0.0.0/0"}]}}'
    )
    entry = cache.get("podman", "c1", "eth0")
    assert entry is not None and entry.network is not None and entry.result is not None
    assert entry.network.plugins == ({"type": "bridge"},)
    assert Result.from_json(entry.result, "0.4.0").ips[0].address == "10.88.0.2/16"

"""Bad input: the code, a message that names the object and the field, and nothing left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from multinet.cni.errors import Code

Site = Any
Daemon = Any

LIST = {"cniVersion": "1.0.0", "name": "multinet", "type": "multinet"}


def macvlan(**more: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": "mv", "type": "macvlan", "master": "uplink", **more}


@pytest.fixture
def uplink(lab: Any) -> str:
    lab.ip("link", "add", "uplink", "type", "veth", "peer", "name", "far")
    lab.ip("link", "set", "uplink", "up")
    lab.allowed |= {"uplink", "far"}
    return "uplink"


@pytest.mark.parametrize(
    ("conf", "code", "words"),
    [
        (b"{", Code.DECODING_FAILURE, ["network config", "line 1"]),
        (b"", Code.DECODING_FAILURE, ["network config"]),
        (b"\xff\xfe", Code.DECODING_FAILURE, ["network config"]),
        (b"[]", Code.DECODING_FAILURE, ["$: expected an object, got list"]),
        (b'"multinet"', Code.DECODING_FAILURE, ["$: expected an object, got str"]),
        ({"name": 5}, Code.DECODING_FAILURE, ["$.name: expected str, got int"]),
        ({"cniVersion": 1.0}, Code.DECODING_FAILURE, ["$.cniVersion: expected str"]),
        (
            {"cniVersion": "9.9.9"},
            Code.INCOMPATIBLE_VERSION,
            ["incompatible CNI versions", '"9.9.9"', "1.1.0"],
        ),
        ({"cniVersion": "one"}, Code.INCOMPATIBLE_VERSION, ['"one"']),
        ({"name": ""}, Code.INVALID_CONFIG, ["name"]),
        ({"name": "no/slash"}, Code.INVALID_CONFIG, ["no/slash"]),
        ({"clusterNetwork": 7}, Code.INVALID_CONFIG, ["$.clusterNetwork: expected str, got int"]),
        ({"delegates": "bridge"}, Code.INVALID_CONFIG, ["$.delegates"]),
        (
            {"namespaceIsolation": "yes"},
            Code.INVALID_CONFIG,
            ["$.namespaceIsolation: expected bool, got str"],
        ),
        ({"delegates": [{"name": "x"}]}, Code.INVALID_CONFIG, ["delegate 0", "'type'"]),
        (
            {"clusterNetwork": "/nowhere/10-x.conf"},
            Code.ATTACHMENT,
            ["clusterNetwork /nowhere/10-x.conf", "getNetDelegate: cannot find network"],
        ),
        ({"clusterNetwork": "nobody"}, Code.ATTACHMENT, ["nobody", "kube-system"]),
    ],
)
def test_the_callers_configuration(site: Site, conf: Any, code: int, words: list[str]) -> None:
    sandbox = site.lab.sandbox()
    found, text = site.fails("ADD", netns=sandbox, conf=conf)
    assert found == code
    assert [word for word in words if word not in text] == [], text
    site.assert_clean(sandbox)


def test_faulty_default_network_file(site: Site) -> None:
    (site.conf_dir / "10-default.conflist").write_text('{"name": "cbr0", "plugins": [')
    sandbox = site.lab.sandbox()
    code, text = site.fails(
        "ADD", netns=sandbox, conf={"clusterNetwork": f"{site.conf_dir}/10-default.conflist"}
    )
    assert code == Code.DECODING_FAILURE
    assert "10-default.conflist" in text
    site.assert_clean(sandbox)


NAD_FAULTS: list[tuple[str, Any, Any, int, list[str]]] = [
    ("missing", None, "absent", Code.ATTACHMENT, ["(absent)", "namespace (default)", "not found"]),
    ("other namespace", None, "default/absent", Code.ATTACHMENT, ["(absent)", "namespace (default)"]),
    ("forbidden namespace", None, "there/absent", Code.ATTACHMENT, ["default", "there", "isolation"]),
    ("no JSON", "{", "net", Code.DECODING_FAILURE, ["default/net"]),
    ("no object", "[]", "net", Code.DECODING_FAILURE, ["default/net", "$"]),
    (
        "neither type nor plugins",
        {"name": "x"},
        "net",
        Code.INVALID_CONFIG,
        ["default/net", "'type' or 'plugin'"],
    ),
    ("plugin without type", {"plugins": [{}]}, "net", Code.INVALID_CONFIG, ["default/net", "'type'"]),
    ("no plugins", {"plugins": []}, "net", Code.INVALID_CONFIG, ["default/net", "plugin"]),
    (
        "unknown version",
        {"cniVersion": "7.0.0", "type": "macvlan"},
        "net",
        Code.INCOMPATIBLE_VERSION,
        ["7.0.0"],
    ),
    (
        "itself",
        {"cniVersion": "1.0.0", "type": "multus"},
        "net",
        Code.INVALID_CONFIG,
        ["default/net", "itself"],
    ),
    (
        "unknown type",
        {"cniVersion": "1.0.0", "type": "nosuch"},
        "net",
        Code.DELEGATE_FAILED,
        ['"nosuch"', "path"],
    ),
    ("wrong type of a field", macvlan(mtu="big"), "net", Code.INVALID_CONFIG, ["$.mtu", "int"]),
    ("no such mode", macvlan(mode="wild"), "net", Code.INVALID_CONFIG, ["$.mode", "wild"]),
    ("no such master", macvlan(master="eth9"), "net", Code.INVALID_CONFIG, ["eth9"]),
    ("annotation is no JSON", None, "[{", Code.DECODING_FAILURE, ["parsePodNetworkAnnotation"]),
    (
        "annotation with two slashes",
        None,
        "a/b/c",
        Code.INVALID_CONFIG,
        ["failed at '/'", "item 1, column 4"],
    ),
    ("two interface names", None, "net@a@b", Code.INVALID_CONFIG, ["failed at '@'"]),
    ("upper case", None, "Net", Code.INVALID_CONFIG, ["mismatch @ 'Net'"]),
    ("no name", None, "default/", Code.INVALID_CONFIG, ["the network has no name"]),
    ("blank in an interface name", None, "net@a b", Code.INVALID_CONFIG, ["interface name 'a b'"]),
    ("lone object", None, '{"name": "net"}', Code.INVALID_CONFIG, ["expected an array of objects, got dict"]),
    ("lone text", None, '"net"', Code.INVALID_CONFIG, ["expected an array of objects, got str"]),
    ("element without a name", None, [{"namespace": "default"}], Code.INVALID_CONFIG, ["$[0].name"]),
    (
        "addresses that are no list",
        macvlan(),
        [{"name": "net", "ips": "x"}],
        Code.INVALID_CONFIG,
        ["$[0].ips"],
    ),
    (
        "bad gateway",
        macvlan(),
        [{"name": "net", "default-route": ["x"]}],
        Code.INVALID_CONFIG,
        ["default-route"],
    ),
    (
        "bad GUID",
        macvlan(),
        [{"name": "net", "infiniband-guid": "02:00:00:00:00:01"}],
        Code.INVALID_CONFIG,
        ["failed to validate infiniband GUID"],
    ),
    (
        "port out of range",
        macvlan(),
        [{"name": "net", "portMappings": [{"hostPort": 0, "containerPort": 1}]}],
        Code.INVALID_CONFIG,
        ["$[0].portMappings[0].hostPort"],
    ),
    (
        "burst without rate",
        macvlan(),
        [{"name": "net", "bandwidth": {"ingressBurst": 1}}],
        Code.INVALID_CONFIG,
        ["needs ingressRate"],
    ),
    ("bad address asked for", macvlan(), [{"name": "net", "ips": ["x"]}], Code.INVALID_CONFIG, ['"x"']),
    ("bad MAC asked for", macvlan(), [{"name": "net", "mac": "xx"}], Code.INVALID_CONFIG, ["xx"]),
    ("long interface name", macvlan(), "net@sixteencharacters", Code.INVALID_CONFIG, ["sixteencharacters"]),
    ("the default network's name", macvlan(), "net@eth0", Code.INVALID_CONFIG, ["eth0", "interface"]),
    ("the same name twice", macvlan(), "net@a,net@a", Code.INVALID_CONFIG, ['interface "a"', "default/net"]),
    ("lo", macvlan(), "net@lo", Code.INVALID_CONFIG, ['"lo"', "default/net"]),
]


@pytest.mark.parametrize("fault", NAD_FAULTS, ids=[fault[0] for fault in NAD_FAULTS])
def test_networks_of_the_pod(site: Site, uplink: str, fault: tuple[str, Any, Any, int, list[str]]) -> None:
    _, definition, networks, code, words = fault
    if definition is not None:
        site.nad("net", definition)
    site.pod(networks=networks)
    sandbox = site.lab.sandbox()
    found, text = site.fails("ADD", netns=sandbox)
    assert [word for word in words if word not in text] == [], text
    assert found == code, text
    site.assert_clean(sandbox)


@pytest.mark.parametrize("networks", ["", " ", ",", " , ,", "[]", "net,", ",net,,net , "])
def test_networks_that_ask_for_little(site: Site, uplink: str, networks: str) -> None:
    """Blank items are passed over (2.9), and no item is nothing asked for (2.1)."""
    site.nad("net", macvlan())
    site.pod(networks=networks)
    sandbox = site.lab.sandbox()
    site.ok("ADD", netns=sandbox)
    assert len(site.rows) == 1 + networks.count("net")
    site.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)


def test_the_namespace_that_was_searched_is_named(site: Site, uplink: str) -> None:
    """9.32: who expects another one learns what to write."""
    site.nad("net", macvlan(), namespace="other")
    site.pod(networks="net")
    code, text = site.fails("ADD", netns=site.lab.sandbox())
    assert code == Code.ATTACHMENT
    assert "looked for in namespace default and in no other" in text and '"namespace/net"' in text


def test_forbidden_namespace(site: Site, uplink: str) -> None:
    site.nad("net", macvlan(), namespace="private")
    site.pod(networks="private/net")
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox, conf={"namespaceIsolation": True})
    assert code == Code.ATTACHMENT
    assert "pod is in namespace default but refers to target namespace private" in text
    assert "globalNamespaces" in text
    site.assert_clean(sandbox)
    site.ok("ADD", netns=sandbox, conf={"namespaceIsolation": True, "globalNamespaces": "x, private"})
    site.ok("DEL", netns=sandbox)


def test_definition_without_config_and_without_file(site: Site, uplink: str) -> None:
    site.nad("net", None)
    site.pod(networks="net")
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox)
    assert code == Code.ATTACHMENT
    for word in ("default/net", "$.spec.config", str(site.named_dir)):
        assert word in text
    site.assert_clean(sandbox)
    (site.named_dir / "50-other.conf").write_text("{")
    (site.named_dir / "60-net.conf").write_text(json.dumps(macvlan(name="net")))
    site.ok("ADD", netns=sandbox)
    assert set(site.lab.links(sandbox)) == {"lo", "eth0", "net1"}
    site.ok("DEL", netns=sandbox)


@pytest.mark.parametrize("name", ["eth0", "net1"])
def test_occupied_interface_name(site: Site, uplink: str, name: str) -> None:
    """What was there before stays, whoever's it is."""
    site.nad("net", macvlan())
    site.pod(networks="net")
    sandbox = site.lab.sandbox()
    site.lab.ip("link", "add", name, "type", "bridge", netns=sandbox)
    before = site.lab.links(sandbox)[name]
    code, text = site.fails("ADD", netns=sandbox)
    assert code == Code.KERNEL
    assert f"interface name {name} already exists" in text
    assert sandbox.path in text
    assert site.lab.links(sandbox)[name] == before
    site.ok("DEL", netns=sandbox)
    assert site.lab.links(sandbox)[name] == before
    site.lab.ip("link", "del", name, netns=sandbox)
    site.assert_clean(sandbox)


def test_occupied_name_for_an_external_plugin(site: Site) -> None:
    """Asked before it runs: the reference plugins delete the interface that was in their way."""
    bridge = {"type": "bridge", "bridge": "br1", "multinet/executable": "/usr/lib/cni/bridge"}
    site.nad("net", {"cniVersion": "1.0.0", **bridge})
    site.pod(networks="net")
    sandbox = site.lab.sandbox()
    site.lab.ip("link", "add", "net1", "type", "bridge", netns=sandbox)
    assert site.fails("ADD", netns=sandbox)[0] == Code.KERNEL
    assert set(site.lab.links(sandbox)) == {"lo", "net1"}
    site.lab.ip("link", "del", "net1", netns=sandbox)
    site.assert_clean(sandbox)


def host_local(site: Site, **range_: str) -> dict[str, Any]:
    return {
        "type": "host-local",
        "dataDir": str(site.leases),
        "ranges": [[{"subnet": "10.9.0.0/24", **range_}]],
    }


@pytest.mark.parametrize("declared", [True, False])
def test_address_outside_its_subnet(site: Site, uplink: str, declared: bool) -> None:
    """By capability and by CNI_ARGS."""
    site.nad("net", macvlan(ipam=host_local(site), capabilities={"ips": declared}))
    site.pod(networks=[{"name": "net", "ips": ["10.8.0.5"]}])
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox)
    assert "10.8.0.5" in text and "default/net" in text
    assert code in (Code.IPAM, Code.INVALID_CONFIG)
    site.assert_clean(sandbox)


def test_address_that_is_taken(site: Site, uplink: str) -> None:
    site.nad("net", macvlan(ipam=host_local(site), capabilities={"ips": True}))
    site.pod("first", networks=[{"name": "net", "ips": ["10.9.0.5"]}])
    site.pod("second", networks=[{"name": "net", "ips": ["10.9.0.5"]}])
    one, two = site.lab.sandbox(), site.lab.sandbox()
    site.ok("ADD", "c1", one, pod="first")
    before = site.lease_files()
    code, text = site.fails("ADD", "c2", two, pod="second")
    assert code == Code.IPAM
    assert "10.9.0.5" in text and "default/net" in text
    assert site.lease_files() == before
    assert {row.container_id for row in site.rows} == {"c1"}
    assert set(site.lab.links(two)) == {"lo"}
    site.ok("CHECK", "c1", one, pod="first")
    site.ok("DEL", "c1", one, pod="first")
    site.assert_clean(one, two)


def test_pool_that_is_empty(site: Site, uplink: str) -> None:
    small = host_local(site, rangeStart="10.9.0.10", rangeEnd="10.9.0.10")
    site.nad("net", macvlan(ipam=small))
    site.pod(networks="net")
    one, two = site.lab.sandbox(), site.lab.sandbox()
    site.ok("ADD", "c1", one)
    code, text = site.fails("ADD", "c2", two)
    assert code == Code.IPAM
    assert "no IP addresses available in range set: 10.9.0.10-10.9.0.10" in text
    assert {row.container_id for row in site.rows} == {"c1"}
    site.ok("DEL", "c1", one)
    site.assert_clean(one, two)


def test_pod_that_is_gone(site: Site) -> None:
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox, pod="ghost")
    assert code == Code.POD
    assert "default/ghost" in text and "not found" in text
    site.assert_clean(sandbox)


def test_pod_of_another_uid(site: Site) -> None:
    site.pod(uid="new")
    sandbox = site.lab.sandbox()
    args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=old"
    code, text = site.fails("ADD", netns=sandbox, CNI_ARGS=args)
    assert code == Code.POD
    assert 'UID "old" but got "new" from Kube API' in text and "default/web" in text
    site.assert_clean(sandbox)


@pytest.mark.parametrize("kind", ["absent", "file", "directory", "other namespace", "host"])
def test_netns_path_that_is_none(site: Site, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    path = {
        "absent": str(tmp_path / "nothing"),
        "file": str(tmp_path / "file"),
        "directory": str(tmp_path),
        "other namespace": "/proc/self/ns/uts",
        "host": f"/proc/{os.getpid()}/fd/{site.lab.host.fd}",
    }[kind]
    code, text = site.fails("ADD", netns=path)
    assert code == Code.INVALID_NETNS
    if kind == "host":
        assert "should not be the same" in text
    else:
        assert f'"{path}"' in text
    site.assert_clean()
    assert site.call("DEL", netns=path).exit_code == 0


@pytest.mark.parametrize("args", ["K8S_POD_NAME", "A=B=C", "IgnoreUnknown=1;;K8S_POD_NAME=x"])
def test_arguments_that_do_not_parse(site: Site, args: str) -> None:
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox, CNI_ARGS=args)
    assert code == Code.INVALID_ENVIRONMENT
    assert "ARGS: invalid pair" in text
    site.assert_clean(sandbox)
    assert site.call("DEL", netns=sandbox, CNI_ARGS=args).exit_code == 0


@pytest.mark.parametrize("missing", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"])
def test_missing_variable(site: Site, missing: str) -> None:
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox, **{missing: ""})
    assert code == Code.INVALID_ENVIRONMENT
    assert missing in text
    site.assert_clean(sandbox)


def test_input_of_ten_megabytes(site: Site, daemon: Daemon) -> None:
    daemon.start()
    sandbox = site.lab.sandbox()
    padded = {**site.conf, "padding": "x" * (10 << 20)}
    response = daemon.shim("ADD", netns=sandbox, conf=json.dumps(padded).encode())
    error = json.loads(response.stdout)
    assert response.exit_code == 1
    assert error["code"] == Code.DECODING_FAILURE
    assert "standard input is larger than 4 MiB" in error["msg"]
    site.assert_clean(sandbox)
    daemon.ok("ADD", netns=sandbox)
    daemon.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)


def test_removal_of_what_was_never_added(site: Site) -> None:
    sandbox = site.lab.sandbox()
    site.ok("DEL", "unknown", sandbox)
    site.ok("DEL", "unknown", "")
    site.ok("DEL", "unknown", "/nowhere/netns")
    site.ok("DEL", "unknown", sandbox, pod="ghost")
    site.assert_clean(sandbox)


def test_removal_twice_and_without_a_namespace(site: Site, uplink: str) -> None:
    site.nad("net", macvlan(ipam=host_local(site)))
    site.pod(networks="net")
    sandbox = site.lab.sandbox()
    site.ok("ADD", netns=sandbox)
    site.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)
    site.ok("DEL", netns=sandbox)
    site.ok("ADD", netns=sandbox)
    site.ok("DEL", netns="")
    site.assert_clean(sandbox)
    site.ok("DEL", netns="")

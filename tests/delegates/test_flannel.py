"""flannel over the real bridge and host-local, in throw-away namespaces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from multinet.cni.errors import CNIError
from multinet.testkit.bench import Bench

VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


class Node:
    """A node on which flanneld has written its file."""

    def __init__(self, bench: Bench, make: Any) -> None:
        self.bench, self.make = bench, make
        self.folder = bench.directory / "flannel"
        self.env = bench.directory / "subnet.env"
        bench.lab.allowed.add("cni0")
        self.write()

    def write(self, subnet: str = "10.1.17.1/24", **more: str) -> None:
        lines = {"NETWORK": "10.1.0.0/16", "SUBNET": subnet, "MTU": "1450", "IPMASQ": "true", **more}
        self.env.write_text("".join(f"FLANNEL_{key}={value}\n" for key, value in lines.items()))

    def conf(self, version: str = "1.1.0", **more: Any) -> Any:
        """The seed's ``cbr0``, in the test's own folders."""
        more.setdefault("delegate", {"hairpinMode": True, "isDefaultGateway": True})
        more.setdefault("ipam", {"dataDir": str(self.bench.directory / "ipam")})
        conf = self.make("flannel", version, subnetFile=str(self.env), dataDir=str(self.folder), **more)
        return {**conf, "name": "cbr0"}

    def kept(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []


@pytest.fixture
def node(bench: Any, make: Any) -> Node:
    return Node(bench, make)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pod_gets_an_address_of_the_nodes_subnet(node: Node, version: str) -> None:
    pod = node.bench.pod()
    result = pod.add(node.conf(version))
    assert pod.addresses() == ["10.1.17.2/24"] and result["cniVersion"] == version
    assert pod.link()["mtu"] == 1450
    assert node.bench.bridge_port(pod.owner(node.conf()).host_ifname)["hairpin"] is True
    routes = {route["dst"]: route.get("gateway") for route in pod.ip("route")}
    assert routes["default"] == "10.1.17.1" and routes["10.1.0.0/16"] == "10.1.17.1"
    assert pod.ping("10.1.17.1")
    pod.check_both(node.conf(version))
    pod.delete(node.conf(version))
    assert node.kept() == [] and node.bench.leases() == []
    pod.delete(node.conf(version))


def test_dual_stack(node: Node) -> None:
    node.write(IPV6_NETWORK="fd00:1::/48", IPV6_SUBNET="fd00:1:0:17::1/64")
    pod = node.bench.pod()
    pod.add(node.conf())
    assert pod.addresses() == ["10.1.17.2/24", "fd00:1:0:17::2/64"]
    assert pod.ping("fd00:1:0:17::1")
    pod.check_both(node.conf())


def test_the_stored_configuration_is_the_delegates(node: Node) -> None:
    pod = node.bench.pod()
    conf = node.conf()
    del conf["cniVersion"]
    pod.add(conf)
    (name,) = node.kept()
    assert name == f"{pod.container_id}:eth0:cbr0"
    path = node.folder / name
    kept = json.loads(path.read_text())
    assert "cniVersion" not in kept and kept["mtu"] == 1450 and kept["ipMasq"] is False
    assert kept["ipam"]["ranges"] == [[{"subnet": "10.1.17.0/24"}]]
    assert path.stat().st_mode & 0o777 == 0o600 and node.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("recorded", [True, False])
def test_del_uses_what_the_add_used(node: Node, recorded: bool) -> None:
    """The node's subnet changes, the file goes, the request is broken: the attachment is removed all the same."""
    pod = node.bench.pod()
    before = node.bench.snapshot(pod.netns)
    pod.add(node.conf())
    node.env.unlink()
    pod.delete({**node.conf(), "delegate": "nonsense"}, recorded=recorded, netns="")
    assert node.kept() == [] and node.bench.leases() == []
    assert before["files"] == ["subnet.env"]


def test_two_attachments_of_one_pod_are_kept_apart(node: Node) -> None:
    first = node.bench.pod("c")
    second = node.bench.pod("c", "net1", first.netns)
    conf = node.conf(delegate={})
    first.add(conf)
    second.add(conf)
    assert len(node.kept()) == 2
    first.delete(conf, recorded=False)
    assert second.addresses() == ["10.1.17.3/24"] and len(node.kept()) == 1


def test_a_file_of_the_reference_is_found(node: Node) -> None:
    """An attachment that the Go plugin made is removed after the change-over."""
    pod = node.bench.pod("c")
    pod.add(node.conf())
    (name,) = node.kept()
    (node.folder / name).rename(node.folder / "c")
    pod.delete(node.conf(), recorded=False)
    assert node.kept() == [] and node.bench.leases() == []


def test_another_networks_file_of_the_reference_is_left(node: Node) -> None:
    node.folder.mkdir()
    other = node.folder / "c"
    other.write_text(json.dumps({"name": "other", "type": "bridge"}))
    node.bench.pod("c").delete(node.conf(), recorded=False)
    assert node.kept() == ["c"]
    other.unlink()


def test_another_networks_file_of_the_reference_outlives_ours(node: Node) -> None:
    pod = node.bench.pod("c")
    pod.add(node.conf())
    other = node.folder / "c"
    other.write_text(json.dumps({"name": "other", "type": "bridge"}))
    pod.delete(node.conf())
    assert node.kept() == ["c"]
    other.unlink()


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_file_that_cannot_be_read_is_kept_and_no_obstacle(
    node: Node, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    node.folder.mkdir()
    (node.folder / "c:eth0:cbr0").write_text(text)
    node.bench.pod("c").delete(node.conf(), recorded=False)
    assert node.kept() == ["c:eth0:cbr0"]
    (node.folder / "c:eth0:cbr0").unlink()


def test_no_file_no_call(node: Node) -> None:
    """As the reference: nothing was made."""
    node.bench.pod().delete({**node.conf(), "delegate": {"type": "no-such-plugin"}}, recorded=False)


def test_the_file_stays_until_the_delegates_del_has_succeeded(
    node: Node, tmp_path: Path, refused: Any
) -> None:
    """Else the retry would succeed and leak."""
    folder = tmp_path / "bin"
    folder.mkdir()
    plugin = folder / "stubborn"
    plugin.write_text(
        "#!/bin/sh\n"
        'test "$CNI_COMMAND" = DEL && test -e "$(dirname "$0")/refuse" && '
        """{ echo '{"code": 100, "msg": "not now"}'; exit 1; }\n"""
        """test "$CNI_COMMAND" = ADD && echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.1.17.9/24"}]}'\n"""
        "exit 0\n"
    )
    plugin.chmod(0o755)
    (folder / "refuse").touch()
    conf, terms = node.conf(delegate={"type": "stubborn"}), {"path": (str(folder),)}
    pod = node.bench.pod()
    pod.add(conf, **terms)
    assert "not now" in refused(100, pod.delete, conf, **terms).msg
    assert len(node.kept()) == 1
    (folder / "refuse").unlink()
    pod.delete(conf, **terms)
    assert node.kept() == []


def test_whichever_step_fails(node: Node, whichever_step_fails: Any) -> None:
    pod = node.bench.pod("first")
    pod.add(node.conf())
    pod.delete(node.conf())
    assert whichever_step_fails(node.bench.pod(), node.conf()) >= 6


def test_wherever_it_dies(node: Node, wherever_it_dies: Any) -> None:
    pod = node.bench.pod("first")
    pod.add(node.conf())
    pod.delete(node.conf())
    assert wherever_it_dies(node.bench.pod(), node.conf()) >= 6


def test_check_finds_what_is_gone(node: Node, refused: Any) -> None:
    pod = node.bench.pod()
    pod.add(node.conf())
    node.bench.lab.ip("addr", "flush", "dev", "eth0", netns=pod.netns)
    for recorded in (True, False):
        assert "10.1.17.2/24" in refused(102, pod.check, node.conf(), recorded=recorded).msg


def test_check_without_what_the_add_kept(node: Node, refused: Any) -> None:
    pod = node.bench.pod()
    pod.add(node.conf())
    (node.folder / node.kept()[0]).unlink()
    assert "the ADD's configuration is gone" in refused(102, pod.check, node.conf(), recorded=False).msg
    pod.check(node.conf())


@pytest.mark.parametrize("content", [None, "", "FLANNEL_MTU=1450\n"])
def test_a_node_without_its_subnet_yet(node: Node, content: str | None, refused: Any, unchanged: Any) -> None:
    node.env.unlink()
    if content is not None:
        node.env.write_text(content)
    pod = node.bench.pod()
    before = node.bench.snapshot(pod.netns)
    error = refused(11 if content is None else 7, pod.add, node.conf())
    assert "failed to load flannel 'subnet.env' file: " in error.msg and "flannel pod log" in error.msg
    unchanged(before, node.bench.snapshot(pod.netns))
    error = refused(50, status, node, node.conf())
    assert "subnet.env" in error.msg


def status(node: Node, conf: Any) -> None:
    from multinet.sdk import registry

    plugin = registry.plugin("flannel")
    assert plugin is not None
    plugin.status(node.bench.pods[0].call("STATUS", conf, netns=""), node.bench.node())


def test_status_asks_the_delegate(node: Node, refused: Any) -> None:
    node.bench.pod()
    status(node, node.conf())
    bad = node.conf(ipam={"dataDir": str(node.bench.directory / "ipam"), "type": "no-such-ipam"})
    with pytest.raises(CNIError):
        status(node, bad)


def gc(node: Node, conf: Any, *valid: tuple[str, str]) -> None:
    from multinet.sdk import registry

    plugin = registry.plugin("flannel")
    assert plugin is not None
    conf = {**conf, "cni.dev/valid-attachments": [{"containerID": c, "ifname": i} for c, i in valid]}
    plugin.gc(node.bench.pods[0].call("GC", conf, netns=""), node.bench.node())


def test_gc_removes_attachments_that_are_not_valid(node: Node) -> None:
    keep, lose = node.bench.pod("keep"), node.bench.pod("lose")
    keep.add(node.conf())
    lose.add(node.conf())
    gc(node, node.conf(), ("keep", "eth0"))
    assert node.kept() == ["keep:eth0:cbr0"] and node.bench.leases() == ["cbr0/10.1.17.2"]
    assert lose.owner(node.conf()).host_ifname not in node.bench.lab.links()
    lose.attached = None
    keep.check(node.conf())
    assert keep.ping("10.1.17.1")


def test_gc_without_the_subnet_file(node: Node) -> None:
    lose = node.bench.pod("lose")
    lose.add(node.conf())
    node.env.unlink()
    gc(node, node.conf())
    assert node.kept() == [] and node.bench.leases() == []
    lose.attached = None


def test_bad_input_leaves_nothing(node: Node, refused: Any, unchanged: Any) -> None:
    pod = node.bench.pod()
    before = node.bench.snapshot(pod.netns)
    for more, said in (
        ({"delegate": {"name": "x"}}, "$.delegate.name"),
        ({"delegate": {"mtu": -5}}, "$.mtu"),
        ({"delegate": {"hairpinMode": True, "promiscMode": True}}, "$.hairpinMode"),
        ({"ipam": {"routes": [{"dst": "nonsense"}]}}, "$.ipam.routes[0].dst"),
    ):
        assert said in str(refused(7, pod.add, node.conf(**more)))
        unchanged(before, node.bench.snapshot(pod.netns))

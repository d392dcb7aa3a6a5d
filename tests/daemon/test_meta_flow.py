"""The meta-plugin's ADD: which networks, in which order, what each is given, and what comes back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from multinet.cni.errors import Code
from multinet.wire.frame import Response

Site = Any
V4, V6 = "0.0.0.0/0", "::/0"


def l2(bridge: str = "br1", version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {"cniVersion": version, "type": "bridge", "bridge": bridge, **more}


def static(*addresses: str, routes: tuple[str, ...] = (), gateways: tuple[str, ...] = ()) -> dict[str, Any]:
    given: list[dict[str, str]] = [{"address": address} for address in addresses]
    for entry, gateway in zip(given, gateways, strict=False):
        entry["gateway"] = gateway
    return {"type": "static", "addresses": given, "routes": [{"dst": dst} for dst in routes]}


@pytest.fixture
def uplink(lab: Any) -> None:
    lab.ip("link", "add", "eth1", "type", "veth", "peer", "name", "far")
    lab.ip("link", "set", "eth1", "up")
    lab.ip("link", "set", "far", "up")
    lab.allowed |= {"eth1", "far"}


def interfaces(site: Site, sandbox: Any) -> set[str]:
    return set(site.lab.links(sandbox)) - {"lo"}


class TestDefaultNetwork:
    def test_first_valid_file_of_the_directory(self, site: Site) -> None:
        """The meta-plugin's own configuration, broken files and other suffixes are passed over."""
        (site.conf_dir / "00-multus.conf").write_text(json.dumps({**site.conf, "type": "multus"}))
        (site.conf_dir / "05-broken.conf").write_text("{")
        (site.conf_dir / "06-readme.txt").write_text("hello")
        sandbox = site.lab.sandbox()
        result = site.ok("ADD", netns=sandbox)
        assert [i["name"] for i in result["interfaces"] if i.get("sandbox")] == ["eth0"]
        assert [ip["address"] for ip in result["ips"]] == ["10.244.0.2/24", "fd00:244::2/64"]
        assert site.rows[0].network_name == "cbr0"
        site.ok("CHECK", netns=sandbox)
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    @pytest.mark.parametrize("kind", ["directory", "list file", "plugin file", "definition", "name"])
    def test_cluster_network(self, site: Site, kind: str) -> None:
        conf = l2(name="chosen")
        (site.conf_dir / "99-chosen.conf").write_text(json.dumps(conf))
        (site.conf_dir / "99-chosen.conflist").write_text(
            json.dumps({"name": "chosen-list", "plugins": [l2()]})
        )
        (site.named_dir / "99-chosen.conf").write_text(json.dumps(l2(name="by-name")))
        site.nad("chosen", l2(), namespace="kube-system")
        value, name = {
            "directory": (str(site.conf_dir), "cbr0"),
            "list file": (str(site.conf_dir / "99-chosen.conflist"), "chosen-list"),
            "plugin file": (str(site.conf_dir / "99-chosen.conf"), "chosen"),
            "definition": ("chosen", "kube-system/chosen"),
            "name": ("by-name", "by-name"),
        }[kind]
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox, conf={"clusterNetwork": value})
        assert [row.name for row in site.rows] == [name]
        assert json.loads(site.status())[0]["name"] == name
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    def test_delegates(self, site: Site) -> None:
        """In line; the first is the default network."""
        sandbox = site.lab.sandbox()
        delegates = [l2(name="one", ipam=static("10.1.0.2/24")), l2(name="two"), l2(name="three")]
        result = site.ok("ADD", netns=sandbox, conf={"delegates": delegates})
        assert [ip["address"] for ip in result["ips"]] == ["10.1.0.2/24"]
        assert [(row.name, row.ifname) for row in site.rows] == [
            ("one", "eth0"),
            ("two", "net1"),
            ("three", "net2"),
        ]
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    def test_default_networks_for_every_pod(self, site: Site) -> None:
        """They come before the annotation's, and not in system namespaces."""
        (site.named_dir / "storage.conf").write_text(json.dumps(l2(name="storage")))
        site.nad("own", l2())
        site.pod(networks="own")
        sandbox = site.lab.sandbox()
        conf = {"clusterNetwork": str(site.conf_dir), "defaultNetworks": ["storage"]}
        site.ok("ADD", netns=sandbox, conf=conf)
        assert [(row.name, row.ifname) for row in site.rows] == [
            ("cbr0", "eth0"),
            ("storage", "net1"),
            ("default/own", "net2"),
        ]
        site.ok("DEL", netns=sandbox)
        site.ok("ADD", netns=sandbox, conf={**conf, "systemNamespaces": ["default"]})
        assert [row.ifname for row in site.rows] == ["eth0", "net1"]
        assert site.rows[1].name == "default/own"
        site.ok("DEL", netns=sandbox)

    def test_the_pods_own_default_network(self, site: Site) -> None:
        """The cluster's isn't even resolved."""
        site.nad("mine", l2(ipam=static("10.7.0.2/24")))
        site.pod(**{"v1.multus-cni.io/default-network": "default/mine"})
        sandbox = site.lab.sandbox()
        result = site.ok("ADD", netns=sandbox, conf={"clusterNetwork": "/nowhere"})
        assert [ip["address"] for ip in result["ips"]] == ["10.7.0.2/24"]
        assert interfaces(site, sandbox) == {"eth0"}
        entry = json.loads(site.status())[0]
        assert (entry["name"], entry["default"]) == ("default/mine", True)
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    def test_two_default_networks_are_refused(self, site: Site) -> None:
        site.pod(**{"v1.multus-cni.io/default-network": "a,b"})
        code, text = site.fails("ADD", netns=site.lab.sandbox())
        assert "more than one default network is specified: a,b" in text
        assert code == Code.INVALID_CONFIG


class TestNetworksOfThePod:
    def test_order_and_names(self, site: Site) -> None:
        for name in ("a", "b", "c"):
            site.nad(name, l2())
        site.pod(networks="c, a@data, b , a")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        assert [(row.name, row.ifname, row.position) for row in site.rows] == [
            ("cbr0", "eth0", 0),
            ("default/c", "net1", 1),
            ("default/a", "data", 2),
            ("default/b", "net3", 3),
            ("default/a", "net4", 4),
        ]
        assert interfaces(site, sandbox) == {"eth0", "net1", "data", "net3", "net4"}
        assert [entry["interface"] for entry in json.loads(site.status())] == [
            "eth0",
            "net1",
            "data",
            "net3",
            "net4",
        ]
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    def test_thirty_two_networks(self, site: Site) -> None:
        site.nad("a", l2())
        site.pod(networks=",".join(["a"] * 32))
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        assert len(interfaces(site, sandbox)) == 33
        site.ok("CHECK", netns=sandbox)
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    def test_same_network_twice_has_two_addresses(self, site: Site) -> None:
        site.nad(
            "a", {"cniVersion": "1.0.0", **site.bridge("10.50.0.0/24", bridge="br1", isDefaultGateway=False)}
        )
        site.pod(networks="a,a")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        assert [entry["ips"] for entry in json.loads(site.status())[1:]] == [["10.50.0.2"], ["10.50.0.3"]]
        site.ok("CHECK", netns=sandbox)
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    @pytest.mark.parametrize("program", ["multinet", "multus", "multus-shim"])
    def test_names_of_the_meta_plugin(self, site: Site, program: str) -> None:
        site.nad("a", l2())
        site.pod(networks="a")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox, program=program, conf={"type": program})
        assert interfaces(site, sandbox) == {"eth0", "net1"}
        site.ok("DEL", netns=sandbox, program=program, conf={"type": program})
        site.assert_clean(sandbox)

    def test_runtime_without_pods(self, site: Site) -> None:
        """A plain runtime names none: the default network alone, and no status."""
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox, pod="")
        assert interfaces(site, sandbox) == {"eth0"}
        assert not (site.manifests / ".status").exists()
        site.ok("DEL", netns=sandbox, pod="")
        site.assert_clean(sandbox)

    def test_addresses_and_mac_asked_for(self, site: Site) -> None:
        caps = {"ips": True, "mac": True}
        site.nad("a", l2(capabilities=caps, ipam={"type": "static"}))
        site.pod(networks=[{"name": "a", "ips": ["10.3.0.9/24", "fd03::9/64"], "mac": "02:00:00:00:00:09"}])
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        entry = json.loads(site.status())[1]
        assert entry["ips"] == ["10.3.0.9", "fd03::9"]
        assert entry["mac"] == "02:00:00:00:00:09" == site.lab.links(sandbox)["net1"].mac
        site.ok("CHECK", netns=sandbox)
        site.ok("DEL", netns=sandbox)

    def test_what_an_external_plugin_is_given(self, site: Site) -> None:
        """Configuration with name, version, capabilities' arguments and cni-args; CNI_ARGS; the whole environment."""
        rec = site.recorders
        rec.make("rec")
        conf = {
            "cniVersion": "0.4.0",
            "plugins": [
                {"type": "rec", "own": {"x": [1, None]}, "capabilities": {"ips": True, "portMappings": True}},
                {"type": "rec", "capabilities": {"mac": True}, "args": {"cni": {"a": "there", "b": 2}}},
            ],
        }
        site.nad("a", conf)
        element = {
            "name": "a",
            "ips": ["10.3.0.9/24"],
            "mac": "02:00:00:00:00:09",
            "cni-args": {"a": "pod", "n": {"deep": 1}},
        }
        site.pod(networks=[element], uid="u-1")
        sandbox = site.lab.sandbox()
        mapping = [{"hostPort": 80, "containerPort": 8080, "protocol": "tcp"}]
        args = "K8S_POD_NAME=web;IgnoreUnknown=1;EXTRA=foo;K8S_POD_NAMESPACE=default;K8S_POD_INFRA_CONTAINER_ID=c1"
        site.ok("ADD", netns=sandbox, conf={"runtimeConfig": {"portMappings": mapping}}, CNI_ARGS=args)
        first, second = rec.calls
        assert {key: value for key, value in first.env.items() if key.startswith("CNI_")} == {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": "c1",
            "CNI_NETNS": sandbox.path,
            "CNI_IFNAME": "net1",
            "CNI_PATH": site.path,
            "CNI_ARGS": "IgnoreUnknown=true;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;"
            "K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u-1;EXTRA=foo;MAC=02:00:00:00:00:09;IP=10.3.0.9/24",
        }
        assert first.conf == {
            **conf["plugins"][0],
            "args": {"cni": {"a": "pod", "n": {"deep": 1}}},
            "name": "a",
            "cniVersion": "0.4.0",
            "runtimeConfig": {"ips": ["10.3.0.9/24"]},
        }
        assert second.conf == {
            **conf["plugins"][1],
            "args": {"cni": {"a": "pod", "b": 2, "n": {"deep": 1}}},
            "name": "a",
            "cniVersion": "0.4.0",
            "runtimeConfig": {"mac": "02:00:00:00:00:09"},
            "prevResult": {
                "cniVersion": "0.4.0",
                "interfaces": [{"name": "net1", "sandbox": sandbox.path}],
                "ips": [{"version": "4", "address": "10.99.0.2/24", "interface": 0}],
                "dns": {},
            },
        }
        site.ok("DEL", netns=sandbox)

    def test_the_runtimes_port_mappings_are_the_default_networks(self, site: Site) -> None:
        """And the annotation's are its element's."""
        rec = site.recorders
        plugin = {"type": rec.make("rec"), "capabilities": {"portMappings": True, "bandwidth": True}}
        site.default_network(plugin)
        site.nad("a", {"cniVersion": "1.0.0", **plugin})
        site.pod(networks=[{"name": "a", "bandwidth": {"ingressRate": 5, "ingressBurst": 6}}])
        mapping = [{"hostPort": 80, "containerPort": 8080, "protocol": "tcp"}]
        site.ok(
            "ADD", netns=site.lab.sandbox(), conf={"runtimeConfig": {"portMappings": mapping, "mac": "x"}}
        )
        default, own = rec.calls
        assert default.conf["runtimeConfig"] == {"portMappings": mapping}
        assert own.conf["runtimeConfig"] == {"bandwidth": {"ingressRate": 5, "ingressBurst": 6}}
        site.ok("DEL")


class TestPodThatChangesMeanwhile:
    """The pod as it is when the status is written: an external plugin holds the ADD for so long."""

    def add_while(self, site: Site, change: Callable[[], None]) -> Response:
        site.nad("ext", {"cniVersion": "1.0.0", "type": site.recorders.make("rec")})
        site.pod(networks="ext", uid="u-1")
        release = site.recorders.hold("rec", "ADD")
        answers: list[Response] = []
        sandbox = site.lab.sandbox()
        thread = threading.Thread(target=lambda: answers.append(site.call("ADD", netns=sandbox)))
        thread.start()
        site.wait_for(lambda: site.recorders.asked("ADD"))
        change()
        release()
        thread.join()
        return answers[0]

    def test_deleted(self, site: Site) -> None:
        """No failure: the runtime's DEL comes anyway."""
        assert self.add_while(site, lambda: site.forget_manifest("pod-web")).exit_code == 0
        site.ok("DEL")
        site.assert_clean()

    def test_replaced_by_another_of_the_same_name(self, site: Site) -> None:
        """The other one's status isn't touched, and this one's attachments go."""
        response = self.add_while(site, lambda: site.pod(networks="ext", uid="u-2"))
        error = json.loads(response.stdout)
        assert error["code"] == Code.POD
        assert 'UID "u-1" but got "u-2" from Kube API' in error["msg"]
        assert site.recorders.asked("DEL") == [("rec", "DEL", "net1")]
        site.assert_clean()
        assert not (site.manifests / ".status").exists()


class TestDefaultRoute:
    """At most one default route a family; what is reported is what is there."""

    def prepare(self, site: Site, *elements: dict[str, Any]) -> Any:
        for name, net in (("a", 5), ("b", 6)):
            ipam = static(f"10.{net}.0.2/24", f"fd0{net}::2/64", gateways=(f"10.{net}.0.1", f"fd0{net}::1"))
            ipam["routes"] = [{"dst": V4}, {"dst": V6}] if name == "b" else []
            site.nad(name, l2(ipam=ipam))
        site.pod(networks=list(elements))
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        return sandbox

    def gateways(self, site: Site) -> dict[str, list[str]]:
        return {entry["interface"]: entry.get("gateway", []) for entry in json.loads(site.status())}

    def finish(self, site: Site, sandbox: Any) -> None:
        site.ok("CHECK", netns=sandbox)
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    def test_nothing_asked_for(self, site: Site) -> None:
        """The first that brings one keeps it."""
        sandbox = self.prepare(site, {"name": "b"})
        assert site.defaults(sandbox) == {(V4, "10.244.0.1", "eth0"), (V6, "fd00:244::1", "eth0")}
        assert self.gateways(site) == {"eth0": ["10.244.0.1", "fd00:244::1"], "net1": []}
        self.finish(site, sandbox)

    def test_one_family_leaves_the_other(self, site: Site) -> None:
        sandbox = self.prepare(site, {"name": "a", "default-route": ["10.5.0.254"]})
        assert site.defaults(sandbox) == {(V4, "10.5.0.254", "net1"), (V6, "fd00:244::1", "eth0")}
        assert self.gateways(site) == {"eth0": ["fd00:244::1"], "net1": ["10.5.0.254"]}
        site.ok("CHECK", netns=sandbox)
        site.lab.ip("route", "del", "default", netns=sandbox)
        code, text = site.fails("CHECK", netns=sandbox)
        assert code == Code.CHECK_FAILED
        assert "10.5.0.254" in text
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    def test_both_families_on_different_interfaces(self, site: Site) -> None:
        sandbox = self.prepare(
            site,
            {"name": "a", "default-route": ["10.5.0.254"]},
            {"name": "b", "default-route": ["fd06::254"]},
        )
        assert site.defaults(sandbox) == {(V4, "10.5.0.254", "net1"), (V6, "fd06::254", "net2")}
        assert self.gateways(site) == {"eth0": [], "net1": ["10.5.0.254"], "net2": ["fd06::254"]}
        self.finish(site, sandbox)

    def test_the_attachments_own_routes(self, site: Site) -> None:
        """An empty list: those of that interface stand, the others go."""
        sandbox = self.prepare(site, {"name": "a"}, {"name": "b", "default-route": []})
        assert site.defaults(sandbox) == {(V4, "10.6.0.1", "net2"), (V6, "fd06::1", "net2")}
        assert self.gateways(site) == {"eth0": [], "net1": [], "net2": ["10.6.0.1", "fd06::1"]}
        self.finish(site, sandbox)

    def test_an_empty_list_on_an_interface_without_default_routes(self, site: Site) -> None:
        """The pod isn't left without any."""
        sandbox = self.prepare(site, {"name": "a", "default-route": []})
        assert site.defaults(sandbox) == {(V4, "10.244.0.1", "eth0"), (V6, "fd00:244::1", "eth0")}
        self.finish(site, sandbox)

    @pytest.mark.parametrize("gateway", ["10.77.0.1", "fd77::1"])
    def test_gateway_that_is_not_on_the_link(self, site: Site, gateway: str) -> None:
        site.nad("a", l2(ipam=static("10.5.0.2/24", "fd05::2/64")))
        site.pod(networks=[{"name": "a", "default-route": [gateway]}])
        sandbox = site.lab.sandbox()
        code, text = site.fails("ADD", netns=sandbox)
        assert code == Code.KERNEL
        assert (
            f"error setting default gateway: {'::/0' if ':' in gateway else V4} via {gateway} dev net1"
            in text
        )
        site.assert_clean(sandbox)

    def test_two_gateways_of_a_family(self, site: Site) -> None:
        site.nad("a", l2())
        site.pod(
            networks=[
                {"name": "a", "default-route": ["10.5.0.1"]},
                {"name": "a", "default-route": ["10.5.0.2"]},
            ]
        )
        sandbox = site.lab.sandbox()
        code, text = site.fails("ADD", netns=sandbox)
        assert code == Code.INVALID_CONFIG
        assert "multus does not support ECMP for default-route" in text
        assert "10.5.0.1" in text and "10.5.0.2" in text
        site.assert_clean(sandbox)

    def test_external_plugins_routes_are_settled_too(self, site: Site) -> None:
        ipam = {"type": "host-local", "subnet": "10.8.0.0/24", "dataDir": str(site.leases)}
        reference = {"type": "ptp", "ipam": {**ipam, "routes": [{"dst": V4}]}}
        site.nad("p", {"cniVersion": "1.0.0", **reference})
        site.pod(networks=[{"name": "p", "default-route": []}])
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        assert site.defaults(sandbox) == {(V4, "10.8.0.1", "net1"), (V6, "fd00:244::1", "eth0")}
        assert self.gateways(site) == {"eth0": ["fd00:244::1"], "net1": ["10.8.0.1"]}
        self.finish(site, sandbox)

    def test_a_default_route_that_a_plugin_has_replaced_comes_back(self, site: Site) -> None:
        """Nothing is asked for, so the first attachment's holds, with all that its plugin said of it."""
        script = """#!/bin/sh
cat >/dev/null
in="nsenter --net=$CNI_NETNS ip"
[ "$CNI_COMMAND" = DEL ] && { $in link del "$CNI_IFNAME"; exit 0; }
[ "$CNI_COMMAND" = ADD ] || exit 0
$in link add "$CNI_IFNAME" type veth peer name far && $in link set "$CNI_IFNAME" up && $in link set far up
$in addr add 10.8.0.2/24 dev "$CNI_IFNAME" && $in route replace default via 10.8.0.1
echo '{"cniVersion":"1.0.0","interfaces":[{"name":"'$CNI_IFNAME'","sandbox":"'$CNI_NETNS'"}],
"ips":[{"address":"10.8.0.2/24","interface":0}],"routes":[{"dst":"0.0.0.0/0","gw":"10.8.0.1"}]}'
"""
        (site.bin_dir / "greedy").write_text(script)
        (site.bin_dir / "greedy").chmod(0o755)
        site.nad("g", {"cniVersion": "1.0.0", "type": "greedy"})
        site.pod(networks="g")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        assert site.defaults(sandbox) == {(V4, "10.244.0.1", "eth0"), (V6, "fd00:244::1", "eth0")}
        assert self.gateways(site) == {"eth0": ["10.244.0.1", "fd00:244::1"], "net1": []}
        self.finish(site, sandbox)


VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")


class TestVersions:
    @pytest.mark.parametrize("asked", VERSIONS)
    @pytest.mark.parametrize("network", ["0.2.0", "0.4.0", "1.1.0"])
    def test_result_in_the_callers_version(self, site: Site, asked: str, network: str) -> None:
        site.default_network(site.bridge("10.244.0.0/24", "fd00:244::/64"), version=network)
        sandbox = site.lab.sandbox()
        result = site.ok("ADD", netns=sandbox, conf={"cniVersion": asked})
        assert result["cniVersion"] == asked
        if asked in ("0.1.0", "0.2.0"):
            assert result["ip4"]["ip"] == "10.244.0.2/24"
            assert result["ip6"]["ip"] == "fd00:244::2/64"
            assert "interfaces" not in result
        else:
            assert [ip["address"] for ip in result["ips"]] == ["10.244.0.2/24", "fd00:244::2/64"]
            assert ("version" in result["ips"][0]) == (asked < "1")
        site.ok("DEL", netns=sandbox, conf={"cniVersion": asked})
        site.assert_clean(sandbox)

    @pytest.mark.parametrize("asked", ["0.1.0", "0.2.0"])
    def test_l2_cannot_be_said_in_old_versions(self, site: Site, asked: str) -> None:
        """An interface without addresses: the ADD fails, and nothing of it is left."""
        site.default_network(l2())
        site.nad("a", l2())
        site.pod(networks="a")
        sandbox = site.lab.sandbox()
        code, text = site.fails("ADD", netns=sandbox, conf={"cniVersion": asked})
        assert code in (Code.INCOMPATIBLE_VERSION, Code.DECODING_FAILURE)
        assert "cannot convert: no valid IP addresses" in text
        site.assert_clean(sandbox)

    @pytest.mark.parametrize("own", ["0.2.0", ""])
    def test_l2_network_of_an_old_version(self, site: Site, own: str) -> None:
        conf = l2(version=own)
        if not own:
            del conf["cniVersion"]
        site.nad("a", conf)
        site.pod(networks="a")
        sandbox = site.lab.sandbox()
        code, text = site.fails("ADD", netns=sandbox)
        assert "default/a" in text and "cannot convert" in text
        assert code in (Code.INCOMPATIBLE_VERSION, Code.DECODING_FAILURE)
        site.assert_clean(sandbox)

    def test_plugin_without_interfaces(self, site: Site) -> None:
        site.recorders.make("none", {"cniVersion": "1.0.0"})
        site.nad("a", {"cniVersion": "1.0.0", "type": "none"})
        site.pod(networks="a")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        assert [entry["name"] for entry in json.loads(site.status())] == ["cbr0"]
        site.ok("DEL", netns=sandbox)
        assert site.recorders.asked() == [("none", "ADD", "net1"), ("none", "DEL", "net1")]


@pytest.mark.reference
class TestWorkedExample:
    def test_macvlan_with_tuning_chained(self, site: Site, uplink: None) -> None:
        """A round trip of a flannel-like default network and a macvlan with an address and a gateway asked for."""
        ipam = {"type": "host-local", "dataDir": str(site.leases), "ranges": [[{"subnet": "10.244.1.0/24"}]]}
        site.default_network({"type": "bridge", "bridge": "cni0", "isDefaultGateway": True, "ipam": ipam})
        macvlan = {
            "type": "macvlan",
            "capabilities": {"ips": True},
            "master": "eth1",
            "mode": "bridge",
            "ipam": {"type": "static"},
        }
        site.nad("mv", {"cniVersion": "0.4.0", "plugins": [macvlan, {"type": "tuning"}]})
        element = {"name": "mv", "ips": ["10.1.1.11/24"], "default-route": ["10.1.1.254"]}
        site.pod("p1", networks=[element], uid="u-1")
        sandbox = site.lab.sandbox()
        args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p1;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u-1"
        result = site.ok("ADD", netns=sandbox, CNI_ARGS=args)

        links = site.lab.links(sandbox)
        assert set(links) == {"lo", "eth0", "net1"}
        assert (links["net1"].kind, links["net1"].mode, links["net1"].up) == ("macvlan", "bridge", True)
        assert site.defaults(sandbox) == {(V4, "10.1.1.254", "net1")}
        assert [ip["address"] for ip in result["ips"]] == ["10.244.1.2/24"]
        assert result["routes"] == [{"dst": V4, "gw": "10.244.1.1"}]  # as the plugin said it (5.15)
        assert site.status("p1") == STATUS % (links["eth0"].mac, links["net1"].mac)

        site.forget_manifest("nad-default-mv")
        site.forget_manifest("pod-p1")
        site.ok("CHECK", netns=sandbox, CNI_ARGS=args)
        site.ok("DEL", netns=sandbox, CNI_ARGS=args)
        site.assert_clean(sandbox)
        site.ok("DEL", netns=sandbox, CNI_ARGS=args)


STATUS = """[{
    "name": "cbr0",
    "interface": "eth0",
    "ips": [
        "10.244.1.2"
    ],
    "mac": "%s",
    "mtu": 1500,
    "default": true,
    "dns": {}
},{
    "name": "default/mv",
    "interface": "net1",
    "ips": [
        "10.1.1.11"
    ],
    "mac": "%s",
    "dns": {},
    "gateway": [
        "10.1.1.254"
    ]
}]"""

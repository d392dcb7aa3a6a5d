"""Main plugins and devices' plugins as they are: what they are given at each verb, and that it is the ADD's (8.G)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multinet.cni.errors import Code
from tests.daemon.main_plugins import MAIN_PLUGINS, MainPlugin

Site = Any
Json = dict[str, Any]

MAPPINGS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
LIMITS = {"ingressRate": 8_000_000, "ingressBurst": 80_000, "egressRate": 8_000_000, "egressBurst": 80_000}
RUNTIME = {"runtimeConfig": {"portMappings": MAPPINGS, "bandwidth": LIMITS}}

# Calico's way of an interface: a pair with the host's end named by it, an address of its own, nothing in the result
# of the pod's end. DEL of the reference needs what its ADD got: it fails when a key has gone.
CALICO_LIKE = """#!/bin/sh
d='{folder}'
conf=$(cat)
printf '%s' "$conf" >"$d/calico.$CNI_COMMAND"
case "$conf" in *'"kubeconfig":"/etc/cni/net.d/calico-kubeconfig"'*) ;; *)
  echo '{{"code":7,"msg":"no kubeconfig"}}'; exit 1;; esac
in="nsenter --net=$CNI_NETNS ip"
case $CNI_COMMAND in
ADD)
  $in link add eth0 type veth peer name cali0 netns $$ && $in link set eth0 up
  ip link set cali0 up
  $in addr add 192.168.77.5/32 dev eth0
  echo '{{"cniVersion":"0.3.1","interfaces":[{{"name":"cali0"}}],
    "ips":[{{"version":"4","address":"192.168.77.5/32"}}]}}'
  ;;
DEL) ip link del cali0 2>/dev/null || true;;
esac
"""


def without_previous(text: bytes) -> bytes:
    """The input of a call without the result of the ADD, which is all that a DEL has more than the ADD."""
    previous = json.loads(text).get("prevResult")
    cut = b',"prevResult":' + json.dumps(previous, separators=(",", ":")).encode()
    return text if previous is None else text.replace(cut, b"")


@pytest.fixture
def main(site: Site, request: pytest.FixtureRequest) -> MainPlugin:
    """A main plugin's file in place of the default network, every plugin of it an executable that records."""
    chosen: MainPlugin = request.param
    (site.conf_dir / "10-default.conflist").unlink()
    (site.conf_dir / chosen.file_name).write_text(json.dumps(chosen.as_executables()))
    for plugin in chosen.conf["plugins"]:
        site.recorders.make(plugin["type"], chosen.result)
    return chosen


every_main_plugin = pytest.mark.parametrize("main", MAIN_PLUGINS.values(), ids=MAIN_PLUGINS, indirect=True)


@every_main_plugin
def test_a_plugin_is_given_its_object_and_what_the_runtime_says(site: Site, main: MainPlugin) -> None:
    """Every key as in the file, in the file's order; then name, version and its own capabilities' arguments."""
    sandbox = site.lab.sandbox()
    site.ok("ADD", netns=sandbox, conf=RUNTIME)
    written = main.as_executables()
    for call, plugin in zip(site.recorders.calls, written["plugins"], strict=True):
        given = {key: value for key, value in call.conf.items() if key in plugin}
        assert json.dumps(given) == json.dumps(plugin)
        more = {key: value for key, value in call.conf.items() if key not in plugin and key != "prevResult"}
        capabilities = plugin.get("capabilities", {})
        args = {key: value for key, value in RUNTIME["runtimeConfig"].items() if key in capabilities}
        assert more == {"name": written["name"], "cniVersion": written["cniVersion"]} | (
            {"runtimeConfig": args} if args else {}
        )
    assert "prevResult" not in site.recorders.calls[0].conf
    site.ok("DEL", netns=sandbox)


@every_main_plugin
@pytest.mark.parametrize("meanwhile", ["nothing", "file changed", "file gone", "restart"])
def test_a_removal_gets_the_very_bytes_of_the_add(site: Site, main: MainPlugin, meanwhile: str) -> None:
    """Whatever became of the file and of the daemon; and the result of the ADD where the version has it."""
    sandbox = site.lab.sandbox()
    site.ok("ADD", netns=sandbox, conf=RUNTIME)
    added = {call.plugin: call for call in site.recorders.calls}
    site.recorders.clear()
    file = site.conf_dir / main.file_name
    if meanwhile == "file changed":
        file.write_text(
            file.read_text().replace('"cniVersion"', '"other": 1, "cniVersion"').replace("30", "31")
        )
    elif meanwhile == "file gone":
        file.unlink()
    elif meanwhile == "restart":
        site.restart()
    site.ok("DEL", netns=sandbox)
    removed = site.recorders.calls
    assert [call.plugin for call in removed] == list(reversed(added))
    for call in removed:
        assert without_previous(call.stdin) == without_previous(added[call.plugin].stdin)
        env = {key: value for key, value in call.env.items() if key.startswith("CNI_")}
        assert env == {k: v for k, v in added[call.plugin].env.items() if k.startswith("CNI_")} | {
            "CNI_COMMAND": "DEL"
        }
        if main.conf["cniVersion"] >= "0.4":
            assert call.conf["prevResult"]["ips"][0]["address"] == main.result["ips"][0]["address"]
        else:
            assert "prevResult" not in call.conf
    site.assert_clean(sandbox)


@every_main_plugin
def test_a_failed_add_is_taken_back_in_the_same_way(site: Site, main: MainPlugin) -> None:
    """The list's plugins get their DEL, also those that were not reached; the pod's second try is a new one."""
    site.nad("bad", {"cniVersion": "1.0.0", "type": site.recorders.make("bad")})
    site.recorders.fail("bad", "ADD")
    site.pod(networks="bad")
    sandbox = site.lab.sandbox()
    assert site.fails("ADD", netns=sandbox, conf=RUNTIME)[0] == 123
    kinds = [plugin["type"] for plugin in main.conf["plugins"]]
    assert [call.plugin for call in site.recorders.calls if call.verb == "DEL"] == ["bad", *reversed(kinds)]
    site.assert_clean(sandbox)


def test_calico_with_our_portmap_and_bandwidth(site: Site) -> None:
    """The file as it is shipped: calico is an executable, the others run in the daemon, on an interface that
    only its host end tells of; its DEL has all that its ADD had."""
    main = MAIN_PLUGINS["calico"]
    folder = site.lab.directory
    (site.bin_dir / "calico").write_text(CALICO_LIKE.format(folder=folder))
    (site.bin_dir / "calico").chmod(0o755)
    (site.conf_dir / "10-default.conflist").unlink()
    (site.conf_dir / main.file_name).write_text(main.text)
    sandbox = site.lab.sandbox()
    result = site.ok("ADD", netns=sandbox, conf={**RUNTIME, "cniVersion": "0.3.1"})
    assert [ip["address"] for ip in result["ips"]] == ["192.168.77.5/32"]
    assert json.loads(site.status()) == [
        {"name": "k8s-pod-network", "ips": ["192.168.77.5"], "default": True, "dns": {}}
    ]
    rules = site.rules()
    assert "192.168.77.5" in rules and "8080" in rules
    assert "tbf" in site.lab.run("tc", "qdisc", "show", "dev", "cali0")
    site.ok("DEL", netns=sandbox, conf={"cniVersion": "0.3.1"})
    assert (folder / "calico.DEL").read_bytes() == (folder / "calico.ADD").read_bytes()
    site.assert_clean(sandbox)


class TestDevicesPlugins:
    """Keys of plugins for devices pass as they are written; what the pod asks for is added where the plugin looks."""

    PLUGINS: tuple[Json, ...] = (
        {
            "type": "sriov",
            "vlan": 100,
            "vlanQoS": 2,
            "vlanProto": "802.1ad",
            "mac": "02:00:00:00:00:01",
            "spoofchk": "on",
            "trust": "off",
            "link_state": "auto",
            "min_tx_rate": 0,
            "max_tx_rate": 1000,
            "mtu": 9000,
            "logLevel": "debug",
            "logFile": "/var/log/sriov.log",
            "ipam": {"type": "whereabouts", "range": "10.7.0.0/24", "exclude": ["10.7.0.1/32"]},
        },
        {
            "type": "ovs",
            "bridge": "br-ex",
            "vlan": 20,
            "trunk": [{"id": 42}, {"minID": 1000, "maxID": 1010}],
            "ofport_request": 7,
            "interface_type": "dpdk",
            "configuration_path": "/etc/ovs.json",
            "socket_file": "unix:/run/ovs.sock",
            "link_state_check_retries": 5,
            "link_state_check_interval": 1000,
        },
        {
            "type": "ib-sriov",
            "guid": "c2:11:22:33:44:55:66:77",
            "pkey": "0x6",
            "link_state": "enable",
            "rdmaIsolation": True,
            "ibKubernetesEnabled": False,
            "vfioPciMode": True,
        },
        {"type": "rdma", "args": {"cni": {"debug": True}}},
        {
            "type": "userspace",
            "kernelpath": "/sys/x",
            "hwaddr": "02:00:00:00:00:09",
            "host": {"engine": "ovs-dpdk"},
        },
        {"type": "vdpa", "device": "vdpa0", "pciBusID": "0000:01:00.1", "deviceID": "0000:01:00.1"},
        {
            "type": "ovn-k8s-cni-overlay",
            "topology": "layer2",
            "netAttachDefName": "ns/x",
            "mtu": 1400.5,
            "big": 2**53 + 1,
        },
    )

    @pytest.mark.parametrize("plugin", PLUGINS, ids=[plugin["type"] for plugin in PLUGINS])
    @pytest.mark.parametrize("chained", [False, True], ids=["single", "list"])
    def test_keys_pass(self, site: Site, plugin: Json, chained: bool) -> None:
        site.recorders.make(plugin["type"])
        capabilities = {"mac": True, "ips": True, "infinibandGUID": True, "deviceID": True}
        given = {**plugin, "capabilities": capabilities}
        conf = {"plugins": [given, {"type": site.recorders.make("second")}]} if chained else given
        site.nad("dev", {"cniVersion": "1.0.0", **conf})
        element = {
            "name": "dev",
            "mac": "02:00:00:00:00:07",
            "ips": ["10.7.0.9/24"],
            "infiniband-guid": "c2:11:22:33:44:55:66:99",
            "deviceID": "0000:01:00.2",
            "cni-args": {"guid": "c2:11:22:33:44:55:66:88", "ovnPort": "p1", "mac": "02:00:00:00:00:08"},
        }
        site.pod(networks=[element])
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        call = site.recorders.calls[0]
        merged = {**plugin.get("args", {}).get("cni", {}), **element["cni-args"]}
        assert call.conf == {
            **given,
            "args": {"cni": merged},
            "name": "dev",
            "cniVersion": "1.0.0",
            "runtimeConfig": {
                "ips": element["ips"],
                "mac": element["mac"],
                "infinibandGUID": element["infiniband-guid"],
                "deviceID": element["deviceID"],
            },
        }
        assert call.env["CNI_ARGS"].endswith(";MAC=02:00:00:00:00:07;IP=10.7.0.9/24")
        site.forget_manifest("nad-default-dev")
        site.recorders.clear()
        site.ok("DEL", netns=sandbox)
        assert without_previous(site.recorders.calls[-1].stdin) == call.stdin
        assert site.recorders.calls[-1].env["CNI_ARGS"] == call.env["CNI_ARGS"]
        site.assert_clean(sandbox)


class TestVerbsGoThrough:
    """STATUS and GC reach the main plugin, CHECK every plugin, unless the list disables them (5.46, 5.54 to 5.56)."""

    def prepare(self, site: Site, **flags: bool) -> Any:
        kinds = [site.recorders.make(name) for name in ("main", "second")]
        conf = {"cniVersion": "1.1.0", "name": "cbr0", "plugins": [{"type": kind} for kind in kinds], **flags}
        (site.conf_dir / "10-default.conflist").write_text(json.dumps(conf))
        site.nad("a", {**conf, "name": "a"})
        site.pod(networks="a")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox, conf={"cniVersion": "1.1.0"})
        site.recorders.clear()
        return sandbox

    def asked(self, site: Site) -> list[tuple[str, str]]:
        return [(call.plugin, call.conf["name"]) for call in site.recorders.calls]

    @pytest.mark.parametrize("disabled", [False, True])
    def test_check(self, site: Site, disabled: bool) -> None:
        sandbox = self.prepare(site, disableCheck=disabled)
        site.ok("CHECK", netns=sandbox, conf={"cniVersion": "1.1.0"})
        every = [("main", "cbr0"), ("second", "cbr0"), ("main", "a"), ("second", "a")]
        assert self.asked(site) == ([] if disabled else every)
        assert all("prevResult" in call.conf for call in site.recorders.calls)
        site.ok("DEL", netns=sandbox)

    @pytest.mark.parametrize("disabled", [False, True])
    def test_gc(self, site: Site, disabled: bool) -> None:
        """Each network gets the attachments of both: the same plugins serve them."""
        sandbox = self.prepare(site, disableGC=disabled)
        valid = [{"containerID": "c1", "ifname": "eth0"}]
        site.ok("GC", conf={"cniVersion": "1.1.0", "cni.dev/valid-attachments": valid})
        assert set(self.asked(site)) == (
            set() if disabled else {(kind, name) for kind in ("main", "second") for name in ("cbr0", "a")}
        )
        for call in site.recorders.calls:
            for key in ("cni.dev/valid-attachments", "cni.dev/attachments"):
                pairs = {(pair["containerID"], pair["ifname"]) for pair in call.conf[key]}
                assert pairs == {("c1", "eth0"), ("c1", "net1")}
        site.ok("DEL", netns=sandbox)

    def test_status(self, site: Site) -> None:
        self.prepare(site)
        site.ok("STATUS", conf={"cniVersion": "1.1.0"}, pod="")
        assert self.asked(site) == [("main", "cbr0"), ("second", "cbr0")]
        site.recorders.fail(
            "second", "STATUS", '{"cniVersion":"1.1.0","code":50,"msg":"no","details":"agent"}'
        )
        assert site.fails("STATUS", conf={"cniVersion": "1.1.0"}, pod="") == (Code.NOT_AVAILABLE, "no; agent")
        site.ok("DEL")

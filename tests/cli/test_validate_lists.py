"""Lists of plugins under ``multinet validate``: each delegate is asked itself, on hosts that there could be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multinet.cli.validate import _findings
from multinet.cli.validation.imaginary_host import ImaginaryHost
from multinet.engine.facts import Facts
from multinet.sdk import registry

Json = dict[str, Any]
Found = list[tuple[str, str]]
Validate = Callable[..., Found]

LAN: Json = {"type": "host-local", "subnet": "10.1.0.0/24"}
BRIDGE: Json = {"type": "bridge", "ipam": LAN}
MACVLAN: Json = {"type": "macvlan", "master": "eth1", "ipam": LAN}
SHAPED: Json = {"type": "bandwidth", "ingressRate": 8000, "ingressBurst": 8000}
PORTMAP: Json = {"type": "portmap", "capabilities": {"portMappings": True}}


@pytest.fixture
def validate(tmp_path: Path) -> Validate:
    """Severity and text of each finding on a list of plugins."""

    def run(*plugins: Json) -> Found:
        file = tmp_path / "n.conflist"
        file.write_text(json.dumps({"cniVersion": "1.0.0", "name": "n", "plugins": plugins}))
        found = _findings([str(file)])
        return [(one.severity, one.text.removeprefix("network n: $.plugins")) for one in found]

    return run


@pytest.mark.parametrize(
    "plugins",
    [
        (BRIDGE, {"type": "tuning", "mtu": 1400}, PORTMAP, SHAPED, {"type": "firewall"}, {"type": "sbr"}),
        (BRIDGE, {"type": "firewall", "ingressPolicy": "isolated"}),
        (BRIDGE, {"type": "bandwidth", "capabilities": {"bandwidth": True}}),
        (BRIDGE, {"type": "vrf", "vrfname": "blue"}),
        ({"type": "ptp", "ipam": LAN}, SHAPED, {"type": "sbr"}),
        (MACVLAN, {"type": "tuning", "promisc": True}, {"type": "sbr"}),
        ({"type": "tap", "bridge": "br9"},),
        ({"type": "host-device", "device": "eth1"}, SHAPED),
        ({"type": "host-device", "hwaddr": "02:00:00:00:00:05"},),
        ({"type": "host-device", "pciBusID": "0000:00:1f.6"},),
        ({"type": "host-device", "capabilities": {"deviceID": True}},),
        ({"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}}, PORTMAP),
        ({"type": "loopback"},),
        ({"type": "bridge", "ipam": {"type": "dhcp"}}, {"type": "sbr"}),
        ({"type": "theirs"}, {"type": "firewall", "ingressPolicy": "isolated"}, SHAPED, {"type": "sbr"}),
        ({"type": "bridge", "ipam": {"type": "theirs"}}, {"type": "sbr"}),
    ],
    ids=lambda plugins: "+".join(one["type"] for one in plugins),
)
def test_what_some_host_would_take_is_right(validate: Validate, plugins: tuple[Json, ...]) -> None:
    assert validate(*plugins) == []


@pytest.mark.parametrize("kind", ["tuning", "portmap", "bandwidth", "firewall", "sbr", "vrf"])
def test_a_chained_plugin_is_never_the_first(validate: Validate, kind: str) -> None:
    conf = {"type": kind, "capabilities": {"portMappings": True, "bandwidth": True}}
    conf |= {"vrfname": "blue"} if kind == "vrf" else {}
    first = f'[0].type: "{kind}" adjusts what an earlier plugin of the list has made: it cannot be the first'
    assert ("error", first) in validate(conf, BRIDGE)
    assert not [one for one in validate({"type": "theirs"}, conf) if "first" in one[1]]


def test_a_single_plugin_is_the_first(tmp_path: Path) -> None:
    file = tmp_path / "n.conf"
    file.write_text('{"cniVersion": "1.0.0", "name": "n",\n"type": "sbr"}')
    assert [(one.line, one.severity) for one in _findings([str(file)])] == [(2, "error")]


@pytest.mark.parametrize(
    ("plugins", "fault"),
    [
        (
            (BRIDGE, {"type": "bandwidth", "ingressRate": 8000}),
            "[1].ingressBurst: if rate is set, burst must",
        ),
        ((BRIDGE, {**SHAPED, "shapedSubnets": ["x"]}), "[1].shapedSubnets[0]: bad subnet"),
        ((BRIDGE, {**SHAPED, "ingressRate": "much"}), "[1].ingressRate: expected int | null, got str"),
        ((BRIDGE, {"type": "vrf"}), "[1].vrfname: configuration is expected to have a valid vrf name"),
        ((BRIDGE, {"type": "vrf", "vrfname": "blue", "table": -1}), "[1].table: -1 is outside"),
        ((BRIDGE, {"type": "sbr", "gateways": ["x"]}), "[1].gateways[0]: invalid static gateway"),
        (
            (BRIDGE, {"type": "tuning", "sysctl": {"kernel.x": "1"}}),
            '[1]: invalid net sysctl key: "kernel.x"',
        ),
        ((BRIDGE, {"type": "tuning", "mtu": -1}), "[1].mtu: -1 is outside"),
        ((BRIDGE, {"type": "tuning", "args": {"cni": {"mac": "z"}}}), "[1].args.cni.mac: invalid args z"),
        ((BRIDGE, {"type": "firewall", "backend": "pf"}), '[1].backend: unknown backend "pf"'),
        ((BRIDGE, {**PORTMAP, "markMasqBit": 77}), "[1].markMasqBit: MasqMarkBit must be between 0 and 31"),
        (
            (BRIDGE, {**PORTMAP, "backend": "nftables", "externalSetMarkChain": "X"}),
            "[1].externalSetMarkChain: nftables backend was requested but",
        ),
        ((MACVLAN, SHAPED), "[1]: container interface net1 has no veth peer: it is a macvlan"),
        (
            (MACVLAN, {"type": "firewall", "ingressPolicy": "isolated"}),
            "[1].ingressPolicy: interface needs to be set",
        ),
        (({"type": "bridge"}, {"type": "sbr"}), "[1]: No IP addresses supplied on interface"),
        (({"type": "host-device"},), '[0]: specify either "device", "hwaddr"'),
        (({"type": "host-device", "kernelpath": "/etc"},), "[0].kernelpath: kernel device path"),
        (({"type": "tap", "owner": -1},), "[0].owner: -1 is outside"),
        (({"type": "vlan", "master": "eth1", "vlanId": 5000},), "[0].vlanId: invalid VLAN ID 5000"),
        (({"type": "ipvlan", "master": "eth1", "mode": "l4"},), '[0].mode: unknown ipvlan mode: "l4"'),
        (
            ({"type": "ptp", "ipMasqBackend": "x", "ipam": LAN},),
            '[0].ipMasqBackend: unknown ipmasq backend "x"',
        ),
        (({"type": "flannel", "delegate": {"mtu": "x"}},), "[0].delegate.mtu: expected int, got str"),
        (
            ({"type": "flannel", "delegate": {"name": "x"}},),
            "[0].delegate.name: 'delegate' dictionary must not",
        ),
        (({"type": "flannel", "ipam": {"routes": [{"dst": "x"}]}},), "[0].ipam.routes[0].dst: invalid CIDR"),
        (({"type": "flannel", "subnetFile": 3},), "[0].subnetFile: expected str, got int"),
    ],
)
def test_what_every_host_would_refuse_is_an_error(
    validate: Validate, plugins: tuple[Json, ...], fault: str
) -> None:
    found = validate(*plugins)
    assert len(found) == 1, found
    assert found[0][0] == "error" and found[0][1].startswith(fault), found


# The keys of an address manager stand below ipam.
@pytest.mark.parametrize("kind", [k for k in registry.types() if hasattr(registry.plugin(k), "conf")])
def test_unknown_keys_of_every_delegate(validate: Validate, kind: str) -> None:
    found = validate(BRIDGE, {"type": kind, "capabilites": {}})
    told = '[1].capabilites: unknown key "capabilites", did you mean "capabilities"?'
    assert ("warning", told) in found


def test_unknown_keys_at_any_depth(validate: Validate) -> None:
    trunk = {"type": "bridge", "vlanTrunk": [{"minID": 5, "maxID": 6}, {"minID": 5, "maxIDs": 6}]}
    assert ("warning", '[0].vlanTrunk[1].maxIDs: unknown key "maxIDs", did you mean "maxID"?') in validate(
        trunk
    )
    dns = {"type": "tap", "dns": {"nameserver": []}}
    assert validate(dns) == [
        ("warning", '[0].dns.nameserver: unknown key "nameserver", did you mean "nameservers"?')
    ]


class TestCapabilities:
    @pytest.mark.parametrize(
        ("plugin", "capability"),
        [({"type": "portmap"}, "portMappings"), ({"type": "bandwidth", "maxBurst": 800}, "bandwidth")],
    )
    def test_what_is_not_handed_over(self, validate: Validate, plugin: Json, capability: str) -> None:
        kind = plugin["type"]
        told = (
            f'[1].capabilities: "{capability}" of a pod is not handed over to "{kind}": add "capabilities": '
        )
        assert validate(BRIDGE, plugin) == [("warning", f'{told}{{"{capability}": true}}')]
        off = {**plugin, "capabilities": {capability: False}}
        assert len(validate(BRIDGE, off)) == 1
        assert validate(BRIDGE, {**plugin, "capabilities": {capability: True}}) == []

    def test_limits_of_its_own_need_no_pods(self, validate: Validate) -> None:
        assert validate(BRIDGE, SHAPED) == []

    def test_what_a_pod_asks_for_and_nobody_takes(self, tmp_path: Path) -> None:
        config = json.dumps({"cniVersion": "1.0.0", "plugins": [BRIDGE, PORTMAP]})
        definition = {
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": "lan"},
            "spec": {"config": config},
        }
        wanted = {"name": "lan", "portMappings": [{"hostPort": 1, "containerPort": 1}]}
        limits = {"bandwidth": {"ingressRate": 8000, "ingressBurst": 8000}}
        annotations = {"k8s.v1.cni.cncf.io/networks": json.dumps([{**wanted, **limits}])}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "annotations": annotations}}
        for name, content in (("lan", definition), ("web", pod)):
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        (found,) = _findings([str(tmp_path / "web.json"), str(tmp_path / "lan.json")])
        assert found.severity == "warning"
        assert 'default/lan: "bandwidth" is asked for, but no plugin of the network has' in found.text


def test_an_imaginary_host_answers_all_that_a_delegate_may_ask() -> None:
    """What it didn't answer itself would be read from this machine."""
    asked = {name for name in vars(Facts) if not name.startswith("_")}
    assert asked <= set(vars(ImaginaryHost))

"""flannel's subnet file and the delegate's configuration: pure, by table."""

from __future__ import annotations

from typing import Any

import pytest

from multinet.cni.decode import convert
from multinet.cni.errors import CNIError
from multinet.delegates.flannel_conf import FlannelConf, Subnets, delegate_conf, parse_subnet_env

DUAL = """
FLANNEL_NETWORK=10.1.0.0/16
FLANNEL_SUBNET=10.1.17.1/24
FLANNEL_IPV6_NETWORK=fd00:1::/48
FLANNEL_IPV6_SUBNET=fd00:1:17::1/64
FLANNEL_MTU=1472
FLANNEL_IPMASQ=true
SOMETHING_ELSE
"""
NODE = Subnets(("10.1.0.0/16",), ("10.1.17.0/24",), 1472, True)


def env(**lines: str) -> str:
    known = dict(line.split("=", 1) for line in DUAL.split() if "=" in line)
    known |= {f"FLANNEL_{key}": value for key, value in lines.items()}
    return "\n".join(f"{key}={value}" for key, value in known.items() if value != "-")


class TestSubnetFile:
    def test_both_families_masked_to_their_networks(self) -> None:
        assert parse_subnet_env(DUAL, "f") == Subnets(
            ("10.1.0.0/16", "fd00:1::/48"), ("10.1.17.0/24", "fd00:1:17::/64"), 1472, True
        )

    def test_several_networks_keep_their_order_and_lose_repetitions(self) -> None:
        text = env(NETWORK="10.9.0.0/16,10.1.2.3/16,10.9.0.0/16", IPV6_NETWORK="-", IPV6_SUBNET="-")
        assert parse_subnet_env(text, "f").networks == ("10.9.0.0/16", "10.1.0.0/16")

    @pytest.mark.parametrize("text", ["false", "True", "1", "", "true "])
    def test_masquerades_only_for_exactly_true(self, text: str) -> None:
        assert parse_subnet_env(env(IPMASQ=text), "f").masquerades is False

    def test_what_is_missing_is_named_in_the_order_of_the_table(self) -> None:
        with pytest.raises(CNIError) as caught:
            parse_subnet_env("", "/run/flannel/subnet.env")
        assert caught.value.code == 7
        assert caught.value.msg == (
            "failed to load flannel 'subnet.env' file: /run/flannel/subnet.env is missing FLANNEL_NETWORK, "
            "FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ. "
            "Check the flannel pod log for this node."
        )

    def test_one_family_is_enough(self) -> None:
        assert parse_subnet_env(env(NETWORK="-", SUBNET="-"), "f").subnets == ("fd00:1:17::/64",)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (env() + "\nFLANNEL_MTU", "f, line 7: expected FLANNEL_MTU=VALUE"),
            (env(MTU="big"), 'FLANNEL_MTU: "big" is no number'),
            (env(MTU="-1"), 'FLANNEL_MTU: "-1" is no number'),
            (env(MTU="4294967296"), "is no number from 0 to 4294967295"),
            (env(SUBNET="10.1.17.1"), "FLANNEL_SUBNET: 10.1.17.1 is no IPv4 CIDR"),
            (env(SUBNET="10.1.300.1/24"), "FLANNEL_SUBNET: invalid CIDR address: 10.1.300.1/24"),
            (env(SUBNET="fd00::/64"), "FLANNEL_SUBNET: fd00::/64 is no IPv4 CIDR"),
            (env(SUBNET="10.1.17.1/24,10.1.18.1/24"), "FLANNEL_SUBNET: expected one CIDR, got 2"),
        ],
    )
    def test_faults_name_key_or_line(self, text: str, said: str) -> None:
        with pytest.raises(CNIError) as caught:
            parse_subnet_env(text, "f")
        assert said in caught.value.msg and caught.value.code == 7


def composed(node: Subnets = NODE, **raw: Any) -> dict[str, Any]:
    raw = {"name": "cbr0", "type": "flannel", **raw}
    return delegate_conf(convert(raw, FlannelConf), raw, node)


class TestDelegate:
    def test_without_anything_said(self) -> None:
        assert composed() == {
            "name": "cbr0",
            "type": "bridge",
            "ipMasq": False,
            "mtu": 1472,
            "isGateway": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.1.17.0/24"}]],
                "routes": [{"dst": "10.1.0.0/16"}],
            },
        }

    def test_what_the_user_says_of_the_delegate_stands(self) -> None:
        delegate = {
            "hairpinMode": True,
            "isDefaultGateway": True,
            "mtu": 1400,
            "ipMasq": True,
            "isGateway": False,
        }
        found = composed(delegate=delegate, cniVersion="1.0.0")
        assert {key: found[key] for key in delegate} == delegate
        assert found["cniVersion"] == "1.0.0"

    def test_another_type_is_no_gateway(self) -> None:
        found = composed(delegate={"type": "macvlan"})
        assert found["type"] == "macvlan" and "isGateway" not in found and found["mtu"] == 1472

    def test_both_families_and_several_networks(self) -> None:
        node = Subnets(
            ("10.1.0.0/16", "10.9.0.0/16", "fd00::/48"), ("10.1.17.0/24", "fd00:0:0:17::/64"), 1450, False
        )
        given = {"type": "x", "dataDir": "/d", "subnet": "1.2.3.0/24", "routes": [{"dst": "10.5.0.0/16"}]}
        found = composed(node, ipam=given)
        assert found["ipMasq"] is True
        assert found["ipam"] == {
            "type": "x",
            "dataDir": "/d",
            "ranges": [[{"subnet": "10.1.17.0/24"}], [{"subnet": "fd00:0:0:17::/64"}]],
            "routes": [
                {"dst": "10.5.0.0/16"},
                {"dst": "10.1.0.0/16"},
                {"dst": "10.9.0.0/16"},
                {"dst": "fd00::/48"},
            ],
        }

    def test_what_the_runtime_says_is_handed_on(self) -> None:
        runtime = {"portMappings": [{"hostPort": 80}]}
        found = composed(
            runtimeConfig=runtime,
            delegate={"runtimeConfig": {"mac": "x"}},
            args={"cni": {}},
            dns={"domain": "d"},
        )
        assert found["runtimeConfig"] == runtime and found["args"] == {"cni": {}}
        assert found["dns"] == {"domain": "d"}

    @pytest.mark.parametrize(
        ("raw", "said"),
        [
            (
                {"delegate": {"type": 5}},
                "$.delegate.type: 'delegate' dictionary, if present, must have (string) 'type' field",
            ),
            (
                {"delegate": {"name": "x"}},
                "$.delegate.name: 'delegate' dictionary must not have 'name' field, it'll be set by flannel",
            ),
            (
                {"delegate": {"ipam": {}}},
                "$.delegate.ipam: 'delegate' dictionary must not have 'ipam' field, it'll be set by flannel",
            ),
            (
                {"ipam": {"routes": {}}},
                "$.ipam.routes: failed to assemble Delegate IPAM: failed to read IPAM routes: failed to parse ",
            ),
            ({"ipam": {"routes": ["10.0.0.0/8"]}}, "$.ipam.routes: failed to assemble Delegate IPAM"),
            ({"delegate": []}, "$.delegate: "),
            ({"ipam": "host-local"}, "$.ipam: "),
            ({"subnetFile": 5}, "$.subnetFile: "),
            ({"dataDir": []}, "$.dataDir: "),
        ],
    )
    def test_bad_input(self, raw: dict[str, Any], said: str) -> None:
        with pytest.raises(CNIError) as caught:
            composed(**raw)
        assert said in str(caught.value) and caught.value.code == 7

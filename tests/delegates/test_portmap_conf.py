"""portmap's decisions: which mappings, which back end, and what is refused. Pure but for the facts' stand-in."""

from __future__ import annotations

from typing import Any

import pytest

from multinet.cni.decode import convert
from multinet.cni.errors import CNIError
from multinet.cni.result import Result
from multinet.core.desired import Owner, PortMapping, Sysctl, select
from multinet.delegates.portmap import PortmapConf, portmap
from multinet.sdk import Sandbox

OWNER = Owner("net", "c1", "eth0")
PREVIOUS = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "br0", "mac": "02:00:00:00:00:01"},
        {"name": "eth0", "sandbox": "/ns"},
        {"name": "other", "sandbox": "/ns"},
    ],
    "ips": [
        {"address": "192.0.2.7/24", "interface": 0},
        {"address": "192.0.2.8/24", "interface": 2},
        {"address": "10.1.2.3/24", "interface": 1},
        {"address": "10.1.2.4/24", "interface": 1},
        {"address": "fd00::3/64", "interface": 1},
    ],
}


class Host:
    """The two facts that portmap asks for."""

    def __init__(self, backend: str = "nftables") -> None:
        self.backend = backend

    def masquerade_backend(self) -> str:
        return self.backend

    def link_towards(self, address: str) -> str | None:
        return "br0" if address == "10.1.2.3" else None


def desired(entries: Any, previous: Any = PREVIOUS, backend: str = "nftables", **more: Any) -> list[Any]:
    raw = {"name": "net", "type": "portmap", "runtimeConfig": {"portMappings": entries}, **more}
    pod = Sandbox(owner=OWNER, netns="/ns", previous=Result.from_json(previous, "1.1.0"))
    return list(portmap.desired(convert(raw, PortmapConf), pod, Host(backend)).items)  # type: ignore[arg-type]


def mapping(**fields: Any) -> dict[str, Any]:
    return {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", **fields}


class TestMappings:
    def test_the_first_address_of_each_family_on_the_pods_interface(self) -> None:
        found = select(desired([mapping()]), PortMapping)
        assert [one.container_cidr for one in found] == ["10.1.2.3/24", "fd00::3/64"]
        assert {(one.host_port, one.container_port, one.protocol, one.host_ip) for one in found} == {
            (8080, 80, "tcp", "")
        }

    def test_an_address_that_names_no_interface_counts(self) -> None:
        previous = {"cniVersion": "1.1.0", "ips": [{"address": "10.1.2.3/24"}]}
        assert len(select(desired([mapping()], previous), PortMapping)) == 1

    def test_no_address_on_the_interface_is_no_failure(self) -> None:
        previous = {**PREVIOUS, "ips": PREVIOUS["ips"][:2]}  # type: ignore[index]
        assert desired([mapping()], previous) == []

    @pytest.mark.parametrize("entries", [None, []])
    def test_no_mappings_nothing(self, entries: Any) -> None:
        assert desired(entries) == []

    @pytest.mark.parametrize(
        ("host_ip", "expected"),
        [
            ("192.0.2.1", [("10.1.2.3/24", "192.0.2.1")]),
            ("0.0.0.0", [("10.1.2.3/24", "")]),
            ("::", [("fd00::3/64", "")]),
            ("2001:DB8::1", [("fd00::3/64", "2001:db8::1")]),
            ("", [("10.1.2.3/24", ""), ("fd00::3/64", "")]),
        ],
    )
    def test_a_host_address_is_of_its_own_family(self, host_ip: str, expected: Any) -> None:
        found = select(desired([mapping(hostIP=host_ip)]), PortMapping)
        assert [(one.container_cidr, one.host_ip) for one in found] == expected

    def test_protocols_in_any_case_and_tcp_by_default(self) -> None:
        entries = [mapping(protocol="UDP"), mapping(protocol="Sctp"), {"hostPort": 8080, "containerPort": 80}]
        found = select(desired(entries), PortMapping)
        assert [one.protocol for one in found[:3]] == ["udp", "sctp", "tcp"]

    def test_a_repetition_is_one_mapping(self) -> None:
        assert len(select(desired([mapping(), mapping()]), PortMapping)) == 2

    def test_localhost_needs_the_kernels_leave(self) -> None:
        (sysctl,) = select(desired([mapping()]), Sysctl)
        assert (sysctl.key, sysctl.value, sysctl.whose) == ("net/ipv4/conf/br0/route_localnet", "1", "shared")
        assert select(desired([mapping()], snat=False), Sysctl) == []
        assert select(desired([mapping(hostIP="::")]), Sysctl) == []

    def test_options_reach_the_mapping(self) -> None:
        (one, _) = select(desired([mapping()], masqAll=True, markMasqBit=5), PortMapping)
        assert one.masquerade_all and one.snat and one.mark_bit == 5
        (one, _) = select(desired([mapping()], masqAll=True, snat=False), PortMapping)
        assert not one.masquerade_all and not one.snat

    def test_conditions_by_family(self) -> None:
        found = select(desired([mapping()], conditionsV4=["ip saddr 10.0.0.0/8"]), PortMapping)
        assert [one.conditions for one in found] == [("ip saddr 10.0.0.0/8",), ()]


class TestBackend:
    @pytest.mark.parametrize(
        ("options", "host", "expected"),
        [
            ({}, "nftables", "nftables"),
            ({}, "iptables", "iptables"),
            ({"backend": "iptables"}, "nftables", "iptables"),
            ({"backend": "nftables"}, "iptables", "nftables"),
            ({"conditionsV4": ["!", "-s", "10.0.0.0/8"]}, "nftables", "iptables"),
            ({"conditionsV6": ["-s", "fd00::/8"]}, "nftables", "iptables"),
            ({"conditionsV4": ["ip", "saddr", "10.0.0.0/8"]}, "iptables", "nftables"),
            ({"conditionsV4": []}, "nftables", "nftables"),
            ({"conditionsV4": [""]}, "iptables", "iptables"),
            ({"externalSetMarkChain": "KUBE-MARK-MASQ"}, "nftables", "iptables"),
        ],
    )
    def test_chosen(self, options: Any, host: str, expected: str) -> None:
        found = select(
            desired([mapping()], backend=host) if not options else with_host(host, options), PortMapping
        )
        assert {one.backend for one in found} == {expected}


def with_host(host: str, options: Any) -> list[Any]:
    raw = {"name": "n", "type": "portmap", "runtimeConfig": {"portMappings": [mapping()]}, **options}
    pod = Sandbox(owner=OWNER, netns="/ns", previous=Result.from_json(PREVIOUS, "1.1.0"))
    return list(portmap.desired(convert(raw, PortmapConf), pod, Host(host)).items)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (mapping(containerPort=0), "portMappings[0].containerPort: Invalid container port number: 0"),
        (mapping(containerPort=0, hostPort=0), "Invalid container port number: 0"),
        (mapping(hostPort=0), "portMappings[0].hostPort: Invalid host port number: 0"),
        (mapping(hostPort=-1), "Invalid host port number: -1"),
        (mapping(hostPort=65536), "Invalid host port number: 65536"),
        (mapping(containerPort=70000), "Invalid container port number: 70000"),
        ({"containerPort": 80}, "Invalid host port number: 0"),
        ({"hostPort": 80}, "Invalid container port number: 0"),
        (mapping(protocol="icmp"), 'portMappings[0].protocol: unknown protocol "icmp"'),
        (mapping(hostIP="nonsense"), "portMappings[0].hostIP: invalid IP address: nonsense"),
        (mapping(hostIP=5), "portMappings[0].hostIP: "),
        (mapping(hostPort="80"), "portMappings[0].hostPort: "),
        ("8080:80", "portMappings[0]: expected an object"),
    ],
)
def test_bad_entries(entry: Any, said: str) -> None:
    with pytest.raises(CNIError) as caught:
        desired([entry])
    assert said in str(caught.value) and caught.value.code == 7


def test_mappings_that_contradict_each_other() -> None:
    with pytest.raises(
        CNIError, match=r"portMappings\[1\]\.hostPort: host port 8080/tcp leads to container port 80"
    ):
        desired([mapping(), mapping(containerPort=81)])


def test_mappings_that_are_no_list() -> None:
    with pytest.raises(CNIError, match=r"\$\.runtimeConfig\.portMappings: expected a list"):
        desired({"hostPort": 80})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": "ebtables"}, '$.backend: unrecognized backend "ebtables"'),
        ({"markMasqBit": 32}, "$.markMasqBit: MasqMarkBit must be between 0 and 31"),
        ({"markMasqBit": -1}, "$.markMasqBit: MasqMarkBit must be between 0 and 31"),
        (
            {"markMasqBit": 5, "externalSetMarkChain": "X"},
            "$.markMasqBit: Cannot specify externalSetMarkChain and markMasqBit",
        ),
        (
            {
                "backend": "nftables",
                "externalSetMarkChain": "X",
                "conditionsV4": ["-s", "10.0.0.0/8"],
                "conditionsV6": ["!", "-s", "fd00::/8"],
            },
            "nftables backend was requested but configuration contains iptables-specific options "
            "[externalSetMarkChain conditionsV4 conditionsV6]",
        ),
        (
            {"backend": "iptables", "conditionsV6": ["ip6 saddr fd00::/8"]},
            "iptables backend was requested but configuration contains nftables-specific options [conditionsV6]",
        ),
        (
            {"conditionsV4": ["-s", "10.0.0.0/8"], "conditionsV6": ["ip6 saddr fd00::/8"]},
            "$.conditionsV6: iptables backend was requested",
        ),
        ({"snat": "yes"}, "$.snat: "),
        ({"masqAll": 1}, "$.masqAll: "),
        ({"conditionsV4": "ip saddr"}, "$.conditionsV4: "),
        ({"externalSetMarkChain": []}, "$.externalSetMarkChain: "),
    ],
)
def test_bad_options(options: Any, said: str) -> None:
    with pytest.raises(CNIError) as caught:
        with_host("nftables", options)
    assert said in str(caught.value) and caught.value.code == 7

"""static, row by row of the specification (plugins-ipam 0 and 2), and beside the reference plugin."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.cni.result import DNS, IPConfig, Result, Route
from multinet.core.desired import Owner
from multinet.delegates.static import static
from multinet.ports import IpamRequest

GO = Path("/usr/lib/cni/static")
Json = dict[str, Any]


def network(ipam: Json | None, version: str = "1.0.0", /, **top: Any) -> Json:
    conf = {"cniVersion": version, "name": "net", "type": "any", **top}
    return conf if ipam is None else {**conf, "ipam": {"type": "static", **ipam}}


def request(conf: Json, args: str = "") -> IpamRequest:
    pairs = dict(pair.split("=") for pair in args.split(";") if pair)
    return IpamRequest(conf=conf, owner=Owner("net", "id", "eth0"), args=pairs)


def ips(ipam: Json, environment: str = "", /, version: str = "1.0.0", **top: Any) -> list[tuple[str, str]]:
    result = static.allocate(request(network(ipam, version, **top), environment))
    return [(ip.address, ip.gateway) for ip in result.ips]


BASE: Json = {"addresses": [{"address": "10.10.0.1/24", "gateway": "10.10.0.254"}, {"address": "3ffe::1/64"}]}


# ---- 2.1 options and order


def test_addresses_routes_and_dns_are_copied_in_order() -> None:
    ipam: Json = {
        "addresses": [
            {"version": "4", "address": "10.10.0.1/24", "gateway": "10.10.0.254"},
            {"version": "6", "address": "3FFE:ffff:0:01ff::1/64", "gateway": "3ffe:ffff:0::1"},
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.1/16", "gw": "10.10.5.1", "mtu": 1400}],
        "dns": {"nameservers": ["10.10.0.1"], "domain": "d", "search": ["s"], "options": ["o"]},
    }
    assert static.allocate(request(network(ipam))) == Result(
        ips=(
            IPConfig("10.10.0.1/24", "10.10.0.254"),
            IPConfig("3ffe:ffff:0:1ff::1/64", "3ffe:ffff::1"),
        ),
        routes=(Route("0.0.0.0/0"), Route("192.168.0.1/16", "10.10.5.1", mtu=1400)),
        dns=DNS(("10.10.0.1",), "d", ("s",), ("o",)),
    )


def test_cni_args_are_appended() -> None:
    got = ips(BASE, "IP= 11.0.0.1/24 ,2001:db8::1/64")
    assert got == [
        ("10.10.0.1/24", "10.10.0.254"),
        ("3ffe::1/64", ""),
        ("11.0.0.1/24", ""),
        ("2001:db8::1/64", ""),
    ]


def test_gateway_goes_to_the_addresses_whose_subnet_has_it() -> None:
    assert ips({}, "IP=10.10.0.1/24,11.11.0.1/24;GATEWAY=10.10.0.254") == [
        ("10.10.0.1/24", "10.10.0.254"),
        ("11.11.0.1/24", ""),
    ]
    assert ips({}, "IP=10.10.0.1/24;GATEWAY=10.10.0.2,10.10.0.3,10.99.0.1") == [("10.10.0.1/24", "10.10.0.3")]


def test_gateway_reaches_configured_addresses_that_have_none() -> None:
    got = ips({"addresses": [{"address": "10.10.0.1/24"}]}, "GATEWAY=10.10.0.9")
    assert got == [("10.10.0.1/24", "10.10.0.9")]
    assert ips(BASE, "GATEWAY=10.10.0.9")[0] == ("10.10.0.1/24", "10.10.0.254")


def test_args_replace_and_runtime_config_replaces_all() -> None:
    args: Json = {"cni": {"ips": ["172.16.0.1/24"]}}
    runtime: Json = {"ips": ["192.168.0.1/24", "fd00::1/64"]}
    environment = "IP=10.10.0.7/24;GATEWAY=10.10.0.254"
    assert ips(BASE, environment, args=args) == [("172.16.0.1/24", "")]
    assert ips(BASE, environment, args=args, RuntimeConfig=runtime) == [
        ("192.168.0.1/24", ""),
        ("fd00::1/64", ""),
    ]
    assert ips(BASE, args={"cni": {"ips": []}}, runtimeConfig={"ips": None})[0][0] == "10.10.0.1/24"


def test_runtime_addresses_take_the_gateway_of_their_subnet() -> None:
    runtime: Json = {"ips": ["10.10.0.99/24", "10.10.0.98/25", "3ffe::9/64", "10.20.0.1/24"]}
    got = ips(BASE, "GATEWAY=10.20.0.254,10.10.0.1", runtimeConfig=runtime)
    assert got == [
        ("10.10.0.99/24", "10.10.0.254"),  # of the configured address
        ("10.10.0.98/25", "10.10.0.1"),  # another subnet, so GATEWAY
        ("3ffe::9/64", ""),
        ("10.20.0.1/24", "10.20.0.254"),
    ]
    asked_for_the_gateway_itself = ips(BASE, runtimeConfig={"ips": ["10.10.0.254/24"]})
    assert asked_for_the_gateway_itself == [("10.10.0.254/24", "")]


@pytest.mark.parametrize(
    ("ipam", "args", "top", "code", "text"),
    [
        (
            {"addresses": [{"address": "10.0.0.1/24"}, {"address": "10.0.0.1"}]},
            "",
            {},
            Code.INVALID_CONFIG,
            "$.ipam.addresses[1].address: the 'address' field is expected to be in CIDR notation, got: '10.0.0.1'",
        ),
        (
            {"addresses": [{}]},
            "",
            {},
            Code.INVALID_CONFIG,
            "$.ipam.addresses[0].address: the 'address' field is expected to be in CIDR notation, got: ''",
        ),
        (
            {"addresses": [{"address": "10.0.0.1/24", "gateway": "x"}]},
            "",
            {},
            Code.INVALID_CONFIG,
            "$.ipam.addresses[0].gateway: invalid IP address: x",
        ),
        (
            {},
            "IP=10.0.0.1/24, 10.0.0.2",
            {},
            Code.INVALID_ENVIRONMENT,
            "the 'ip' field is expected to be in CIDR notation, got: '10.0.0.2'",
        ),
        ({}, "GATEWAY= x", {}, Code.INVALID_ENVIRONMENT, "invalid gateway address:  x"),
        (
            {},
            "",
            {"args": {"cni": {"ips": ["10.0.0.1"]}}},
            Code.INVALID_CONFIG,
            "$.args.cni.ips[0]: an entry in the 'ips' field is NOT in CIDR notation, got: '10.0.0.1'",
        ),
        (
            {},
            "",
            {"runtimeConfig": {"ips": ["::1/64", "y"]}},
            Code.INVALID_CONFIG,
            "$.runtimeConfig.ips[1]: an entry in the 'ips' field is NOT in CIDR notation, got: 'y'",
        ),
        ({}, "FOO=1", {}, Code.INVALID_ENVIRONMENT, 'ARGS: unknown args ["FOO=1"]'),
        (
            {"routes": [{"dst": "x"}]},
            "",
            {},
            Code.INVALID_CONFIG,
            "$.ipam.routes[0].dst: invalid CIDR address: x",
        ),
        (
            {"addresses": [{"address": 7}]},
            "",
            {},
            Code.INVALID_CONFIG,
            "$.ipam.addresses[0].address: expected str, got int",
        ),
        (None, "", {}, Code.INVALID_CONFIG, "$.ipam: IPAM config missing 'ipam' key"),
    ],
)
def test_faults(ipam: Json | None, args: str, top: Json, code: int, text: str) -> None:
    with pytest.raises(CNIError) as caught:
        static.allocate(request(network(ipam, **top), args))
    assert (caught.value.msg, caught.value.code) == (text, code)


def test_all_faults_are_told_at_once() -> None:
    ipam: Json = {"addresses": [{"address": "a"}, {"address": "b", "gateway": "c"}]}
    with pytest.raises(InvalidConfig) as caught:
        static.allocate(request(network(ipam)))
    assert [part.partition(":")[0] for part in caught.value.msg.split("; ")] == [
        "$.ipam.addresses[0].address",
        "$.ipam.addresses[1].gateway",
        "$.ipam.addresses[1].address",
    ]


def test_replaced_sources_are_parsed_but_replaced_addresses_are_not() -> None:
    runtime: Json = {"ips": ["10.0.0.5/24"]}
    assert ips({"addresses": [{"address": "bad"}]}, runtimeConfig=runtime) == [("10.0.0.5/24", "")]
    for args, top in (("IP=bad", {}), ("GATEWAY=bad", {}), ("", {"args": {"cni": {"ips": ["bad"]}}})):
        with pytest.raises(CNIError, match="bad"):
            ips({}, args, runtimeConfig=runtime, **top)


@pytest.mark.parametrize(("version", "fine"), [("0.1.0", False), ("0.2.0", False), ("0.3.0", True)])
def test_old_versions_take_one_address_a_family(version: str, fine: bool) -> None:
    two: Json = {"addresses": [{"address": "10.0.0.1/24"}, {"address": "10.0.0.2/24"}]}
    both: Json = {"addresses": [{"address": "10.0.0.1/24"}, {"address": "::1/64"}]}
    assert len(ips(both, version=version)) == 2
    if fine:
        assert len(ips(two, version=version)) == 2
        return
    text = f"CNI version {version} does not support more than 1 address per family"
    with pytest.raises(InvalidConfig, match=text):
        ips(two, version=version)


# ---- 2.2 verbs


def test_no_addresses_at_all_is_success() -> None:
    assert static.allocate(request(network({}))) == Result()


@pytest.mark.parametrize("conf", [{}, network(None), {"ipam": 5, "name": ""}])
def test_release_and_collect_always_succeed(conf: Json) -> None:
    static.release(request(conf, "unknown=1"))
    static.collect(request(conf), frozenset())


def test_status_minds_the_configuration_only() -> None:
    static.status(request(network(BASE)))
    with pytest.raises(InvalidConfig):
        static.status(request(network(None)))


def test_check() -> None:
    with pytest.raises(CNIError, match="Required prevResult missing"):
        static.check(request(network(BASE)), None)
    made = static.allocate(request(network(BASE)))
    assert static.check(request(network(BASE)), made) == []
    more = Result(ips=(IPConfig("10.77.0.1/24"), *made.ips))
    assert static.check(request(network(BASE)), more) == []
    other = Result(ips=(IPConfig("10.10.0.1/24", "10.10.0.1"),))
    assert [str(item) for item in static.check(request(network(BASE)), other)] == [
        "static: 10.10.0.1/24 on interface eth0: gateway is 10.10.0.1, expected 10.10.0.254",
        "static: 3ffe::1/64 on interface eth0: address is absent, expected 3ffe::1/64",
    ]


ADDRESSES = st.lists(
    st.builds(
        lambda a, b, prefix: f"10.{a}.0.{b}/{prefix}",
        st.integers(0, 3),
        st.integers(0, 255),
        st.sampled_from([16, 24, 31, 32]),
    ),
    max_size=4,
)


@given(base=ADDRESSES, environment=ADDRESSES, args=ADDRESSES, runtime=ADDRESSES)
def test_precedence_holds_for_any_mix(
    base: list[str], environment: list[str], args: list[str], runtime: list[str]
) -> None:
    ipam: Json = {"addresses": [{"address": item} for item in base]}
    pairs = f"IP={','.join(environment)}" if environment else ""
    got = ips(ipam, pairs, args={"cni": {"ips": args}}, runtimeConfig={"ips": runtime})
    assert [address for address, _ in got] == (runtime or args or base + environment)


# ---- the reference


def reference(verb: str, conf: Json, args: str) -> subprocess.CompletedProcess[bytes]:
    environ = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": "id",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": "/nowhere",
        "CNI_PATH": str(GO.parent),
        "CNI_ARGS": args,
    }
    return subprocess.run([GO], input=json.dumps(conf).encode(), env=environ, capture_output=True)


@pytest.mark.reference
@pytest.mark.skipif(not GO.exists(), reason="containernetworking-plugins is not installed")
@pytest.mark.parametrize("version", ["0.2.0", "0.3.1", "1.0.0"])
@pytest.mark.parametrize(
    ("ipam", "args", "top"),
    [
        ({**BASE, "routes": [{"dst": "10.1.2.3/8", "gw": "10.10.0.254"}], "dns": {"domain": "d"}}, "", {}),
        (BASE, "IgnoreUnknown=1;X=y", {}),
        ({}, "IP=10.10.0.1/24;GATEWAY=10.10.0.254", {}),
        ({}, "IP=10.10.0.1/24,fd00::1/64;GATEWAY=fd00::2,10.10.0.254,10.10.0.253", {}),
        (BASE, "", {"args": {"cni": {"ips": ["172.16.0.1/24", "fd00::1/64"]}}}),
        (BASE, "", {"runtimeConfig": {"ips": ["172.16.0.1/24"]}, "args": {"cni": {"ips": ["10.0.0.1/8"]}}}),
        (BASE, "IP=10.10.0.7/24", {}),
        ({"addresses": [{"address": "10.0.0.1"}]}, "", {}),
        ({}, "IP=10.0.0.1", {}),
        ({}, "GATEWAY=x", {}),
        (BASE, "FOO=1", {}),
        (BASE, "", {"runtimeConfig": {"ips": ["x"]}}),
        (None, "", {}),
    ],
)
def test_both_answer_alike(version: str, ipam: Json | None, args: str, top: Json) -> None:
    conf = network(ipam, version, **top)
    run = reference("ADD", conf, args)
    answer = json.loads(run.stdout)
    if run.returncode:
        with pytest.raises(CNIError) as caught:
            static.allocate(request(conf, args))
        assert answer["msg"] in caught.value.msg
        return
    ours = static.allocate(request(conf, args)).as_version(version)
    assert ours == Result.from_json(answer, version).as_version(version)

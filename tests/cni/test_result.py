"""cni.md section 4 and the result rows of section 9; multi-network.md 10.20 … 10.24."""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.errors import CNIError, InvalidConfig
from multinet.cni.result import DNS, Interface, IPConfig, Result, Route
from multinet.cni.versions import SUPPORTED

BEFORE_1_0 = ("0.3.0", "0.3.1", "0.4.0")
BY_FAMILY = ("0.1.0", "0.2.0")

FULL = Result(
    interfaces=(
        Interface("cni0", "02:00:00:00:00:01"),
        Interface("eth0", "02:00:00:00:00:02", 1500, "/run/netns/c1", "/run/x.sock", "0000:00:1f.6"),
    ),
    ips=(
        IPConfig("10.1.2.3/24", "10.1.2.1", 1),
        IPConfig("2001:db8::3/64", "2001:db8::1", 1),
        IPConfig("10.9.9.9/32", "", 0),
    ),
    routes=(
        Route("0.0.0.0/0"),
        Route("2001:db8:1::/48", "2001:db8::1", 1400, 1360, 100, 0, 253),
        Route("192.168.0.0/16", "10.1.2.1"),
    ),
    dns=DNS(("10.1.2.1",), "example.org", ("a.example.org",), ("ndots:2",)),
)
FULL_1_1 = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "cni0", "mac": "02:00:00:00:00:01"},
        {
            "name": "eth0",
            "mac": "02:00:00:00:00:02",
            "mtu": 1500,
            "sandbox": "/run/netns/c1",
            "socketPath": "/run/x.sock",
            "pciID": "0000:00:1f.6",
        },
    ],
    "ips": [
        {"interface": 1, "address": "10.1.2.3/24", "gateway": "10.1.2.1"},
        {"interface": 1, "address": "2001:db8::3/64", "gateway": "2001:db8::1"},
        {"interface": 0, "address": "10.9.9.9/32"},
    ],
    "routes": [
        {"dst": "0.0.0.0/0"},
        {
            "dst": "2001:db8:1::/48",
            "gw": "2001:db8::1",
            "mtu": 1400,
            "advmss": 1360,
            "priority": 100,
            "table": 0,
            "scope": 253,
        },
        {"dst": "192.168.0.0/16", "gw": "10.1.2.1"},
    ],
    "dns": {
        "nameservers": ["10.1.2.1"],
        "domain": "example.org",
        "search": ["a.example.org"],
        "options": ["ndots:2"],
    },
}


def fault(raw: Any, default: str = "1.1.0") -> InvalidConfig:
    with pytest.raises(InvalidConfig) as caught:
        Result.from_json(raw, default)
    assert caught.value.code == 6
    return caught.value


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_4_1_shape_of_1_x(version: str) -> None:
    """4.2: 1.0.0 carries the fields of 1.1.0, as in the Go library."""
    assert FULL.as_version(version) == {**FULL_1_1, "cniVersion": version}
    assert Result.from_json({**FULL_1_1, "cniVersion": version}, "0.1.0") == FULL


@pytest.mark.parametrize("version", BEFORE_1_0)
def test_4_1_and_4_4_shape_of_0_3_and_0_4(version: str) -> None:
    assert FULL.as_version(version) == {
        "cniVersion": version,
        "interfaces": [
            {"name": "cni0", "mac": "02:00:00:00:00:01"},
            {"name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/c1"},
        ],
        "ips": [
            {"version": "4", "interface": 1, "address": "10.1.2.3/24", "gateway": "10.1.2.1"},
            {"version": "6", "interface": 1, "address": "2001:db8::3/64", "gateway": "2001:db8::1"},
            {"version": "4", "interface": 0, "address": "10.9.9.9/32"},
        ],
        "routes": [
            {"dst": "0.0.0.0/0"},
            {"dst": "2001:db8:1::/48", "gw": "2001:db8::1"},
            {"dst": "192.168.0.0/16", "gw": "10.1.2.1"},
        ],
        "dns": FULL_1_1["dns"],
    }


@pytest.mark.parametrize("version", BY_FAMILY)
def test_4_1_and_10_21_shape_of_0_1_and_0_2(version: str) -> None:
    assert FULL.as_version(version) == {
        "cniVersion": version,
        "ip4": {
            "ip": "10.1.2.3/24",
            "gateway": "10.1.2.1",
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.2.1"}],
        },
        "ip6": {
            "ip": "2001:db8::3/64",
            "gateway": "2001:db8::1",
            "routes": [{"dst": "2001:db8:1::/48", "gw": "2001:db8::1"}],
        },
        "dns": FULL_1_1["dns"],
    }


def test_4_3_and_10_20_upwards_from_0_2() -> None:
    """IPv6 stands first in the text, IPv4 comes first all the same; no gateway is inferred."""
    raw = {
        "cniVersion": "0.2.0",
        "ip6": {"ip": "2001:db8::3/64", "routes": [{"dst": "::/0"}]},
        "ip4": {"ip": "10.1.2.3/24", "gateway": "10.1.2.1", "routes": [{"dst": "0.0.0.0/0"}]},
        "dns": {"domain": "x"},
    }
    assert Result.from_json(raw, "1.1.0") == Result(
        ips=(IPConfig("10.1.2.3/24", "10.1.2.1"), IPConfig("2001:db8::3/64")),
        routes=(Route("0.0.0.0/0"), Route("::/0")),
        dns=DNS(domain="x"),
    )


@pytest.mark.parametrize("version", BY_FAMILY)
def test_4_4_no_address_at_all(version: str) -> None:
    with pytest.raises(CNIError) as caught:
        Result(interfaces=(Interface("eth0"),)).as_version(version)
    assert (caught.value.code, caught.value.msg) == (6, "cannot convert: no valid IP addresses")


def test_4_4_routes_need_an_address_of_their_family() -> None:
    result = Result(ips=(IPConfig("10.0.0.1/8"),), routes=(Route("::/0"), Route("0.0.0.0/0")))
    assert result.as_version("0.2.0") == {
        "cniVersion": "0.2.0",
        "ip4": {"ip": "10.0.0.1/8", "routes": [{"dst": "0.0.0.0/0"}]},
        "dns": {},
    }


@pytest.mark.parametrize("version", [*BEFORE_1_0, "1.0.0", "1.1.0"])
def test_4_2_empty_dns_is_left_out_from_1_0(version: str) -> None:
    assert ("dns" in Result().as_version(version)) is (version in BEFORE_1_0)
    assert "ips" not in Result().as_version(version)


def test_4_2_interface_0_is_an_index() -> None:
    raw = {"interfaces": [{"name": "a"}], "ips": [{"address": "10.0.0.1/8", "interface": 0}]}
    result = Result.from_json(raw, "1.0.0")
    assert result.ips[0].interface == 0
    assert result.as_version("0.4.0")["ips"][0]["interface"] == 0
    assert "interface" not in Result(ips=(IPConfig("10.0.0.1/8"),)).as_version("1.1.0")["ips"][0]


def test_4_2_the_new_fields_are_read_under_any_version_with_interfaces() -> None:
    raw = {"interfaces": [{"name": "a", "mtu": 9000}], "routes": [{"dst": "::/0", "mtu": 1280}]}
    result = Result.from_json(raw, "0.4.0")
    assert (result.interfaces[0].mtu, result.routes[0].mtu) == (9000, 1280)


@pytest.mark.parametrize(
    ("ip", "name"),
    [
        (IPConfig("10.0.0.1/8", interface=0), "br0"),
        (IPConfig("10.0.0.1/8"), "eth0"),
    ],
)
def test_9_missing_interface_means_the_last_in_the_sandbox(ip: IPConfig, name: str) -> None:
    result = Result((Interface("br0"), Interface("eth0", sandbox="/x"), Interface("veth1")), (ip,))
    link = result.interface_of(ip)
    assert link is not None and link.name == name


def test_9_no_interface_in_the_sandbox() -> None:
    assert Result().interface_of(IPConfig("10.0.0.1/8")) is None


@pytest.mark.parametrize("index", [1, 7, -1])
def test_9_interface_index_out_of_range(index: int) -> None:
    raw = {
        "interfaces": [{"name": "eth0"}],
        "ips": [{"address": "10.0.0.1/8"}, {"address": "10.0.0.2/8", "interface": index}],
    }
    assert fault(raw).path == "$.ips[1].interface"
    with pytest.raises(InvalidConfig) as caught:
        Result((Interface("a"),), (IPConfig("10.0.0.1/8", interface=index),)).as_version("1.0.0")
    assert caught.value.code == 6


@pytest.mark.parametrize("version", ["0.3.1", "1.0.0"])
def test_9_null_is_absent(version: str) -> None:
    raw = {
        "cniVersion": None,
        "interfaces": [{"name": "a", "mac": None, "sandbox": None}],
        "ips": [{"address": "10.0.0.1/8", "gateway": None, "interface": None}],
        "routes": None,
        "dns": {"nameservers": None, "domain": None},
    }
    assert Result.from_json(raw, version) == Result((Interface("a"),), (IPConfig("10.0.0.1/8"),))
    assert Result.from_json({"interfaces": None, "ips": None, "dns": None}, version) == Result()


def test_9_null_in_the_old_shape() -> None:
    raw = {"ip4": {"ip": "10.0.0.1/8", "routes": None, "gateway": None}, "ip6": None, "dns": None}
    assert Result.from_json(raw, "0.2.0") == Result(ips=(IPConfig("10.0.0.1/8"),))


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({"cniVersion": 1}, "$.cniVersion"),
        ({"cniVersion": "7.0.0"}, "$.cniVersion"),
        ({"cniVersion": "1.0.0.0"}, "$.cniVersion"),
        ({"interfaces": {}}, "$.interfaces"),
        ({"interfaces": [{"mac": "x"}]}, "$.interfaces[0].name"),
        ({"interfaces": [{"name": "a"}, {"name": 3}]}, "$.interfaces[1].name"),
        ({"interfaces": [{"name": "a", "mtu": "1500"}]}, "$.interfaces[0].mtu"),
        ({"ips": [{"address": "10.0.0.1"}]}, "$.ips[0].address"),
        ({"ips": [{"gateway": "10.0.0.1"}]}, "$.ips[0].address"),
        ({"ips": [{"address": "10.0.0.1/8", "gateway": "10.0.0"}]}, "$.ips[0].gateway"),
        ({"ips": [{"address": "10.0.0.1/8", "interface": "0"}]}, "$.ips[0].interface"),
        ({"routes": [{"dst": "default"}]}, "$.routes[0].dst"),
        ({"routes": [{"dst": "::/0"}, {"dst": "::/0", "gw": "x"}]}, "$.routes[1].gw"),
        ({"dns": []}, "$.dns"),
        ({"dns": {"nameservers": "10.0.0.1"}}, "$.dns.nameservers"),
    ],
)
def test_9_faults_name_the_path(raw: dict[str, Any], path: str) -> None:
    assert fault(raw).path == path


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({"ip4": {}}, "$.ip4.ip"),
        ({"ip4": {"ip": "2001:db8::1/64"}}, "$.ip4.ip"),
        ({"ip6": {"ip": "10.0.0.1/8"}}, "$.ip6.ip"),
        ({"ip4": {"ip": "10.0.0.1/8", "gateway": "x"}}, "$.ip4.gateway"),
        ({"ip6": {"ip": "::1/8", "routes": [{"dst": "::/0"}, {"dst": 1}]}}, "$.ip6.routes[1].dst"),
        ({"ip6": {"ip": "::1/8", "routes": [{"dst": "::/0", "gw": "x"}]}}, "$.ip6.routes[0].gw"),
    ],
)
def test_9_faults_in_the_old_shape(raw: dict[str, Any], path: str) -> None:
    assert fault(raw, "0.2.0").path == path


def test_unsupported_version_is_named() -> None:
    assert 'unsupported CNI result version "7.0.0"' in fault({"cniVersion": "7.0.0"}).msg
    with pytest.raises(CNIError) as caught:
        Result().as_version("7.0.0")
    assert caught.value.code == 1


def test_3_10_no_version_is_the_given_one() -> None:
    raw = {"ip4": {"ip": "10.0.0.1/8"}, "ips": [{"address": "10.0.0.2/8"}]}
    assert Result.from_json(raw, "0.2.0").ips == (IPConfig("10.0.0.1/8"),)
    assert Result.from_json(raw, "0.3.1").ips == (IPConfig("10.0.0.2/8"),)
    assert Result.from_json({**raw, "cniVersion": "0.1.0"}, "1.0.0").ips == (IPConfig("10.0.0.1/8"),)


def test_9_mapped_addresses_are_the_ipv4_ones() -> None:
    raw = {
        "ips": [{"address": "::ffff:10.1.2.3/120", "gateway": "::ffff:10.1.2.1"}],
        "routes": [{"dst": "::ffff:0:0/96", "gw": "::ffff:10.1.2.1"}],
    }
    result = Result.from_json(raw, "1.0.0")
    assert result.ips == (IPConfig("10.1.2.3/24", "10.1.2.1"),)
    assert result.routes == (Route("0.0.0.0/0", "10.1.2.1"),)
    assert result.as_version("0.4.0")["ips"][0]["version"] == "4"


def test_dns_says_whether_it_says_anything() -> None:
    assert not DNS()
    assert all((DNS(nameservers=("a",)), DNS(domain="a"), DNS(search=("a",)), DNS(options=("a",))))


# --- properties

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
addresses = st.ip_addresses().filter(lambda ip: getattr(ip, "ipv4_mapped", None) is None)


@st.composite
def cidrs(draw: st.DrawFn) -> str:
    address = draw(addresses)
    return f"{address}/{draw(st.integers(0, address.max_prefixlen))}"


gateways = st.just("") | addresses.map(str)
optional = st.none() | st.integers(0, 2**31)
routes = st.builds(
    Route,
    cidrs(),
    gateways,
    st.integers(0, 9000),
    st.integers(0, 9000),
    st.integers(0, 2**31),
    optional,
    optional,
)
old_routes = st.builds(Route, cidrs(), gateways)
interfaces = st.builds(Interface, words, words, st.integers(0, 9000), st.just("") | words, words, words)
old_interfaces = st.builds(Interface, words, words, st.just(0), st.just("") | words)
name_lists = st.lists(words, max_size=3).map(tuple)
dns = st.builds(DNS, name_lists, st.just("") | words, name_lists, name_lists)


@st.composite
def results(draw: st.DrawFn, links: Any = interfaces, ways: Any = routes) -> Result:
    made = tuple(draw(st.lists(links, max_size=4)))
    index = st.none() | st.integers(0, len(made) - 1) if made else st.none()
    ips = draw(st.lists(st.builds(IPConfig, cidrs(), gateways, index), max_size=4))
    return Result(made, tuple(ips), tuple(draw(st.lists(ways, max_size=4))), draw(dns))


@given(results(), st.sampled_from(["1.0.0", "1.1.0"]))
def test_1_x_loses_nothing(result: Result, version: str) -> None:
    raw = result.as_version(version)
    assert Result.from_json(raw, "0.1.0") == result
    assert Result.from_json(msgspec.json.decode(msgspec.json.encode(raw)), "0.1.0") == result


@given(results(old_interfaces, old_routes), st.sampled_from(BEFORE_1_0))
def test_0_3_and_0_4_lose_nothing_that_they_can_say(result: Result, version: str) -> None:
    assert Result.from_json(result.as_version(version), "1.1.0") == result


@given(results(), st.sampled_from(SUPPORTED))
def test_a_second_conversion_changes_nothing(result: Result, version: str) -> None:
    try:
        raw = result.as_version(version)
    except CNIError as error:
        assert not result.ips and version in BY_FAMILY and error.code == 6
        return
    assert raw["cniVersion"] == version
    assert Result.from_json(raw, "1.1.0").as_version(version) == raw


@given(results())
def test_0_2_keeps_the_first_address_of_each_family(result: Result) -> None:
    if not result.ips:
        return
    back = Result.from_json(result.as_version("0.2.0"), "0.2.0")
    versions = [ipaddress.ip_interface(ip.address).version for ip in back.ips]
    assert versions == sorted(set(versions))
    for version, ip in zip(versions, back.ips, strict=True):
        first = next(i for i in result.ips if ipaddress.ip_interface(i.address).version == version)
        assert (ip.address, ip.gateway) == (first.address, first.gateway)
    kept = [(r.dst, r.gw) for r in result.routes if ipaddress.ip_interface(r.dst).version in versions]
    assert sorted((r.dst, r.gw) for r in back.routes) == sorted(kept)
    assert back.dns == result.dns


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
keys = st.sampled_from(
    ["cniVersion", "interfaces", "ips", "routes", "dns", "ip4", "ip6", "ip", "address", "dst", "x"]
)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(keys, junk), st.sampled_from(SUPPORTED))
def test_any_object_is_a_result_or_a_fault_with_a_path(raw: dict[str, Any], version: str) -> None:
    try:
        Result.from_json(raw, version)
    except InvalidConfig as error:
        assert error.code == 6
        assert error.path.startswith("$")

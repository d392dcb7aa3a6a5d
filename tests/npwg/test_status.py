"""network-status: spec section 2.F, unit themes 29 to 34, the worked example of section 11."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.result import DNS, Interface, IPConfig, Result, Route
from multinet.npwg.default_routes import default_family, default_gateways, default_routes
from multinet.npwg.status import network_status, status_entries

NETNS = "/var/run/netns/n1"

CBR0 = Result(
    interfaces=(
        Interface("cni0", mac="aa:aa:aa:aa:aa:aa"),
        Interface("veth1", mac="bb:bb:bb:bb:bb:bb"),
        Interface("eth0", mac="0a:58:0a:f4:01:05", sandbox=NETNS),
    ),
    ips=(IPConfig("10.244.1.5/24", gateway="10.244.1.1", interface=2),),
    routes=(Route("10.244.0.0/16", "10.244.1.1"), Route("0.0.0.0/0", "10.244.1.1")),
)
MV = Result(
    interfaces=(Interface("net1", mac="02:42:0a:01:01:0b", sandbox=NETNS),),
    ips=(IPConfig("10.1.1.11/24", interface=0),),
)

WORKED_EXAMPLE = """[{
    "name": "cbr0",
    "interface": "eth0",
    "ips": [
        "10.244.1.5"
    ],
    "mac": "0a:58:0a:f4:01:05",
    "default": true,
    "dns": {},
    "gateway": [
        "10.244.1.1"
    ]
},{
    "name": "default/mv",
    "interface": "net1",
    "ips": [
        "10.1.1.11"
    ],
    "mac": "02:42:0a:01:01:0b",
    "dns": {}
}]"""


def test_section_11_and_2_30_the_worked_example_to_the_letter() -> None:
    entries = [*status_entries("cbr0", CBR0, is_default=True), *status_entries("default/mv", MV)]
    assert network_status(entries) == WORKED_EXAMPLE


def test_2_37_gateways_are_those_in_force_when_they_are_given() -> None:
    (eth0,) = status_entries("cbr0", CBR0, is_default=True, gateways=())
    (net1,) = status_entries("default/mv", MV, gateways=("10.1.1.254",))
    assert eth0.gateway == ()
    assert net1.gateway == ("10.1.1.254",)


def test_all_fields_in_their_order() -> None:
    result = Result(
        interfaces=(Interface("net1", mac="02:00:00:00:00:01", mtu=1400, sandbox=NETNS),),
        ips=(IPConfig("10.1.1.11/24"), IPConfig("fd00::b/64")),
        routes=(Route("0.0.0.0/0", "10.1.1.1"), Route("::/0", "fd00::1")),
        dns=DNS(("10.0.0.10",), "example.org", ("a.org", "b.org"), ("ndots:5",)),
    )
    device = {"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:18:02.5"}}
    (entry,) = json.loads(network_status(status_entries("ns/n", result, True, device)))
    assert entry == {
        "name": "ns/n",
        "interface": "net1",
        "ips": ["10.1.1.11", "fd00::b"],
        "mac": "02:00:00:00:00:01",
        "mtu": 1400,
        "default": True,
        "dns": {
            "nameservers": ["10.0.0.10"],
            "domain": "example.org",
            "search": ["a.org", "b.org"],
            "options": ["ndots:5"],
        },
        "device-info": device,
        "gateway": ["10.1.1.1", "fd00::1"],
    }
    assert list(entry) == [
        "name",
        "interface",
        "ips",
        "mac",
        "mtu",
        "default",
        "dns",
        "device-info",
        "gateway",
    ]


def test_no_attachment_no_entry() -> None:
    assert network_status([]) == "[]"


def test_2_32_addresses_without_interfaces_have_a_minimal_entry() -> None:
    result = Result(ips=(IPConfig("10.1.2.3/24", gateway="10.1.2.1"),), routes=(Route("0.0.0.0/0"),))
    text = network_status(status_entries("ns/old", result))
    assert json.loads(text) == [{"name": "ns/old", "ips": ["10.1.2.3"], "dns": {}, "gateway": ["10.1.2.1"]}]


def test_2_32_nothing_at_all_has_no_entry() -> None:
    assert status_entries("ns/l2", Result()) == []
    assert status_entries("ns/l2", Result(interfaces=(Interface("br0"), Interface("veth0")))) == []


@pytest.mark.parametrize("count", [1, 2])
def test_2_33_host_interfaces_alone_leave_an_entry_with_the_addresses(count: int) -> None:
    interfaces = tuple(Interface(f"cali{n}", mac="ee:ee:ee:ee:ee:ee", mtu=1400) for n in range(count))
    result = Result(interfaces=interfaces, ips=(IPConfig("10.1.2.3/32"),))
    (entry,) = status_entries("k8s-pod-network", result, is_default=True)
    assert (entry.interface, entry.mac, entry.mtu) == ("", "", 0)
    assert entry.ips == ("10.1.2.3",)
    assert entry.default


def test_2_33_a_single_interface_has_all_addresses() -> None:
    result = Result(interfaces=(Interface("eth0", sandbox=NETNS),), ips=(IPConfig("10.1.2.3/24"),))
    (entry,) = status_entries("n", result)
    assert (entry.interface, entry.ips, entry.default) == ("eth0", ("10.1.2.3",), False)


SEVERAL = Result(
    interfaces=(Interface("vh"), Interface("a", sandbox=NETNS), Interface("b", sandbox=NETNS)),
    ips=(
        IPConfig("10.0.0.1/24", interface=1),
        IPConfig("10.0.1.1/24", interface=2, gateway="10.0.1.254"),
        IPConfig("10.0.2.1/24"),  # to the last one
        IPConfig("10.0.3.1/24", interface=0, gateway="10.0.3.254"),  # the host's: dropped
    ),
    routes=(Route("0.0.0.0/0", "10.0.1.254"),),
    dns=DNS(("10.0.0.10",)),
)


def test_2_34_one_entry_an_interface_in_the_pod() -> None:
    entries = status_entries("n", SEVERAL, device_info={"type": "pci"})
    assert [(entry.interface, entry.ips) for entry in entries] == [
        ("a", ("10.0.0.1",)),
        ("b", ("10.0.1.1", "10.0.2.1")),
    ]
    for entry in entries:
        assert entry.gateway == ("10.0.1.254",)
        assert entry.dns == {"nameservers": ("10.0.0.10",)}
        assert entry.device_info == {"type": "pci"}
        assert not entry.default


def test_2_35_the_default_interface_is_the_one_of_the_first_address_with_a_gateway() -> None:
    assert [entry.default for entry in status_entries("n", SEVERAL, is_default=True)] == [False, True]


def test_2_35_without_gateways_it_is_the_first_one() -> None:
    result = Result(interfaces=SEVERAL.interfaces, ips=(IPConfig("10.0.1.1/24", interface=2),))
    assert [entry.default for entry in status_entries("n", result, is_default=True)] == [True, False]


@pytest.mark.parametrize(
    ("route", "family"),
    [
        (Route("0.0.0.0/0", "10.0.0.1"), 4),
        (Route("::/0"), 6),
        (Route("0.0.0.0/1", "10.0.0.1"), None),
        (Route("10.0.0.0/8", "10.0.0.1"), None),
        (Route("0.0.0.0/0", "10.0.0.1", table=254), 4),
        (Route("0.0.0.0/0", "10.0.0.1", table=100), None),
    ],
)
def test_2_36_what_a_default_route_is(route: Route, family: int | None) -> None:
    assert default_family(route) == family


def test_2_36_gateways_are_real_ones() -> None:
    result = Result(
        ips=(IPConfig("10.0.0.2/24"), IPConfig("10.0.1.2/24", gateway="10.0.1.1")),
        routes=(
            Route("0.0.0.0/0"),
            Route("::/0"),
            Route("0.0.0.0/0", "10.0.1.1"),
            Route("0.0.0.0/0", "10.0.9.9"),
        ),
    )
    assert default_gateways(result) == ("10.0.1.1", "10.0.9.9")
    assert [route.gw for route in default_routes(result)] == ["10.0.1.1", "", "10.0.1.1", "10.0.9.9"]


INTERFACES = st.lists(
    st.builds(Interface, st.sampled_from(["a", "b", "c"]), sandbox=st.sampled_from(["", NETNS])), max_size=4
)


@given(INTERFACES, st.data(), st.booleans())
def test_exactly_one_entry_of_the_default_network_is_default(
    interfaces: list[Interface], data: st.DataObject, is_default: bool
) -> None:
    indexes = st.none() | (st.integers(0, len(interfaces) - 1) if interfaces else st.none())
    ips = data.draw(
        st.lists(
            st.builds(IPConfig, st.just("10.0.0.1/24"), st.sampled_from(["", "10.0.0.2"]), indexes),
            max_size=4,
        )
    )
    entries = status_entries("n", Result(tuple(interfaces), tuple(ips)), is_default)
    assert sum(entry.default for entry in entries) == (1 if is_default and entries else 0)
    text = network_status(entries)
    assert "<nil>" not in text
    assert len(json.loads(text)) == len(entries)

"""Network selection annotations: spec sections 2.A to 2.E, unit themes 12, 14, 16, 18, 19."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.errors import CNIError, Code
from multinet.npwg.element_rules import parse_hardware_address
from multinet.npwg.selection import (
    Bandwidth,
    NetworkSelection,
    PortMapping,
    parse_default_network,
    parse_networks,
    warnings,
)


def one(element: dict[str, Any]) -> NetworkSelection:
    (selection,) = parse_networks(json.dumps([element]), "default")
    return selection


def refused(annotation: str) -> CNIError:
    with pytest.raises(CNIError) as caught:
        parse_networks(annotation, "default")
    assert caught.value.msg.startswith("parsePodNetworkAnnotation: ")  # 2.7
    return caught.value


@pytest.mark.parametrize("annotation", ["", "   ", ",", " , ,\n", "[]", " [ ] "])
def test_2_1_and_2_9_nothing_asked_for(annotation: str) -> None:
    assert parse_networks(annotation, "default") == ()


@pytest.mark.parametrize(
    ("annotation", "network", "interface"),
    [
        ("net1", "default/net1", ""),
        ("default/net1", "default/net1", ""),
        ("net1@my_interface", "default/net1", "my_interface"),
        ("other/net1@my_interface", "other/net1", "my_interface"),
        (" other / net1 @ eth7 ", "other/net1", "eth7"),
        ("/net1", "default/net1", ""),
        ("net1@", "default/net1", ""),
        ("a-b-0@fifteen_bytes_x", "default/a-b-0", "fifteen_bytes_x"),
    ],
)
def test_2b_items_that_are_accepted(annotation: str, network: str, interface: str) -> None:
    (selection,) = parse_networks(annotation, "default")
    assert (selection.network, selection.interface) == (network, interface)


def test_2_10_and_order() -> None:
    selections = parse_networks("b/x, a,, a\n", "ns")
    assert [selection.network for selection in selections] == ["b/x", "ns/a", "ns/a"]


LABEL_TEXT = (
    "parsePodNetworkObjectName: Failed to parse: one or more items did not match comma-delimited format "
    "(must consist of lower case alphanumeric characters). Must start and end with an alphanumeric "
    "character), mismatch @ "
)
IFNAME_TEXT = (
    "parsePodNetworkObjectName: Failed to parse interface name: must be less than 15 chars and not contain "
    "'/' or spaces. interface name "
)


@pytest.mark.parametrize(
    ("annotation", "phrase", "place"),
    [
        ("a/b/c", "parsePodNetworkObjectName: Invalid network object (failed at '/')", "item 1, column 4"),
        ("x, a@b@c", "parsePodNetworkObjectName: Invalid network object (failed at '@')", "item 2, column 7"),
        ("root@x/root@y", "Invalid network object (failed at '@')", "item 1, column 12"),
        ("x,Net", LABEL_TEXT + "'Net'", "item 2, column 3"),
        ("-a", LABEL_TEXT + "'-a'", "item 1, column 1"),
        ("ok/a.b", LABEL_TEXT + "'a.b'", "item 1, column 4"),  # 2.8
        ("a b", LABEL_TEXT + "'a b'", "item 1, column 1"),
        ("x@sixteen_bytes_xx", IFNAME_TEXT + "'sixteen_bytes_xx'", "item 1, column 3"),
        ("x@a b", IFNAME_TEXT + "'a b'", "item 1, column 3"),
        ("x@a/b", IFNAME_TEXT + "'a/b'", "item 1, column 3"),
        ("x@a:b", IFNAME_TEXT + "'a:b'", "item 1, column 3"),
        ("x@..", IFNAME_TEXT + "'..'", "item 1, column 3"),
        ("ns/", "the network has no name", "item 1, column 4"),
        ("ns/@eth1", "the network has no name", "item 1, column 4"),
        ("@eth1", "the network has no name", "item 1, column 1"),
    ],
)
def test_2_4_to_2_6_items_that_are_refused(annotation: str, phrase: str, place: str) -> None:
    error = refused(annotation)
    assert phrase in error.msg
    assert f"({place}: expected " in error.msg
    assert error.code == Code.INVALID_CONFIG


def test_2_18_the_standards_example() -> None:
    annotation = (
        '[{"name":"net-b","namespace":"ns","ips":["10.2.2.42/24","2001:db8::5/64"],'
        '"mac":"02:23:45:67:89:01","interface":"net7"}]'
    )
    assert parse_networks(annotation, "default") == (
        NetworkSelection(
            name="net-b",
            namespace="ns",
            ips=("10.2.2.42/24", "2001:db8::5/64"),
            mac="02:23:45:67:89:01",
            interface="net7",
        ),
    )


def test_every_key_lands_in_its_field() -> None:
    selection = one(
        {
            "name": "a.b",  # 2.8: a dot is fine here
            "infiniband-guid": "c2:11:22:33:44:55:66:77",
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "sctp", "hostIP": "::1"}],
            "bandwidth": {"ingressRate": 1, "ingressBurst": 2, "egressRate": 3, "egressBurst": 4},
            "default-route": ["10.0.0.1", "fd00::1"],
            "cni-args": {"a": [1, {"b": None}]},
            "deviceID": "0000:03:02.3",
            "ipam-claim-reference": "claim",
        }
    )
    assert selection == NetworkSelection(
        name="a.b",
        namespace="default",
        infiniband_guid="c2:11:22:33:44:55:66:77",
        port_mappings=(PortMapping(host_port=8080, container_port=80, protocol="sctp", host_ip="::1"),),
        bandwidth=Bandwidth(ingress_rate=1, ingress_burst=2, egress_rate=3, egress_burst=4),
        default_route=("10.0.0.1", "fd00::1"),
        cni_args={"a": [1, {"b": None}]},
        device_id="0000:03:02.3",
        ipam_claim_reference="claim",
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [({}, None), ({"default-route": None}, None), ({"default-route": []}, ())]
    + [
        ({"default-route": gateways}, tuple(gateways)) for gateways in (["10.0.0.1"], ["10.0.0.1", "fd00::1"])
    ],
)
def test_theme_14_gateway_requests_are_kept_distinct(written: dict[str, Any], read: Any) -> None:
    assert one({"name": "a"} | written).default_route == read


@pytest.mark.parametrize(
    ("element", "interface"),
    [
        ({"interfaceRequest": "old0"}, "old0"),
        ({"interface": "", "interfaceRequest": "old0"}, "old0"),
        ({"interface": "new0", "interfaceRequest": "old0"}, "new0"),
    ],
)
def test_2_3_the_legacy_key_counts_when_interface_is_empty(element: dict[str, Any], interface: str) -> None:
    assert one({"name": "a"} | element).interface == interface


@pytest.mark.parametrize(
    ("annotation", "problem", "code"),
    [
        ('{"name": "a"}', "$: expected an array of objects, got dict", Code.INVALID_CONFIG),
        ('"a"', "$: expected an array of objects, got str", Code.INVALID_CONFIG),
        ('[{"name": "a"},]', "line 1, column 16: Expecting value", Code.DECODING_FAILURE),
        ('[{"name":\n"a"', "line 2, column 4: Expecting ',' delimiter", Code.DECODING_FAILURE),
        ("[1]", "$[0]: expected an object, got int", Code.INVALID_CONFIG),
        ("[{}]", "$[0].name: is required", Code.INVALID_CONFIG),
        (
            '[{"name": "a"}, {"name": "b", "ips": "10.0.0.1"}]',
            "$[1].ips: expected array",
            Code.INVALID_CONFIG,
        ),
        ('[{"name": 1, "mac": 2}]', "$[0].mac: expected str", Code.INVALID_CONFIG),
        (
            '[{"name": "a", "bandwidth": {"egressRate": 1.5}}]',
            "$[0].bandwidth.egressRate",
            Code.INVALID_CONFIG,
        ),
    ],
)
def test_2c_what_is_no_list_of_elements(annotation: str, problem: str, code: int) -> None:
    error = refused(annotation)
    assert "failed to parse pod Network Attachment Selection Annotation JSON format: " in error.msg
    assert problem in error.msg
    assert error.code == code


@pytest.mark.parametrize(
    ("element", "phrase", "path"),
    [
        ({"ips": ["10.0.0.1", "10.0.0.1/33"]}, 'failed to parse CIDR "10.0.0.1/33": ', "$[0].ips[1]: "),
        ({"ips": ["10.0.0.1/255.0.0.0"]}, 'failed to parse CIDR "10.0.0.1/255.0.0.0": ', "$[0].ips[0]: "),
        ({"ips": ["10.0.0"]}, 'failed to parse IP address "10.0.0"', "$[0].ips[0]: "),
        ({"ips": ["fe80::1%eth0"]}, 'failed to parse IP address "fe80::1%eth0"', "$[0].ips[0]: "),
        ({"mac": "02:00"}, "failed to mac: ", "$[0].mac: expected 6, 8 or 20 bytes"),
        (
            {"infiniband-guid": "02:00:00:00:00:01"},
            "failed to validate infiniband GUID: ",
            "$[0].infiniband-guid",
        ),
        ({"default-route": ["10.0.0.0/8"]}, "", "$[0].default-route[0]: expected the IP address"),
        ({"portMappings": [{"hostPort": 0, "containerPort": 1}]}, "", "$[0].portMappings[0].hostPort: "),
        (
            {"portMappings": [{"hostPort": 1, "containerPort": 65536}]},
            "",
            "$[0].portMappings[0].containerPort: ",
        ),
        (
            {"portMappings": [{"hostPort": 1, "containerPort": 1, "protocol": "icmp"}]},
            "",
            "$[0].portMappings[0].protocol: expected TCP, UDP or SCTP",
        ),
        (
            {"portMappings": [{"hostPort": 1, "containerPort": 1, "hostIP": "node"}]},
            "",
            "$[0].portMappings[0].hostIP: ",
        ),
        ({"bandwidth": {"ingressBurst": 1}}, "", "$[0].bandwidth.ingressBurst: needs ingressRate"),
        ({"bandwidth": {"egressRate": -1}}, "", "$[0].bandwidth.egressRate: must not be negative"),
        ({"interface": "a/b"}, "", "$[0].interface: expected at most 15 bytes"),
        ({"interface": "sixteen_bytes_xx"}, "", "$[0].interface: expected at most 15 bytes"),
        (
            {"name": "ns/a"},
            "",
            '$[0].name: expected the name of a network-attachment-definition, got "ns/a" (its',
        ),
        ({"name": "../../pods/x"}, "", "$[0].name: "),
        ({"namespace": "A"}, "", "$[0].namespace: "),
        (
            {"ips": ["10.0.0.1"], "ipam-claim-reference": "c"},
            "",
            "$[0].ipam-claim-reference: must not be set",
        ),
    ],
)
def test_2c_rules_of_the_keys(element: dict[str, Any], phrase: str, path: str) -> None:
    error = refused(json.dumps([{"name": "a"} | element]))
    assert f"{phrase}" in error.msg
    assert path in error.msg
    assert error.code == Code.INVALID_CONFIG


def test_all_faults_are_reported_at_once() -> None:
    error = refused('[{"name": "a", "mac": "x", "ips": ["y"]}, {"name": "b", "interface": "c d"}]')
    for path in ("$[0].mac", "$[0].ips[0]", "$[1].interface"):
        assert path in error.msg


@pytest.mark.parametrize(
    "text",
    [
        "02:00:00:00:00:01",
        "02-00-00-00-00-01",
        "0200.0000.0001",
        "C2:11:22:33:44:55:66:77",
        ":".join(["00"] * 20),
    ],
)
def test_hardware_addresses_in_all_forms(text: str) -> None:
    octets = parse_hardware_address(text)
    assert octets is not None
    assert octets.hex() == "".join(c for c in text.lower() if c not in ":-.")


@pytest.mark.parametrize("text", ["", "02", "02:00:00-00:00:01", "020000000001", "0200.0000", "0:1:2:3:4:5"])
def test_hardware_addresses_that_are_none(text: str) -> None:
    assert parse_hardware_address(text) is None


def test_keys_in_another_case_are_read_and_told() -> None:
    annotation = '[{"Name": "a", "portmappings": [{"HostPort": 1, "containerPort": 2}]}]'
    (selection,) = parse_networks(annotation, "ns")
    assert selection.network == "ns/a"
    assert selection.port_mappings == (PortMapping(host_port=1, container_port=2),)
    assert warnings(annotation) == (
        '$[0]: key "Name" is read as "name"',
        '$[0]: key "portmappings" is read as "portMappings"',
    )


def test_unknown_keys_are_told_with_the_nearest_known_one() -> None:
    odd = '{"name": "b", "default-rout": [], "xyz": 1, "acme.com/x": 1, "bandwidth": {"rat": 1}}'
    annotation = f'[{{"name": "a"}}, {odd}]'
    assert len(parse_networks(annotation, "ns")) == 2
    assert warnings(annotation) == (
        '$[1]: unknown key "default-rout", did you mean "default-route"?',
        '$[1]: unknown key "xyz"',
        '$[1].bandwidth: unknown key "rat"',
    )


@pytest.mark.parametrize("annotation", ["", "a,b", "[", "{}", "[1]", '[{"name": "a"}]'])
def test_no_warnings(annotation: str) -> None:
    assert warnings(annotation) == ()


@pytest.mark.parametrize(
    ("annotation", "network"),
    [("foo", "kube-system/foo"), ("ns/foo", "ns/foo"), ('[{"name": "foo"}]', "kube-system/foo")],
)
def test_2_25_default_network(annotation: str, network: str) -> None:
    assert parse_default_network(annotation, "kube-system").network == network


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        ("a,b", "tryLoadK8sPodDefaultNetwork: more than one default network is specified: a,b"),
        ("", 'parsePodNetworkAnnotation: pod annotation does not have "network" as key'),
        ("[]", 'parsePodNetworkAnnotation: pod annotation does not have "network" as key'),
    ],
)
def test_2_26_exactly_one_default_network(annotation: str, text: str) -> None:
    with pytest.raises(CNIError) as caught:
        parse_default_network(annotation, "kube-system")
    assert caught.value.msg.startswith(text)
    assert caught.value.code == Code.INVALID_CONFIG


LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
IFNAMES = st.from_regex(r"[a-z_][a-z0-9_.-]{0,14}", fullmatch=True)
BLANKS = st.text(" \t\n", max_size=2)
IPS = st.ip_addresses().filter(lambda ip: getattr(ip, "scope_id", None) is None).map(str)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)
PORTS = st.integers(1, 65535)
SELECTIONS = st.builds(
    NetworkSelection,
    name=LABELS,
    namespace=LABELS,
    interface=IFNAMES | st.just(""),
    ips=st.lists(IPS, max_size=3).map(tuple),
    mac=st.binary(min_size=6, max_size=6).map(lambda octets: octets.hex(":")) | st.just(""),
    infiniband_guid=st.binary(min_size=8, max_size=8).map(lambda octets: octets.hex("-")) | st.just(""),
    port_mappings=st.lists(
        st.builds(
            PortMapping,
            host_port=PORTS,
            container_port=PORTS,
            protocol=st.sampled_from(["", "TCP", "udp", "SCTP"]),
            host_ip=IPS | st.just(""),
        ),
        max_size=2,
    ).map(tuple),
    bandwidth=st.none()
    | st.builds(Bandwidth, ingress_rate=st.integers(1, 2**40), ingress_burst=st.integers(0)),
    default_route=st.none() | st.lists(IPS, max_size=2).map(tuple),
    cni_args=st.dictionaries(st.text(st.characters(codec="utf-8")), JSON_VALUES, max_size=3),
    device_id=LABELS | st.just(""),
)


@given(st.lists(SELECTIONS, max_size=4))
def test_json_form_round_trip(selections: list[NetworkSelection]) -> None:
    annotation = msgspec.json.encode(selections).decode()
    assert list(parse_networks(annotation, "unused")) == selections
    assert warnings(annotation) == ()


@given(st.lists(st.tuples(LABELS | st.just(""), LABELS, IFNAMES | st.just("")), max_size=5), st.data())
def test_comma_form_round_trip(items: list[tuple[str, str, str]], data: st.DataObject) -> None:
    def item(namespace: str, name: str, ifname: str) -> str:
        tokens = ([namespace, "/"] if namespace else []) + [name] + (["@", ifname] if ifname else [])
        return "".join(data.draw(BLANKS) + token for token in tokens) + data.draw(BLANKS)

    annotation = ",".join(item(*parts) for parts in items)
    assert [(s.namespace, s.name, s.interface) for s in parse_networks(annotation, "dflt")] == [
        (namespace or "dflt", name, ifname) for namespace, name, ifname in items
    ]


@given(st.text(st.characters(exclude_categories=())) | st.text('ab/@,[]{}":1.- \n', max_size=30))
def test_no_text_raises_anything_but_a_cni_error(annotation: str) -> None:
    for parse in (parse_networks, parse_default_network):
        try:
            parse(annotation, "default")
        except CNIError as error:
            assert error.code in (Code.INVALID_CONFIG, Code.DECODING_FAILURE)
    warnings(annotation)


@given(
    st.lists(
        st.dictionaries(st.sampled_from([*"xy", "name", "ips", "mac", "bandwidth", "cni-args"]), JSON_VALUES)
    )
)
def test_no_json_raises_anything_but_a_cni_error(elements: list[Any]) -> None:
    annotation = json.dumps(elements)
    try:
        parse_networks(annotation, "default")
    except CNIError as error:
        assert error.code in (Code.INVALID_CONFIG, Code.DECODING_FAILURE)
    warnings(annotation)

"""Which networks a pod gets: spec 1.D, 2.C to 2.E, 4.24, 5.38; unit themes 9 to 15, 22 to 28."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.core.selection import (
    DefinitionRef,
    InlineNetwork,
    NamedNetwork,
    PathNetwork,
    PlannedAttachment,
    capability_args,
    capability_warnings,
    delegate_args,
    display_name,
    prepare,
    select_networks,
    selection_warnings,
    withheld_capabilities,
)
from multinet.core.settings import Settings
from multinet.npwg.attachment_definition import NetworkAttachmentDefinition
from multinet.npwg.selection import DEFAULT_NETWORK, DEFAULT_NETWORKS, NETWORKS

CLUSTER = Settings(cluster_network="/etc/cni/net.d/10-flannel.conflist")


def planned(
    annotation: Any, namespace: str = "default", settings: Settings = CLUSTER
) -> list[PlannedAttachment]:
    text = annotation if isinstance(annotation, str) else json.dumps(annotation)
    return list(select_networks({NETWORKS: text}, namespace, settings))


def second(**element: Any) -> PlannedAttachment:
    """The attachment of one element of the annotation."""
    return planned([{"name": "mv"} | element])[1]


def default(**element: Any) -> PlannedAttachment:
    """The attachment of the element that replaces the default network."""
    annotation = json.dumps([{"name": "mv"} | element])
    return select_networks({DEFAULT_NETWORK: annotation}, "default", CLUSTER)[0]


def names(attachments: list[PlannedAttachment]) -> list[str]:
    return [attachment.ifname for attachment in attachments]


# --- which networks -------------------------------------------------------------------------------------


def test_2_1_no_annotation_the_default_network_alone() -> None:
    (only,) = select_networks({}, "default", CLUSTER)
    assert only == PlannedAttachment(
        position=0,
        name="/etc/cni/net.d/10-flannel.conflist",
        ifname="eth0",
        source=PathNetwork("/etc/cni/net.d/10-flannel.conflist"),
    )
    assert only.is_default


def test_section_11_default_network_and_one_more() -> None:
    eth0, net1 = planned([{"name": "mv", "ips": ["10.1.1.11/24"], "default-route": ["10.1.1.254"]}])
    assert (eth0.ifname, eth0.is_default, eth0.default_route) == ("eth0", True, None)
    assert (net1.name, net1.ifname, net1.is_default) == ("default/mv", "net1", False)
    assert net1.source == DefinitionRef("default", "mv")
    assert net1.default_route == ("10.1.1.254",)


def test_1_18_and_4a_names_in_the_configuration_live_in_the_multus_namespace() -> None:
    settings = Settings(cluster_network="cbr0", multus_namespace="multus")
    (only,) = select_networks({}, "default", settings)
    assert only.source == NamedNetwork("multus", "cbr0")


def test_theme_16_order_and_namespaces() -> None:
    attachments = planned("a,other/b,a")
    assert [attachment.name for attachment in attachments[1:]] == ["default/a", "other/b", "default/a"]
    assert names(attachments) == ["eth0", "net1", "net2", "net3"]  # 2.10


def test_delegates_in_line() -> None:
    one, two = {"type": "bridge", "name": "br"}, {"plugins": [{"type": "macvlan"}]}
    attachments = planned("a", settings=Settings(delegates=(one, two)))
    assert [attachment.source for attachment in attachments[:2]] == [InlineNetwork(one), InlineNetwork(two)]
    assert [attachment.name for attachment in attachments] == ["br", "macvlan", "default/a"]
    assert names(attachments) == ["eth0", "net1", "net2"]


def test_2_20_default_networks_come_before_the_annotations() -> None:
    settings = Settings(cluster_network="cbr0", default_networks=("x", "/etc/y.conf"))
    attachments = planned("a", settings=settings)
    assert [attachment.source for attachment in attachments] == [
        NamedNetwork("kube-system", "cbr0"),
        NamedNetwork("kube-system", "x"),
        PathNetwork("/etc/y.conf"),
        DefinitionRef("default", "a"),
    ]
    assert names(attachments) == ["eth0", "net1", "net2", "net3"]


@pytest.mark.parametrize(("value", "count"), [("none", 2), (" none ", 2), ("all", 3)])
def test_9_31_a_pod_may_do_without_the_default_networks(value: str, count: int) -> None:
    """Its own networks and its default network stay."""
    settings = Settings(cluster_network="cbr0", default_networks=("storage",))
    found = select_networks({DEFAULT_NETWORKS: value, NETWORKS: "mine"}, "default", settings)
    assert [one.name for one in found][:: count - 1] == ["kube-system/cbr0", "default/mine"]
    assert len(found) == count


def test_9_31_a_value_that_is_neither() -> None:
    for settings in (CLUSTER, Settings(delegates=({"type": "bridge"},))):
        with pytest.raises(
            CNIError, match=r'multinet\.dev/default-networks: expected "none" or "all", got "no"'
        ):
            select_networks({DEFAULT_NETWORKS: "no"}, "default", settings)


def test_3_6_the_auxiliary_chain_comes_after_what_the_pod_asks_for() -> None:
    last = InlineNetwork({"name": "vendor", "plugins": [{"type": "passthru"}, {"type": "tuning"}]})
    found = select_networks({NETWORKS: "a@data"}, "default", CLUSTER, last=(last,))
    assert [(one.ifname, one.name) for one in found][1:] == [("data", "default/a"), ("net2", "vendor")]
    assert found[-1].source is last
    with pytest.raises(CNIError, match='both get interface "net2"'):
        select_networks({NETWORKS: "a@net2"}, "default", CLUSTER, last=(last,))


def test_theme_23_system_namespaces_get_no_default_networks() -> None:
    settings = Settings(cluster_network="cbr0", default_networks=("x",))
    assert names(planned("a", "kube-system", settings)) == ["eth0", "net1"]


@pytest.mark.parametrize("settings", [CLUSTER, Settings(delegates=({"type": "bridge"},))])
def test_2_27_the_pods_default_network_replaces_the_first(settings: Settings) -> None:
    first, added = select_networks({DEFAULT_NETWORK: "mv", NETWORKS: "a"}, "default", settings)
    assert (first.source, first.ifname) == (DefinitionRef("kube-system", "mv"), "eth0")
    assert first.is_default
    assert added.ifname == "net1"


def test_2_27_and_2_19_it_may_ask_for_its_interface_name() -> None:
    assert default(interface="lan0").ifname == "lan0"


def test_theme_17_and_18_a_broken_annotation_fails() -> None:
    for annotation in ("a/b/c", "[{]"):
        with pytest.raises(CNIError, match="parsePodNetworkAnnotation: "):
            planned(annotation)


def test_warnings_name_the_annotation() -> None:
    assert selection_warnings({NETWORKS: '[{"name": "a", "macc": ""}]', DEFAULT_NETWORK: "x"}) == (
        'k8s.v1.cni.cncf.io/networks: $[0]: unknown key "macc", did you mean "mac"?',
    )


# --- interface names ------------------------------------------------------------------------------------


def test_2_19_the_runtimes_name_is_the_default_networks() -> None:
    attachments = select_networks({NETWORKS: "a"}, "default", CLUSTER, runtime_ifname="lan")
    assert [attachment.ifname for attachment in attachments] == ["lan", "net1"]


def test_2_21_a_named_element_consumes_its_index() -> None:
    assert names(planned("a@foo,b")) == ["eth0", "foo", "net2"]


@pytest.mark.parametrize(
    ("annotation", "named"),
    [
        ("a@x,b@x", ["network 1 (default/a)", "network 2 (default/b)", '"x"']),
        ("a@net2,b", ["network 1 (default/a)", "network 2 (default/b)", '"net2"']),
        ("a,b@net1", ["network 1 (default/a)", "network 2 (default/b)", '"net1"']),
        (
            "a@eth0",
            ["default network (/etc/cni/net.d/10-flannel.conflist)", "network 1 (default/a)", '"eth0"'],
        ),
        ("a@lo", ["network 1 (default/a)", '"lo"']),
    ],
)
def test_2_23_double_names_are_found_before_anything_is_attached(annotation: str, named: list[str]) -> None:
    with pytest.raises(CNIError) as caught:
        planned(annotation)
    assert caught.value.code == Code.INVALID_CONFIG
    for text in named:
        assert text in caught.value.msg


@given(st.lists(st.sampled_from(["", "@x", "@y", "@net1", "@net2", "@eth0"]), max_size=5))
def test_2_24_names_are_unique_and_always_the_same(suffixes: list[str]) -> None:
    annotation = ",".join("a" + suffix for suffix in suffixes)
    try:
        attachments = planned(annotation)
    except CNIError as error:
        assert error.code == Code.INVALID_CONFIG
        return
    assert len(set(names(attachments))) == len(suffixes) + 1
    assert attachments == planned(annotation)
    assert [attachment.position for attachment in attachments] == list(range(len(suffixes) + 1))


def test_5_23_several_gateways_are_refused_before_anything_is_attached() -> None:
    route = {"default-route": ["10.0.0.1"]}
    with pytest.raises(CNIError) as caught:
        planned([{"name": "a"} | route, {"name": "b"} | route])
    assert caught.value.msg == "multus does not support ECMP for default-route"
    assert "10.0.0.1 on default/a, 10.0.0.1 on default/b" in caught.value.details


# --- display names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "definition", "name"),
    [
        ({"type": "macvlan", "name": "json"}, NetworkAttachmentDefinition("ns", "nad"), "ns/nad"),
        ({"plugins": [{"type": "flannel"}], "name": "cbr0"}, None, "cbr0"),
        ({"plugins": [{"type": "flannel"}], "name": ""}, None, "flannel"),
        ({"type": "bridge"}, None, "bridge"),
    ],
)
def test_1_17_display_name(network: dict[str, Any], definition: Any, name: str) -> None:
    assert display_name(network, definition) == name


# --- capability arguments -------------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "ips": ["10.1.1.11/24"],
    "mac": "02:00:00:00:00:01",
    "infiniband-guid": "c2:11:22:33:44:55:66:77",
    "portMappings": [
        {"hostPort": 8080, "containerPort": 80},
        {"hostPort": 1, "containerPort": 2, "protocol": "UDP"},
    ],
    "bandwidth": {"ingressRate": 1, "ingressBurst": 2},
    "deviceID": "0000:03:02.3",
}
KUBELETS = {"portMappings": [{"hostPort": 1, "containerPort": 1}], "bandwidth": {"ingressRate": 5}}


def test_2_13_and_theme_12_what_the_element_asks_for() -> None:
    assert capability_args(second(**EVERYTHING), KUBELETS) == {
        "ips": ["10.1.1.11/24"],
        "mac": "02:00:00:00:00:01",
        "infinibandGUID": "c2:11:22:33:44:55:66:77",
        "portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 1, "containerPort": 2, "protocol": "udp"},
        ],
        "bandwidth": {"ingressRate": 1, "ingressBurst": 2},
        "deviceID": "0000:03:02.3",
    }


def test_2_14_and_theme_13_the_default_network_gets_the_runtimes_only() -> None:
    assert capability_args(default(**EVERYTHING), KUBELETS) == KUBELETS


def test_2_15_the_runtimes_stay_with_the_default_network() -> None:
    assert capability_args(second(), KUBELETS) == {}
    _, everyones = select_networks({}, "default", Settings(cluster_network="x", default_networks=("y",)))
    assert capability_args(everyones, KUBELETS) == {}


def test_5_44_the_allocated_device_counts_before_the_elements() -> None:
    assert capability_args(second(deviceID="asked"), {}, "allocated", "/dev/info") == {
        "deviceID": "allocated",
        "CNIDeviceInfoFile": "/dev/info",
    }
    assert capability_args(second(deviceID="asked"), {}, "", "/dev/info") == {
        "deviceID": "asked",
        "CNIDeviceInfoFile": "/dev/info",
    }
    assert capability_args(second(), {}, "", "/dev/info") == {}
    assert capability_args(default(), {}, "allocated", "/dev/info") == {}  # not for the master


LIST = {
    "name": "mv",
    "plugins": [{"type": "macvlan", "capabilities": {"ips": True, "mac": False}}, {"type": "tuning"}],
}


def test_2_12_a_request_that_no_plugin_takes_is_told() -> None:
    attachment = second(ips=["10.0.0.1"], mac="02:00:00:00:00:01")
    assert capability_warnings(attachment, LIST, CLUSTER) == (
        'default/mv: "mac" is asked for, but no plugin of the network has capabilities.mac',
    )
    single = {"type": "macvlan", "capabilities": {"ips": True, "mac": True}}
    assert capability_warnings(attachment, single, CLUSTER) == ()
    assert capability_warnings(default(mac="02:00:00:00:00:01"), LIST, CLUSTER) == ()


def test_9_45_what_the_runtime_does_not_hand_over() -> None:
    plugins = [{"type": "calico"}, {"type": "portmap", "capabilities": {"portMappings": True, "ips": True}}]
    (text,) = withheld_capabilities({"plugins": plugins}, CLUSTER)
    assert text.startswith('$.capabilities: "portMappings" of the default network is not handed over')
    declared = Settings(cluster_network="/", capabilities={"portMappings": True})
    assert withheld_capabilities({"plugins": plugins}, declared) == ()
    assert withheld_capabilities({"type": "bridge"}, CLUSTER) == ()


def test_2_12_or_fails_when_the_settings_say_so() -> None:
    strict = Settings(cluster_network="x", strict_capabilities=True)
    with pytest.raises(CNIError, match=r"capabilities\.mac") as caught:
        capability_warnings(second(mac="02:00:00:00:00:01"), LIST, strict)
    assert caught.value.code == Code.ATTACHMENT


# --- CNI_ARGS -------------------------------------------------------------------------------------------

ARGS = (
    "IgnoreUnknown=1;K8S_POD_UID=u-1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p1;BLAHBLAH=foo=bar;"
    "K8S_POD_INFRA_CONTAINER_ID=c1;malformed;=x"
)
POD_ARGS = (
    "IgnoreUnknown=true;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p1;"
    "K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u-1"
)


def test_4_24_and_theme_11_order_and_extra_pairs() -> None:
    assert delegate_args(ARGS, second()) == POD_ARGS + ";BLAHBLAH=foo=bar"


def test_2_16_and_section_11_mac_and_ip_come_last() -> None:
    attachment = second(ips=["10.1.1.11/24", "fd00::b/64"], mac="02:00:00:00:00:01")
    assert delegate_args(ARGS, attachment) == (
        POD_ARGS + ";BLAHBLAH=foo=bar;MAC=02:00:00:00:00:01;IP=10.1.1.11/24,fd00::b/64"
    )


def test_2_14_the_default_networks_ip_goes_by_args() -> None:
    assert delegate_args(POD_ARGS, default(ips=["10.1.1.11/24"])) == POD_ARGS + ";IP=10.1.1.11/24"


def test_an_address_of_the_runtime_is_for_the_default_network_alone() -> None:
    args = POD_ARGS + ";IP=10.0.0.5;GATEWAY=10.0.0.1"
    eth0, net1 = planned("a")
    assert delegate_args(args, eth0) == args
    assert delegate_args(args, net1) == POD_ARGS
    assert delegate_args(args, second(ips=["10.1.1.11"])) == POD_ARGS + ";IP=10.1.1.11"


def test_4_25_no_key_twice() -> None:
    assert delegate_args("A=1;IgnoreUnknown=0;A=2", second()) == "IgnoreUnknown=true;A=2"
    replaced = delegate_args("IP=10.0.0.5", default(ips=["10.1.1.11"]))
    assert replaced == "IgnoreUnknown=true;IP=10.1.1.11"


def test_5_62_the_uid_that_was_looked_up() -> None:
    assert delegate_args("K8S_POD_NAME=p;X=y", second(), uid="u") == (
        "IgnoreUnknown=true;K8S_POD_NAME=p;K8S_POD_UID=u;X=y"
    )
    assert delegate_args("K8S_POD_UID=sent", second(), uid="u") == "IgnoreUnknown=true;K8S_POD_UID=sent"


@given(st.text("AIP=;MC", max_size=30), st.booleans())
def test_args_always_parse_again(args: str, asks: bool) -> None:
    made = delegate_args(args, second(ips=["10.0.0.1"]) if asks else second())
    pairs = [pair.partition("=") for pair in made.split(";")]
    assert all(key and mark for key, mark, _ in pairs)
    assert len({key for key, _, _ in pairs}) == len(pairs)


# --- the configuration ----------------------------------------------------------------------------------


def test_theme_10_cni_args_go_into_every_plugin_and_win() -> None:
    network = {
        "name": "n",
        "plugins": [{"type": "a", "args": {"cni": {"x": 1, "y": 2}, "labels": []}}, {"type": "b"}],
    }
    before = copy.deepcopy(network)
    assert prepare(network, second(**{"cni-args": {"x": {"deep": [None]}}})) == {
        "name": "n",
        "plugins": [
            {"type": "a", "args": {"cni": {"x": {"deep": [None]}, "y": 2}, "labels": []}},
            {"type": "b", "args": {"cni": {"x": {"deep": [None]}}}},
        ],
    }
    assert network == before


def test_theme_10_cni_args_of_a_single_plugin() -> None:
    made = prepare({"type": "a", "name": "n", "args": None}, second(**{"cni-args": {"x": 1}}))
    assert made == {"type": "a", "name": "n", "args": {"cni": {"x": 1}}}


@pytest.mark.parametrize(
    ("network", "path"),
    [
        ({"type": "a", "args": "x"}, "$.args"),
        ({"plugins": [{"type": "a"}, {"type": "b", "args": {"cni": []}}]}, "$.plugins[1].args.cni"),
    ],
)
def test_args_that_are_no_object(network: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        prepare(network, second(**{"cni-args": {"x": 1}}))
    assert caught.value.path == path


def test_an_elements_device_is_no_key_of_the_configuration() -> None:
    assert prepare({"type": "a"}, second(deviceID="x")) == {"type": "a"}


def test_1_15_a_list_without_a_version_takes_ours() -> None:
    plugins = [{"type": "a"}]
    for written in ({}, {"cniVersion": ""}):
        made = prepare({"plugins": plugins} | written, second(), cni_version="1.0.0")
        assert made["cniVersion"] == "1.0.0"
    kept = prepare({"plugins": plugins, "cniVersion": "0.3.1"}, second(), cni_version="1.0.0")
    assert kept["cniVersion"] == "0.3.1"

"""NetworkAttachmentDefinition: spec section 1, unit themes 15, 20, 21."""

from __future__ import annotations

from typing import Any

import pytest

from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.npwg.attachment_definition import NetworkAttachmentDefinition, network_of


def manifest(**changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "mv", "namespace": "apps"},
        "spec": {"config": '{"type": "macvlan"}'},
    } | changes


def definition(config: str | None) -> NetworkAttachmentDefinition:
    return NetworkAttachmentDefinition("apps", "mv", config)


def test_object_with_everything() -> None:
    annotations = {"k8s.v1.cni.cncf.io/resourceName": "intel.com/sriov", "other": "x"}
    made = NetworkAttachmentDefinition.from_object(
        manifest(metadata={"name": "mv", "namespace": "apps", "annotations": annotations, "uid": "u"})
    )
    assert made == NetworkAttachmentDefinition("apps", "mv", '{"type": "macvlan"}', annotations)
    assert made.resource_name == "intel.com/sriov"
    assert made.display_name == "apps/mv"


@pytest.mark.parametrize("spec", [None, {}, {"config": None}, {"config": ""}])
def test_1_1_and_1_6_an_empty_spec_means_by_file(spec: Any) -> None:
    raw = manifest(spec=spec)
    assert network_of(NetworkAttachmentDefinition.from_object(raw)) is None


def test_no_spec_no_namespace_no_annotations() -> None:
    raw = manifest(metadata={"name": "mv"})
    del raw["spec"]
    assert NetworkAttachmentDefinition.from_object(raw) == NetworkAttachmentDefinition("default", "mv")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"kind": "Pod"}, "$.kind"),
        ({"apiVersion": "v1"}, "$.apiVersion"),
        ({"metadata": {}}, "$.metadata"),
        ({"metadata": {"name": ""}}, "$.metadata.name"),
        ({"metadata": {"name": "a", "annotations": {"a": 1}}}, "$.metadata.annotations"),
        ({"spec": {"config": {"type": "macvlan"}}}, "$.spec.config"),  # 1.2: a string, no object
        ({"spec": []}, "$.spec"),
    ],
)
def test_other_shapes_are_refused_by_path(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        NetworkAttachmentDefinition.from_object(manifest(**changes))
    assert caught.value.path.startswith(path)
    assert caught.value.code == Code.INVALID_CONFIG


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ('{"type": "macvlan"}', "mv"),
        ('{"type": "macvlan", "name": ""}', "mv"),
        ('{"type": "macvlan", "name": null}', "mv"),
        ('{"type": "macvlan", "name": "other"}', "other"),
        ('{"plugins": [{"type": "macvlan"}]}', "mv"),
    ],
)
def test_1_5_the_definition_gives_its_name_to_a_nameless_network(config: str, name: str) -> None:
    network = network_of(definition(config))
    assert network is not None
    assert network["name"] == name


def test_1_14_unknown_keys_survive() -> None:
    plugin = '{"type": "calico", "kubernetes": {"kubeconfig": "/k"}}'
    config = f'{{"cniVersion": "0.3.1", "plugins": [{plugin}], "x": [1.5]}}'
    assert network_of(definition(config)) == {
        "cniVersion": "0.3.1",
        "plugins": [{"type": "calico", "kubernetes": {"kubeconfig": "/k"}}],
        "x": [1.5],
        "name": "mv",
    }


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("{", "line 1, column 2: Expecting property name"),
        ('{\n  "type": "macvlan",\n}', "line 3, column 1: Expecting property name"),
        ('{"ä": tru}', "line 1, column 7: Expecting value"),
        ('{"type": "x"} y', "line 1, column 15: Extra data"),
        ('{"type": "x", "mtu": 1e999}', "Number out of range"),
        ('{"mtu": NaN}', "JSON is malformed: invalid character"),
        ('{"type": "\\ud800 "}', "truncated"),
        ("[" * 100_000, "recursion"),
        ("[]", "expected an object, got list"),
        ("   ", "line 1, column 4"),
        ('"\ud800"', "surrogates not allowed"),
    ],
)
def test_1_4_broken_json_is_told_with_its_place(config: str, place: str) -> None:
    with pytest.raises(CNIError) as caught:
        network_of(definition(config))
    assert caught.value.code == Code.DECODING_FAILURE
    assert "GetCNIConfig: err in getCNIConfigFromSpec: failed to unmarshal Spec.Config: " in caught.value.msg
    assert caught.value.msg.startswith("network-attachment-definition apps/mv, $.spec.config: ")
    assert place in caught.value.msg


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("{}", "$.plugins: LoadDelegateNetConfList: delegate must have the 'type' or 'plugin' field"),
        ('{"plugins": []}', "delegate must have the 'type' or 'plugin' field"),  # 1.12
        ('{"plugins": {}}', "delegate must have the 'type' or 'plugin' field"),
        ('{"plugins": [{}]}', "$.plugins[0].type: LoadDelegateNetConfList: a plugin delegate must have the"),
        ('{"plugins": [{"type": "a"}, {"typ": "b"}]}', "$.plugins[1].type: "),
        ('{"plugins": [1]}', "$.plugins[0].type: "),
        ('{"type": 1}', "$.type: expected str, got int"),
        ('{"type": "a", "name": []}', "$.name: expected str, got list"),
        ('{"type": "a", "cniVersion": true}', "$.cniVersion: expected str, got bool"),
    ],
)
def test_1_11_an_object_that_is_no_network(config: str, problem: str) -> None:
    with pytest.raises(CNIError) as caught:
        network_of(definition(config))
    assert caught.value.code == Code.INVALID_CONFIG
    assert caught.value.msg.startswith("network-attachment-definition apps/mv, $.spec.config: ")
    assert problem in caught.value.msg

"""cni.md 1.1 … 1.6; multi-network.md 10.8, 10.9: the configuration object."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError, InvalidConfig


def listed(**keys: Any) -> bytes:
    return json.dumps(
        {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge"}], **keys}
    ).encode()


def fault(data: bytes, source: str = "") -> CNIError:
    with pytest.raises(CNIError) as caught:
        NetworkList.from_bytes(data, source)
    return caught.value


def test_1_1_a_list() -> None:
    data = listed(disableCheck=True, disableGC=True, loadOnlyInlinedPlugins=True)
    network = NetworkList.from_bytes(data)
    assert (network.name, network.cni_version) == ("net", "1.0.0")
    assert network.plugins == ({"type": "bridge"},)
    assert (network.disable_check, network.disable_gc, network.load_only_inlined_plugins) == (True,) * 3
    assert network.raw == data


@pytest.mark.parametrize("absent", [{}, {"cniVersion": ""}, {"cniVersion": None}])
def test_1_1_no_version_is_0_1_0(absent: dict[str, Any]) -> None:
    network = NetworkList.from_object({"name": "net", "plugins": [{"type": "x"}], **absent})
    assert network.cni_version == "0.1.0"


def test_1_1_version_negotiation() -> None:
    assert NetworkList.from_bytes(listed(cniVersions=["0.4.0", "1.1.0", "1.2.0"])).cni_version == "1.1.0"


@pytest.mark.parametrize("key", ["disableCheck", "disableGC", "loadOnlyInlinedPlugins"])
@pytest.mark.parametrize(
    ("value", "meaning"),
    [(True, True), (False, False), ("true", True), ("TRUE", True), ("False", False), (None, False)],
)
def test_1_2_flags(key: str, value: Any, meaning: bool) -> None:
    network = NetworkList.from_bytes(listed(**{key: value}))
    field = {"disableCheck": "disable_check", "disableGC": "disable_gc"}.get(key, "load_only_inlined_plugins")
    assert getattr(network, field) is meaning


@pytest.mark.parametrize("key", ["disableCheck", "disableGC", "loadOnlyInlinedPlugins"])
@pytest.mark.parametrize("value", [1, 0, "yes", "", "1", [], {}])
def test_1_2_other_flags_are_faults(key: str, value: Any) -> None:
    error = fault(listed(**{key: value}))
    assert (error.code, error.msg.split(":")[0]) == (7, f"$.{key}")


def test_1_4_unknown_keys_are_kept_in_meaning() -> None:
    plugin = {"type": "x", "Own": {"deep": [1, 1.5, None, "é", 10**30]}, "capabilities": {"a": True}}
    network = NetworkList.from_bytes(listed(plugins=[plugin], unknown=1))
    assert network.plugins[0] == plugin


def test_1_6_a_single_plugin_becomes_a_list() -> None:
    data = b'{"cniVersion": "0.3.1", "name": "net", "type": "bridge", "own": 1}'
    network = NetworkList.from_bytes(data)
    assert (network.name, network.cni_version) == ("net", "0.3.1")
    assert network.plugins == (json.loads(data),)
    assert json.loads(network.raw) == {"cniVersion": "0.3.1", "name": "net", "plugins": [json.loads(data)]}


@pytest.mark.parametrize(
    "data",
    [
        listed(),
        listed(plugins=[{"type": "a"}, {"type": "b", "x": 1}], cniVersions=["1.1.0"], disableGC="true"),
        b'{"name": "net", "type": "bridge"}',
    ],
)
def test_raw_reads_back_to_the_same_network(data: bytes) -> None:
    network = NetworkList.from_bytes(data)
    again = NetworkList.from_bytes(network.raw)
    assert again == network


@pytest.mark.parametrize(
    ("data", "path", "text"),
    [
        (b"{}", "$", "missing 'type'"),
        (b'{"name": "a"}', "$", "missing 'type'"),
        (b"[]", "$", "expected an object, got list"),
        (b"null", "$", "expected an object"),
        (b'{"plugins": [{"type": "x"}]}', "$.name", "error parsing configuration list: no name"),
        (b'{"type": "x"}', "$.name", "error parsing configuration: no name"),
        (listed(name=""), "$.name", "no name"),
        (listed(name=3), "$.name", "expected str, got int"),
        (listed(name="../x"), "$.name", "invalid characters found in network name"),
        (listed(cniVersion=1), "$.cniVersion", "expected str, got int"),
        (listed(cniVersion="1.0.0.0"), "$.cniVersion", "too many parts"),
        (listed(cniVersions="1.0.0"), "$.cniVersions", "expected a list, got str"),
        (listed(cniVersions=["1.0.0", 2]), "$.cniVersions[1]", "expected str, got int"),
        (listed(cniVersions=["x"]), "$.cniVersions[0]", "invalid version"),
        (listed(plugins={}), "$.plugins", "expected a list, got dict"),
        (listed(plugins=[]), "$.plugins", "error parsing configuration list: no plugins in list"),
        (listed(plugins=[3]), "$.plugins[0]", "expected an object, got int"),
        (
            listed(plugins=[{"type": "a"}, {}]),
            "$.plugins[1].type",
            "error parsing configuration: missing 'type'",
        ),
        (listed(plugins=[{"type": ""}]), "$.plugins[0].type", "missing 'type'"),
        (listed(plugins=[{"type": 3}]), "$.plugins[0].type", "expected str, got int"),
        (listed(plugins=[{"type": "a/b"}]), "$.plugins[0].type", "invalid plugin name: a/b"),
        (
            listed(plugins=[{"type": "a", "capabilities": {"mac": "yes"}}]),
            "$.plugins[0].capabilities.mac",
            "expected bool, got str",
        ),
        (listed(plugins=[{"type": "a", "ipam": 3}]), "$.plugins[0].ipam", "expected object"),
        (listed(plugins=[{"type": "a", "dns": {"search": 3}}]), "$.plugins[0].dns.search", "expected array"),
        (b'{"name": "n", "type": "a", "ipam": {"type": 3}}', "$.ipam.type", "expected str, got int"),
    ],
)
def test_faults_are_code_7_with_a_path(data: bytes, path: str, text: str) -> None:
    error = fault(data)
    assert isinstance(error, InvalidConfig)
    assert (error.code, error.path) == (7, path)
    assert text in error.problem
    named = fault(data, "10-a.conflist")
    assert named.msg == f"10-a.conflist: {error.msg}"


def test_no_json_is_code_6_with_line_and_column() -> None:
    error = fault(b'{\n  "name": "net",\n  "plugins": [,]\n}', "/etc/cni/net.d/10-a.conflist")
    assert error.code == 6
    assert error.msg.startswith(
        "/etc/cni/net.d/10-a.conflist: error parsing configuration list: line 3, column 15: "
    )


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
known = st.sampled_from(
    ["name", "type", "plugins", "cniVersion", "cniVersions", "disableCheck", "capabilities"]
)


@given(st.dictionaries(known, junk | st.lists(st.dictionaries(known, junk), max_size=2)))
def test_any_object_is_a_network_or_a_fault(raw: dict[str, Any]) -> None:
    try:
        network = NetworkList.from_object(raw)
    except InvalidConfig as error:
        assert error.path.startswith("$")
    else:
        assert network.plugins
        assert NetworkList.from_bytes(network.raw) == network

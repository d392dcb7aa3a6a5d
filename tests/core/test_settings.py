"""The meta-plugin's configuration: spec 3.A, unit themes 1 to 8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.core.settings import LogOptions, Settings, settings_warnings
from multinet.core.settings_keys import WITHOUT_EFFECT

DELEGATES = {"delegates": [{"type": "bridge"}]}


def test_theme_1_defaults() -> None:
    settings = Settings.from_config({"cniVersion": "1.0.0", "name": "node", "type": "multus"} | DELEGATES)
    assert settings == Settings(
        cni_version="1.0.0",
        name="node",
        type="multus",
        delegates=({"type": "bridge"},),
        cluster_network="",
        default_networks=(),
        kubeconfig="",
        conf_dir="/etc/cni/multus/net.d",
        cni_dir="/var/lib/cni/multus",
        bin_dir="/opt/cni/bin",
        readiness_indicator_file="",
        namespace_isolation=False,
        global_namespaces="default",
        system_namespaces=("kube-system",),
        multus_namespace="kube-system",
        log_level="panic",
        log_to_stderr=True,
    )


def test_every_key() -> None:
    raw: dict[str, Any] = {
        "clusterNetwork": "/etc/cni/net.d/10-flannel.conflist",
        "defaultNetworks": ["a", "b"],
        "kubeconfig": "/k",
        "confDir": "/c",
        "cniDir": "/v",
        "binDir": "/b",
        "readinessindicatorfile": "/r",
        "namespaceIsolation": True,
        "globalNamespaces": " a, b ,,c",
        "systemNamespaces": [],
        "multusNamespace": "multus",
        "capabilities": {"portMappings": True},
        "runtimeConfig": {"portMappings": []},
        "retryDeleteOnError": True,
        "auxiliaryCNIChainName": "x",
        "logLevel": "debug",
        "logFile": "/l",
        "logToStderr": False,
        "logOptions": {"maxAge": 1, "compress": False},
        "prevResult": {"cniVersion": "1.0.0"},
    }
    settings = Settings.from_config(raw)
    assert settings.cluster_network == "/etc/cni/net.d/10-flannel.conflist"
    assert settings.default_networks == ("a", "b")
    assert (settings.conf_dir, settings.cni_dir, settings.bin_dir) == ("/c", "/v", "/b")
    assert settings.readiness_indicator_file == "/r"  # theme 8
    assert settings.open_namespaces == {"a", "b", "c"}  # theme 6, 1.20: replaces the default
    assert settings.system_namespaces == ()
    assert settings.auxiliary_chain == "x"
    assert settings.log_options == LogOptions(max_age=1, compress=False)  # theme 5
    assert settings.prev_result == {"cniVersion": "1.0.0"}  # theme 7
    assert not settings.log_to_stderr


def test_theme_6_without_a_list_the_default_namespace_is_open() -> None:
    for raw in (DELEGATES, DELEGATES | {"globalNamespaces": ""}):
        assert Settings.from_config(raw).open_namespaces == {"default"}


@pytest.mark.parametrize("raw", [{}, {"kubeconfig": "/k"}, {"clusterNetwork": ""}, {"delegates": []}])
def test_theme_3_no_network(raw: dict[str, Any]) -> None:
    with pytest.raises(CNIError) as caught:
        Settings.from_config(raw)
    assert caught.value.msg == "LoadNetConf: at least one delegate/clusterNetwork must be specified"
    assert caught.value.code == Code.INVALID_CONFIG


def test_theme_4_a_misspelt_key_is_named() -> None:
    with pytest.raises(CNIError, match='did you mean "delegates" by "delegatess"'):
        Settings.from_config({"delegatess": [{"type": "bridge"}]})


def test_3_1_a_faulty_delegate_is_named() -> None:
    with pytest.raises(CNIError) as caught:
        Settings.from_config({"delegates": [{"type": "bridge"}, {"name": "x"}]})
    assert caught.value.msg.startswith(
        "LoadNetConf: failed to load delegate 1 config: $.delegates[1].plugins: "
    )


def test_faults_are_told_by_path_all_at_once() -> None:
    with pytest.raises(InvalidConfig) as caught:
        Settings.from_config(DELEGATES | {"namespaceIsolation": "yes", "logOptions": {"maxAge": "5"}})
    assert "$.namespaceIsolation" in caught.value.msg
    assert "$.logOptions.maxAge" in caught.value.msg


def test_3_2_the_alias_of_conf_dir() -> None:
    assert Settings.from_config(DELEGATES | {"cniConf": "/alias"}).conf_dir == "/alias"
    assert Settings.from_config(DELEGATES | {"cniConf": "/alias", "confDir": "/c"}).conf_dir == "/c"


@pytest.mark.parametrize(
    ("extra", "warning"),
    [
        (
            {"namespaceIsolatoin": True},
            '$: unknown key "namespaceIsolatoin", did you mean "namespaceIsolation"?',
        ),
        ({"nonsense": 1}, '$: unknown key "nonsense"'),
        ({"logLevel": "loud"}, "$.logLevel: multus logging: cannot set logging level to loud (expected"),
        ({"clusterNetwork": "x"}, "$.delegates: has no effect beside clusterNetwork"),
        ({"defaultNetworks": ["x"]}, "$.defaultNetworks: has no effect without clusterNetwork"),
        ({"auxiliaryCNIChainName": "x"}, "$.auxiliaryCNIChainName: has no effect without clusterNetwork"),
    ],
)
def test_warnings(extra: dict[str, Any], warning: str) -> None:
    raw = DELEGATES | extra
    Settings.from_config(raw)
    (found,) = (text for text in settings_warnings(raw) if "set its own --log-level" not in text)
    assert found.startswith(warning)


@pytest.mark.parametrize("key", WITHOUT_EFFECT)
def test_what_has_no_effect_is_named_with_what_has(key: str) -> None:
    value = {"logLevel": "debug", "logToStderr": True, "logOptions": {}, "kubeconfig": "/k"}.get(key, "/x")
    (found,) = settings_warnings({"clusterNetwork": "/etc/cni/net.d", key: value})
    assert found == f"$.{key}: {WITHOUT_EFFECT[key]}"


def test_every_key_of_multus_has_a_meaning_or_a_sentence() -> None:
    """3.A, 3.B and 3.2: none is an unknown one."""
    keys = {key for section in (KEYS_3A, KEYS_3B) for key in section.split()}
    assert [text for text in settings_warnings(dict.fromkeys(keys, "x")) if "unknown key" in text] == []


KEYS_3A = """
cniVersion name type clusterNetwork defaultNetworks delegates kubeconfig confDir cniDir binDir
readinessindicatorfile namespaceIsolation globalNamespaces systemNamespaces multusNamespace capabilities
runtimeConfig retryDeleteOnError auxiliaryCNIChainName logLevel logFile logToStderr logOptions prevResult
cniConf defaultnetworkfile defaultnetworkwaitseconds allowTryDeleteOnErr
"""
KEYS_3B = """
socketDir chrootDir metricsPort enablePprof connectionLimit perNodeCertificate multusConfigFile
multusAutoconfigDir multusMasterCNI cniConfigDir forceCNIVersion overrideNetworkName daemonSocketDir
cleanupConfigOnExit
"""


@pytest.mark.parametrize(
    ("raw", "isolated"),
    [
        ({"type": "multinet"}, True),
        ({"type": "multus"}, False),
        ({"type": "multus-shim"}, False),
        ({"type": "multus", "namespaceIsolation": True}, True),
        ({"type": "multinet", "namespaceIsolation": False}, False),
        ({"type": "multinet", "namespaceIsolation": None}, True),
    ],
)
def test_1_19_isolation_is_on_for_new_networks_and_as_before_for_those_of_multus(
    raw: dict[str, Any], isolated: bool
) -> None:
    assert Settings.from_config(DELEGATES | raw).namespace_isolation is isolated


def test_a_call_says_it_or_the_node_does() -> None:
    defaults = {"clusterNetwork": "/etc/cni/net.d", "confDir": "/named", "namespaceIsolation": True}
    call = {"type": "multus", "clusterNetwork": "", "confDir": None, "defaultNetworks": ["x"]}
    settings = Settings.of_call(call, defaults)
    assert (settings.cluster_network, settings.conf_dir) == ("/etc/cni/net.d", "/named")
    assert settings.namespace_isolation and settings.default_networks == ("x",)
    own = Settings.of_call({"clusterNetwork": "cbr0", "namespaceIsolation": False}, defaults)
    assert (own.cluster_network, own.namespace_isolation) == ("cbr0", False)
    in_line = Settings.of_call({**DELEGATES, "clusterNetwork": ""}, defaults)
    assert (in_line.cluster_network, len(in_line.delegates)) == ("", 1)


@pytest.mark.parametrize(
    "wrong", [{"cniVersion": "9.9.9"}, {"cniVersion": "1.0.0", "ips": [{"address": "x"}]}]
)
def test_theme_7_a_previous_result_that_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(CNIError, match=r"^LoadNetConf: could not parse prevResult: "):
        Settings.from_config(DELEGATES | {"prevResult": wrong})


def test_no_warnings_for_keys_of_others() -> None:
    raw = DELEGATES | {
        "cni.dev/valid-attachments": [],
        "disableCheck": True,
        "retryDeleteOnError": False,
        "logFile": "",
        "kubeconfig": None,
    }
    assert settings_warnings(raw) == ()


def test_the_reference_page_has_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "configuration.md").read_text()
    fields = {field.encode_name for field in msgspec.structs.fields(Settings)} - {"type"}
    assert {key for key in {*fields, *WITHOUT_EFFECT} if f"`{key}`" not in page} == set()

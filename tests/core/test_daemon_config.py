"""Multus' daemon-config.json as ours: statements 3.8 to 3.13b of the compatibility notes."""

from __future__ import annotations

from typing import Any

import pytest

from multinet.cni.errors import InvalidConfig
from multinet.core.daemon_config import DaemonConfig, read_daemon_config

KNOWN = frozenset({"state-dir", "workers", "log-level", "unserved"})
MANIFEST = {  # of Multus' own deployment
    "chrootDir": "/hostroot",
    "cniVersion": "0.3.1",
    "logLevel": "verbose",
    "logToStderr": True,
    "cniConfigDir": "/host/etc/cni/net.d",
    "multusAutoconfigDir": "/host/etc/cni/net.d",
    "multusConfigFile": "auto",
    "socketDir": "/host/run/multus/",
}


def read(raw: dict[str, Any]) -> DaemonConfig:
    return read_daemon_config(raw, KNOWN)


def refused(raw: dict[str, Any]) -> str:
    with pytest.raises(InvalidConfig) as caught:
        read(raw)
    assert caught.value.code == 7
    return str(caught.value)


def test_an_empty_file_says_nothing() -> None:
    assert read({}) == DaemonConfig()


def test_multus_own_manifest() -> None:
    config = read(MANIFEST)
    assert config.options == {
        "multus-socket": "/host/run/multus/multus.sock",
        "host-root": "/hostroot",
        "log-level": "info",
        "cni-conf-dir": "/host/etc/cni/net.d",
        "autoconfig-dir": "/host/etc/cni/net.d",
        "network-name": "multus-cni-network",
        "cni-version": "0.3.1",
        "namespace-isolation": "off",
    }
    assert config.overrides == {"cniVersion": "0.3.1", "readinessindicatorfile": ""}
    assert config.warnings == ()


def test_socket_is_where_multus_has_it() -> None:
    """3.B: the default of socketDir, for a file that is plainly Multus'."""
    without = {key: value for key, value in MANIFEST.items() if key != "socketDir"}
    assert read(without).options["multus-socket"] == "/run/multus/multus.sock"
    assert read({"socketDir": "/x"}).options == {"multus-socket": "/x/multus.sock"}


def test_generator() -> None:
    config = read(
        MANIFEST
        | {
            "multusMasterCNI": "10-calico.conflist",
            "readinessindicatorfile": "/host/ready",
            "overrideNetworkName": True,
            "forceCNIVersion": True,
            "capabilities": {"portMappings": True},
            "cleanupConfigOnExit": True,
        }
    )
    assert config.options["primary"] == "10-calico.conflist"
    assert config.options["readiness-file"] == "/host/ready"
    assert config.options["slot-at-exit"] == "remove"
    assert config.slot == {
        "override_network_name": True,
        "force_cni_version": True,
        "capabilities": {"portMappings": True},
        "source": "",
    }
    assert config.overrides["readinessindicatorfile"] == ""  # 3.13: the generator looks at it


def test_a_configuration_that_is_put_in_place_as_it_is() -> None:
    config = read({"multusConfigFile": "/etc/m.conf", "readinessindicatorfile": "/r"})
    assert config.slot["source"] == "/etc/m.conf"
    assert config.options["cni-conf-dir"] == "/etc/cni/net.d"
    assert config.overrides == {"readinessindicatorfile": "/r"}


def test_keys_of_calls_count_before_the_calls_own_3_13a() -> None:
    given = {
        "clusterNetwork": "/etc/cni/net.d/10-x.conf",
        "defaultNetworks": ["a"],
        "systemNamespaces": ["kube-system", "infra"],
        "multusNamespace": "networks",
        "namespaceIsolation": True,
        "globalNamespaces": "default,shared",
        "retryDeleteOnError": True,
        "auxiliaryCNIChainName": "vendor",
    }
    assert read(given).overrides == given


def test_what_is_the_callers_own_or_the_daemons_is_no_override_3_13b() -> None:
    given = {
        "name": "x",
        "type": "y",
        "logLevel": "debug",
        "logFile": "/x",
        "kubeconfig": "/k",
        "runtimeConfig": {},
    }
    config = read(given)
    assert config.overrides == {}
    assert config.options == {"log-level": "debug", "kubeconfig": "/k"}


def test_folders_are_the_nodes_too() -> None:
    config = read({"confDir": "/c", "cniDir": "/v", "binDir": "/b"})
    assert config.options == {"named-conf-dir": "/c", "multus-cni-dir": "/v", "bin-dir": "/b"}
    assert config.overrides == {"confDir": "/c", "cniDir": "/v", "binDir": "/b"}


def test_keys_in_any_case() -> None:
    """As Go's JSON takes them."""
    config = read({"ChrootDir": "/h", "NAMESPACEISOLATION": True, "readinessIndicatorFile": "/r"})
    assert config.options == {"host-root": "/h"}
    assert config.overrides == {"namespaceIsolation": True, "readinessindicatorfile": "/r"}


@pytest.mark.parametrize(("limit", "workers"), [(1, "1"), (8, "8"), (500, "8")])
def test_connection_limit(limit: int, workers: str) -> None:
    config = read({"connectionLimit": limit})
    assert config.options == {"workers": workers}
    assert ("set --workers for more" in " ".join(config.warnings)) == (limit > 8)


@pytest.mark.parametrize("limit", [0, -3])
def test_connection_limit_that_serves_nobody(limit: int) -> None:
    assert refused({"connectionLimit": limit}).endswith(
        f"connection limit must be greater than 0, got {limit}"
    )


def test_per_node_certificate() -> None:
    wanted = {"enabled": True, "bootstrapKubeconfig": "/k", "certDir": "/c", "certDuration": "1h30m"}
    assert read({"perNodeCertificate": wanted}).options == {
        "kubeconfig": "/k",
        "certificate-dir": "/c",
        "certificate-seconds": "5400",
    }
    assert read({"perNodeCertificate": {**wanted, "enabled": False}}).options == {}
    default = {key: value for key, value in wanted.items() if key != "certDuration"}
    assert read({"perNodeCertificate": default}).options["certificate-seconds"] == "600"


def test_per_node_certificate_without_its_folders_3_8() -> None:
    assert refused({"perNodeCertificate": {"enabled": True, "certDir": "/c"}}) == (
        "$.perNodeCertificate: failed to configure PerNodeCertificate: enabled: true, "
        'BootstrapKubeconfig: "", CertDir: "/c"'
    )


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "-1m", "1h30", "ten minutes"])
def test_duration_that_is_none(text: str) -> None:
    wanted = {"enabled": True, "bootstrapKubeconfig": "/k", "certDir": "/c", "certDuration": text}
    assert "failed to parse certDuration" in refused({"perNodeCertificate": wanted})


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"multusConfigFile": "auto"}, "$.multusAutoconfigDir: is required"),
        ({"multusAutoconfigDir": "/a"}, "$.cniVersion: is required"),
        ({"connectionLimit": "many"}, "$.connectionLimit: expected int"),
        ({"defaultNetworks": "a"}, "$.defaultNetworks"),
        ({"namespaceIsolation": "yes"}, "$.namespaceIsolation"),
        ({"socketDir": 1}, "$.socketDir"),
        ({"multinet": {"stateDir": ["/x"]}}, "$.multinet.stateDir: expected a text or a number, got list"),
        ({"multinet": {"stateDr": "/x"}}, "no option --state-dr, did you mean --state-dir?"),
        ({"multinet": {"unserved": True}}, "$.multinet.unserved: expected a text or a number, got bool"),
    ],
)
def test_faults_name_their_place(raw: dict[str, Any], text: str) -> None:
    assert text in refused(raw)


def test_no_object_at_all() -> None:
    assert refused([]) == "$: expected an object, got list"  # type: ignore[arg-type]


def test_metrics_port() -> None:
    assert read({"metricsPort": 9090}).options == {"metrics": "9090"}
    with pytest.raises(InvalidConfig, match=r"\$\.metricsPort: 70000 is no port"):
        read({"metricsPort": 70000})


def test_options_of_our_own() -> None:
    """They count more than what Multus' keys come to."""
    raw = {"connectionLimit": 2, "multinet": {"stateDir": "/s", "workers": 5}}
    assert read(raw).options == {"state-dir": "/s", "workers": "5"}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"enablePprof": True}, "py-spy"),
        ({"logFile": "/var/log/m.log"}, "$.logFile: has no effect: multinet logs to standard error"),
        ({"logToStderr": False}, "$.logToStderr: has no effect"),
        ({"logOptions": {"maxAge": 1}}, "$.logOptions: has no effect"),
        ({"daemonSocketDir": "/x"}, "install --socket"),
        ({"logLevel": "chatty"}, "$.logLevel: cannot set logging level to chatty"),
        ({"multusMasterCNI": "x"}, "$.multusMasterCNI: has no effect without multusAutoconfigDir"),
        ({"cleanupConfigOnExit": True}, "$.cleanupConfigOnExit: has no effect without"),
        ({"conectionLimit": 1}, '$: unknown key "conectionLimit", did you mean "connectionLimit"?'),
        ({"clusterNetwrk": "x"}, 'did you mean "clusterNetwork"?'),
    ],
)
def test_what_has_no_effect_is_told(raw: dict[str, Any], text: str) -> None:
    (warning,) = read(raw).warnings
    assert text in warning


@pytest.mark.parametrize(
    "raw", [{"enablePprof": False}, {"logToStderr": True}, {"logFile": ""}, {"metricsPort": 0}]
)
def test_what_is_off_needs_no_warning(raw: dict[str, Any]) -> None:
    assert read(raw).warnings == ()

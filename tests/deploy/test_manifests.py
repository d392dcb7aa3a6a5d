"""Chart, plain manifests and kustomize base are one thing, that an apiserver would take."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from multinet.adapters.kubernetes_objects import DEFINITIONS
from multinet.adapters.kubernetes_rbac import ROLES, granted
from multinet.cli.admission import add_arguments as admission_arguments
from multinet.cli.approve_certificates import add_arguments as approver_arguments
from multinet.cli.daemon import add_arguments as daemon_arguments
from multinet.cli.install import add_arguments as install_arguments
from multinet.cli.parser import Parser
from multinet.cli.uninstall import add_arguments as uninstall_arguments
from multinet.npwg.attachment_definition import API_VERSION, KIND
from tests.deploy.conftest import CHART, DEPLOY, ROOT, Helm, Object, Objects, Run, objects

K3S = (
    "image.repository=registry.example.com/multinet",
    "paths.confDir=/var/lib/rancher/k3s/agent/etc/cni/net.d",
    "paths.binDir=/var/lib/rancher/k3s/data/cni",
    "paths.runtimeSocket=/run/k3s/containerd/containerd.sock",
)
CERTIFICATES = (
    "certificates.enabled=true",
    "certificates.bootstrapSecret=multinet-bootstrap",
    "approver.enabled=true",
)
ADMISSION = (
    "admission.enabled=true",
    "admission.secret=multinet-tls",
    "admission.caBundle=Q0E=",
    "admission.privilegedTypes={host-device,sriov}",
    "admission.privilegedNamespaces={infra}",
    "admission.privilegedPaths=true",
)
OLDEST, NEWEST = (kubernetes_validate.utils.all_versions()[end] for end in (0, -1))
"""Kubernetes versions whose schema there is."""


def test_what_is_committed_is_what_the_chart_says(clients: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "manifests", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_helm_kustomize_and_plain_manifests_are_the_same_objects(
    rendered: Helm, kustomize: Callable[[Path], Objects]
) -> None:
    plain = objects((DEPLOY / "multinet.yaml").read_text())
    assert sorted(plain) == [
        ("ClusterRole", "multinet"),
        ("ClusterRoleBinding", "multinet"),
        ("ConfigMap", "multinet"),
        ("CustomResourceDefinition", "network-attachment-definitions.k8s.cni.cncf.io"),
        ("DaemonSet", "multinet"),
        ("ServiceAccount", "multinet"),
    ]
    assert rendered() == plain
    assert kustomize(DEPLOY / "kustomize" / "base") == plain


def test_the_overlay_does_what_the_same_values_do(
    rendered: Helm, kustomize: Callable[[Path], Objects]
) -> None:
    overlay = kustomize(DEPLOY / "kustomize" / "overlays" / "k3s")
    assert by_name(overlay) == by_name(rendered(*K3S))


def by_name(found: Objects) -> Objects:
    """With lists of named things in the order of their names: an overlay may change theirs."""
    ordered = copy.deepcopy(found)
    spec = ordered["DaemonSet", "multinet"]["spec"]["template"]["spec"]
    spec["volumes"].sort(key=lambda volume: volume["name"])
    return ordered


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize(
    "values", [(), ("uninstall.enabled=true",), K3S, ("serviceAccount.name=other",), CERTIFICATES, ADMISSION]
)
def test_every_object_keeps_to_the_schema_of_kubernetes(
    rendered: Helm, version: str, values: tuple[str, ...]
) -> None:
    for one in rendered(*values).values():
        if one["kind"] != "CustomResourceDefinition":  # its schema describes itself: not in the package
            kubernetes_validate.validate(one, version, strict=True)


def test_the_schema_would_refuse_a_fault(rendered: Helm) -> None:
    wrong = rendered()["DaemonSet", "multinet"]
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["period"] = 3
    with pytest.raises(kubernetes_validate.ValidationError, match="period"):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


def test_helm_lints_the_chart(helm: Run) -> None:
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_is_of_this_version() -> None:
    from multinet import __version__

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("paths.binDir=opt/cni/bin", "/paths/binDir"),
        ("paths.confDir=/etc/cni/net.d/", "/paths/confDir"),
        ("paths.bindir=/opt/cni/bin", "bindir"),
        ("daemon.workers=0", "/daemon/workers"),
        ("daemon.workers=many", "/daemon/workers"),
        ("daemon.logLevel=verbose", "/daemon/logLevel"),
        ("daemon.unserved=delete", "/daemon/unserved"),
        ("daemon.removeTaint=a b", "/daemon/removeTaint"),
        ("metrics.port=65536", "/metrics/port"),
        ("image.digest=sha256:12", "/image/digest"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("plugins=bridge;rm", "/plugins"),
        ("resources.limits.memory=much", "/resources/limits/memory"),
        ("uninstall.enabled=maybe", "/uninstall/enabled"),
        ("terminationGracePeriodSeconds=0", "/terminationGracePeriodSeconds"),
        ("replicas=3", "replicas"),
        ("certificates.enabled=true", "/certificates/bootstrapSecret"),
        ("certificates.seconds=599", "/certificates/seconds"),
        ("certificates.bootstrapSecret=A_b", "/certificates/bootstrapSecret"),
        ("admission.enabled=true", "/admission/secret"),
        ("admission.caBundle=-----BEGIN", "/admission/caBundle"),
        ("approver.replicas=2", "replicas"),
    ],
)
def test_bad_values_are_refused_by_name(helm: Run, value: str, named: str) -> None:
    done = helm("template", "multinet", CHART, "--set", value)
    assert (done.returncode, done.stdout) == (1, "")
    assert "values don't meet the specifications of the schema" in done.stderr
    assert named in done.stderr


def test_every_path_can_be_elsewhere(rendered: Helm) -> None:
    """6.2: no default path is left when each is given another value."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())["paths"]
    found = rendered(*(f"paths.{name}=/elsewhere/{name}" for name in defaults))
    text = yaml.safe_dump(found["DaemonSet", "multinet"])
    assert [path for path in defaults.values() if path and path in text] == []
    assert [name for name in defaults if f"/elsewhere/{name}" not in text] == []


def test_a_digest_pins_the_image(rendered: Helm) -> None:
    digest = "sha256:" + "0" * 64
    found = rendered("image.repository=registry:5000/multinet", "image.tag=x", f"image.digest={digest}")
    assert images(found["DaemonSet", "multinet"]) == {f"registry:5000/multinet@{digest}"}


def images(workload: Object) -> set[str]:
    spec = workload["spec"]["template"]["spec"]
    return {container["image"] for container in spec["initContainers"] + spec["containers"]}


def test_another_namespace_holds_everything_that_has_one(rendered: Helm) -> None:
    found = rendered(namespace="networks")
    namespaced = {"ServiceAccount", "ConfigMap", "DaemonSet"}
    assert {one["metadata"]["namespace"] for (kind, _), one in found.items() if kind in namespaced} == {
        "networks"
    }
    assert found["ClusterRoleBinding", "multinet"]["subjects"][0]["namespace"] == "networks"


@pytest.mark.parametrize("name", ["multinet", "multinet-uninstall"])
def test_the_pods_come_first_and_go_last(rendered: Helm, name: str) -> None:
    """9.1, 9.2: nothing evicts them, no taint keeps them away, init containers have limits too."""
    found = rendered(*(("uninstall.enabled=true",) if name != "multinet" else ()))
    spec = found["DaemonSet", name]["spec"]["template"]["spec"]
    assert spec["priorityClassName"] == "system-node-critical"
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["hostNetwork"] is True
    for container in spec["initContainers"] + spec["containers"]:
        resources = container["resources"]
        assert resources["requests"] == resources["limits"] != {}
        assert {"cpu", "memory"} == resources["limits"].keys()


def test_one_node_at_a_time_and_calls_are_finished(rendered: Helm) -> None:
    spec = rendered()["DaemonSet", "multinet"]["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > 20  # Server.stop waits that long


@pytest.mark.parametrize("name", ["multinet", "multinet-uninstall"])
def test_every_mount_has_its_volume_and_the_other_way_round(rendered: Helm, name: str) -> None:
    found = rendered(*(("uninstall.enabled=true",) if name != "multinet" else ()))
    spec = found["DaemonSet", name]["spec"]["template"]["spec"]
    containers = spec["initContainers"] + spec["containers"]
    mounted = {mount["name"] for one in containers for mount in one.get("volumeMounts", ())}
    assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_mounts_are_where_shim_plugins_and_daemon_agree(rendered: Helm) -> None:
    """6.B, 9.36-9.38: the node's folders at their own paths; what is mounted later on the node arrives."""
    spec = rendered()["DaemonSet", "multinet"]["spec"]["template"]["spec"]
    paths = {volume["name"]: volume.get("hostPath", {}).get("path") for volume in spec["volumes"]}
    mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    elsewhere = {name for name, mount in mounts.items() if mount["mountPath"] != paths[name]}
    assert elsewhere == {"host-root", "config", "tmp"}
    arriving = {name for name, mount in mounts.items() if mount.get("mountPropagation") == "HostToContainer"}
    assert arriving == {"host-root", "netns-dir", "bin-dir"}
    written = {name for name, mount in mounts.items() if not mount.get("readOnly")}
    assert written.isdisjoint({"bin-dir", "named-conf-dir", "pod-resources", "device-plugins", "config"})


@pytest.mark.parametrize(
    ("container", "add_arguments"),
    [("install", install_arguments), ("daemon", daemon_arguments), ("uninstall", uninstall_arguments)],
)
def test_the_commands_take_these_options(
    rendered: Helm, tmp_path: Path, container: str, add_arguments: Callable[[Any], None]
) -> None:
    values = [
        "paths.multusSocketDir=/run/multus",
        "paths.readinessFile=/run/ready",
        "daemon.removeTaint=a.b/c",
        "metrics.port=9464",
    ]
    values.append("daemon.config.globalNamespaces=default\\,networks")
    found = rendered(*values, *(("uninstall.enabled=true",) if container == "uninstall" else ()))
    workload = next(one for (kind, _), one in found.items() if kind == "DaemonSet")
    spec = workload["spec"]["template"]["spec"]
    one = next(one for one in spec["initContainers"] + spec["containers"] if one["name"] == container)
    program, command, *options = [*one["command"], *one["args"]]
    assert (program, command) == ("multinet", container)
    if container == "daemon":
        config = found["ConfigMap", "multinet"]["data"]
        (tmp_path / "daemon-config.json").write_text(config["daemon-config.json"])
        options = [option.replace("/etc/multinet", str(tmp_path)) for option in options]
    parser = Parser("multinet", "", "")
    add_arguments(parser)
    parsed = parser.parse_args(options)
    assert parsed.socket == "/run/multinet/multinet.sock"
    assert parsed.state_dir == "/var/lib/multinet"
    if container == "daemon":
        assert parsed.config.overrides == {"globalNamespaces": "default,networks"}
        assert parsed.metrics == "9464"


def test_the_definition_is_the_published_one(rendered: Helm) -> None:
    """1.A: a cluster that had Multus keeps its objects, and kubectl's short names."""
    name = "network-attachment-definitions.k8s.cni.cncf.io"
    spec = rendered()["CustomResourceDefinition", name]["spec"]
    assert (spec["group"], spec["scope"]) == ("k8s.cni.cncf.io", "Namespaced")
    assert spec["names"] == {
        "kind": "NetworkAttachmentDefinition",
        "listKind": "NetworkAttachmentDefinitionList",
        "plural": "network-attachment-definitions",
        "singular": "network-attachment-definition",
        "shortNames": ["nad", "net-attach-def"],
    }
    (version,) = spec["versions"]
    assert (version["name"], version["served"], version["storage"]) == ("v1", True, True)
    assert version.keys() == {"name", "served", "storage", "schema"}
    schema = version["schema"]["openAPIV3Schema"]
    assert schema["properties"].keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert "required" not in schema and "required" not in schema["properties"]["spec"]
    assert schema["properties"]["spec"]["properties"]["config"]["type"] == "string"


def test_the_definition_is_the_one_that_the_code_reads(rendered: Helm) -> None:
    (crd,) = (one for (kind, _), one in rendered().items() if kind == "CustomResourceDefinition")
    spec = crd["spec"]
    served = [version["name"] for version in spec["versions"] if version["served"]]
    assert (spec["names"]["kind"], spec["names"]["plural"]) == (KIND, DEFINITIONS.name)
    assert [f"{spec['group']}/{version}" for version in served] == [API_VERSION]
    assert f"/apis/{API_VERSION}" == DEFINITIONS.root
    assert crd["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"


def test_helm_never_deletes_the_definition() -> None:
    """With it every NetworkAttachmentDefinition would go: Helm leaves what is in crds/ alone."""
    assert [path.name for path in (CHART / "crds").iterdir()] == ["network-attachment-definition.yaml"]
    for template in (CHART / "templates").iterdir():
        assert "CustomResourceDefinition" not in template.read_text()


def test_the_role_is_what_the_daemon_asks_for(rendered: Helm) -> None:
    """6.A, least privilege: the tests' apiserver refuses whatever isn't in that list."""
    assert allowed(rendered()["ClusterRole", "multinet"]) == granted("daemon", "taint", "eviction", "devices")


def allowed(role: Object) -> frozenset[tuple[str, str, str]]:
    return frozenset(
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


def test_nodes_with_certificates_of_their_own(rendered: Helm) -> None:
    """6.A, 6.D: the group that certificates are of may do what the service account may, and ask for the next."""
    found = rendered(*CERTIFICATES)
    assert allowed(found["ClusterRole", "multinet-certificate"]) == granted("certificate")
    group = {"kind": "Group", "name": "system:multus", "apiGroup": "rbac.authorization.k8s.io"}
    for name in ("multinet", "multinet-certificate"):
        binding = found["ClusterRoleBinding", name]
        assert group in binding["subjects"]
        assert binding["roleRef"]["name"] == name
    spec = found["DaemonSet", "multinet"]["spec"]["template"]["spec"]
    parser = Parser("multinet", "", "")
    daemon_arguments(parser)
    (daemon,) = spec["containers"]
    options = [option for option in daemon["args"] if not option.startswith("--config=")]
    parsed = parser.parse_args(options)
    assert (parsed.certificate_dir, parsed.certificate_seconds) == ("/var/lib/multinet/certificates", 600)
    mounts = {mount["name"]: mount["mountPath"] for mount in daemon["volumeMounts"]}
    assert parsed.kubeconfig == f"{mounts['bootstrap']}/kubeconfig"
    assert mounts["kubelet-pki"] == "/var/lib/kubelet/pki"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["bootstrap"]["secret"]["secretName"] == "multinet-bootstrap"
    assert volumes.keys() == mounts.keys()


def test_the_approver_has_its_own_role_and_no_privilege(rendered: Helm) -> None:
    found = rendered(*CERTIFICATES)
    role = found["ClusterRole", "multinet-approver"]
    assert allowed(role) == granted("approver")
    names = {name for rule in role["rules"] for name in rule.get("resourceNames", ())}
    assert names == {name for rule in ROLES["approver"] for name in rule.names}
    (subject,) = found["ClusterRoleBinding", "multinet-approver"]["subjects"]
    spec = found["Deployment", "multinet-approver"]["spec"]["template"]["spec"]
    assert subject["name"] == spec["serviceAccountName"] == "multinet-approver"
    assert ("ServiceAccount", "multinet-approver") in found
    (container,) = spec["containers"]
    program, command, *options = [*container["command"], *container["args"]]
    assert (program, command) == ("multinet", "approve-certificates")
    parser = Parser("multinet", "", "")
    approver_arguments(parser)
    assert parser.parse_args(options).log_level == "info"
    context = container["securityContext"]
    assert (context["runAsNonRoot"], context["capabilities"]) == (True, {"drop": ["ALL"]})
    assert spec["hostNetwork"] is True  # else pods' networks would wait for certificates, and those for them


def test_the_approver_goes_with_the_daemon(rendered: Helm) -> None:
    found = rendered(*CERTIFICATES, "uninstall.enabled=true")
    assert {name for kind, name in found if kind in ("Deployment", "DaemonSet")} == {"multinet-uninstall"}


def test_the_webhook_is_asked_and_never_in_the_way(rendered: Helm) -> None:
    """8.E: what the apiserver is told to ask is what is served, by a pod with no privilege."""
    found = rendered(*ADMISSION)
    assert allowed(found["ClusterRole", "multinet-admission"]) == {
        ("k8s.cni.cncf.io", "network-attachment-definitions", verb) for verb in ("list", "watch")
    }
    service = found["Service", "multinet-admission"]
    deployment = found["Deployment", "multinet-admission"]["spec"]
    assert service["spec"]["selector"] == deployment["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["selector"]["matchLabels"]
    rules = {}
    for webhook in webhooks(found):
        client = webhook["clientConfig"]
        assert client["service"]["name"] == service["metadata"]["name"]
        assert client["service"]["namespace"] == service["metadata"]["namespace"]
        assert (client["caBundle"], webhook["failurePolicy"]) == ("Q0E=", "Ignore")
        (rule,) = webhook["rules"]
        rules[client["service"]["path"]] = (rule["apiGroups"], rule["resources"], rule["operations"])
    assert rules == {
        "/validate": (["k8s.cni.cncf.io"], [DEFINITIONS.name], ["CREATE", "UPDATE"]),
        "/pods": ([""], ["pods"], ["CREATE"]),
    }
    (container,) = deployment["template"]["spec"]["containers"]
    program, command, *options = [*container["command"], *container["args"]]
    assert (program, command) == ("multinet", "admission")
    parser = Parser("multinet", "", "")
    admission_arguments(parser)
    parsed = parser.parse_args(options)
    assert (parsed.privileged_types, parsed.privileged_namespaces) == ("host-device,sriov", "infra")
    assert (parsed.privileged_paths, parsed.namespace_isolation) == (True, "on")
    assert parsed.listen.rpartition(":")[2] == str(container["ports"][0]["containerPort"])
    context = container["securityContext"]
    assert (context["runAsNonRoot"], context["capabilities"]) == (True, {"drop": ["ALL"]})


def webhooks(found: Objects) -> list[Object]:
    configured: list[Object] = found["ValidatingWebhookConfiguration", "multinet"]["webhooks"]
    return configured


def test_only_definitions_may_wait_for_the_webhook(rendered: Helm) -> None:
    found = rendered(*ADMISSION, "admission.failurePolicy=Fail")
    policies = {one["clientConfig"]["service"]["path"]: one["failurePolicy"] for one in webhooks(found)}
    assert policies == {"/validate": "Fail", "/pods": "Ignore"}


def test_the_webhook_is_there_only_if_it_is_wanted(rendered: Helm) -> None:
    for values in ((), (*ADMISSION, "uninstall.enabled=true")):
        assert not [
            one for one in rendered(*values) if "admission" in one[1] or one[0].endswith("Configuration")
        ]

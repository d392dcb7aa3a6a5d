"""Who may use which network: spec 1.19 to 1.22, and the definition's own word."""

from __future__ import annotations

import pytest

from multinet.cni.errors import CNIError, Code
from multinet.core.permission import require_permission
from multinet.core.planned import PlannedAttachment
from multinet.core.selection import select_networks
from multinet.core.settings import Settings
from multinet.npwg.attachment_definition import ALLOWED_NAMESPACES, NetworkAttachmentDefinition
from multinet.npwg.selection import DEFAULT_NETWORK, NETWORKS

OPEN = Settings(cluster_network="cbr0", default_networks=("secret/x",))
ISOLATED = Settings(cluster_network="cbr0", namespace_isolation=True)
BOTH = pytest.mark.parametrize("settings", [OPEN, ISOLATED], ids=["open", "isolated"])


def asked(
    network: str, user: str = "apps", settings: Settings = ISOLATED, key: str = NETWORKS
) -> PlannedAttachment:
    plan = select_networks({key: network}, user, settings)
    return plan[0] if key == DEFAULT_NETWORK else plan[-1]


def defined(namespace: str = "secret", allowed: str | None = None) -> NetworkAttachmentDefinition:
    annotations = {} if allowed is None else {ALLOWED_NAMESPACES: allowed}
    return NetworkAttachmentDefinition(namespace=namespace, name="a", annotations=annotations)


def allow(network: str, definition: NetworkAttachmentDefinition | None, **more: object) -> None:
    """Raises CNIError when it isn't."""
    settings = more.get("settings", ISOLATED)
    assert isinstance(settings, Settings)
    require_permission(asked(network, **more), definition, settings)  # type: ignore[arg-type]


def refuse(network: str, definition: NetworkAttachmentDefinition | None, **more: object) -> CNIError:
    with pytest.raises(CNIError) as caught:
        allow(network, definition, **more)
    assert caught.value.code == Code.ATTACHMENT
    return caught.value


class TestIsolation:
    def test_1_21_it_refuses_another_namespace(self) -> None:
        error = refuse("secret/a", defined())
        assert error.msg == (
            "GetNetworkDelegates: namespace isolation enabled, annotation violates permission, "
            "pod is in namespace apps but refers to target namespace secret"
        )
        assert "secret/a" in error.details
        assert "allowed are apps, default" in error.details
        assert "globalNamespaces" in error.details
        assert f"{ALLOWED_NAMESPACES}: apps" in error.details

    def test_a_network_that_is_not_there_is_refused_alike(self) -> None:
        there, missing = refuse("secret/a", defined()), refuse("secret/a", None)
        assert (missing.msg, missing.details) == (there.msg, there.details)

    @pytest.mark.parametrize("network", ["a", "apps/a", "default/a"])
    def test_1_19_and_theme_26_the_pods_own_and_the_open_namespaces(self, network: str) -> None:
        allow(network, defined(asked(network).name.split("/")[0]))

    def test_1_20_a_list_replaces_the_default(self) -> None:
        settings = Settings(cluster_network="cbr0", namespace_isolation=True, global_namespaces="shared")
        allow("shared/a", defined("shared"), settings=settings)
        error = refuse("default/a", defined("default"), settings=settings)
        assert "refers to target namespace default" in error.msg

    def test_without_it_every_namespace_is_allowed(self) -> None:
        allow("secret/a", defined(), settings=OPEN)

    def test_1_22_it_holds_for_the_default_network_too(self) -> None:
        allow("a", defined("kube-system"), key=DEFAULT_NETWORK)
        refuse("secret/a", defined(), key=DEFAULT_NETWORK)
        refuse("kube-system/a", defined("kube-system"))  # open to the choice of a default network alone

    def test_networks_of_the_configuration_are_for_all(self) -> None:
        settings = Settings(
            cluster_network="main",
            default_networks=("a",),
            multus_namespace="homes",
            namespace_isolation=True,
        )
        for one in select_networks({}, "apps", settings):
            require_permission(one, defined("homes", "nobody"), settings)


class TestOfTheDefinition:
    @BOTH
    @pytest.mark.parametrize("allowed", ["apps", "team-a, apps", " apps ,team-a,", "*", "team-a,*"])
    @pytest.mark.parametrize("key", [NETWORKS, DEFAULT_NETWORK])
    def test_those_it_names_may(self, settings: Settings, allowed: str, key: str) -> None:
        allow("secret/a", defined(allowed=allowed), settings=settings, key=key)

    @BOTH
    @pytest.mark.parametrize("allowed", ["team-a", "app", "apps2", "APPS", "team-a apps", "", " , ", "app*"])
    @pytest.mark.parametrize("key", [NETWORKS, DEFAULT_NETWORK])
    def test_others_may_not(self, settings: Settings, allowed: str, key: str) -> None:
        error = refuse("secret/a", defined(allowed=allowed), settings=settings, key=key)
        assert error.msg == (
            "network-attachment-definition secret/a may not be used by pods of namespace apps: "
            "its annotation multinet.dev/allowed-namespaces does not name it"
        )
        assert "add apps" in error.details
        assert "team-a" not in str(error)  # who else may is nobody's business

    @BOTH
    def test_its_own_namespace_always_may(self, settings: Settings) -> None:
        allow("secret/a", defined(allowed=""), settings=settings, user="secret")

    def test_it_counts_before_the_open_namespaces(self) -> None:
        refuse("default/a", defined("default", "team-a"))
        refuse("kube-system/a", defined("kube-system", "team-a"), key=DEFAULT_NETWORK)

"""Calls of the meta-plugin with a Kubernetes API behind them: what is asked of it, and what is not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.daemon.hot_plug import HotPlug
from multinet.npwg.attachment_definition import ALLOWED_NAMESPACES
from multinet.npwg.selection import NETWORK_STATUS, NetworkSelection
from multinet.wire.message import Request
from tests.adapters.apiserver import EVENTS, NADS, PODS, APIServer
from tests.adapters.objects import NETWORKS, definition, eventually, pod, write_kubeconfig

Site = Any
ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
L2 = {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1"}


@pytest.fixture
def server() -> Iterator[APIServer]:
    with APIServer() as running:
        yield running


@pytest.fixture
def clustered(site: Site, server: APIServer) -> Site:
    """The site, with ``server`` in place of its directory of manifests; ``net1`` is defined there."""
    kubeconfig = write_kubeconfig(site.lab.directory / "kubeconfig", server.url)
    site.options = msgspec.structs.replace(
        site.options, manifests="", kubeconfig=str(kubeconfig), node_name="n1"
    )
    server.put(NADS, definition("net1", {"config": json.dumps(L2)}))
    return site


def args(uid: str = "u1", pod: str = "web") -> str:
    text = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod};K8S_POD_INFRA_CONTAINER_ID=c1"
    return f"{text};K8S_POD_UID={uid}" if uid else text


def handed_over(**annotations: str) -> dict[str, Any]:
    return {"runtimeConfig": {ANNOTATIONS: annotations}}


def synced(site: Site, server: APIServer) -> None:
    assert site.app.cluster.synced(10), site.app.cluster.problem
    eventually(lambda: server.watches_open == 2)


def asked(server: APIServer) -> list[tuple[str, str]]:
    """Verb and resource of what was asked beside lists and watches."""
    return [entry[:2] for entry in server.log if entry[0] not in ("list", "watch")]


def elsewhere(name: str, uid: str, **annotations: str) -> dict[str, Any]:
    """A pod that this node's informer never sees, so that the cache is cold for it."""
    manifest = pod(name, uid, **annotations)
    manifest["spec"]["nodeName"] = "n2"
    return manifest


class TestPods:
    def test_another_uid_than_the_runtimes_is_told_as_multus_tells_it(
        self, clustered: Site, server: APIServer
    ) -> None:
        """multi-network 4.22, 44."""
        server.put(PODS, pod("web", "u2"))
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        code, text = clustered.fails("ADD", netns=sandbox, CNI_ARGS=args("u1"))
        assert code == Code.POD
        assert text == 'Multus: [default/web/u1]: expected pod UID "u1" but got "u2" from Kube API'
        clustered.assert_clean(sandbox)

    def test_one_that_is_not_there_is_no_success(self, clustered: Site, server: APIServer) -> None:
        """multi-network 5.8, 48: it would run without the interfaces that it asks for."""
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        code, text = clustered.fails("ADD", netns=sandbox, CNI_ARGS=args("u1"))
        assert code == Code.POD
        assert "pod default/web not found" in text
        clustered.ok("DEL", netns=sandbox, CNI_ARGS=args("u1"))
        clustered.assert_clean(sandbox)

    def test_a_mirror_pod_that_comes_a_moment_later(self, clustered: Site, server: APIServer) -> None:
        """multi-network 5.8: upstream starts such a pod without its networks."""
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        source = {"kubernetes.io/config.source": "file", NETWORKS: "net1"}
        threading.Timer(0.5, lambda: server.put(PODS, pod("web", "mirror", **source))).start()
        clustered.ok("ADD", netns=sandbox, CNI_ARGS=args("0f" * 16))
        assert set(clustered.lab.links(sandbox)) == {"lo", "eth0", "net1"}
        assert NETWORK_STATUS in server.get(PODS, "default", "web")["metadata"]["annotations"]
        clustered.ok("DEL", netns=sandbox, CNI_ARGS=args("0f" * 16))
        clustered.assert_clean(sandbox)


class TestAnnotationsFromTheRuntime:
    def test_a_cold_add_reads_nothing_and_writes_once_and_a_del_asks_nothing(
        self, clustered: Site, server: APIServer
    ) -> None:
        server.put(PODS, elsewhere("web", "u1", **{NETWORKS: "net1"}))
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        conf = handed_over(**{NETWORKS: "net1"})
        clustered.ok("ADD", netns=sandbox, conf=conf, CNI_ARGS=args())
        assert asked(server) == [("patch", "pods/status")]
        assert set(clustered.lab.links(sandbox)) == {"lo", "eth0", "net1"}
        annotations = server.get(PODS, "default", "web")["metadata"]["annotations"]
        assert [entry["interface"] for entry in json.loads(annotations[NETWORK_STATUS])] == ["eth0", "net1"]
        clustered.ok("DEL", netns=sandbox, conf=conf, CNI_ARGS=args())
        assert asked(server) == [("patch", "pods/status")]
        clustered.assert_clean(sandbox)

    def test_they_need_no_apiserver_before_the_status(self, clustered: Site, server: APIServer) -> None:
        """What the apiserver would say of the pod doesn't count: the runtime's word is what kubelet knows."""
        server.put(PODS, elsewhere("web", "u1", **{NETWORKS: "absent"}))
        synced(clustered, server)
        server.forbidden.add(("get", PODS))
        sandbox = clustered.lab.sandbox()
        clustered.ok("ADD", netns=sandbox, conf=handed_over(), CNI_ARGS=args())
        assert set(clustered.lab.links(sandbox)) == {"lo", "eth0"}
        clustered.ok("DEL", netns=sandbox, CNI_ARGS=args())
        assert asked(server) == [("patch", "pods/status")]

    def test_the_status_never_reaches_a_pod_made_anew(self, clustered: Site, server: APIServer) -> None:
        server.put(PODS, elsewhere("web", "u2"))
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        code, text = clustered.fails("ADD", netns=sandbox, conf=handed_over(), CNI_ARGS=args("u1"))
        assert code == Code.POD
        assert 'expected pod default/web UID "u1" but got "u2" from Kube API' in text
        assert NETWORK_STATUS not in server.get(PODS, "default", "web")["metadata"].get("annotations", {})
        clustered.assert_clean(sandbox)

    def test_a_pod_that_vanished_needs_no_status(self, clustered: Site, server: APIServer) -> None:
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        clustered.ok("ADD", netns=sandbox, conf=handed_over(), CNI_ARGS=args())
        clustered.ok("DEL", netns=sandbox, CNI_ARGS=args())

    def test_a_static_pod_is_known_by_the_runtimes_uid(self, clustered: Site, server: APIServer) -> None:
        source = {"kubernetes.io/config.source": "file"}
        server.put(PODS, elsewhere("web", "mirror", **source))
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        conf = handed_over(**source, **{NETWORKS: "net1"})
        clustered.ok("ADD", netns=sandbox, conf=conf, CNI_ARGS=args("0f" * 16))
        annotations = server.get(PODS, "default", "web")["metadata"]["annotations"]
        assert len(json.loads(annotations[NETWORK_STATUS])) == 2
        clustered.ok("DEL", netns=sandbox, CNI_ARGS=args("0f" * 16))

    def test_without_a_uid_the_pod_is_looked_up(self, clustered: Site, server: APIServer) -> None:
        """Else the status could reach another pod of the name."""
        server.put(PODS, elsewhere("web", "u1", **{NETWORKS: "net1"}))
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        clustered.ok("ADD", netns=sandbox, conf=handed_over(), CNI_ARGS=args(""))
        assert asked(server) == [("get", PODS), ("patch", "pods/status")]
        assert set(clustered.lab.links(sandbox)) == {"lo", "eth0", "net1"}
        clustered.ok("DEL", netns=sandbox, CNI_ARGS=args(""))

    @pytest.mark.parametrize(
        ("given", "path"), [("text", f'["{ANNOTATIONS}"]:'), ({"k": 1}, f'["{ANNOTATIONS}"]["k"]:')]
    )
    def test_annotations_that_are_no_texts(self, clustered: Site, given: Any, path: str) -> None:
        sandbox = clustered.lab.sandbox()
        conf = {"runtimeConfig": {ANNOTATIONS: given}}
        code, text = clustered.fails("ADD", netns=sandbox, conf=conf, CNI_ARGS=args())
        assert code == Code.INVALID_CONFIG
        assert f"$.runtimeConfig{path} expected" in text
        clustered.assert_clean(sandbox)

    def test_they_reach_plugins_that_ask_for_them_and_only_their_record(
        self, clustered: Site, server: APIServer
    ) -> None:
        kind = clustered.recorders.make("asks")
        synced(clustered, server)
        sandbox, other = clustered.lab.sandbox(), clustered.lab.sandbox()
        conf = handed_over(colour="blue")
        clustered.ok("ADD", "c0", other, conf=conf, CNI_ARGS=args())
        assert [row.capability_args for row in clustered.rows] == [{}]
        clustered.default_network({"type": kind, "capabilities": {ANNOTATIONS: True}})
        clustered.ok("ADD", netns=sandbox, conf=conf, CNI_ARGS=args())
        assert clustered.recorders.calls[0].conf["runtimeConfig"] == {ANNOTATIONS: {"colour": "blue"}}
        for container, netns in (("c0", other), ("c1", sandbox)):
            clustered.ok("DEL", container, netns, CNI_ARGS=args())


def told(server: APIServer) -> list[tuple[str, str, str]]:
    """Type, reason and message of the events of ``default/web`` (``u1``)."""
    with server.lock:
        events = list(server.objects[EVENTS].values())
    for event in events:
        involved = event["involvedObject"]
        assert (involved["namespace"], involved["name"], involved["uid"]) == ("default", "web", "u1")
    return [(event["type"], event["reason"], event["message"]) for event in events]


class TestEvents:
    def test_a_missing_definition(self, clustered: Site, server: APIServer) -> None:
        server.put(PODS, pod("web", "u1", **{NETWORKS: "absent"}))
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        _, text = clustered.fails("ADD", netns=sandbox, CNI_ARGS=args(""))
        eventually(lambda: told(server) != [])
        [(kind, reason, message)] = told(server)
        assert (kind, reason) == ("Warning", "NoNetworkFound")
        expected = "cannot find a network-attachment-definition (absent) in namespace (default)"
        assert expected in message
        assert expected in text
        clustered.assert_clean(sandbox)

    @pytest.mark.parametrize(
        ("annotation", "conf", "reason", "text"),
        [
            ("[{", {}, "InvalidNetworkConfig", "parsePodNetworkAnnotation"),
            ("other/net1", {"namespaceIsolation": True}, "NetworkForbidden", "globalNamespaces"),
            ("other/closed", {"namespaceIsolation": False}, "NetworkForbidden", "may not be used by pods of"),
            ("empty", {}, "NoAddressAvailable", "empty"),
            ("odd", {}, "FailedAddingInterface", "told to fail"),
            ("nowhere", {}, "FailedAddingInterface", "failed to find plugin"),
        ],
    )
    def test_each_failure_has_one_event_with_its_reason_and_what_to_do(
        self, clustered: Site, server: APIServer, annotation: str, conf: Any, reason: str, text: str
    ) -> None:
        odd = clustered.recorders.make("odd")
        clustered.recorders.fail(odd, "ADD")
        ipam = {"type": "host-local", "dataDir": str(clustered.leases), "subnet": "10.8.0.0/30"}
        ipam |= {"rangeStart": "10.8.0.1", "rangeEnd": "10.8.0.1"}
        server.put(NADS, definition("odd", {"config": json.dumps({**L2, "type": odd})}))
        server.put(NADS, definition("nowhere", {"config": json.dumps({**L2, "type": "nowhere"})}))
        closed = definition("closed", {"config": json.dumps(L2)}, "other")
        closed["metadata"]["annotations"] = {ALLOWED_NAMESPACES: "team-a"}
        server.put(NADS, closed)
        empty = {**L2, "isGateway": True, "ipam": ipam}
        server.put(NADS, definition("empty", {"config": json.dumps(empty)}))
        server.put(PODS, pod("web", "u1", **{NETWORKS: annotation}))
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        clustered.fails("ADD", netns=sandbox, conf=conf, CNI_ARGS=args())
        eventually(lambda: told(server) != [])
        [(kind, said, message)] = told(server)
        assert (kind, said) == ("Warning", reason)
        assert text in message
        clustered.assert_clean(sandbox)

    def test_a_pod_made_anew_is_told_nothing(self, clustered: Site, server: APIServer) -> None:
        server.put(PODS, pod("web", "u2"))
        synced(clustered, server)
        clustered.fails("ADD", netns=clustered.lab.sandbox(), CNI_ARGS=args("u1"))
        clustered.close()
        assert told(server) == []

    def test_a_failure_told_again_counts_up(self, clustered: Site, server: APIServer) -> None:
        server.put(PODS, pod("web", "u1", **{NETWORKS: "absent"}))
        synced(clustered, server)
        for turn in range(3):
            clustered.fails("ADD", f"c{turn}", netns=clustered.lab.sandbox(), CNI_ARGS=args())
        eventually(lambda: [event["count"] for event in server.objects[EVENTS].values()] == [3])

    def test_added_interfaces_are_told_only_where_wanted(self, clustered: Site, server: APIServer) -> None:
        """multi-network 5.17: the text of Multus, one for each network."""
        server.put(PODS, pod("web", "u1", **{NETWORKS: "net1"}))
        clustered.options = msgspec.structs.replace(clustered.options, events="all")
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        clustered.ok("ADD", netns=sandbox, CNI_ARGS=args())
        eventually(lambda: len(told(server)) == 2)
        assert told(server) == [
            ("Normal", "AddedInterface", "Add eth0 [10.244.0.2/24 fd00:244::2/64] from cbr0"),
            ("Normal", "AddedInterface", "Add net1 [] from default/net1"),
        ]
        clustered.ok("DEL", netns=sandbox, CNI_ARGS=args())
        clustered.close()
        assert len(told(server)) == 2

    def test_a_plugged_in_interface_is_told_too(self, clustered: Site, server: APIServer) -> None:
        """multi-network 5.63, and why one could not be plugged in."""
        server.put(PODS, pod("web", "u1"))
        clustered.options = msgspec.structs.replace(clustered.options, events="all")
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        conf = {"name": "hot", **clustered.bridge("10.7.0.0/24", bridge="br1")}
        plug = HotPlug(clustered.app.shared)

        def ask(verb: str, ifname: str) -> None:
            request = clustered.request(verb, netns=sandbox, conf=conf, CNI_ARGS=args(), CNI_IFNAME=ifname)
            request = Request("delegate", request.env, request.stdin)
            clustered.app.service.carry_out(
                request, lambda call: plug.serve(call, NetworkSelection(name="x")), None, lambda: False
            )

        ask("ADD", "net7")
        eventually(lambda: ("Normal", "AddedInterface", "Add net7 [10.7.0.2/24] from hot") in told(server))
        with pytest.raises(CNIError, match="attached already"):
            ask("ADD", "net7")
        eventually(lambda: len(told(server)) == 2)
        ask("DEL", "net7")
        clustered.ok("DEL", netns=sandbox, CNI_ARGS=args())

    def test_a_request_that_no_plugin_takes(self, clustered: Site, server: APIServer) -> None:
        """multi-network 2.12: attached all the same, and told."""
        element = '[{"name": "net1", "mac": "02:00:00:00:00:07"}]'
        server.put(PODS, pod("web", "u1", **{NETWORKS: element}))
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        clustered.ok("ADD", netns=sandbox, CNI_ARGS=args())
        eventually(lambda: told(server) != [])
        [(kind, reason, message)] = told(server)
        assert (kind, reason) == ("Warning", "InvalidNetworkConfig")
        assert (
            'default/net1: "mac" is asked for, but no plugin of the network has capabilities.mac' in message
        )
        clustered.ok("DEL", netns=sandbox, CNI_ARGS=args())

    def test_none_is_none(self, clustered: Site, server: APIServer) -> None:
        server.put(PODS, pod("web", "u1", **{NETWORKS: "absent"}))
        clustered.options = msgspec.structs.replace(clustered.options, events="none")
        synced(clustered, server)
        clustered.fails("ADD", netns=clustered.lab.sandbox(), CNI_ARGS=args())
        clustered.close()
        assert told(server) == []

    def test_an_apiserver_that_takes_no_events_fails_no_add(self, clustered: Site, server: APIServer) -> None:
        server.put(PODS, pod("web", "u1", **{NETWORKS: "net1"}))
        server.forbidden.add(("create", EVENTS))
        clustered.options = msgspec.structs.replace(clustered.options, events="all")
        synced(clustered, server)
        sandbox = clustered.lab.sandbox()
        clustered.ok("ADD", netns=sandbox, CNI_ARGS=args())
        clustered.ok("DEL", netns=sandbox, CNI_ARGS=args())
        eventually(lambda: clustered.app.access.events.dropped["api"] == 2)


class TestOptions:
    def test_what_the_options_name_is_kept_in_a_daemon(self, site: Site, server: APIServer) -> None:
        root = site.lab.directory
        site.options = msgspec.structs.replace(
            site.options,
            manifests="",
            api_server=server.url,
            node_name="n1",
            publish_kubeconfig=str(root / "kubeconfig"),
            certificate_dir=str(root / "certificates"),
            certificate_seconds=900,
        )
        access = site.app.access
        assert access.certificate is not None
        assert access.kubeconfig is not None
        assert access.certificate.path == str(root / "certificates" / "multus-client-current.pem")
        site.close()  # a call in line starts none of it
        access = site.app.access
        assert access.certificate is not None
        assert access.kubeconfig is not None
        access.start()
        site.close()
        for keeper in (access.certificate, access.kubeconfig):
            assert not keeper._thread.is_alive()

    def test_without_them_nothing_is(self, clustered: Site) -> None:
        assert (clustered.app.access.certificate, clustered.app.access.kubeconfig) == (None, None)
        clustered.app.access.start()

    def test_credentials_of_a_kubeconfig_are_not_handed_on(self, clustered: Site) -> None:
        clustered.options = msgspec.structs.replace(clustered.options, publish_kubeconfig="/x")
        with pytest.raises(InvalidConfig, match=r"\$\.publishKubeconfig: needs the service account"):
            assert clustered.app

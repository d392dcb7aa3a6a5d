"""``multinet admission`` as an apiserver meets it: real reviews over real TLS (multi-network 8.19, 2.46)."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..adapters.apiserver import NADS, APIServer
from ..adapters.test_cluster_contract import write_kubeconfig
from .conftest import environment, run_multinet

NETWORKS = "k8s.v1.cni.cncf.io/networks"
ALLOWED = "multinet.dev/allowed-namespaces"


def make_certificate(folder: Path, name: str = "webhook") -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
            "-subj",
            f"/CN={name}",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-out",
            str(certificate),
            "-keyout",
            str(key),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


class Webhook:
    """The running command."""

    def __init__(self, tls: Path, *options: str) -> None:
        self.tls = tls
        self.certificate, key = make_certificate(tls)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "multinet",
                "admission",
                "--listen",
                "127.0.0.1:0",
                "--certificate",
                str(self.certificate),
                "--key",
                str(key),
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd="/",
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on"), self.process.communicate()
        self.port = int(line.rsplit(":", 1)[1])

    def connect(self) -> http.client.HTTPSConnection:
        """It must show the very certificate that is in the file now."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        return http.client.HTTPSConnection("localhost", self.port, timeout=30, context=context)

    def send(self, path: str, body: bytes, verb: str = "POST") -> tuple[int, bytes]:
        connection = self.connect()
        try:
            connection.request(verb, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def ask(self, path: str, made: dict[str, Any], namespace: str, **more: Any) -> dict[str, Any]:
        """The answer to a review, as the apiserver v1 writes it."""
        request = {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": made.get("kind", "")},
            "operation": "CREATE",
            "namespace": namespace,
            "userInfo": {"username": "tenant"},
            "object": made,
            "oldObject": None,
            "dryRun": False,
            **more,
        }
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        status, body = self.send(path, json.dumps(review).encode())
        assert status == 200, body
        answered = json.loads(body)
        assert (answered["apiVersion"], answered["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        response: dict[str, Any] = answered["response"]
        assert response["uid"] == request["uid"]
        return response

    def validate(self, config: Any, namespace: str = "tenant", **annotations: str) -> dict[str, Any]:
        text = config if isinstance(config, str) or config is None else json.dumps(config)
        return self.ask(
            "/validate",
            {
                "apiVersion": "k8s.cni.cncf.io/v1",
                "kind": "NetworkAttachmentDefinition",
                "metadata": {"name": "net", "annotations": annotations},
                "spec": {} if text is None else {"config": text},
            },
            namespace,
        )

    def pod(self, networks: str, namespace: str = "tenant", **spec: Any) -> dict[str, Any]:
        metadata = {"generateName": "web-", "annotations": {NETWORKS: networks}}
        return self.ask(
            "/pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, namespace
        )

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=60)
        finally:
            self.process.kill()
            self.process.communicate()
        return self.process.returncode


Start = Callable[..., Webhook]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Webhook] = []

    def begin(*options: str) -> Webhook:
        running.append(Webhook(tmp_path / "tls", *options))
        return running[-1]

    yield begin
    for webhook in running:
        assert webhook.stop() == 0


@pytest.fixture(scope="module")
def webhook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    running = Webhook(tmp_path_factory.mktemp("admission") / "tls")
    yield running
    assert running.stop() == 0


BRIDGE = {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1"}


class TestDefinitions:
    @pytest.mark.parametrize("config", [BRIDGE, {"cniVersion": "1.0.0", "plugins": [BRIDGE]}, None, ""])
    def test_what_is_right_is_allowed(self, webhook: Webhook, config: Any) -> None:
        assert webhook.validate(config) == {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": True}

    @pytest.mark.parametrize(
        ("config", "expected"),
        [
            ('{\n  "type": "bridge",\n  "bridge" "br1"\n}', "line 3, column 12: "),
            ("[]", "expected an object, got list"),
            ({"name": "x"}, "delegate must have the 'type' or 'plugin' field"),
            ({"plugins": [{}]}, "a plugin delegate must have the 'type' field"),
            (
                json.dumps({**BRIDGE, "mtu": "big"}, indent=1),
                "$.mtu: expected int, got str (line 5 of $.spec.config)",
            ),
            ({"cniVersion": "1.0.0", "type": "macvlan", "mode": "wild"}, "$.mode"),
            ({**BRIDGE, "ipam": {"type": "host-local"}}, "has no addresses to give"),
            ({"cniVersion": "1.0.0", "type": "multus"}, "is the meta-plugin itself"),
        ],
    )
    def test_what_an_add_would_fail_on_is_denied(self, webhook: Webhook, config: Any, expected: str) -> None:
        response = webhook.validate(config)
        assert not response["allowed"]
        assert response["status"]["code"] == 422
        message = response["status"]["message"]
        assert message.startswith("multinet: NetworkAttachmentDefinition tenant/net: ")
        assert expected in message

    def test_a_key_that_nobody_reads_is_a_warning_with_the_nearest(self, webhook: Webhook) -> None:
        response = webhook.validate({**BRIDGE, "isGatway": True})
        assert response["allowed"]
        [warning] = response["warnings"]
        assert 'unknown key "isGatway", did you mean "isGateway"?' in warning

    def test_who_may_use_it(self, webhook: Webhook) -> None:
        assert webhook.validate(BRIDGE, **{ALLOWED: "a, b"}) == webhook.validate(BRIDGE, **{ALLOWED: "*"})
        denied = webhook.validate(BRIDGE, **{ALLOWED: "team-a team-b"})
        assert not denied["allowed"]
        assert 'got "team-a team-b"' in denied["status"]["message"]
        [warning] = webhook.validate(BRIDGE, **{"multinet.dev/allowed-namespace": "a"})["warnings"]
        assert f'did you mean "{ALLOWED}"?' in warning

    def test_what_is_deleted_is_not_judged(self, webhook: Webhook) -> None:
        made = {"kind": "NetworkAttachmentDefinition", "metadata": {"name": "n", "deletionTimestamp": "now"}}
        assert webhook.ask("/validate", made, "a", operation="UPDATE")["allowed"]
        assert webhook.ask("/validate", {}, "a", operation="DELETE", object=None)["allowed"]


class TestPolicy:
    OPTIONS = (
        "--privileged-types",
        "host-device, dhcp",
        "--privileged-namespaces",
        "infra",
        "--privileged-paths",
    )
    RESERVED = (
        (
            {"cniVersion": "1.0.0", "type": "host-device", "device": "eth1"},
            "$.type: namespace tenant may not use",
        ),
        (
            {"cniVersion": "1.0.0", "plugins": [{"type": "host-device", "device": "eth1"}]},
            "$.plugins[0].type",
        ),
        ({**BRIDGE, "ipam": {"type": "dhcp"}}, '$.ipam.type: namespace tenant may not use "dhcp"'),
        (
            {**BRIDGE, "ipam": {"type": "host-local", "subnet": "10.1.0.0/24", "dataDir": "/etc"}},
            '$.ipam.dataDir: namespace tenant may not name files of the node, got "/etc"',
        ),
        (None, "may not use configurations out of the node's files"),
    )

    def test_reserved_for_some_namespaces(self, start: Start) -> None:
        webhook = start(*self.OPTIONS)
        for config, expected in self.RESERVED:
            denied = webhook.validate(config)
            assert not denied["allowed"], config
            assert expected in denied["status"]["message"]
            assert webhook.validate(config, "infra")["allowed"], config
        plain = {
            **BRIDGE,
            "ipam": {"type": "host-local", "subnet": "10.1.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]},
        }
        assert webhook.validate(plain)["allowed"]

    def test_nothing_is_unless_it_is_said(self, webhook: Webhook) -> None:
        for config, _ in self.RESERVED:
            assert webhook.validate(config)["allowed"], config


class TestPods:
    @pytest.mark.parametrize("networks", ["[{", "a/b/c", '[{"name": "a", "mac": "x"}]', "a@net1,b@net1"])
    def test_an_annotation_that_cannot_be_is_denied(self, webhook: Webhook, networks: str) -> None:
        response = webhook.pod(networks)
        assert not response["allowed"]
        assert response["status"]["message"].startswith("multinet: Pod tenant/web-: $.metadata.annotations")

    def test_2_46_a_pod_in_the_hosts_network_is_warned(self, webhook: Webhook) -> None:
        response = webhook.pod("a", hostNetwork=True)
        assert response["allowed"]
        assert "the pod gets no networks" in response["warnings"][0]

    def test_pods_that_ask_for_nothing(self, webhook: Webhook) -> None:
        made = {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"hostNetwork": True}}
        assert webhook.ask("/pods", made, "a").keys() == {"uid", "allowed"}

    def test_8_19_another_namespace_is_only_a_warning_while_the_definition_is_not_known(
        self, webhook: Webhook
    ) -> None:
        response = webhook.pod("other/a")
        assert response["allowed"]
        assert "namespace isolation enabled" in response["warnings"][0]

    def test_with_the_cluster_at_hand(self, start: Start, tmp_path: Path) -> None:
        with APIServer() as server:
            spec = {"config": json.dumps(BRIDGE)}
            server.put(NADS, {"metadata": {"namespace": "tenant", "name": "own"}, "spec": spec})
            server.put(NADS, {"metadata": {"namespace": "other", "name": "plain"}, "spec": spec})
            opened = {"namespace": "other", "name": "opened", "annotations": {ALLOWED: "tenant"}}
            server.put(NADS, {"metadata": opened, "spec": spec})
            closed = {"namespace": "default", "name": "closed", "annotations": {ALLOWED: "team-a"}}
            server.put(NADS, {"metadata": closed, "spec": spec})
            webhook = start("--kubeconfig", str(write_kubeconfig(tmp_path / "kubeconfig", server.url)))
            limit = time.monotonic() + 60
            while webhook.pod("other/plain")["allowed"]:  # until the list is there
                assert time.monotonic() < limit
                time.sleep(0.05)
            message = webhook.pod("other/plain")["status"]["message"]
            assert "pod is in namespace tenant but refers to target namespace other" in message
            for allowed in ("own", "other/opened"):
                assert webhook.pod(allowed).keys() == {"uid", "allowed"}, allowed
            denied = webhook.pod("own,default/closed")
            assert "default/closed may not be used by pods of namespace tenant" in denied["status"]["message"]
            missing = webhook.pod("absent")
            assert missing["allowed"]
            assert "tenant/absent isn't there" in missing["warnings"][0]


class TestServer:
    def test_a_new_certificate_is_used_without_a_restart(self, start: Start) -> None:
        webhook = start()
        assert webhook.send("/healthz", b"", "GET") == (200, b"ok")
        (webhook.tls / "tls.key").write_text("half")  # the old pair is kept
        assert webhook.send("/healthz", b"", "GET") == (200, b"ok")
        make_certificate(webhook.tls, "another")
        assert webhook.send("/healthz", b"", "GET") == (200, b"ok")  # it trusts the new one alone

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("/validate", b"{", 400),
            ("/validate", b"[]", 400),
            ("/validate", b'{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}', 400),
            ("/validate", b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}', 400),
            ("/validate", b"[" * 100000, 400),
            ("/validate", b" " * ((8 << 20) + 1), 413),
            ("/other", b"{}", 404),
        ],
    )
    def test_what_is_no_review(self, webhook: Webhook, path: str, body: bytes, status: int) -> None:
        try:
            assert webhook.send(path, body)[0] == status
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            assert status == 413  # it hung up on the rest
        assert webhook.send("/healthz", b"", "GET")[0] == 200

    def test_who_says_nothing_holds_nobody_up(self, webhook: Webhook) -> None:
        with (
            socket.create_connection(("127.0.0.1", webhook.port)),
            socket.create_connection(("127.0.0.1", webhook.port)) as plain,
        ):
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert webhook.validate(BRIDGE)["allowed"]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["--listen", "9443"], "--listen: expected ADDRESS:PORT"),
            (["--certificate", "/nowhere"], "--certificate /nowhere"),
        ],
    )
    def test_options_that_cannot_be(self, tmp_path: Path, options: list[str], expected: str) -> None:
        certificate, key = make_certificate(tmp_path / "tls")
        done = run_multinet("admission", "--certificate", certificate, "--key", key, *options)
        assert done.returncode in (1, 2)
        assert expected in done.stderr

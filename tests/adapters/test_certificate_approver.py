"""Which requests for certificates are approved (multi-network 6.6), and how that is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from multinet.adapters.certificate_approver import CertificateApprover
from multinet.adapters.certificate_judgement import SigningRequest, judged
from multinet.adapters.certificate_request import body, new_request
from multinet.adapters.kubernetes_config import KubernetesConfig
from tests.adapters.apiserver import CSRS, EVENTS, APIServer, Fault
from tests.adapters.objects import eventually, write_kubeconfig

YEAR = 365 * 24 * 3600
GROUPS = ["system:nodes", "system:authenticated"]


def signing_request(common: list[str], organizations: list[str]) -> bytes:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, one) for one in common]
    names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def asked(
    user: str = "system:node:n1", groups: list[str] = GROUPS, pem: bytes | None = None, **spec: Any
) -> dict[str, Any]:
    """A request as node ``n1`` makes it, but for what is said."""
    made = body("n1", pem or new_request("n1")[1], 600)
    made["metadata"] = {"name": "csr-1", "uid": "c1"}
    made["spec"] |= {"username": user, "groups": groups, **spec}
    return made


def judgement(manifest: dict[str, Any]) -> Any:
    return judged(msgspec.convert(manifest, SigningRequest))


@pytest.mark.parametrize(
    "manifest",
    [
        asked(),
        asked("system:multus:n1", ["system:multus", "system:authenticated"]),
        asked(groups=["system:authenticated"]),
        asked(usages=["client auth", "digital signature"]),
        asked(expirationSeconds=YEAR),
    ],
)
def test_a_nodes_own_request_is_approved(manifest: dict[str, Any]) -> None:
    found = judgement(manifest)
    assert found.approved, found.fault
    assert found.node == "n1"


@pytest.mark.parametrize(
    ("manifest", "fault"),
    [
        (asked("alice"), 'user "alice" is no node'),
        (asked("system:node:"), 'user "system:node:" is no node'),
        (asked("system:serviceaccount:kube-system:multus"), "is no node"),
        (asked("system:node:N_1"), '"N_1" is no node\'s name'),
        (asked("system:node:" + "n" * 254), "is no node's name"),
        (asked(groups=[*GROUPS, "system:masters"]), "groups that no node is in: system:masters"),
        (asked(usages=["client auth"]), "usages"),
        (asked(usages=["digital signature", "client auth", "server auth"]), "usages"),
        (asked("system:node:n2"), "common name must be system:multus:n2"),
        (asked(pem=signing_request(["system:multus:n1", "x"], ["system:multus"])), "common name"),
        (asked(pem=signing_request(["system:multus:n1"], ["system:multus", "x"])), "organization"),
        (asked(pem=signing_request(["system:multus:n1"], [])), "organization"),
        (asked(pem=signing_request(["admin"], ["system:multus"])), "common name"),
        (asked(pem=signing_request(["system:multus:n1"], ["system:masters"])), "organization"),
        (asked(expirationSeconds=None), "expirationSeconds must be set"),
        (asked(expirationSeconds=YEAR + 1), "expirationSeconds must not exceed"),
    ],
)
def test_what_only_looks_like_one_is_denied(manifest: dict[str, Any], fault: str) -> None:
    found = judgement(manifest)
    assert not found.approved
    assert fault in found.fault


def tampered() -> bytes:
    """A request whose signature isn't by its own key."""
    pem = new_request("n1")[1]
    request = x509.load_pem_x509_csr(pem)
    data = bytearray(request.public_bytes(serialization.Encoding.DER))
    data[-1] ^= 1
    text = b64encode(bytes(data)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n".encode()


@pytest.mark.parametrize(
    "manifest",
    [
        asked(pem=signing_request(["alice"], ["system:masters"])),
        asked(signerName="kubernetes.io/kubelet-serving"),
        asked(request="bm90aGluZw=="),
        asked(request="!"),
        asked(pem=tampered()),
        {**asked(), "status": {"conditions": [{"type": "Denied"}]}},
        {**asked(), "status": {"certificate": "eA=="}},
    ],
)
def test_what_is_none_of_ours_is_left_to_others(manifest: dict[str, Any]) -> None:
    assert judgement(manifest) is None


@pytest.fixture
def start(tmp_path: Path, server: APIServer) -> Iterator[Callable[[], None]]:
    """Starts approvers over ``server``; any number."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def make() -> None:
        path = write_kubeconfig(tmp_path / "kubeconfig", server.url)
        config = KubernetesConfig(node="", kubeconfig=str(path), retry_base=0.05, retry_cap=0.2)
        threads.append(threading.Thread(target=CertificateApprover(config).run, args=(stop,)))
        threads[-1].start()

    yield make
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def conditions(server: APIServer, name: str = "csr-1") -> list[tuple[str, str]]:
    status = server.get(CSRS, "", name).get("status") or {}
    return [(one["type"], one["reason"]) for one in status.get("conditions", ())]


def test_requests_are_judged_as_they_come(server: APIServer, start: Callable[[], None]) -> None:
    server.put(CSRS, asked())
    start()
    eventually(lambda: conditions(server) == [("Approved", "AutoApproved")])
    server.put(CSRS, {**asked("alice"), "metadata": {"name": "csr-2"}})
    eventually(lambda: conditions(server, "csr-2") == [("Denied", "CSRDenied")])
    others = asked(pem=signing_request(["alice"], []))
    server.put(CSRS, {**others, "metadata": {"name": "csr-3"}})
    eventually(lambda: len(server.objects[EVENTS]) == 2)
    assert conditions(server, "csr-3") == []
    events = sorted((one["reason"], one["type"]) for one in server.objects[EVENTS].values())
    assert events == [("CSRApproved", "Normal"), ("CSRDenied", "Warning")]
    assert {one["involvedObject"]["kind"] for one in server.objects[EVENTS].values()} == {
        "CertificateSigningRequest"
    }


def test_several_approvers_judge_once(server: APIServer, start: Callable[[], None]) -> None:
    start()
    start()
    for index in range(5):
        server.put(CSRS, {**asked(), "metadata": {"name": f"csr-{index}"}})
    eventually(lambda: all(conditions(server, f"csr-{index}") for index in range(5)))
    for index in range(5):
        assert conditions(server, f"csr-{index}") == [("Approved", "AutoApproved")]


def test_a_conflict_is_judged_again(server: APIServer, start: Callable[[], None]) -> None:
    server.faults.append(Fault("update", f"{CSRS}/approval", status=409, times=3))
    server.put(CSRS, asked())
    start()
    eventually(lambda: conditions(server) == [("Approved", "AutoApproved")])


def test_a_signer_that_may_not_be_used_is_given_up(server: APIServer, start: Callable[[], None]) -> None:
    server.granted.discard(("certificates.k8s.io", "signers", "approve"))
    server.put(CSRS, asked())
    start()
    eventually(lambda: sum(entry[0] == "update" for entry in server.log) == 5, seconds=20)
    assert conditions(server) == []


def test_the_command(server: APIServer, tmp_path: Path) -> None:
    server.put(CSRS, asked())
    path = write_kubeconfig(tmp_path / "kubeconfig", server.url)
    command = [sys.executable, "-m", "multinet", "approve-certificates", "--kubeconfig", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ})
    try:
        eventually(lambda: conditions(server) == [("Approved", "AutoApproved")], seconds=30)
    finally:
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 0, stderr.decode()
    assert "csr-1 of the daemon of node n1 was approved" in stderr.decode()


def test_the_command_without_a_cluster() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("KUBERNETES_")}
    done = subprocess.run(
        [sys.executable, "-m", "multinet", "approve-certificates"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 1
    assert "--kubeconfig: no way to the Kubernetes API" in done.stderr
    assert done.stdout == ""

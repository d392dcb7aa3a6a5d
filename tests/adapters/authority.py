"""A certificate authority for tests, and the controller that signs what an approver has approved."""

from __future__ import annotations

import base64
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.adapters.apiserver import CSRS, APIServer

PEM = serialization.Encoding.PEM


def name(common: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


class Authority:
    """Its files are in ``folder``: ``ca.crt``, and a server's certificate for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = name("kubernetes")
        own = self._builder(self._name, self._key.public_key(), 3600.0)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        (folder / "ca.crt").write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(PEM))
        key = ec.generate_private_key(ec.SECP256R1())
        server = self._builder(name("kube-apiserver"), key.public_key(), 3600.0).add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        pair = server.sign(self._key, hashes.SHA256()).public_bytes(PEM) + private
        (folder / "server.pem").write_bytes(pair)

    def server_context(self) -> ssl.SSLContext:
        """As an apiserver has it: client certificates are welcome, but nobody needs one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem")
        context.load_verify_locations(self.folder / "ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def sign(self, request_pem: bytes, seconds: float) -> bytes:
        request = x509.load_pem_x509_csr(request_pem)
        builder = self._builder(request.subject, request.public_key(), seconds)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(PEM)

    def _builder(self, subject: x509.Name, key: Any, seconds: float) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(seconds=1))
            .not_valid_after(now + timedelta(seconds=seconds))
        )


class Signing:
    """What kube-controller-manager does: certificates for requests that are approved."""

    def __init__(self, server: APIServer, authority: Authority, seconds: float) -> None:
        self.seconds = seconds
        self.approves = True
        """Whether it approves by itself what nobody has judged."""
        self.signed: list[dict[str, Any]] = []
        self._server, self._authority = server, authority
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[Signing]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            with self._server.lock:
                for found in list(self._server.objects[CSRS].values()):
                    self._look_at(found)

    def _look_at(self, found: dict[str, Any]) -> None:
        status = found.get("status") or {}
        judged = {one["type"] for one in status.get("conditions", ())}
        if status.get("certificate") or not ("Approved" in judged or (self.approves and not judged)):
            return
        request = base64.b64decode(found["spec"]["request"])
        chain = self._authority.sign(request, self.seconds)
        certificate = base64.b64encode(chain).decode()
        self.signed.append(found)
        self._server.put(CSRS, {**found, "status": {**status, "certificate": certificate}})

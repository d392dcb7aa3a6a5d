"""A node's client certificate: its request, what comes back, and where both halves lie.

Source: RFC 2986 (PKCS #10); Kubernetes, "Certificate Signing Requests"; names and folder layout are those of Multus
(multi-network 6.5), so that certificates which its daemon had made go on being used.
"""

from __future__ import annotations

import os
import time
from base64 import b64encode
from contextlib import suppress
from typing import Any

import msgspec

__all__ = [
    "CURRENT",
    "ORGANIZATION",
    "SIGNER",
    "USAGES",
    "NodeCertificate",
    "Unusable",
    "body",
    "common_name",
    "new_request",
    "read",
    "store",
]

ORGANIZATION = "system:multus"
SIGNER = "kubernetes.io/kube-apiserver-client"
USAGES = ("digital signature", "client auth")
CURRENT = "multus-client-current.pem"
"""Link to the certificate in use, with its key, in the certificate folder."""


class Unusable(Exception):
    """There is no certificate, or it is none of this node's; the text says which file and why."""


class NodeCertificate(msgspec.Struct, frozen=True):
    """What there is to know of a certificate in use. Times are Unix times."""

    begins: float
    ends: float

    def renewal(self, share: float) -> float:
        """When that share (0 to 1) of its life is over."""
        return self.begins + (self.ends - self.begins) * share


def common_name(node: str) -> str:
    """The user that the node is in the cluster."""
    return f"{ORGANIZATION}:{node}"


def new_request(node: str) -> tuple[bytes, bytes]:
    """A fresh key, and the request for its certificate; both PEM."""
    # 8 MB that only nodes with a certificate of their own should pay for
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name(node)),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, request.public_bytes(serialization.Encoding.PEM)


def read(folder: str, node: str) -> NodeCertificate:
    """The certificate in use. Raises Unusable: there is none, it isn't whole, another's, or over."""
    path = os.path.join(folder, CURRENT)
    try:
        with open(path, "rb") as file:
            pem = file.read()
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from None
    return _examined(pem, node, path)


def store(folder: str, node: str, key: bytes, chain: bytes) -> NodeCertificate:
    """Put a new pair into use: a reader sees the old one or the new one, never half of each.

    Raises Unusable for a pair that doesn't fit together, or a folder that can't be written.
    """
    pem = chain.rstrip(b"\n") + b"\n" + key
    found = _examined(pem, node, "the signed certificate")
    now = time.time_ns()
    seconds = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(now // 10**9))
    name = f"multus-client-{seconds}-{now % 10**9:09d}.pem"
    path, link = os.path.join(folder, name), os.path.join(folder, f".{CURRENT}.new")
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        before = _target(folder)
        with suppress(FileNotFoundError):
            os.unlink(link)
        os.symlink(name, link)
        os.rename(link, os.path.join(folder, CURRENT))
        _sync(folder)
        _forget(folder, but=(name, before))
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error
    return found


def _examined(pem: bytes, node: str, what: str) -> NodeCertificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        begins = certificate.not_valid_before_utc.timestamp()
        ends = certificate.not_valid_after_utc.timestamp()
        key = serialization.load_pem_private_key(pem[max(pem.find(b"-----BEGIN PRIVATE"), 0) :], None)
        mine = certificate.public_key() == key.public_key()
        names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except (ValueError, TypeError) as error:
        raise Unusable(f"{what}: no certificate and key: {error}") from None
    if not mine:
        raise Unusable(f"{what}: the key is not that of the certificate")
    if names != [common_name(node)]:
        raise Unusable(f"{what}: it is {', '.join(names) or 'nobody'}'s, not {common_name(node)}'s")
    if time.time() >= ends:
        raise Unusable(f"{what}: it was valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC")
    return NodeCertificate(begins, ends)


def _target(folder: str) -> str:
    """The file in use; "": there is none."""
    try:
        return os.path.basename(os.readlink(os.path.join(folder, CURRENT)))
    except OSError:
        return ""


def _forget(folder: str, but: tuple[str, str]) -> None:
    """Keep the pair in use, and the one before for readers that are just opening it. Names may lie about which are
    older: clocks are set back."""
    for name in os.listdir(folder):
        if _is_pair(name) and name not in but:
            os.unlink(os.path.join(folder, name))


def _is_pair(name: str) -> bool:
    return name.startswith("multus-client-") and name.endswith(".pem") and name != CURRENT


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def body(node: str, request: bytes, seconds: int) -> dict[str, Any]:
    """The CertificateSigningRequest object."""
    spec = {
        "request": b64encode(request).decode(),
        "signerName": SIGNER,
        "usages": list(USAGES),
        "expirationSeconds": seconds,
    }
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": f"multus-{node}-"},
        "spec": spec,
    }

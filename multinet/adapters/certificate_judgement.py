"""Whether a request for a client certificate is one of a node's own daemon, asked by that node.

Source: multi-network 6.6; Kubernetes, "Certificate Signing Requests", "Approval or rejection".
"""

from __future__ import annotations

import re
from base64 import b64decode

import msgspec

from multinet.adapters.certificate_request import ORGANIZATION, SIGNER, USAGES, common_name

__all__ = ["Judgement", "SigningRequest", "judged"]

_ASKERS = ("system:node:", f"{ORGANIZATION}:")
_GROUPS = frozenset({"system:nodes", ORGANIZATION, "system:authenticated"})
_LONGEST = 365 * 24 * 3600
"""Seconds that a certificate may be asked for."""
_NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""RFC 1123 subdomain."""


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""
    uid: str = ""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    request: str = ""
    signer_name: str = ""
    username: str = ""
    groups: list[str] | None = None
    usages: list[str] | None = None
    expiration_seconds: int | None = None


class _Condition(msgspec.Struct, frozen=True):
    type: str = ""


class _Status(msgspec.Struct, frozen=True):
    conditions: list[_Condition] | None = None
    certificate: str = ""


class SigningRequest(msgspec.Struct, frozen=True):
    """What counts of a CertificateSigningRequest object; ``spec.username`` and ``groups`` are the apiserver's word."""

    metadata: _Metadata
    spec: _Spec
    status: _Status = _Status()

    @property
    def pending(self) -> bool:
        """Whether nobody has judged it."""
        return not self.status.conditions and not self.status.certificate


class Judgement(msgspec.Struct, frozen=True):
    """What becomes of a request; ``fault`` is why it is denied, "" when it is approved."""

    node: str
    fault: str = ""

    @property
    def approved(self) -> bool:
        """Whether it may be signed."""
        return not self.fault


def judged(request: SigningRequest) -> Judgement | None:
    """The judgement of a pending request; None for one that is none of ours to judge.

    Ours are those for certificates of ``kube-apiserver-client`` whose subject claims to be a node's daemon
    (CN ``system:multus:…`` or O ``system:multus``). Everybody else's are left to whoever approves them.
    """
    if not request.pending or request.spec.signer_name != SIGNER:
        return None
    subject = _subject(request.spec.request)
    if subject is None:
        return None
    names, organizations = subject
    if ORGANIZATION not in organizations and not any(n.startswith(f"{ORGANIZATION}:") for n in names):
        return None
    node = _node_of(request.spec.username)
    return Judgement(node, _fault(request.spec, node, names, organizations))


def _fault(spec: _Spec, node: str, names: list[str], organizations: list[str]) -> str:
    strange = sorted(set(spec.groups or ()) - _GROUPS)
    seconds = spec.expiration_seconds
    rules = (
        (bool(node), f'user "{spec.username}" is no node, nor a node\'s daemon'),
        (_NODE_NAME.fullmatch(node) is not None and len(node) <= 253, f'"{node}" is no node\'s name'),
        (not strange, f"the user is in groups that no node is in: {', '.join(strange)}"),
        (sorted(spec.usages or ()) == sorted(USAGES), f"usages must be {', '.join(USAGES)} and no others"),
        (names == [common_name(node)], f"the common name must be {common_name(node)}"),
        (organizations == [ORGANIZATION], f"the organization must be {ORGANIZATION} alone"),
        (seconds is not None, "expirationSeconds must be set"),
        (seconds is None or seconds <= _LONGEST, f"expirationSeconds must not exceed {_LONGEST}"),
    )
    return next((problem for holds, problem in rules if not holds), "")


def _node_of(user: str) -> str:
    return next((user.removeprefix(asker) for asker in _ASKERS if user.startswith(asker)), "")


def _subject(request: str) -> tuple[list[str], list[str]] | None:
    """Common names and organizations; None for what is no request, or isn't signed by its own key."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.x509.oid import NameOID

    try:
        found = x509.load_pem_x509_csr(b64decode(request, validate=True))
        if not found.is_signature_valid:
            return None
        names, organizations = (
            [str(one.value) for one in found.subject.get_attributes_for_oid(oid)]
            for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
        )
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return None
    return names, organizations

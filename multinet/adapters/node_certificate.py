"""Keeps the node's own client certificate: asked for once, renewed before it ends, anew where it isn't believed.

Source: Kubernetes, "Certificate Signing Requests"; multi-network 6.D.
"""

from __future__ import annotations

import logging
import math
import os
import random
import threading
import time
from base64 import b64decode
from urllib.parse import quote

import msgspec

from multinet.adapters.certificate_request import (
    CURRENT,
    NodeCertificate,
    Unusable,
    body,
    new_request,
    read,
    store,
)
from multinet.adapters.kubernetes_backoff import Backoff
from multinet.adapters.kubernetes_call import Call, Refused, Unreachable
from multinet.adapters.kubernetes_config import KubernetesConfig
from multinet.adapters.kubernetes_session import Session

__all__ = ["CertificateKeeper", "Renewal"]

log = logging.getLogger(__name__)

_RESOURCE = "certificatesigningrequests"
_REQUESTS = f"/apis/certificates.k8s.io/v1/{_RESOURCE}"


class Renewal(msgspec.Struct, frozen=True, kw_only=True):
    """When and how patiently. Times in seconds."""

    duration: int = 600
    """Life of a certificate as it is asked for; apiservers grant no less than 600."""
    earliest: float = 0.7
    latest: float = 0.9
    """Share of its life after which a certificate is renewed: at random between these, so that nodes that were
    started together don't ask together."""
    answer: float = 120.0
    """How long a request may wait to be signed."""
    poll: float = 1.0
    """Between looks at a request that isn't signed yet."""
    look: float = 60.0
    """Between looks at the file: somebody may have removed it."""
    retry_base: float = 1.0
    retry_cap: float = 60.0


class NotSigned(Exception):
    """The request was denied, failed, or has waited too long."""


class CertificateKeeper:
    """One thread that keeps ``{folder}/multus-client-current.pem`` usable.

    The certificate itself is what a request for the next one is made with; where there is none, or the apiserver
    doesn't take it, the credentials of ``bootstrap`` are. Needs the RBAC role ``certificate``.
    """

    def __init__(self, bootstrap: KubernetesConfig, folder: str, renewal: Renewal | None = None) -> None:
        self._bootstrap = bootstrap
        self._folder = folder
        self._renewal = renewal or Renewal()
        self._closing = threading.Event()
        self._distrusted = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificate", daemon=True)
        self._problem = "no certificate yet"
        self._obtained = -math.inf

    @property
    def path(self) -> str:
        """The file to connect with."""
        return os.path.join(self._folder, CURRENT)

    @property
    def problem(self) -> str:
        """Why there is no good certificate at the moment; "" while there is."""
        return self._problem

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def distrusted(self) -> None:
        """The apiserver doesn't know us by the certificate: another is asked for, by the bootstrap credentials."""
        if time.monotonic() - self._obtained < self._renewal.look:
            return  # a new one is no better
        self._distrusted.set()
        self._wake.set()

    def stop(self, timeout: float = 5.0) -> None:
        """End, if it has begun; a request on its way is given up."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        backoff = Backoff(self._renewal.retry_base, self._renewal.retry_cap)
        renew_at: tuple[NodeCertificate, float] | None = None
        while not self._closing.is_set():
            self._wake.clear()
            try:
                current: NodeCertificate | None = read(self._folder, self._bootstrap.node)
                self._problem = ""
            except Unusable as error:
                current = None
                self._problem = self._problem or str(error)  # why there is no new one says more
            if current is not None and not self._distrusted.is_set():
                if renew_at is None or renew_at[0] != current:
                    share = random.uniform(self._renewal.earliest, self._renewal.latest)
                    renew_at = current, current.renewal(share)
                left = renew_at[1] - time.time()
                if left > 0:
                    self._wake.wait(min(left, self._renewal.look))
                    continue
            try:
                self._renew(current)
                self._distrusted.clear()
                backoff.reset()
            except (Refused, Unreachable, Unusable, NotSigned, msgspec.DecodeError, ImportError) as error:
                self._problem = str(error)
                log.warning("no new client certificate: %s", error)
            except Exception as error:  # the node must not end up without certificate, unseen
                self._problem = f"internal fault: {error}"
                log.exception("no new client certificate")
            self._closing.wait(backoff.next())

    def _renew(self, current: NodeCertificate | None) -> None:
        if current is not None and not self._distrusted.is_set():
            own = msgspec.structs.replace(self._bootstrap, client_certificate=self.path)
            try:
                self._obtain(own)
                return
            except (Refused, Unreachable) as error:
                log.warning("asking with the bootstrap credentials, since with our own: %s", error)
        self._obtain(self._bootstrap)

    def _obtain(self, config: KubernetesConfig) -> None:
        node = self._bootstrap.node
        session = Session(config)
        try:
            key, request = new_request(node)
            name = self._create(session, body(node, request, self._renewal.duration))
            chain = self._signed(session, name)
        finally:
            session.close()
        found = store(self._folder, node, key, chain)
        self._obtained = time.monotonic()
        log.info("client certificate of %s, valid for %.0f s", name, found.ends - time.time())

    def _create(self, session: Session, content: dict[str, object]) -> str:
        call = Call(verb="create", resource=_RESOURCE, path=_REQUESTS, body=content)
        return _CSR.decode(session.send(call, self._bootstrap.request_timeout)).metadata.name

    def _signed(self, session: Session, name: str) -> bytes:
        """The certificate, PEM. Raises NotSigned."""
        deadline = time.monotonic() + self._renewal.answer
        call = Call(verb="get", resource=_RESOURCE, path=f"{_REQUESTS}/{quote(name, '')}")
        last = "it hasn't been approved: is an approver running (multinet approve-certificates)?"
        while time.monotonic() < deadline:
            if self._closing.wait(self._renewal.poll):
                raise NotSigned(f"{name}: given up at the end")
            try:
                status = _CSR.decode(session.send(call, self._bootstrap.request_timeout)).status
            except (Refused, Unreachable) as error:
                if isinstance(error, Refused) and not error.transient:
                    raise
                last = str(error)
                continue
            if status.certificate:
                return b64decode(status.certificate)
            for condition in status.conditions or ():
                if condition.type in ("Denied", "Failed"):
                    raise NotSigned(f"{name}: {condition.type}: {condition.reason}: {condition.message}")
        raise NotSigned(f"certificate was not signed: {name}: {last}")


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""


class _Condition(msgspec.Struct, frozen=True):
    type: str = ""
    reason: str = ""
    message: str = ""


class _Status(msgspec.Struct, frozen=True):
    certificate: str = ""
    conditions: list[_Condition] | None = None


class _CertificateSigningRequest(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()
    status: _Status = _Status()


_CSR = msgspec.json.Decoder(_CertificateSigningRequest)

"""Approves the nodes' requests for client certificates, and denies what only looks like one.

Source: Kubernetes, "Certificate Signing Requests"; the rules are ``certificate_judgement``'s.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import Any
from urllib.parse import quote

import msgspec

from multinet.adapters.certificate_judgement import Judgement, SigningRequest, judged
from multinet.adapters.event_correlation import Subject
from multinet.adapters.kubernetes_call import Call, Refused
from multinet.adapters.kubernetes_config import KubernetesConfig, require_way_in
from multinet.adapters.kubernetes_events import KubernetesEvents
from multinet.adapters.kubernetes_informer import Informer
from multinet.adapters.kubernetes_objects import Resource
from multinet.adapters.kubernetes_session import Session
from multinet.ports import ClusterUnavailable, Event

__all__ = ["CertificateApprover"]

log = logging.getLogger(__name__)

_API = "certificates.k8s.io/v1"
_TRIES = 5
_TIMEOUT = 10.0
_LOOK = 1.0
"""Seconds between looks when nothing changes: for requests whose approval failed."""

_REQUEST = msgspec.json.Decoder(SigningRequest)
_REQUESTS: Resource[SigningRequest] = Resource(
    name="certificatesigningrequests", root=f"/apis/{_API}", value=_REQUEST.decode
)


class CertificateApprover:
    """Follows CertificateSigningRequests and judges those that are ours. Several may run side by side.

    Needs the RBAC role ``approver``.
    """

    def __init__(self, config: KubernetesConfig) -> None:
        """Raises InvalidConfig when there is no way to an API at all."""
        require_way_in(config)
        self._session = Session(config)
        self._requests = Informer(self._session, config, _REQUESTS)
        self._events = KubernetesEvents(self._session, "", component="multinet-certificate-approver")
        self._failed: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        """Judge until ``stop`` is set."""
        self._requests.start()
        seen = 0
        try:
            while not stop.is_set():
                seen = self._requests.change(seen, _LOOK)
                self._judge_all()
        finally:
            self._requests.stop()
            self._events.close()
            self._session.close()
            self._requests.join(timeout=1.0)

    def _judge_all(self) -> None:
        waiting = [one for one in self._requests.all() if judged(one) is not None]
        self._failed = Counter({one.metadata.name: self._failed[one.metadata.name] for one in waiting})
        for request in waiting:
            name = request.metadata.name
            if self._failed[name] < _TRIES:
                try:
                    self._judge(name)
                except (Refused, ClusterUnavailable, msgspec.DecodeError) as error:
                    self._failed[name] += 1
                    log.warning("%s: not judged: %s", name, error)

    def _judge(self, name: str) -> None:
        """Judge it as it is now, and say so there. Raises Refused, ClusterUnavailable, DecodeError."""
        deadline = time.monotonic() + _TIMEOUT
        path = f"{_REQUESTS.everywhere}/{quote(name, '')}"
        for left in reversed(range(_TRIES)):
            raw = self._session.persist(Call(verb="get", resource=_REQUESTS.name, path=path), deadline)
            request = _REQUEST.decode(raw)
            judgement = judged(request)
            if judgement is None:  # somebody else was quicker
                return
            try:
                self._session.persist(_approval(path, msgspec.json.decode(raw), judgement), deadline)
            except Refused as error:
                if error.status != 409 or not left:
                    raise
                continue
            self._tell(request, judgement)
            return

    def _tell(self, request: SigningRequest, judgement: Judgement) -> None:
        name = request.metadata.name
        who = f"the daemon of node {judgement.node}" if judgement.node else request.spec.username
        if judgement.approved:
            event = Event(reason="CSRApproved", message=f"{name} of {who} was approved", warning=False)
        else:
            event = Event(reason="CSRDenied", message=f"{name} of {who} was denied: {judgement.fault}")
        log.info("%s", event.message)
        self._events.tell(Subject(_API, "CertificateSigningRequest", "", name, request.metadata.uid), event)


def _approval(path: str, content: dict[str, Any], judgement: Judgement) -> Call:
    """The object as it was read, with the judgement: bound to that version by the apiserver."""
    condition = {
        "type": "Approved" if judgement.approved else "Denied",
        "status": "True",
        "reason": "AutoApproved" if judgement.approved else "CSRDenied",
        "message": judgement.fault or f"a client certificate of the daemon of node {judgement.node}",
    }
    status = {**(content.get("status") or {}), "conditions": [condition]}
    return Call(
        verb="update",
        resource=f"{_REQUESTS.name}/approval",
        path=f"{path}/approval",
        query=(("fieldManager", "multinet"),),
        body={**content, "status": status},
    )

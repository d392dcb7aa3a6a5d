"""A small Kubernetes apiserver for tests: the few resources that multinet knows, over real HTTP(S).

It allows what multinet's own roles allow, refuses what the real one refuses (unknown paths, wrong content types,
stale or missing resource versions, list parameters that exclude one another), and goes wrong on demand: see
``Fault``.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from multinet.adapters.kubernetes_rbac import granted

PODS = "pods"
NADS = "network-attachment-definitions"
EVENTS = "events"
NODES = "nodes"
CSRS = "certificatesigningrequests"
CLAIMS = "resourceclaims"
SLICES = "resourceslices"


@dataclass(frozen=True)
class _Kind:
    group: str
    version: str
    kind: str
    namespaced: bool = True
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"


_RESOURCES = {
    PODS: _Kind("", "v1", "Pod", subresources=("status", "eviction")),
    NADS: _Kind("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition"),
    EVENTS: _Kind("", "v1", "Event"),
    NODES: _Kind("", "v1", "Node", namespaced=False, subresources=("status",)),
    CSRS: _Kind(
        "certificates.k8s.io",
        "v1",
        "CertificateSigningRequest",
        namespaced=False,
        subresources=("status", "approval"),
    ),
    CLAIMS: _Kind("resource.k8s.io", "v1", "ResourceClaim", subresources=("status",)),
    SLICES: _Kind("resource.k8s.io", "v1", "ResourceSlice", namespaced=False),
}
_OBJECT = re.compile(
    r"(?:/namespaces/(?P<ns>[^/]+))?/(?P<res>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?"
)
_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "POST": "create"}
_REASONS = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
    409: "Conflict", 410: "Expired", 415: "UnsupportedMediaType", 422: "Invalid", 429: "TooManyRequests",
    500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip

Key = tuple[str, str]


@dataclass
class Fault:
    """What to do instead of answering, to the next ``times`` requests of this verb and resource."""

    verb: str
    resource: str = ""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds to wait first; with no ``status`` the request is then answered as usual."""
    first: Callable[[], None] | None = None
    """What somebody else does to the cluster just before."""
    hang_up: bool = False
    cut: bool = False
    """End the connection in the middle of the answer."""
    times: int = 1


class Refusal(Exception):
    def __init__(self, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.headers = code, message, headers or {}


class APIServer:
    """Use as a context manager; ``url`` is where it listens."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.objects: dict[str, dict[Key, dict[str, Any]]] = {resource: {} for resource in _RESOURCES}
        self.history: list[tuple[int, str, str, dict[str, Any], dict[str, Any] | None]] = []
        self.version = 1000
        self.compacted = 0
        self.tokens: set[str] = set()
        """Accepted bearer tokens; empty: anyone may come in."""
        self.users: dict[str, tuple[str, tuple[str, ...]]] = {}
        """Token → user and groups. Client certificates say so themselves."""
        self.unknown: set[str] = set()
        """Users whose certificates aren't believed."""
        self.callers: set[tuple[str, str]] = set()
        """User and verb of each request that was let in."""
        self.granted = set(granted())
        """(group, resource, verb) that RBAC allows: what multinet says it needs, and nothing else."""
        self.used: set[tuple[str, str, str]] = set()
        self.forbidden: set[tuple[str, str]] = set()
        self.budgets: set[Key] = set()
        """Pods that a disruption budget protects from eviction."""
        self.absent: set[str] = set()
        """API groups that this cluster doesn't have."""
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str, str]] = []
        """Verb, resource, and path with query of each request that was let in."""
        self.uid_conflict_status = 409
        """How a patch with another UID fails; releases differ (409, 422)."""
        self.crd_checks = True
        self.watches_open = 0
        self._generation = 0
        self._cut_watches = False
        self._httpd = _Listener(("127.0.0.1", 0), _Handler)
        self._httpd.api = self
        if tls is not None:
            self._httpd.socket = tls.wrap_socket(self._httpd.socket, server_side=True)
        self.port: int = self._httpd.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> APIServer:
        threading.Thread(target=self._httpd.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuse connections and cut those that are open."""
        self._httpd.shutdown()
        self._httpd.server_close()
        self.end_watches(cut=True)
        self._httpd.cut_all()

    # what a test does to the cluster

    def put(self, resource: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create or replace an object, as its owner would."""
        new = copy.deepcopy(manifest)
        meta = new["metadata"]
        if _RESOURCES[resource].namespaced:
            meta.setdefault("namespace", "default")
        key = (meta.get("namespace", ""), meta["name"])
        with self.lock:
            old = self.objects[resource].get(key)
            meta.setdefault("uid", old["metadata"]["uid"] if old else f"uid-{self.version + 1}")
            new["apiVersion"], new["kind"] = _RESOURCES[resource].api_version, _RESOURCES[resource].kind
            meta["managedFields"] = [
                {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {}}}
            ]
            self._record(resource, "MODIFIED" if old else "ADDED", key, new)
            return copy.deepcopy(new)

    def delete(self, resource: str, namespace: str, name: str) -> None:
        with self.lock:
            gone = copy.deepcopy(self.objects[resource][namespace, name])
            self._record(resource, "DELETED", (namespace, name), gone)

    def get(self, resource: str, namespace: str, name: str) -> dict[str, Any]:
        with self.lock:
            return copy.deepcopy(self.objects[resource][namespace, name])

    def bookmark(self) -> int:
        """Send a bookmark on every watch that allows them; the version it carries."""
        with self.lock:
            self.version += 1
            self.history.append((self.version, "", "BOOKMARK", {}, None))
            self.lock.notify_all()
            return self.version

    def compact(self) -> None:
        """Forget all history: watches and continuations from before now are gone (410)."""
        with self.lock:
            self.version += 1
            self.compacted = self.version
            self.history.clear()

    def end_watches(self, cut: bool = False) -> None:
        """End all open watches, in order or in the middle of a line."""
        with self.lock:
            self._generation += 1
            self._cut_watches = cut
            self.lock.notify_all()

    def _record(self, resource: str, kind: str, key: Key, new: dict[str, Any]) -> None:
        old = self.objects[resource].get(key)
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        if kind == "DELETED":
            del self.objects[resource][key]
        else:
            self.objects[resource][key] = new
        self.history.append((self.version, resource, kind, copy.deepcopy(new), old))
        self.lock.notify_all()

    # what the handler asks

    def fault_for(self, verb: str, resource: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.verb in (verb, "*") and fault.resource in (resource, ""):
                    fault.times -= 1
                    return fault
        return None

    def check(self, resource: str, manifest: dict[str, Any]) -> None:
        config = (manifest.get("spec") or {}).get("config", "")
        if resource == NADS and self.crd_checks and not isinstance(config, str):
            raise Refusal(422, "spec.config: Invalid value: must be of type string")
        if resource == EVENTS:
            _check_event(manifest)
        if resource == CSRS:
            _check_csr(manifest)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    api: APIServer

    def __init__(self, *args: Any) -> None:
        self.open: set[socket.socket] = set()
        self.accepted = 0
        super().__init__(*args)

    def process_request_thread(self, request: Any, address: Any) -> None:
        self.open.add(request)
        self.accepted += 1
        try:
            super().process_request_thread(request, address)
        finally:
            self.open.discard(request)

    def handle_error(self, request: Any, address: Any) -> None:
        """Clients that hang up, and TLS that fails, are what tests do on purpose."""

    def cut_all(self) -> None:
        for connection in list(self.open):
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener
    timeout = 60

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        api = self.server.api
        split = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(split.query, keep_blank_values=True).items()}
        try:
            self._authenticate(api)
            if self._discover(api, split.path):
                return
            verb, resource, key, sub = self._route(api, split.path, query)
            named = f"{resource}/{sub}" if sub else resource
            self._authorize(api, _RESOURCES[resource].group, named, verb)
            with api.lock:
                api.log.append((verb, named, self.path))
            self.cut = False
            if fault := api.fault_for(verb, named):
                if fault.first is not None:
                    fault.first()
                time.sleep(fault.delay)
                if fault.hang_up:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if fault.status:
                    raise Refusal(fault.status, f"injected {fault.status}", fault.headers)
                self.cut = fault.cut
            if (verb, named) in api.forbidden:
                raise Refusal(403, f'{named} is forbidden: User "multinet" cannot {verb} resource "{named}"')
            self._act(api, verb, resource, key, sub, query, body)
        except Refusal as refusal:
            self._refuse(refusal)

    def _authenticate(self, api: APIServer) -> None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        certificate = getattr(self.connection, "getpeercert", dict)() or {}
        subject = [pair for names in certificate.get("subject", ()) for pair in names]
        self.user, self.groups = "system:anonymous", ("system:unauthenticated",)
        if subject:
            self.user = next(value for name, value in subject if name == "commonName")
            organizations = (value for name, value in subject if name == "organizationName")
            self.groups = (*organizations, "system:authenticated")
            if self.user in api.unknown:
                raise Refusal(401, "Unauthorized")
        elif scheme.lower() == "bearer" and token in api.users:
            self.user, self.groups = api.users[token]
        elif api.tokens and (scheme.lower() != "bearer" or token not in api.tokens):
            raise Refusal(401, "Unauthorized")

    def _authorize(self, api: APIServer, group: str, named: str, verb: str) -> None:
        with api.lock:
            api.used.add((group, named, verb))
            api.callers.add((self.user, verb))
        if (group, named, verb) not in api.granted:
            raise Refusal(403, f'{named} is forbidden: User "multinet" cannot {verb} resource "{named}"')

    def _discover(self, api: APIServer, path: str) -> bool:
        """Which resources there are in a group's version, which everyone may know."""
        kinds = [(name, kind) for name, kind in _RESOURCES.items() if kind.root == path]
        if self.command != "GET" or not kinds or kinds[0][1].group in api.absent:
            return False
        with api.lock:
            api.log.append(("discover", path, self.path))
        resources = [{"name": name, "kind": kind.kind, "namespaced": kind.namespaced} for name, kind in kinds]
        version = kinds[0][1].api_version
        self._answer(200, {"kind": "APIResourceList", "groupVersion": version, "resources": resources})
        return True

    def _route(self, api: APIServer, path: str, query: dict[str, str]) -> tuple[str, str, Key | None, str]:
        for resource, kind in _RESOURCES.items():
            if kind.group in api.absent:
                continue
            if self.command == "GET" and path == f"{kind.root}/{resource}":
                return ("watch" if query.get("watch") in ("1", "true") else "list"), resource, None, ""
            below = path.removeprefix(kind.root) if path.startswith(kind.root + "/") else ""
            match = _OBJECT.fullmatch(below)
            if match is None or match["res"] != resource or (match["ns"] is not None) != kind.namespaced:
                continue
            verb, sub = _VERBS[self.command], match["sub"] or ""
            if sub and sub not in kind.subresources:
                break
            if (verb == "create") == (bool(match["name"]) and sub != "eviction"):
                raise Refusal(405, f"{self.command} is not supported here")
            return verb, resource, (match["ns"] or "", match["name"] or ""), sub
        raise Refusal(404, "the server could not find the requested resource")

    def _act(
        self,
        api: APIServer,
        verb: str,
        resource: str,
        key: Key | None,
        sub: str,
        query: dict[str, str],
        body: bytes,
    ) -> None:
        if verb == "list":
            self._answer(200, _list(api, resource, query, self._metadata_only("PartialObjectMetadataList")))
        elif verb == "watch":
            self._watch(api, resource, query)
        elif key is not None and sub == "eviction":
            with api.lock:
                _evict(api, key, self._content(verb, body))
            self._answer(201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
        elif key is not None and verb == "create":
            with api.lock:
                created = _create(api, resource, key[0], self._content(verb, body), self.user, self.groups)
            self._answer(201, created)
        elif key is not None:
            if sub == "approval":
                self._authorize(api, "certificates.k8s.io", "signers", "approve")
            with api.lock:
                if verb != "get":
                    _write(api, verb, resource, key, sub, self._content(verb, body))
                current = _current(api, resource, key)
            if self._metadata_only("PartialObjectMetadata"):
                current = _partial(current)
            self._answer(200, current)

    def _content(self, verb: str, body: bytes) -> dict[str, Any]:
        kind = self.headers.get("Content-Type", "")
        if verb == "patch" and kind != "application/merge-patch+json":
            raise Refusal(415, f"the body of the request was in an unknown format: {kind}")
        if verb in ("update", "create") and kind.split(";")[0] != "application/json":
            raise Refusal(415, f"the body of the request was in an unknown format: {kind}")
        try:
            content = json.loads(body)
        except ValueError as error:
            raise Refusal(400, f"error decoding the body: {error}") from None
        if not isinstance(content, dict):
            raise Refusal(400, "error decoding the body: not an object")
        return content

    def _metadata_only(self, kind: str) -> bool:
        first = self.headers.get("Accept", "").split(",")[0].replace(" ", "")
        return first == f"application/json;as={kind};g=meta.k8s.io;v=v1"

    def _watch(self, api: APIServer, resource: str, query: dict[str, str]) -> None:
        chosen = _selector(resource, query)
        if "limit" in query or "continue" in query or "resourceVersionMatch" in query:
            raise Refusal(422, "limit, continue and resourceVersionMatch are forbidden for watch")
        partial = self._metadata_only("PartialObjectMetadata")
        end = time.monotonic() + float(query.get("timeoutSeconds", 1800))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        with api.lock:
            api.watches_open += 1
            at, generation = int(query.get("resourceVersion") or 0), api._generation
        try:
            if at < api.compacted:
                gone = _status(410, f"too old resource version: {at} ({api.compacted})")
                self._chunk(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            else:
                bookmarks = query.get("allowWatchBookmarks") in ("1", "true")
                self._follow(api, resource, chosen, partial, bookmarks, at, end, generation)
            if api._generation != generation and api._cut_watches:
                self._chunk(b'{"type":"ADDED","object":{"metad')
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._chunk(b"")
        except OSError:
            self.close_connection = True
        finally:
            with api.lock:
                api.watches_open -= 1

    def _follow(
        self,
        api: APIServer,
        resource: str,
        chosen: Any,
        partial: bool,
        bookmarks: bool,
        at: int,
        end: float,
        gen: int,
    ) -> None:
        while True:
            with api.lock:
                fresh = [entry for entry in api.history if entry[0] > at]
                if not fresh:
                    left = end - time.monotonic()
                    if left <= 0 or api._generation != gen:
                        return
                    api.lock.wait(min(left, 0.2))
                    continue
            for version, of, kind, new, old in fresh:
                at = version
                line = None
                if kind == "BOOKMARK":
                    if bookmarks:
                        of_kind = _RESOURCES[resource]
                        meta = {"resourceVersion": str(version), "creationTimestamp": None}
                        line = {
                            "type": kind,
                            "object": {
                                "apiVersion": of_kind.api_version,
                                "kind": of_kind.kind,
                                "metadata": meta,
                            },
                        }
                elif of == resource and (chosen(new) or (old and chosen(old))):
                    seen = "DELETED" if not chosen(new) else "ADDED" if old and not chosen(old) else kind
                    line = {"type": seen, "object": _partial(new) if partial else new}
                if line is not None:
                    self._chunk(json.dumps(line).encode() + b"\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _refuse(self, refusal: Refusal) -> None:
        self._answer(refusal.code, _status(refusal.code, refusal.message), refusal.headers)

    def _answer(self, code: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if getattr(self, "cut", False):
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(data)


def _list(api: APIServer, resource: str, query: dict[str, str], partial: bool) -> dict[str, Any]:
    chosen = _selector(resource, query)
    version, match, token = (
        query.get("resourceVersion", ""),
        query.get("resourceVersionMatch"),
        query.get("continue"),
    )
    if token and (match or version not in ("", "0")):
        raise Refusal(400, "specifying resource version is not allowed when using continue")
    if match is not None and not version:
        raise Refusal(422, "resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match not in (None, "NotOlderThan", "Exact"):
        raise Refusal(422, f"resourceVersionMatch: Unsupported value: {match}")
    with api.lock:
        if version and int(version) > api.version:
            raise Refusal(
                504, f"Too large resource version: {version}, current: {api.version}", {"Retry-After": "1"}
            )
        if match == "Exact" and int(version) < api.compacted:
            raise Refusal(410, "The resourceVersion for the provided list is too old.")
        at, start = api.version, ("", "")
        if token:
            at, *place = json.loads(base64.urlsafe_b64decode(token))
            start = (place[0], place[1])
            if at < api.compacted:
                raise Refusal(410, "The provided continue parameter is too old")
        found = [(k, o) for k, o in sorted(api.objects[resource].items()) if k > start and chosen(o)]
        limit = int(query.get("limit") or len(found) or 1)
        meta: dict[str, Any] = {"resourceVersion": str(at)}
        if len(found) > limit:
            last = [at, *found[limit - 1][0]]
            meta["continue"] = base64.urlsafe_b64encode(json.dumps(last).encode()).decode()
            meta["remainingItemCount"] = len(found) - limit
        items = [copy.deepcopy(_partial(o) if partial else o) for _, o in found[:limit]]
    if resource == PODS and not partial:  # typed lists leave these out of their items
        items = [{k: v for k, v in item.items() if k not in ("apiVersion", "kind")} for item in items]
    found_kind = _RESOURCES[resource]
    api_version, kind = found_kind.api_version, found_kind.kind
    if partial:
        api_version, kind = "meta.k8s.io/v1", "PartialObjectMetadata"
    return {"apiVersion": api_version, "kind": f"{kind}List", "metadata": meta, "items": items}


def _create(
    api: APIServer,
    resource: str,
    namespace: str,
    content: dict[str, Any],
    user: str,
    groups: tuple[str, ...],
) -> dict[str, Any]:
    kind, meta = _RESOURCES[resource], content.setdefault("metadata", {})
    if (content.get("apiVersion"), content.get("kind")) != (kind.api_version, kind.kind):
        raise Refusal(400, f"the object provided is unrecognized (must be of type {kind.kind})")
    if meta.get("namespace", namespace) != namespace:
        raise Refusal(400, "the namespace of the provided object does not match the namespace sent")
    if not meta.get("name"):
        if not meta.get("generateName"):
            raise Refusal(422, "metadata.name: Required value: name or generateName is required")
        meta["name"] = f"{meta['generateName']}{api.version:05x}"
    if resource == CSRS:
        content["spec"] |= {"username": user, "groups": list(groups)}
    if (namespace, meta["name"]) in api.objects[resource]:
        raise Refusal(409, f'{resource} "{meta["name"]}" already exists')
    if namespace:
        meta["namespace"] = namespace
    api.check(resource, content)
    return api.put(resource, content)


def _evict(api: APIServer, key: Key, content: dict[str, Any]) -> None:
    if (content.get("apiVersion"), content.get("kind")) != ("policy/v1", "Eviction"):
        raise Refusal(400, "the object provided is unrecognized (must be of type Eviction)")
    if (content["metadata"]["namespace"], content["metadata"]["name"]) != key:
        raise Refusal(400, "name in URL does not match name in Eviction object")
    pod = _current(api, PODS, key)
    uid = ((content.get("deleteOptions") or {}).get("preconditions") or {}).get("uid")
    if uid is not None and uid != pod["metadata"]["uid"]:
        raise Refusal(409, f"the UID in the precondition ({uid}) does not match the UID in record")
    if key in api.budgets:
        raise Refusal(429, "Cannot evict pod as it would violate the pod's disruption budget.")
    api.delete(PODS, *key)


def _check_event(manifest: dict[str, Any]) -> None:
    """As the apiserver does for events without ``eventTime``."""
    involved = manifest.get("involvedObject") or {}
    namespace = manifest["metadata"]["namespace"]
    if (involved.get("namespace") or "default") != namespace:
        raise Refusal(422, "involvedObject.namespace: Invalid value: does not match event.namespace")
    for name in ("reason", "message"):
        if not isinstance(manifest.get(name), str):
            raise Refusal(400, f"{name}: expected a string")
    for name in ("firstTimestamp", "lastTimestamp"):
        try:
            time.strptime(manifest[name], "%Y-%m-%dT%H:%M:%SZ")
        except (KeyError, ValueError) as error:
            raise Refusal(400, f"{name}: {error}") from None


def _check_csr(manifest: dict[str, Any]) -> None:
    spec = manifest["spec"]
    try:
        text = base64.b64decode(spec["request"], validate=True).decode()
    except (KeyError, ValueError) as error:
        raise Refusal(400, f"spec.request: {error}") from None
    if not text.startswith("-----BEGIN CERTIFICATE REQUEST-----"):
        raise Refusal(422, "spec.request: Invalid value: PEM block type must be CERTIFICATE REQUEST")
    if not spec.get("usages") or not spec.get("signerName"):
        raise Refusal(422, "spec: usages and signerName are required")
    if spec.get("expirationSeconds", 600) < 600:
        raise Refusal(422, "spec.expirationSeconds: Invalid value: may not specify a duration less than 600")


def _write(api: APIServer, verb: str, resource: str, key: Key, sub: str, content: dict[str, Any]) -> None:
    current = _current(api, resource, key)
    given = content.get("metadata") or {}
    if verb == "update":
        if (given.get("namespace", ""), given.get("name")) != key:
            raise Refusal(400, "the name of the object does not match the name on the URL")
        if not given.get("resourceVersion"):
            raise Refusal(422, "metadata.resourceVersion: Invalid value: must be specified for an update")
    if given.get("uid", current["metadata"]["uid"]) != current["metadata"]["uid"]:
        code = api.uid_conflict_status if verb == "patch" else 409
        raise Refusal(
            code,
            f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: "
            f"{current['metadata']['uid']}",
        )
    if (
        given.get("resourceVersion", current["metadata"]["resourceVersion"])
        != current["metadata"]["resourceVersion"]
    ):
        raise Refusal(409, "the object has been modified; please apply your changes to the latest version")
    wanted = _merge(current, content) if verb == "patch" else copy.deepcopy(content)
    if sub == "approval":
        wanted = {
            **copy.deepcopy(current),
            "status": {**current.get("status", {}), **wanted.get("status", {})},
        }
    if sub == "status":
        # The status strategy of pods: spec stays, metadata and status may change.
        wanted["spec"] = copy.deepcopy(current["spec"])
    api.check(resource, wanted)
    annotations = wanted["metadata"].get("annotations") or {}
    if not all(isinstance(value, str) for value in annotations.values()):
        raise Refusal(
            400, "json: cannot unmarshal into Go struct field ObjectMeta.metadata.annotations of type string"
        )
    wanted["metadata"]["uid"] = current["metadata"]["uid"]
    api._record(resource, "MODIFIED", key, wanted)


def _current(api: APIServer, resource: str, key: Key) -> dict[str, Any]:
    current = api.objects[resource].get(key)
    if current is None:
        raise Refusal(404, f'{resource} "{key[1]}" not found')
    return current


def _merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result


def _selector(resource: str, query: dict[str, str]) -> Any:
    text = query.get("fieldSelector", "")
    if not text:
        return lambda _: True
    terms = [re.split("(!?=)", term, maxsplit=1) for term in text.split(",")]
    known = {PODS: {"spec.nodeName", "status.phase"}, SLICES: {"spec.nodeName", "spec.driver"}}.get(
        resource, set()
    )
    for name, *_ in terms:
        if name not in known:
            raise Refusal(400, f"field label not supported: {name}")

    def chosen(one: dict[str, Any]) -> bool:
        parts = ((name.split("."), relation, value) for name, relation, value in terms)
        return all(
            (one.get(part, {}).get(field, "") == value) == (relation == "=")
            for (part, field), relation, value in parts
        )

    return chosen


def _partial(manifest: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": manifest["metadata"]}


def _status(code: int, message: str) -> dict[str, Any]:
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": _REASONS.get(code, "Unknown"), "code": code,
    }  # fmt: skip


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]

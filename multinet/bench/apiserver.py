"""A small Kubernetes apiserver that counts: what a call costs a cluster, and the daemon's memory with one.

It knows what multinet uses: list, watch and get of pods and NetworkAttachmentDefinitions, the patch of a pod's
status, and events, which it takes and forgets. No TLS, no RBAC: neither changes what is asked.
"""

from __future__ import annotations

import json
import queue
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from multinet.adapters.netns import Netns
from multinet.bench.ours import Objects

__all__ = ["ApiServer"]

_COLLECTIONS = {
    "Pod": "/api/v1/pods",
    "NetworkAttachmentDefinition": "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions",
}
_HEARTBEAT = 1.0


class ApiServer:
    """Use as a context manager; ``url`` is where it listens, on the host that it was made for."""

    def __init__(self, host: Netns, objects: Objects) -> None:
        self.lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        """By ``read``, ``write`` and ``watch``."""
        self.watches = 0
        """How many were ever begun."""
        self.watchers: dict[str, list[queue.SimpleQueue[bytes]]] = {
            path: [] for path in _COLLECTIONS.values()
        }
        self.over = False
        self._version = len(objects)
        self._collections: dict[str, dict[tuple[str, str], dict[str, Any]]] = {
            path: {} for path in _COLLECTIONS.values()
        }
        for number, one in enumerate(objects, 1):
            metadata = {**one["metadata"], "resourceVersion": str(number)}
            key = (metadata["namespace"], metadata["name"])
            self._collections[_COLLECTIONS[one["kind"]]][key] = {**one, "metadata": metadata}
        with host.entered():
            self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> ApiServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def count(self, kind: str) -> None:
        """One more request of that kind."""
        with self.lock:
            self.requests[kind] += 1

    def collection(self, path: str) -> dict[str, Any] | None:
        """The list at that path; None: there is none."""
        with self.lock:
            found = self._collections.get(path)
            if found is None:
                return None
            version = {"resourceVersion": str(self._version)}
            return {"apiVersion": "v1", "kind": "List", "metadata": version, "items": list(found.values())}

    def object(self, path: str) -> dict[str, Any] | None:
        """The object at that path."""
        collection, key = _place(path)
        with self.lock:
            return self._collections.get(collection, {}).get(key)

    def annotate(self, path: str, patch: dict[str, Any]) -> dict[str, Any] | None:
        """Lay a patch's annotations over the object's; tell the watchers."""
        collection, key = _place(path.removesuffix("/status"))
        with self.lock:
            current = self._collections.get(collection, {}).get(key)
            if current is None:
                return None
            self._version += 1
            metadata = {**current["metadata"], "resourceVersion": str(self._version)}
            metadata["annotations"] = {
                **metadata.get("annotations", {}),
                **patch["metadata"].get("annotations", {}),
            }
            new = self._collections[collection][key] = {**current, "metadata": metadata}
            line = json.dumps({"type": "MODIFIED", "object": new}).encode() + b"\n"
            for watcher in self.watchers[collection]:
                watcher.put(line)
            return new


def _place(path: str) -> tuple[str, tuple[str, str]]:
    """Collection, and namespace and name, of ``{root}/namespaces/{namespace}/{resource}/{name}``."""
    root, _, rest = path.partition("/namespaces/")
    namespace, _, below = rest.partition("/")
    resource, _, name = below.partition("/")
    return f"{root}/{resource}", (namespace, name)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: ApiServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

    def do_GET(self) -> None:
        """A list, a watch, or an object."""
        split = urlsplit(self.path)
        if "watch" in parse_qs(split.query):
            self._watch(split.path)
            return
        self.server.api.count("read")
        found = self.server.api.collection(split.path)
        self._answer(found if found is not None else self.server.api.object(split.path))

    def do_PATCH(self) -> None:
        """A pod's status."""
        self.server.api.count("write")
        self._answer(self.server.api.annotate(urlsplit(self.path).path, json.loads(self._body())))

    def do_PUT(self) -> None:
        """Not known: the patch is enough."""
        self.server.api.count("write")
        self._body()
        self._answer(None)

    def do_POST(self) -> None:
        """An event: taken, and forgotten."""
        self.server.api.count("write")
        self._answer(json.loads(self._body()))

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, found: dict[str, Any] | None) -> None:
        data = json.dumps(found or {"kind": "Status", "message": "not found", "code": 404}).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _watch(self, collection: str) -> None:
        api = self.server.api
        changes: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        with api.lock:
            api.requests["watch"] += 1
            api.watchers[collection].append(changes)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        with api.lock:
            api.watches += 1
        with suppress(OSError):  # the daemon has ended
            while not api.over:
                with suppress(queue.Empty):
                    line = changes.get(timeout=_HEARTBEAT)
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        with api.lock:
            api.watchers[collection].remove(changes)
        self.close_connection = True

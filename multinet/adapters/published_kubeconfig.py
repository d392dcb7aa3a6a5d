"""A kubeconfig out of the service account that we run with, for plugins on the node that talk to the API themselves.

Multus keeps one in ``multus.d/multus.kubeconfig``, and configurations name it (multi-network 6.3). Its token expires
when nobody renews it: so it is written again whenever kubelet rotates the token, or the authorities change.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from base64 import b64encode

from multinet.adapters.kubernetes_config import BadCredentials, KubernetesConfig
from multinet.cni.errors import InvalidConfig

__all__ = ["PublishedKubeconfig"]

log = logging.getLogger(__name__)

_TEMPLATE = """\
apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: multus
  user:
    token: {token}
contexts:
- name: multus-context
  context:
    cluster: local
    user: multus
current-context: multus-context
"""


class PublishedKubeconfig:
    """Keeps the file; one thread. It stays when we end: those who use it are not ours to stop."""

    def __init__(self, config: KubernetesConfig, path: str, every: float = 10.0) -> None:
        """``every``: seconds between looks at the service account; kubelet rotates a token long before it ends.

        Raises InvalidConfig where there is no service account: a kubeconfig's credentials aren't handed on.
        """
        if config.kubeconfig:
            raise InvalidConfig(
                "$.publishKubeconfig", "needs the service account of a pod; with a kubeconfig, name that one"
            )
        self._config = config
        self._path = path
        self._every = every
        self._written = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubeconfig", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End, if it has begun."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def refresh(self) -> bool:
        """Write the file if it isn't as it should be; whether it was written. Raises BadCredentials, OSError."""
        text = self._text()
        if text == self._written and os.path.exists(self._path):
            return False
        try:
            with open(self._path, encoding="utf-8") as file:
                same = file.read() == text
        except (OSError, UnicodeDecodeError):
            same = False
        if not same:
            _replace(self._path, text)
        self._written = text
        return not same

    def _run(self) -> None:
        last = ""
        while True:
            problem = ""
            try:
                if self.refresh():
                    log.info("wrote %s", self._path)
            except (BadCredentials, OSError) as error:
                problem = f"{self._path} is not up to date: {error}"
            if problem and problem != last:
                log.warning("%s", problem)
            last = problem
            if self._closing.wait(self._every):
                return

    def _text(self) -> str:
        folder = self._config.service_account
        token_file = os.path.join(folder, "token")
        authority_file = self._config.api_ca or os.path.join(folder, "ca.crt")
        try:
            with open(token_file, encoding="utf-8") as file:
                token = file.read().strip()
            with open(authority_file, "rb") as certificates:
                authority = certificates.read()
        except (OSError, UnicodeDecodeError) as error:
            raise BadCredentials(f"service account in {folder}: {error}") from error
        for name, content in ((token_file, token), (authority_file, authority)):
            if not content:
                raise BadCredentials(f"{name} is empty")
        return _TEMPLATE.format(
            server=json.dumps(self._config.api_server or _service()),
            authority=b64encode(authority).decode(),
            token=json.dumps(token),
        )


def _service() -> str:
    """The API's address as a pod is told it. Raises BadCredentials."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    if not host or not port:
        raise BadCredentials("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both set")
    protocol = os.environ.get("KUBERNETES_SERVICE_PROTOCOL") or "https"
    return f"{protocol}://{f'[{host}]' if ':' in host else host}:{port}"


def _replace(path: str, text: str) -> None:
    """A reader sees the old file or the new one, also after a loss of power; only root reads it."""
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, 0o755, exist_ok=True)
    new = f"{path}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)  # one that was left from an earlier try keeps its mode otherwise
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

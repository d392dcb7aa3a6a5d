"""Where the Kubernetes API is and who we are there, read again whenever a file of it changes."""

from __future__ import annotations

import os
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from multinet.cni.errors import InvalidConfig

__all__ = ["BadCredentials", "Connection", "KubernetesConfig", "connect", "require_way_in"]

_SERVICE_ENV = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")

_SETTLED_NS = 100_000_000
"""A file that changed less than this before it was read may have been changed again while it was read."""


class KubernetesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the API, and the limits to keep there. Times in seconds."""

    node: str
    """This node's name: only its pods are watched."""
    kubeconfig: str = ""
    """File (several are joined by ``:``); "": the service account of the pod we run in."""
    api_server: str = ""
    """URL of the API in place of the one that kubeconfig or environment give: where the service address isn't
    served yet, or there are several."""
    api_ca: str = ""
    """File of certificate authorities for ``api_server``, in place of the others."""
    client_certificate: str = ""
    """File with certificate and key (PEM) that we are known by, in place of all other credentials."""
    context: str = ""
    """Context of the kubeconfig; "": its current one."""
    service_account: str = "/var/run/secrets/kubernetes.io/serviceaccount"
    """Directory of ``token`` and ``ca.crt``."""
    request_timeout: float = 5.0
    """For one try of one request; a call may try several times within its own timeout."""
    list_timeout: float = 30.0
    """For one page of a list."""
    page: int = 500
    """Objects a page."""
    connections: int = 8
    """Requests at once, and connections kept open; the two watches have their own beside them."""
    pod_patience: float = 0.25
    """How long a pod that isn't in memory yet is awaited there before the apiserver is asked for it."""
    mirror_patience: float = 2.5
    """The same for a pod that may be a static one: kubelet may be about to make its mirror pod."""
    watch_seconds: int = 300
    """A watch is asked to end between this and twice this, at random: so load spreads over apiservers."""
    retry_base: float = 0.5
    """First ceiling of a watch's backoff."""
    retry_cap: float = 30.0
    """Last ceiling of a watch's backoff."""


class BadCredentials(Exception):
    """The files that say where the API is, or who we are, can't be read or make no sense (yet)."""


class Connection:
    """One reading of the configuration, with the connection pool made from it."""

    def __init__(self, configuration: Any, files: tuple[str, ...], began: int) -> None:
        from kubernetes.client.rest import RESTClientObject

        self._files = files
        self._seen = _signatures(files)
        now = time.time_ns()
        self._settled = not any(mark and began - _SETTLED_NS <= mark[0] <= now for mark in self._seen)
        self._configuration = configuration
        self.host: str = configuration.host
        self.rest = RESTClientObject(configuration)

    def outdated(self) -> bool:
        """Whether a file has changed since it was read: a token or certificate was rotated."""
        return not self._settled or _signatures(self._files) != self._seen

    def authorization(self) -> str | None:
        """The ``Authorization`` header; a kubeconfig's ``exec`` plugin runs here when its token expired."""
        token = self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return str(token).strip() if token else None  # token files may end in a newline


def require_way_in(config: KubernetesConfig) -> None:
    """Raises InvalidConfig when neither a kubeconfig nor a pod's environment says where the API is.

    Files aren't looked at: they may appear, or become whole, later.
    """
    if config.kubeconfig or config.api_server:
        return
    if not all(os.environ.get(name) for name in _SERVICE_ENV):
        raise InvalidConfig(
            "$.kubeconfig",
            "no way to the Kubernetes API: set it to a kubeconfig file, or run in a pod with a service "
            f"account ({' and '.join(_SERVICE_ENV)} are not both set)",
        )


def connect(config: KubernetesConfig) -> Connection:
    """Read the configuration; no request is made. Raises BadCredentials."""
    # 35 MB of memory and 0.2 s that only a process with a Kubernetes API should pay for
    from kubernetes.client import Configuration

    began = time.time_ns()
    configuration = Configuration()
    files = _from_kubeconfig(config, configuration) if config.kubeconfig else _in_pod(config, configuration)
    files += _replaced(config, configuration)
    _require_readable(configuration)
    # Repeating is decided above this layer, where the deadline is known; redirects are never meant.
    configuration.retries = False
    configuration.connection_pool_maxsize = config.connections
    configuration.socket_options = _socket_options()
    return Connection(configuration, files, began)


def _in_pod(config: KubernetesConfig, configuration: Any) -> tuple[str, ...]:
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.config.incluster_config import InClusterConfigLoader

    token = os.path.join(config.service_account, "token")
    authority = os.path.join(config.service_account, "ca.crt")
    try:
        # The package's own refresh looks once a minute; ours sees a rotation at the next request.
        loader: Any = InClusterConfigLoader
        environment = _service_at(config.api_server) if config.api_server else os.environ
        loader(token, authority, try_refresh_token=False, environ=environment).load_and_set(configuration)
    except (ConfigException, OSError, ValueError) as error:
        raise BadCredentials(f"service account in {config.service_account}: {error}") from error
    return token, authority


def _service_at(url: str) -> dict[str, str]:
    """The environment of a pod whose API is there. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f'"{url}" is no URL of an API: expected https://HOST:PORT')
    return dict(zip(_SERVICE_ENV, (parts.hostname, str(parts.port or 443)), strict=True))


def _replaced(config: KubernetesConfig, configuration: Any) -> tuple[str, ...]:
    """Let what the options say count before what was found; the files of it."""
    if config.api_server:
        configuration.host = config.api_server.rstrip("/")
    if config.api_ca:
        configuration.ssl_ca_cert = config.api_ca
    if config.client_certificate:
        configuration.api_key, configuration.api_key_prefix = {}, {}
        configuration.refresh_api_key_hook = None
        configuration.cert_file = configuration.key_file = config.client_certificate
    return tuple(filter(None, (config.api_ca, config.client_certificate)))


def _require_readable(configuration: Any) -> None:
    """Certificates are read at each connection: one caught in the making is better found before. Raises
    BadCredentials."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    faulty = configuration.cert_file
    try:
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        if configuration.ssl_ca_cert:
            faulty = configuration.ssl_ca_cert
            context.load_verify_locations(configuration.ssl_ca_cert)
    except OSError as error:  # SSLError is one, too
        raise BadCredentials(f"{faulty}: {error.strerror or error}") from error


def _from_kubeconfig(config: KubernetesConfig, configuration: Any) -> tuple[str, ...]:
    import yaml
    from kubernetes.config import ConfigException, load_kube_config

    load: Any = load_kube_config
    sources = tuple(path for path in config.kubeconfig.split(os.pathsep) if path)
    try:
        load(
            config_file=config.kubeconfig,
            context=config.context or None,
            client_configuration=configuration,
            persist_config=False,
        )
        tokens = _token_files(sources)
    except (ConfigException, OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise BadCredentials(
            f"failed to get context for the kubeconfig {config.kubeconfig}: {error}"
        ) from error
    given = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    return (*sources, *tokens, *(path for path in given if path))


def _token_files(sources: tuple[str, ...]) -> list[str]:
    """The files that users of the kubeconfig take their tokens from: the loaded configuration hides them."""
    import yaml

    found: list[str] = []
    for source in filter(os.path.exists, sources):
        with open(source) as file:
            users = (yaml.safe_load(file) or {}).get("users") or []
        named = [(user.get("user") or {}).get("tokenFile") for user in users]
        found += [os.path.join(os.path.dirname(source), path) for path in named if path]
    return found


def _signatures(files: tuple[str, ...]) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(map(_signature, files))


def _signature(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ctime_ns, found.st_size, found.st_ino


def _socket_options() -> list[tuple[int, int, int]]:
    """Keep-alive probes that find a lost connection in about 30 s: a watch would wait on it for minutes."""
    import socket

    from kubernetes.utils import tcp_keepalive_socket_options

    options: list[tuple[int, int, int]] = tcp_keepalive_socket_options(idle=15, interval=5, count=3)
    return [*options, (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)]

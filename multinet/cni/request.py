"""What a plugin is asked: environment and standard input together, checked in the order of the skeleton.

Order: environment (presence, container id, interface name), standard input, JSON, network name, version,
verb.
Source: CNI specification 1.1.0, "Section 2"; texts, codes and order as the Go library's ``skel``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from multinet.cni import jsontext
from multinet.cni.errors import CNIError, Code
from multinet.cni.invocation import Invocation, require_verb
from multinet.cni.names import validate_network_name
from multinet.cni.repeated_keys import require_distinct_sysctls
from multinet.cni.versions import LATEST, at_least, require_supported

__all__ = ["Request", "read_request", "require_other_netns", "require_verb_allowed"]

_SINCE = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}
"""The version of the configuration that a verb needs."""


class Request(msgspec.Struct, frozen=True):
    """One call of a plugin, found valid. For VERSION there is no configuration, and none is read."""

    invocation: Invocation
    conf: dict[str, Any]
    cni_version: str
    """The configuration's version, in its usual spelling; results are printed in it."""


def read_request(env: Mapping[str, str], read_stdin: Callable[[], bytes]) -> Request:
    """The call described by the environment and by what ``read_stdin`` gives.

    Raises CNIError: code 4 or 3 (environment), 5 (standard input), 6 (JSON), 7 (name, a sysctl twice), 1 (version).
    """
    invocation = Invocation.before_verb(env)
    if invocation.command == "VERSION":
        return Request(invocation, {}, LATEST)
    try:
        data = read_stdin()
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise CNIError(Code.IO_FAILURE, f"error reading from stdin: {reason}") from None
    conf = _decoded(data)
    validate_network_name(_text(conf, "name"))
    version = require_supported(_text(conf, "cniVersion"))
    require_verb(invocation.command)
    require_verb_allowed(invocation.command, version)
    if invocation.command in ("ADD", "CHECK"):
        require_distinct_sysctls(data)
    return Request(invocation, conf, version)


def require_verb_allowed(verb: str, version: str) -> None:
    """Raises CNIError code 1 when a configuration of ``version`` doesn't know the verb."""
    if verb in _SINCE and not at_least(version, _SINCE[verb]):
        raise CNIError(
            Code.INCOMPATIBLE_VERSION,
            f"config version does not allow {verb}",
            f'config is "{version}", {verb} needs {_SINCE[verb]} or newer',
        )


def require_other_netns(netns: str, env: Mapping[str, str]) -> None:
    """Refuse to work on the caller's own namespace, unless ``CNI_NETNS_OVERRIDE`` is ``1`` or ``true``.

    Namespaces are compared by inode, whatever paths lead to them; one that isn't there is another one. The
    reference skeleton looks after the work is done; ask before it. Raises CNIError code 8.
    """
    if not netns or env.get("CNI_NETNS_OVERRIDE", "").lower() in ("1", "true"):
        return
    try:
        other = os.stat(netns)
    except (OSError, ValueError):
        return
    own = os.stat("/proc/thread-self/ns/net")
    if (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino):
        raise CNIError(
            Code.INVALID_NETNS,
            "plugin's netns and netns from CNI_NETNS should not be the same",
            f'CNI_NETNS is "{netns}"; set CNI_NETNS_OVERRIDE=1 if that is meant',
        )


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        conf = jsontext.decode(data)
    except jsontext.MalformedJSON as error:
        raise CNIError(Code.DECODING_FAILURE, f"error unmarshall network config: {error}") from None
    if not isinstance(conf, dict):
        raise _wrong("$", "an object", conf)
    return conf


def _text(conf: dict[str, Any], key: str) -> str:
    value = conf.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(f"$.{key}", "str", value)
    return value


def _wrong(path: str, expected: str, value: object) -> CNIError:
    return CNIError(
        Code.DECODING_FAILURE,
        f"error unmarshall network config: {path}: expected {expected}, got {type(value).__name__}",
    )

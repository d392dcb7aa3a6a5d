"""What a request to Multus' daemon says: the runtime's environment, the configuration, requests of an interface.

Source: ``pkg/server/api`` of multus-cni 4; texts of the faults are its own, since callers log and match them.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, Code
from multinet.npwg.element_rules import faults
from multinet.npwg.network_selection import NetworkSelection
from multinet.wire.message import INPUT_LIMIT, Request, is_forwarded

VERBS_OF_CNI = frozenset({"ADD", "CHECK", "DEL", "GC", "STATUS"})
VERBS_OF_DELEGATE = frozenset({"ADD", "CHECK", "DEL", "STATUS"})

_ENVIRONMENT = "could not extract the CNI command args: "
_RUNTIME = "could not extract the kubernetes runtime args: "
_OF_A_RUNNING_POD = frozenset({"ADD", "CHECK"})
_OF_A_NODE = frozenset({"GC", "STATUS"})


class _Body(msgspec.Struct):
    env: dict[str, str]
    config: str | None = None
    attributes: dict[str, Any] | None = msgspec.field(name="interfaceAttributes", default=None)


_BODY = msgspec.json.Decoder(_Body)
_ATTRIBUTES = "$.interfaceAttributes"


class _Attributes(msgspec.Struct):
    ips: tuple[str, ...] = ()
    mac: str = ""
    cni_args: dict[str, Any] = msgspec.field(name="cni-args", default_factory=dict)


class Message(msgspec.Struct, frozen=True):
    """A request, found valid."""

    env: Mapping[str, str]
    config: bytes
    """Standard input of the shim: JSON, not looked at."""
    attributes: Mapping[str, Any]
    """``interfaceAttributes``: what the interface to plug in shall have."""

    @property
    def verb(self) -> str:
        """``CNI_COMMAND``."""
        return self.env["CNI_COMMAND"]

    def wire_request(self, program: str, bin_dir: str) -> Request:
        """The same call as our own shim would send it; ``bin_dir`` is searched when the caller names no folder."""
        env = {key: value for key, value in self.env.items() if is_forwarded(key)}
        env["CNI_IFNAME"] = env.get("CNI_IFNAME") or "eth0"
        env["CNI_PATH"] = env.get("CNI_PATH") or bin_dir
        return Request(program, env, self.config)

    @property
    def selection(self) -> NetworkSelection:
        """The attributes as an element of a pod's annotation has them. Raises CNIError code 7."""
        asked = convert(self.attributes, _Attributes, _ATTRIBUTES)
        element = NetworkSelection(
            name="delegate",  # of no NetworkAttachmentDefinition that we know of
            interface=self.env.get("CNI_IFNAME") or "eth0",
            ips=asked.ips,
            mac=asked.mac,
            cni_args=asked.cni_args,
        )
        problems = list(faults(element, _ATTRIBUTES))
        if problems:
            raise CNIError(Code.INVALID_CONFIG, "; ".join(problems))
        return element


def read(body: bytes, verbs: frozenset[str]) -> Message:
    """The message in a request's body. Raises CNIError: code 6 (no JSON, no base64), 4 (the environment)."""
    try:
        given = _BODY.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CNIError(Code.DECODING_FAILURE, f"failed to decode the request: {error}") from None
    _check_environment(given.env, verbs)
    return Message(given.env, _config(given.config or ""), given.attributes or {})


def _config(text: str) -> bytes:
    try:
        config = b64decode(text, validate=True)
    except ValueError as error:
        raise CNIError(Code.DECODING_FAILURE, f"$.config: no base64: {error}") from None
    if len(config) > INPUT_LIMIT:
        raise CNIError(
            Code.DECODING_FAILURE, f"$.config: {len(config)} bytes of configuration exceed {INPUT_LIMIT}"
        )
    return config


def _check_environment(env: Mapping[str, str], verbs: frozenset[str]) -> None:
    """What Multus insists on; a DEL is content with a container, since what isn't removed is lost for ever."""
    verb = env.get("CNI_COMMAND")
    if not verb:
        raise _fault(f"{_ENVIRONMENT}unexpected or missing CNI_COMMAND")
    if verb not in verbs:
        raise _fault(f"unknown cmd type: {verb}")
    if verb in _OF_A_NODE:
        return
    wanted = (
        ("CNI_CONTAINERID", "CNI_NETNS", "CNI_ARGS") if verb in _OF_A_RUNNING_POD else ("CNI_CONTAINERID",)
    )
    for name in wanted:
        if name not in env:
            raise _fault(f"{_ENVIRONMENT}missing {name}")
    if verb in _OF_A_RUNNING_POD:
        _check_arguments(env["CNI_ARGS"])


def _check_arguments(text: str) -> None:
    args: dict[str, str] = {}
    for pair in text.split(";"):
        if pair.count("=") != 1:
            raise _fault(f"{_RUNTIME}invalid CNI_ARG '{pair}'")
        key, value = pair.split("=")
        args[key] = value
    for name in ("K8S_POD_NAMESPACE", "K8S_POD_NAME"):
        if name not in args:
            raise _fault(f"{_RUNTIME}missing {name}")


def _fault(text: str) -> CNIError:
    return CNIError(Code.INVALID_ENVIRONMENT, text)

"""The pod sandboxes that a container runtime has, asked over its CRI socket.

Source: Kubernetes' container runtime interface (runtime.v1). Where the namespace is, CRI itself doesn't say: it is
in the verbose status, whose ``info`` is each runtime's own (containerd: ``runtimeSpec`` beside other things;
CRI-O the same under the same name). Both hold the OCI runtime specification, which is what is read here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from multinet.adapters.grpc_unix import Channel, RpcError, Status
from multinet.adapters.protobuf import MalformedMessage, Number, decode, encode
from multinet.ports import PodSandbox, RuntimeUnavailable

__all__ = ["DEFAULT_SOCKETS", "CriSandboxes", "default_socket"]

DEFAULT_SOCKETS = (
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
)
"""Where runtimes serve, in the order in which they are looked for."""

_SERVICE = "/runtime.v1.RuntimeService"
_READY = 0


class _Metadata(msgspec.Struct, frozen=True):
    name: Annotated[str, Number(1)] = ""
    uid: Annotated[str, Number(2)] = ""
    namespace: Annotated[str, Number(3)] = ""


class _ListRequest(msgspec.Struct, frozen=True):
    """Without a filter: all."""


class _Listed(msgspec.Struct, frozen=True):
    id: Annotated[str, Number(1)] = ""
    metadata: Annotated[_Metadata | None, Number(2)] = None
    state: Annotated[int, Number(3)] = _READY


class _ListAnswer(msgspec.Struct, frozen=True):
    items: Annotated[tuple[_Listed, ...], Number(1)] = ()


class _StatusRequest(msgspec.Struct, frozen=True):
    pod_sandbox_id: Annotated[str, Number(1)] = ""
    verbose: Annotated[bool, Number(2)] = False


class _StatusAnswer(msgspec.Struct, frozen=True):
    info: Annotated[dict[str, str], Number(2)] = {}


class _Namespace(msgspec.Struct, frozen=True):
    type: str = ""
    path: str = ""


class _Linux(msgspec.Struct, frozen=True):
    namespaces: tuple[_Namespace, ...] = ()


class _RuntimeSpec(msgspec.Struct, frozen=True):
    """The part of the OCI runtime specification (config.json) that tells where the sandbox lives."""

    linux: _Linux = _Linux()


class _Info(msgspec.Struct, frozen=True, rename="camel"):
    runtime_spec: _RuntimeSpec | None = None


_INFO = msgspec.json.Decoder(_Info)


def default_socket(places: Sequence[str] = DEFAULT_SOCKETS) -> str:
    """The first of ``places`` that exists; if none does, the first."""
    return next(filter(os.path.exists, places), places[0])


class CriSandboxes:
    """See ports.Sandboxes."""

    def __init__(self, socket: str = "") -> None:
        """``socket`` is the runtime's; empty: whichever default there is at each call."""
        self._socket = socket

    def sandboxes(self, timeout: float = 10.0) -> list[PodSandbox]:
        """See Sandboxes.sandboxes; one request for the list, one more for each ready sandbox.

        Only ready ones have a ``netns``: what the others had is gone, or about to go.
        """
        deadline = time.monotonic() + timeout
        channel = Channel(self._socket or default_socket())
        try:
            data = channel.call(f"{_SERVICE}/ListPodSandbox", encode(_ListRequest()), timeout)
            listed = decode(data, _ListAnswer).items
            found = [_sandbox(channel, one, deadline) for one in listed]
        except RpcError as error:
            raise RuntimeUnavailable(f"the container runtime's sandboxes can't be read: {error}") from error
        except (MalformedMessage, msgspec.DecodeError) as error:
            text = f"{channel.path}: the container runtime's answer can't be read: {error}"
            raise RuntimeUnavailable(text) from error
        return [one for one in found if one is not None]


def _sandbox(channel: Channel, listed: _Listed, deadline: float) -> PodSandbox | None:
    """The sandbox with its namespace; None if it went between the two questions."""
    who = listed.metadata or _Metadata()
    ready = listed.state == _READY
    netns = ""
    if ready:
        request = encode(_StatusRequest(pod_sandbox_id=listed.id, verbose=True))
        left = max(0.001, deadline - time.monotonic())
        try:
            data = channel.call(f"{_SERVICE}/PodSandboxStatus", request, left)
        except RpcError as error:
            if error.code == Status.NOT_FOUND:
                return None
            raise
        said = _netns(decode(data, _StatusAnswer).info)
        if said is None:
            raise RuntimeUnavailable(
                f"{channel.path}: the container runtime doesn't say in which network namespace the sandbox of "
                f'pod {who.namespace}/{who.name} is: its verbose status has no "runtimeSpec"'
            )
        netns = said
    return PodSandbox(
        container_id=listed.id, namespace=who.namespace, name=who.name, uid=who.uid, ready=ready, netns=netns
    )


def _netns(info: Mapping[str, str]) -> str | None:
    """The path of the sandbox's network namespace in the verbose status; empty: the host's own; None: not said."""
    spec = _INFO.decode(info.get("info", "{}")).runtime_spec
    if spec is None:
        return None
    return next((one.path for one in spec.linux.namespaces if one.type == "network"), "")

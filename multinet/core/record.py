"""What is remembered of one attachment from ADD to DEL: enough to check, repair and remove it without any API."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from multinet.cni.result import Result
from multinet.core.desired import AnyItem, Owner

Phase = Literal["adding", "ready", "deleting"]


class AttachmentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One attachment of one container; the pair of container id and interface name is its key."""

    container_id: str
    ifname: str
    position: int
    """Place in the pod's plan; the default network's is 0."""
    name: str
    """Display name: ``namespace/name`` of the definition, else the configuration's name."""
    network: bytes
    """The network's configuration as ADD used it, JSON; DEL uses no other."""
    network_name: str
    phase: Phase = "adding"
    pod_namespace: str = ""
    pod_name: str = ""
    pod_uid: str = ""
    netns: str = ""
    netns_identity: tuple[int, int] = (0, 0)
    """Device and inode of the namespace, since a path can come to mean another one."""
    args: str = ""
    """``CNI_ARGS`` of the attachment's plugins."""
    path: tuple[str, ...] = ()
    capability_args: dict[str, Any] = {}
    resource_name: str = ""
    """The extended resource that ``device_id`` is one of."""
    device_id: str = ""
    """The device that it was given; no other pod gets it while the attachment is there."""
    default_route: tuple[str, ...] | None = None
    applied: dict[str, tuple[AnyItem, ...]] = {}
    """Place and type of a plugin in its network (``0:bridge``) → what the engine applied for it; external plugins
    have none.
    """
    result: dict[str, Any] | None = None
    """The network's result in its own version; None until ADD is done."""
    foreign: bool = False
    """Made by other executables before multinet came to the node; nothing of it carries our marks."""
    created: float = 0.0
    """Unix time, seconds."""
    failure: str = ""
    """Why the last try to remove it failed; empty when none has."""

    @property
    def owner(self) -> Owner:
        """The identity that everything of it carries in the kernel."""
        return Owner(self.network_name, self.container_id, self.ifname)

    @property
    def pod(self) -> str:
        """``namespace/name`` of the pod, empty when the runtime named none."""
        return f"{self.pod_namespace}/{self.pod_name}" if self.pod_name else ""

    def parsed_result(self) -> Result:
        """The result as a value; empty when there is none yet."""
        return Result.from_json(self.result, "1.1.0") if self.result else Result()

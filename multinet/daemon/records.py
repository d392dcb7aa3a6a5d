"""From a planned attachment to the record that follows it from ADD to DEL."""

from __future__ import annotations

import time
from typing import Any

from multinet.cni.conf import NetworkList
from multinet.core.planned import PlannedAttachment
from multinet.core.record import AttachmentRecord
from multinet.core.selection import capability_args, delegate_args
from multinet.daemon.call import Call
from multinet.daemon.networks import LoadedNetwork
from multinet.daemon.pods import POD_ANNOTATIONS
from multinet.ports import Pod


def new_record(
    planned: PlannedAttachment, loaded: LoadedNetwork, pod: Pod, call: Call, path: tuple[str, ...]
) -> AttachmentRecord:
    """All that the attachment's plugins are given, now and later; ``path`` is where executables are."""
    invocation = call.invocation
    return AttachmentRecord(
        container_id=invocation.container_id,
        ifname=planned.ifname,
        position=planned.position,
        name=loaded.name,
        network=loaded.network.raw,
        network_name=loaded.network.name,
        pod_namespace=pod.namespace,
        pod_name=pod.name,
        pod_uid=pod.uid,
        netns=invocation.netns,
        netns_identity=call.netns.identity if call.netns else (0, 0),
        args=delegate_args(invocation.args, planned, pod.uid),
        path=path,
        capability_args=capability_args(
            planned, _runtime_config(call, loaded.network), loaded.device_id, loaded.device_info_file
        ),
        resource_name=loaded.resource_name,
        device_id=loaded.device_id,
        default_route=planned.default_route,
        created=time.time(),
    )


def _runtime_config(call: Call, network: NetworkList) -> dict[str, Any]:
    """What the runtime sent; the pod's annotations, which may be long, only if a plugin will be given them."""
    given = dict(call.conf.get("runtimeConfig") or {})
    declared = (plugin.get("capabilities") or {} for plugin in network.plugins)
    if not any(one.get(POD_ANNOTATIONS) is True for one in declared):
        given.pop(POD_ANNOTATIONS, None)
    return given

"""The pod that a call is for, and the status that goes back to it; faults of the cluster as CNI errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.daemon.call import Call
from multinet.npwg.selection import CONFIG_SOURCE
from multinet.ports import Cluster, ClusterUnavailable, NotFound, Pod, UIDMismatch

POD_ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
"""Capability by which a container runtime hands over the pod's annotations, as kubelet gave them to it."""


def pod_of(call: Call, cluster: Cluster) -> Pod:
    """The pod that ``CNI_ARGS`` name; a nameless one without annotations when they name none (plain runtimes).

    Where the runtime hands over the pod's annotations and its UID, the cluster isn't asked: the status is
    written under that UID, so it can't reach another pod. Without the UID it could, so then the pod is looked up.

    Raises CNIError: code 104 when the pod is gone or is another one, 106 when the cluster doesn't answer, 7 for
    annotations that are no map of texts.
    """
    named = named_pod(call)
    if not named.name:
        return named
    given = _annotations(call.conf)
    if given is not None and named.uid:
        return Pod(
            namespace=named.namespace,
            name=named.name,
            uid=named.uid,
            annotations=given,
            static=given.get(CONFIG_SOURCE, "api") != "api",
        )
    who = f"Multus: [{named.namespace}/{named.name}/{named.uid}]: "
    try:
        return cluster.pod(named.namespace, named.name, named.uid, call.cluster_time())
    except NotFound as error:
        raise CNIError(
            Code.POD, f"{who}{error}: it was deleted, or was never created in this cluster"
        ) from None
    except UIDMismatch as error:
        text = f'expected pod UID "{error.want}" but got "{error.got}" from Kube API'
        raise CNIError(Code.POD, f"{who}{text}") from None
    except ClusterUnavailable as error:
        raise CNIError(Code.CLUSTER, f"{who}error waiting for pod: {error}") from None


def named_pod(call: Call) -> Pod:
    """The pod as ``CNI_ARGS`` alone name it, with no look-up; nameless when they name none."""
    args = call.args
    return Pod(
        namespace=args.get("K8S_POD_NAMESPACE", ""),
        name=args.get("K8S_POD_NAME", ""),
        uid=args.get("K8S_POD_UID", ""),
    )


def publish(cluster: Cluster, pod: Pod, status: str, call: Call) -> bool:
    """Write the network-status; false if the cluster has no such pod (any more, or yet).

    Raises CNIError: code 104 when it is another pod by now, 106 when the cluster doesn't take it.
    """
    if not pod.name:
        return True
    who = f"Multus: [{pod.namespace}/{pod.name}/{pod.uid}]: error setting the networks status: "
    try:
        cluster.publish_status(pod, status, call.cluster_time())
    except NotFound:
        return False
    except UIDMismatch as error:
        raise CNIError(Code.POD, f"{who}SetNetworkStatus: {error} from Kube API") from None
    except ClusterUnavailable as error:
        raise CNIError(Code.CLUSTER, f"{who}{error}") from None
    return True


def _annotations(conf: Mapping[str, Any]) -> Mapping[str, str] | None:
    """What the runtime handed over; None when it handed over nothing."""
    runtime = conf.get("runtimeConfig")
    given = runtime.get(POD_ANNOTATIONS) if isinstance(runtime, Mapping) else None
    if given is None:
        return None
    path = f'$.runtimeConfig["{POD_ANNOTATIONS}"]'
    if not isinstance(given, Mapping):
        raise InvalidConfig(path, f"expected an object, got {type(given).__name__}")
    for key, value in given.items():
        if not isinstance(value, str):
            raise InvalidConfig(f'{path}["{key}"]', f"expected a string, got {type(value).__name__}")
    return given

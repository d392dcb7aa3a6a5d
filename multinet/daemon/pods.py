"""The pod that a call is for, and the status that goes back to it; faults of the cluster as CNI errors."""

from __future__ import annotations

from contextlib import suppress

from multinet.cni.errors import CNIError, Code
from multinet.daemon.call import Call
from multinet.ports import Cluster, ClusterUnavailable, NotFound, Pod, UIDMismatch


def pod_of(call: Call, cluster: Cluster) -> Pod:
    """The pod that ``CNI_ARGS`` name; a nameless one without annotations when they name none (plain runtimes).

    Raises CNIError: code 104 when the pod is gone or is another one, 106 when the cluster doesn't answer.
    """
    args = call.args
    name, namespace = args.get("K8S_POD_NAME", ""), args.get("K8S_POD_NAMESPACE", "")
    if not name:
        return Pod(namespace=namespace, name="")
    uid = args.get("K8S_POD_UID", "")
    who = f"Multus: [{namespace}/{name}/{uid}]: "
    try:
        return cluster.pod(namespace, name, uid, call.time_left())
    except NotFound as error:
        raise CNIError(
            Code.POD, f"{who}{error}: it was deleted, or was never created in this cluster"
        ) from None
    except UIDMismatch as error:
        raise CNIError(Code.POD, f"{who}{error} from Kube API") from None
    except ClusterUnavailable as error:
        raise CNIError(Code.CLUSTER, f"{who}error waiting for pod: {error}") from None


def publish(cluster: Cluster, pod: Pod, status: str, call: Call) -> None:
    """Write the network-status; a pod that has vanished meanwhile needs none.

    Raises CNIError: code 104 when it is another pod by now, 106 when the cluster doesn't take it.
    """
    if not pod.name:
        return
    who = f"Multus: [{pod.namespace}/{pod.name}/{pod.uid}]: error setting the networks status: "
    try:
        with suppress(NotFound):
            cluster.publish_status(pod, status, call.time_left())
    except UIDMismatch as error:
        raise CNIError(Code.POD, f"{who}SetNetworkStatus: {error} from Kube API") from None
    except ClusterUnavailable as error:
        raise CNIError(Code.CLUSTER, f"{who}{error}") from None

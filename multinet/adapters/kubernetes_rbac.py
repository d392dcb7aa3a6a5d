"""What multinet may do in a Kubernetes cluster, and why: the one list that roles are made from.

Nothing else is ever asked of the apiserver; the tests' apiserver refuses what isn't here.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["ROLES", "Rule", "granted"]


class Rule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One rule of a ClusterRole."""

    group: str = ""
    """API group; "" is the core's."""
    resource: str
    """With its subresource, as RBAC has it: ``pods/status``."""
    verbs: tuple[str, ...]
    reason: str
    """What it is needed for."""
    names: tuple[str, ...] = ()
    """``resourceNames``: only these objects."""


_CERTIFICATES = "certificates.k8s.io"
_REQUESTS = "certificatesigningrequests"

ROLES: Mapping[str, tuple[Rule, ...]] = {
    "daemon": (
        Rule(resource="pods", verbs=("get", "list", "watch"), reason="annotations of this node's pods"),
        Rule(resource="pods/status", verbs=("patch",), reason="the network-status annotation"),
        Rule(
            group="k8s.cni.cncf.io",
            resource="network-attachment-definitions",
            verbs=("get", "list", "watch"),
            reason="the networks that pods ask for",
        ),
        Rule(resource="events", verbs=("create", "patch"), reason="why a pod could not be attached"),
    ),
    "devices": (
        Rule(resource="pods", verbs=("get",), reason="the pod's resource claims"),
        Rule(
            group="resource.k8s.io",
            resource="resourceclaims",
            verbs=("get",),
            reason="which devices DRA gave to the pod",
        ),
        Rule(
            group="resource.k8s.io",
            resource="resourceslices",
            verbs=("list",),
            reason="which devices of the node those are",
        ),
    ),
    "taint": (
        Rule(resource="nodes", verbs=("get", "patch"), reason="taking a taint off once the node is ready"),
    ),
    "eviction": (
        Rule(resource="pods/eviction", verbs=("create",), reason="pods that run without their interfaces"),
    ),
    "certificate": (
        Rule(
            group=_CERTIFICATES,
            resource=_REQUESTS,
            verbs=("create", "get"),
            reason="a client certificate of the node's own",
        ),
    ),
    "approver": (
        Rule(
            group=_CERTIFICATES,
            resource=_REQUESTS,
            verbs=("get", "list", "watch"),
            reason="the nodes' requests",
        ),
        Rule(
            group=_CERTIFICATES,
            resource=f"{_REQUESTS}/approval",
            verbs=("update",),
            reason="the approver's word on them",
        ),
        Rule(
            group=_CERTIFICATES,
            resource="signers",
            verbs=("approve",),
            names=("kubernetes.io/kube-apiserver-client",),
            reason="asked by the apiserver of whoever approves",
        ),
        Rule(resource="events", verbs=("create",), reason="what was decided, on the request"),
    ),
}
"""Role → its rules. ``daemon`` is always needed; ``devices`` where networks take devices that DRA allocates;
``taint`` and ``eviction`` where the boot safety is to do that, ``certificate`` where nodes have certificates of their
own, ``approver`` for ``multinet approve-certificates``."""


def granted(*roles: str) -> frozenset[tuple[str, str, str]]:
    """What the roles (all by default) allow, as (group, resource, verb)."""
    rules = (rule for role in roles or ROLES for rule in ROLES[role])
    return frozenset((rule.group, rule.resource, verb) for rule in rules for verb in rule.verbs)

"""Who has the one VLAN link that a master can have for an id: asked only when the kernel refuses a second one."""

from __future__ import annotations

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.namespaces import visible_namespaces
from multinet.core.desired import Vlan
from multinet.engine.scene import Scene

_MARK = "multinet:"


def vlan_holder(item: Vlan, scene: Scene) -> str:
    """In words: whose attachment, or which link in which namespace, as far as this process can see them."""
    stack = scene.stack(item.parent_place)
    parent = stack.link(item.parent)
    if parent is None:
        return "another link"
    here = _held(stack, item.vlan_id, parent.index, elsewhere=False)
    if here:
        return f"{here} in the {item.parent_place}"
    for netns in visible_namespaces():
        with netns, NetworkStack(netns) as other:
            there = _held(other, item.vlan_id, parent.index, elsewhere=True)
            if there:
                return f"{there} in {netns.path}"
    return "a link in a network namespace that can't be seen from here"


def _held(stack: NetworkStack, vlan_id: int, parent: int, elsewhere: bool) -> str:
    """``elsewhere``: the parent's index is one of another namespace."""
    for link in stack.links():
        if (link.kind, link.vlan_id, link.parent, link.parent_elsewhere) == (
            "vlan",
            vlan_id,
            parent,
            elsewhere,
        ):
            owner = link.alias.removeprefix(_MARK) if link.alias.startswith(_MARK) else ""
            return f'attachment {owner} ("{link.name}")' if owner else f'"{link.name}"'
    return ""

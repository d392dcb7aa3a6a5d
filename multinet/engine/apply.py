"""Make the kernel what an attachment desires: few batches, in an order that never needs a second look.

1. host: links are created, each in its final namespace, under a chosen index;
2. sysctls that must be there before a link goes up;
3. host: addresses, port flags, links up; firewall rules;
4. sandbox: addresses, links up (so that the kernel announces the addresses), routes;
5. waiting: IPv6 duplicate address detection, bridge ports.
"""

from __future__ import annotations

from collections.abc import Sequence

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel import LinkInfo
from multinet.adapters.netlink import IFF_PROMISC, IFF_UP
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import (
    Address,
    AnyItem,
    Bridge,
    LinkUp,
    MacGuard,
    Macvlan,
    Masquerade,
    NoAddress,
    Place,
    Route,
    Sysctl,
    Veth,
    select,
)
from multinet.engine.creation import Indexes, create_links
from multinet.engine.scene import Scene
from multinet.engine.settle import wait_for_addresses, wait_for_ports
from multinet.engine.steps import EXISTS, GONE, Step, perform
from multinet.engine.undo import Undo


def apply(items: Sequence[AnyItem], scene: Scene, undo: Undo) -> None:
    """Bring ``items`` about; what was done is pushed on ``undo`` as it is done.

    Raises CNIError (code 100 with the object and the kernel's reason) or FactsChanged; the caller then runs
    ``undo``.
    """
    scene.proceed()
    indexes, bridges = create_links(items, scene, undo)
    _write_sysctls(select(items, Sysctl), scene)
    scene.proceed()
    _configure_host(items, scene, undo, indexes, bridges)
    rules = [item for item in items if isinstance(item, Masquerade | MacGuard)]
    if rules:
        undo.push("packet rules", lambda: scene.firewall.remove(rules))
        scene.firewall.apply(rules)
    scene.proceed()
    _configure_sandbox(items, scene, undo, indexes)
    wait_for_ports(select(items, Veth), scene, indexes)
    wait_for_addresses(select(items, Address), scene, indexes)


def _write_sysctls(sysctls: Sequence[Sysctl], scene: Scene) -> None:
    places: tuple[Place, ...] = ("host", "sandbox")
    for place in places:
        settings = [(s.key, s.value, s.tolerant) for s in sysctls if s.place == place]
        if not settings:
            continue
        try:
            scene.stack(place).write_sysctls(settings)
        except OSError as error:
            raise CNIError(
                Code.KERNEL, f"failed to write sysctl {error.filename} in the {place}: {error.strerror}"
            ) from None


def _configure_host(
    items: Sequence[AnyItem], scene: Scene, undo: Undo, indexes: Indexes, bridges: dict[str, LinkInfo | None]
) -> None:
    """Bridges up, stale addresses away, gateway addresses on, ports flagged and up."""
    steps: list[Step] = []
    for bridge in select(items, Bridge):
        steps += _raise_bridge(bridge, bridges[bridge.name], indexes["host", bridge.name])
    for item in items:
        if isinstance(item, NoAddress | Address) and item.place == "host":
            steps.append(_address_step(item, indexes[item.place, item.link]))
    for veth in select(items, Veth):
        index = indexes["host", veth.host_name]
        if veth.hairpin or veth.isolated:
            flags = messages.set_port(index, veth.hairpin, veth.isolated)
            steps.append(Step(flags, f'failed to set port flags of "{veth.host_name}"'))
        steps.append(Step(_up(index, scene.owner.mark), f'failed to set "{veth.host_name}" UP'))
    added = perform(steps, scene.host, undo)
    _pin_macs(items, scene, undo, indexes, bridges, added)


def _raise_bridge(bridge: Bridge, found: LinkInfo | None, index: int) -> list[Step]:
    wanted = IFF_UP | (IFF_PROMISC if bridge.promisc else 0)
    have = 0 if found is None else (IFF_UP if found.up else 0) | (IFF_PROMISC if found.promisc else 0)
    if wanted & ~have == 0:
        return []
    return [Step(messages.set_link(index, wanted, wanted), f'failed to set bridge "{bridge.name}" UP')]


def _pin_macs(
    items: Sequence[AnyItem],
    scene: Scene,
    undo: Undo,
    indexes: Indexes,
    bridges: dict[str, LinkInfo | None],
    added: Sequence[Step],
) -> None:
    """A bridge that was there before and becomes a gateway keeps its MAC, whatever ports come and go later."""
    steps = []
    for address in select(items, Address):
        found = bridges.get(address.link)
        if address.place == "host" and found is not None and any(s.subject is address for s in added):
            index = indexes["host", address.link]
            steps.append(
                Step(messages.set_link(index, mac=found.mac), f'failed to keep the MAC of "{address.link}"')
            )
    perform(steps, scene.host, undo)


def _configure_sandbox(items: Sequence[AnyItem], scene: Scene, undo: Undo, indexes: Indexes) -> None:
    """Addresses first, then up (the kernel announces what is there by then), then routes."""
    steps: list[Step] = []
    for item in items:
        if isinstance(item, Address) and item.place == "sandbox":
            steps.append(_address_step(item, indexes[item.place, item.link]))
    for item in items:
        if isinstance(item, Veth | Macvlan):
            index = indexes["sandbox", item.name]
            change = messages.set_link(index, IFF_UP if item.up else 0, IFF_UP, alias=scene.owner.mark)
            steps.append(Step(change, f'failed to set "{item.name}" UP'))
        elif isinstance(item, LinkUp):
            steps.append(_raise_existing(item, scene, indexes))
    for item in items:
        if isinstance(item, Route):
            steps.append(
                Step(
                    messages.route(item, indexes[item.place, item.link]),
                    f"failed to add route '{_text(item)}'",
                    EXISTS,
                )
            )
    if steps:
        perform(steps, scene.stack("sandbox"), undo)


def _raise_existing(item: LinkUp, scene: Scene, indexes: Indexes) -> Step:
    index = indexes["sandbox", item.name]
    stack = scene.stack("sandbox")
    found = stack.link_at(index)
    down = messages.set_link(index, 0, IFF_UP)
    undo = None if found is not None and found.up else (lambda: stack.send([down]))
    return Step(messages.set_link(index, IFF_UP, IFF_UP), f'failed to set "{item.name}" UP', undo=undo)


def _address_step(item: Address | NoAddress, index: int) -> Step:
    if isinstance(item, NoAddress):
        return Step(
            messages.delete_address(item, index), f'failed to remove {item.cidr} from "{item.link}"', GONE
        )
    fine = EXISTS if item.whose == "shared" else ()
    return Step(
        messages.address(item, index),
        f'failed to add IP addr {item.cidr} to "{item.link}"',
        fine,
        subject=item,
    )


def _up(index: int, alias: str) -> bytes:
    return messages.set_link(index, IFF_UP, IFF_UP, alias=alias)


def _text(route: Route) -> str:
    via = "".join(f" via {gateway}" for gateway in route.gateways)
    return f"{route.dst}{via} dev {route.link} metric {route.metric} (Scope: {route.scope}, Table: {route.table})"

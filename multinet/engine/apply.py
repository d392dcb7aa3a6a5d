"""Make the kernel what an attachment desires: few batches, in an order that never needs a second look.

1. host: links are created, each in its final namespace, under a chosen index;
2. sysctls that must be there before a link goes up;
3. host: port flags, links up;
4. sandbox: addresses, links up (so that the kernel announces the addresses), routes;
5. waiting: IPv6 duplicate address detection, bridge ports;
6. packet rules: after the detection, since the rules of a duplicate would take the place of its holder's;
7. host: what others share, a bridge's addresses and forwarding. It comes last, when little can fail any more:
   once it is there others rely on it, and taking it back with this attachment would break theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import LinkInfo
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
    _keep_macs([veth.host_mac for veth in select(items, Veth)], bridges, scene, undo, indexes)
    own, shared = _by_sharing(items, bridges)
    _write_sysctls(own, scene, undo)
    scene.proceed()
    _configure_host(items, scene, undo, indexes, bridges)
    scene.proceed()
    _configure_sandbox(items, scene, undo, indexes)
    scene.wait(lambda: wait_for_ports(select(items, Veth), scene, indexes))
    wait_for_addresses(select(items, Address), scene, indexes)
    scene.proceed()
    rules = [item for item in items if isinstance(item, Masquerade | MacGuard)]
    if rules:
        undo.push("packet rules", lambda: scene.firewall.remove(rules))
        scene.firewall.apply(rules)
    _share(items, scene, undo, indexes, bridges)
    _write_sysctls(shared, scene, undo)


def _keep_macs(
    new_ports: Sequence[str],
    bridges: dict[str, LinkInfo | None],
    scene: Scene,
    undo: Undo,
    indexes: Indexes,
) -> None:
    """A bridge whose MAC nobody has set takes its lowest port's: one that was there keeps what it had."""
    for name, found in bridges.items():
        if found is None or (found.carries and all(mac > found.mac for mac in new_ports)):
            continue  # born with its MAC, or with a port whose MAC is lower than the new ones'
        now = scene.host.link_at(indexes["host", name])
        if now is not None and now.mac != found.mac:
            _pin_mac(name, found, scene, undo)


def _pin_mac(name: str, link: LinkInfo, scene: Scene, undo: Undo) -> None:
    message = messages.set_link(link.index, mac=link.mac)
    undo.push(
        f'MAC of "{name}"', partial(scene.host.send, [message])
    )  # right also when a port has left again
    perform([Step(message, f'failed to keep the MAC of "{name}"')], scene.host, undo)


def _by_sharing(
    items: Sequence[AnyItem], bridges: dict[str, LinkInfo | None]
) -> tuple[list[Sysctl], list[Sysctl]]:
    """The sysctls that go away with what was made just now (``net/ipv6/conf/LINK/…``), and the host's others."""
    new = {veth.host_name for veth in select(items, Veth)}
    new.update(name for name, found in bridges.items() if found is None)
    own: list[Sysctl] = []
    shared: list[Sysctl] = []
    for sysctl in select(items, Sysctl):
        parts = sysctl.key.split("/")
        is_own = sysctl.place == "sandbox" or (len(parts) == 5 and parts[3] in new)
        (own if is_own else shared).append(sysctl)
    return own, shared


def _write_sysctls(sysctls: Sequence[Sysctl], scene: Scene, undo: Undo) -> None:
    places: tuple[Place, ...] = ("host", "sandbox")
    for place in places:
        settings = [(s.key, s.value, s.tolerant) for s in sysctls if s.place == place]
        if not settings:
            continue
        stack = scene.stack(place)
        for key, _, _ in settings:
            if key.startswith("net/ipv6/conf/lo/"):  # the sandbox's own; others' go away with their link
                before = stack.read_sysctl(key)
                if before is not None:
                    undo.push(f"sysctl {key}", partial(stack.write_sysctls, [(key, before, True)]))
        try:
            stack.write_sysctls(settings)
        except OSError as error:
            raise CNIError(
                Code.KERNEL, f"failed to write sysctl {error.filename} in the {place}: {error.strerror}"
            ) from None


def _configure_host(
    items: Sequence[AnyItem], scene: Scene, undo: Undo, indexes: Indexes, bridges: dict[str, LinkInfo | None]
) -> None:
    """Bridges up, ports flagged and up."""
    steps: list[Step] = []
    for bridge in select(items, Bridge):
        steps += _raise_bridge(bridge, bridges[bridge.name], indexes["host", bridge.name], scene)
    for veth in select(items, Veth):
        index = indexes["host", veth.host_name]
        if veth.hairpin or veth.isolated:
            flags = messages.set_port(index, veth.hairpin, veth.isolated)
            steps.append(Step(flags, f'failed to set port flags of "{veth.host_name}"'))
        steps.append(Step(_up(index, scene.owner.mark), f'failed to set "{veth.host_name}" UP'))
    perform(steps, scene.host, undo)


def _share(
    items: Sequence[AnyItem], scene: Scene, undo: Undo, indexes: Indexes, bridges: dict[str, LinkInfo | None]
) -> None:
    """Stale addresses away, gateway addresses on.

    A bridge that was there before and becomes a gateway keeps its MAC from now on, whatever ports come and go.
    """
    steps = [
        _address_step(item, indexes[item.place, item.link], scene)
        for item in items
        if isinstance(item, NoAddress | Address) and item.place == "host"
    ]
    added = [step.subject for step in perform(steps, scene.host, undo)]
    made_now = [name for name, found in bridges.items() if found is None]
    gained = {item.link for item in select(items, Address) if item in added}
    for name in gained.difference(made_now):
        link = scene.host.link(name)
        if link is not None and link.kind == "bridge":
            _pin_mac(name, link, scene, undo)


def _raise_bridge(bridge: Bridge, found: LinkInfo | None, index: int, scene: Scene) -> list[Step]:
    wanted = IFF_UP | (IFF_PROMISC if bridge.promisc else 0)
    have = 0 if found is None else (IFF_UP if found.up else 0) | (IFF_PROMISC if found.promisc else 0)
    if not wanted & ~have:
        return []
    back = None
    if found is not None and wanted & ~have & IFF_PROMISC:
        # It stays up: going down again would cost it its IPv6 addresses.
        back = partial(scene.host.send, [messages.set_link(index, 0, IFF_PROMISC)])
    message = messages.set_link(index, wanted, wanted)
    return [Step(message, f'failed to set bridge "{bridge.name}" UP', undo=back)]


def _configure_sandbox(items: Sequence[AnyItem], scene: Scene, undo: Undo, indexes: Indexes) -> None:
    """Addresses first, then up (the kernel announces what is there by then), then routes."""
    steps: list[Step] = []
    for item in items:
        if isinstance(item, Address) and item.place == "sandbox":
            steps.append(_address_step(item, indexes[item.place, item.link], scene))
    for item in items:
        if isinstance(item, Veth | Macvlan):
            index = indexes["sandbox", item.name]
            # A passthru link is born with its master's MAC, whatever was asked for, and changes it with its own;
            # the kernel gives the master its own back in the end.
            mac = item.mac if isinstance(item, Macvlan) and item.mode == "passthru" else ""
            change = messages.set_link(
                index, IFF_UP if item.up else 0, IFF_UP, alias=scene.owner.mark, mac=mac
            )
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


def _address_step(item: Address | NoAddress, index: int, scene: Scene) -> Step:
    stack = scene.stack(item.place)
    add = messages.address(item, index)
    remove = messages.delete_address(item, index)
    if isinstance(item, NoAddress):
        words = f'failed to remove {item.cidr} from "{item.link}"'
        return Step(remove, words, GONE, undo=partial(stack.send, [add]))
    words = f'failed to add IP addr {item.cidr} to "{item.link}"'
    if item.place == "host":
        words = f'failed to set bridge addr: could not add IP address {item.cidr} to "{item.link}"'
    fine = EXISTS if item.whose == "shared" else ()
    return Step(add, words, fine, undo=partial(stack.send, [remove]), subject=item)


def _up(index: int, alias: str) -> bytes:
    return messages.set_link(index, IFF_UP, IFF_UP, alias=alias)


def _text(route: Route) -> str:
    via = "".join(f" via {gateway}" for gateway in route.gateways)
    return f"{route.dst}{via} dev {route.link} metric {route.metric} (Scope: {route.scope}, Table: {route.table})"

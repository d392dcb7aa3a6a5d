"""Forwarding where firewalld has the say: a pod's address joins a zone, by D-Bus. No program is started.

An accept in nftables or iptables doesn't help there: firewalld drops what its zones don't know in a table of its own.
It keeps no comments, so an attachment's addresses are known by its record alone; and it forgets them on a reload.
Sources: firewalld.dbus(5); D-Bus specification, "org.freedesktop.DBus.NameHasOwner". The bus is the host's, at
``DBUS_SYSTEM_BUS_ADDRESS`` or the usual place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Difference, ForwardAccept

__all__ = ["Firewalld", "firewalld_runs"]

_NAME = "org.fedoraproject.FirewallD1"
_PATH = "/org/fedoraproject/FirewallD1"
_INTERFACE = "org.fedoraproject.FirewallD1.zone"
_PATIENCE = 20.0
"""Seconds: firewalld answers when it has changed its rules."""


def firewalld_runs() -> bool:
    """Whether firewalld's name has an owner; without a system bus, or a library to ask it, it hasn't."""
    try:
        with _connected() as bus:
            from jeepney import message_bus

            [owned] = bus.ask(message_bus.NameHasOwner(_NAME))
            return bool(owned)
    except CNIError:
        return False


class Firewalld:
    """The zones of the host's firewalld."""

    def apply(self, items: Sequence[ForwardAccept]) -> None:
        """Have the addresses join their zones. Raises CNIError (FIREWALL)."""
        with _connected() as bus:
            for item in items:
                problem = bus.zone("addSource", item)
                if problem and "ZONE_ALREADY_SET" not in problem:
                    words = f"failed to add the address {item.cidr} to {item.zone} zone: {problem}"
                    raise CNIError(Code.FIREWALL, words)

    def remove(self, items: Sequence[ForwardAccept]) -> None:
        """Have them leave; ones that aren't there are no failure. Raises CNIError (FIREWALL)."""
        with _connected() as bus:
            for item in items:
                problem = bus.zone("removeSource", item)
                if problem and "UNKNOWN_SOURCE" not in problem:
                    words = f"failed to remove the address {item.cidr} from {item.zone} zone: {problem}"
                    raise CNIError(Code.FIREWALL, words)

    def compare(self, items: Sequence[ForwardAccept]) -> list[Difference]:
        """Addresses that aren't in their zones. Raises CNIError (FIREWALL)."""
        with _connected() as bus:
            return [
                Difference(f"firewalld zone {item.zone}", f"source {item.cidr}", "there", "")
                for item in items
                if not bus.has(item)
            ]


class _Bus:
    """An open connection to the system bus."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def ask(self, call: Any) -> tuple[Any, ...]:
        """What the answer holds. Raises CNIError with the words of a refusal."""
        from jeepney.wrappers import DBusErrorResponse, unwrap_msg

        try:
            answer: tuple[Any, ...] = unwrap_msg(self._connection.send_and_get_reply(call, timeout=_PATIENCE))
        except DBusErrorResponse as error:
            raise CNIError(
                Code.FIREWALL, f"firewalld: {' '.join(map(str, error.data or (error.name,)))}"
            ) from None
        except (OSError, TimeoutError) as error:
            raise CNIError(Code.FIREWALL, f"firewalld: D-Bus: {error}") from None
        return answer

    def zone(self, method: str, item: ForwardAccept) -> str:
        """A change of a zone's sources; empty, or firewalld's complaint."""
        try:
            self.ask(_call(method, item))
        except CNIError as error:
            return error.msg
        return ""

    def has(self, item: ForwardAccept) -> bool:
        """Whether the address is a source of its zone."""
        [found] = self.ask(_call("querySource", item))
        return bool(found)


def _call(method: str, item: ForwardAccept) -> Any:
    from jeepney import DBusAddress, new_method_call

    address = DBusAddress(_PATH, bus_name=_NAME, interface=_INTERFACE)
    return new_method_call(address, method, "ss", (item.zone, item.cidr))


@contextmanager
def _connected() -> Iterator[_Bus]:
    """Raises CNIError when there is no bus, or no library."""
    try:  # only nodes with firewalld need it
        from jeepney.auth import AuthenticationError
        from jeepney.io.blocking import open_dbus_connection
    except ImportError:
        problem = 'firewalld: D-Bus needs the library jeepney: install "multinet[firewalld]"'
        raise CNIError(Code.FIREWALL, problem) from None
    try:
        connection = open_dbus_connection(bus="SYSTEM", auth_timeout=_PATIENCE)
    except (OSError, AuthenticationError, KeyError, RuntimeError, StopIteration) as error:
        raise CNIError(Code.FIREWALL, f"firewalld: no system bus: {error}") from None
    try:
        yield _Bus(connection)
    finally:
        connection.close()

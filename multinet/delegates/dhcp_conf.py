"""The ``ipam`` object of DHCP: what it says, and who the client is by it (plugins-ipam 3.3 and 3.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from multinet.cni.decode import convert
from multinet.core.desired import Owner
from multinet.dhcp import options as opt
from multinet.dhcp.client_values import Identity
from multinet.ports import IpamRequest
from multinet.sdk.ipam import Envelope, Faults

__all__ = ["DhcpConf", "Plan", "ProvidedOption", "RequestedOption", "load"]

_LARGEST_OPTION = 255
_LARGEST_ID = 254
_DEFAULTS = (
    opt.CLASSLESS_ROUTES,  # before 3 and 33, as RFC 3442 asks
    opt.MS_CLASSLESS_ROUTES,
    opt.SUBNET_MASK,
    opt.ROUTERS,
    opt.STATIC_ROUTES,
    opt.DNS_SERVERS,
    opt.DOMAIN_NAME,
    opt.MTU,
    opt.DOMAIN_SEARCH,
)
_THE_PROTOCOLS = {
    opt.OVERLOAD,
    opt.REQUESTED_ADDRESS,
    opt.MESSAGE_TYPE,
    opt.SERVER_ID,
    opt.PARAMETER_LIST,
    opt.LARGEST_MESSAGE,
}
"""Options that a client itself sets: another value would break the exchange."""


class ProvidedOption(msgspec.Struct, frozen=True, rename="camel"):
    """An option to send: its value as text, as hexadecimal digits, or out of ``CNI_ARGS``."""

    option: str
    """Its name (``host-name``, ``vendor-class-identifier``, …) or its number as text."""
    value: str = ""
    """The value as text."""
    from_arg: str = ""
    """Key in ``CNI_ARGS``; wins over ``value`` if it is there."""
    hex: str = ""
    """The value as hexadecimal digits."""


class RequestedOption(msgspec.Struct, frozen=True, rename="camel"):
    """An option to ask for."""

    option: str = ""
    """Its name or its number as text."""
    skip_default: bool = False
    """Ask for nothing but what is listed."""
    optional: bool = True
    """False: a lease without it is refused."""


class DhcpConf(msgspec.Struct, frozen=True, rename="camel"):
    """The ``ipam`` object. ``daemonSocketPath`` is the reference plugin's; our daemon keeps leases itself."""

    daemon_socket_path: str = ""
    """Accepted, and without effect: the node daemon keeps the leases."""
    provide: tuple[ProvidedOption, ...] = ()
    """Options to send."""
    request: tuple[RequestedOption, ...] = ()
    """Options to ask for, beside the usual ones."""
    priority: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)] = 0
    """Metric of every route; 0: the kernel's."""
    broadcast: bool | None = None
    """Ask for answers to the broadcast address; by default only where an interface shares its MAC."""
    client_id: Literal["attachment", "mac", "pod"] = "attachment"
    """What a server knows the client by: container, network and interface (a new one for each sandbox); the
    MAC; or namespace and name of the pod (the same lease for the pod that takes its place).
    """


class Plan(msgspec.Struct, frozen=True):
    """A configuration that can be carried out."""

    conf: DhcpConf
    client_id: bytes | None
    """Option 61; None: by the MAC, which must be looked up."""
    provided: dict[int, bytes]
    wanted: bytes
    needed: tuple[int, ...]

    def identity(self, mac: str, kind: str, mtu: int) -> Identity:
        """The client on an interface of this MAC, kind and MTU."""
        address = bytes.fromhex(mac.replace(":", ""))
        by_default = kind == "ipvlan"  # its links have one MAC: a unicast answer would reach any of them
        return Identity(
            mac=address,
            client_id=b"\1" + address if self.client_id is None else self.client_id,
            wanted=self.wanted,
            needed=self.needed,
            provided=self.provided,
            broadcast=by_default if self.conf.broadcast is None else self.conf.broadcast,
            largest=max(576, min(mtu, 1500)),
        )


def load(request: IpamRequest) -> Plan:
    """The configuration of a call. Raises InvalidConfig with the JSON path of every fault."""
    conf = convert(Envelope.of(request.conf).ipam or {}, DhcpConf, "$.ipam")
    faults = Faults()
    provided = dict(_provided(conf.provide, request.args, faults))
    codes = list(_requested(conf.request, faults))
    client_id = provided.pop(opt.CLIENT_ID, None) or _client_id(conf, request, faults)
    faults.settle()
    listed = [code for code, _ in codes]
    if not any(item.skip_default for item in conf.request):
        listed += _DEFAULTS
    needed = tuple(code for code, optional in codes if not optional)
    return Plan(conf, client_id, provided, bytes(dict.fromkeys(listed)), needed)


def _provided(
    entries: Sequence[ProvidedOption], args: Mapping[str, str], faults: Faults
) -> Iterator[tuple[int, bytes]]:
    seen: set[int] = set()
    for index, entry in enumerate(entries):
        path = f"$.ipam.provide[{index}]"
        code = faults.reading(f"{path}.option", _code, entry.option)
        value = _value(entry, args, path, faults)
        if code is None:
            continue
        if code in _THE_PROTOCOLS:
            faults.add(f"{path}.option", f"option {code} is set by the protocol itself")
        elif code in seen:
            faults.add(f"{path}.option", f"option {code} is provided twice")
        elif value is not None:
            yield code, value
        seen.add(code)


def _value(entry: ProvidedOption, args: Mapping[str, str], path: str, faults: Faults) -> bytes | None:
    """What to send; None: nothing, since ``CNI_ARGS`` doesn't have it."""
    if entry.hex and (entry.value or entry.from_arg):
        faults.add(f"{path}.hex", 'cannot be combined with "value" or "fromArg"')
        return None
    if entry.hex:
        raw = faults.reading(f"{path}.hex", _hexadecimal, entry.hex) or b""
    else:
        raw = args.get(entry.from_arg, entry.value).encode() if entry.from_arg else entry.value.encode()
    if len(raw) > _LARGEST_OPTION:
        text = entry.hex or raw.decode()
        faults.add(path, f'value too long for option "{entry.option}": "{text}"')
    return raw or None


def _requested(entries: Sequence[RequestedOption], faults: Faults) -> Iterator[tuple[int, bool]]:
    for index, entry in enumerate(entries):
        path = f"$.ipam.request[{index}]"
        if not entry.option:
            if not entry.optional:
                faults.add(f"{path}.optional", "is false, but no option is named")
            continue
        code = faults.reading(f"{path}.option", _code, entry.option)
        if code is not None:
            yield code, entry.optional


def _client_id(conf: DhcpConf, request: IpamRequest, faults: Faults) -> bytes | None:
    owner = request.owner
    match conf.client_id:
        case "mac":
            return None
        case "pod":
            pod = [request.args.get(key, "") for key in ("K8S_POD_NAMESPACE", "K8S_POD_NAME")]
            if not all(pod) and owner.container_id:  # STATUS is about no pod
                faults.add(
                    "$.ipam.clientId", 'is "pod", but CNI_ARGS has no K8S_POD_NAMESPACE and K8S_POD_NAME'
                )
            text = "/".join((*pod, owner.network, owner.ifname))
        case _:
            text = _attachment(owner)
    return b"\0" + _fitting(text.encode())


def _attachment(owner: Owner) -> str:
    return f"{owner.container_id}/{owner.network}/{owner.ifname}"


def _fitting(identity: bytes) -> bytes:
    """At most 254 bytes. The reference plugin cuts the end off, and with it the interface's name: a digest of
    the whole keeps interfaces apart."""
    if len(identity) <= _LARGEST_ID:
        return identity
    digest = hashlib.sha256(identity).hexdigest()[:32].encode()
    return identity[: _LARGEST_ID - 1 - len(digest)] + b"~" + digest


def _code(text: str) -> int:
    """An option by name or decimal number. Raises ValueError."""
    if text in opt.NAMES:
        return opt.NAMES[text]
    if not (text.isascii() and text.isdigit()):
        raise ValueError(
            f'Can not parse option "{text}": Can not parse option: strconv.ParseUint: parsing "{text}": '
            f"invalid syntax (names: {', '.join(sorted(opt.NAMES))}; else a number from 1 to 254)"
        )
    if len(text) > 9 or not 1 <= int(text) <= 254:
        raise ValueError(f'Can not parse option "{text}": value out of range 1 to 254')
    return int(text)


def _hexadecimal(text: str) -> bytes:
    digits = text.replace(":", "")
    if not digits or any(digit not in "0123456789abcdefABCDEF" for digit in digits) or len(digits) % 2:
        raise ValueError(f'"{text}" is no sequence of bytes in hexadecimal digits')
    return bytes.fromhex(digits)

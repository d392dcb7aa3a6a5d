"""DHCP outside the daemon: the call is handed on to the daemon, since a process that ends renews nothing.

Where the daemon is, ``MULTINET_SOCKET`` and ``MULTINET_SPOOL`` say, as for the shim.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Collection, Mapping
from typing import Any

from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Result
from multinet.core.desired import Difference
from multinet.ports import IpamRequest
from multinet.shim import DEFAULT_SOCKET, DEFAULT_SPOOL, DEFAULT_TIME_LIMIT_MS
from multinet.wire.client import Unreachable, call
from multinet.wire.frame import encode_request
from multinet.wire.message import Request, WireError
from multinet.wire.spool import write_entry

__all__ = ["InDaemon", "in_daemon"]


class InDaemon:
    """Implements ``ports.Ipam``, by the daemon's."""

    def allocate(self, request: IpamRequest) -> Result:
        """As the daemon does it. Raises CNIError, code 11 when no daemon runs."""
        return Result.from_json(_ask("ADD", request) or {}, str(request.conf.get("cniVersion") or "0.1.0"))

    def release(self, request: IpamRequest) -> None:
        """As the daemon does it; with the daemon away the call is left for it in the spool, and that is success."""
        try:
            _ask("DEL", request)
        except _Away as away:
            spool = os.environ.get("MULTINET_SPOOL") or DEFAULT_SPOOL
            try:
                write_entry(spool, encode_request(_wire_request("DEL", request)))
            except OSError as error:
                trouble = f"the DEL cannot be kept in the spool directory {spool}: {error.strerror}"
                raise CNIError(Code.TRY_AGAIN, f"{away.msg}, and {trouble}") from None
            sys.stderr.write(f"dhcp: {away.msg}; DEL is kept in {spool} until it is back\n")

    def check(self, request: IpamRequest, previous: Result | None) -> list[Difference]:
        """As the daemon does it: what is different comes as its CNIError, code 102."""
        _ask("CHECK", request)
        return []

    def collect(self, request: IpamRequest, valid: Collection[tuple[str, str]]) -> None:
        """As the daemon does it."""
        _ask("GC", request)

    def status(self, request: IpamRequest) -> None:
        """As the daemon does it; code 50 when no daemon runs."""
        try:
            _ask("STATUS", request)
        except _Away as away:
            raise CNIError(Code.NOT_AVAILABLE, away.msg) from None


class _Away(CNIError):
    """No daemon took the call."""


def _ask(verb: str, request: IpamRequest) -> dict[str, Any] | None:
    path = os.environ.get("MULTINET_SOCKET") or DEFAULT_SOCKET
    message = _wire_request(verb, request)
    descriptor, opened = request.netns_fd, -1
    if descriptor is None and request.netns and verb in ("ADD", "CHECK", "DEL"):
        try:
            opened = descriptor = os.open(request.netns, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            message = _wire_request(verb, request, error.errno)
    try:
        response = call(path, message, descriptor, (message.time_limit_ms or 0) / 1000)
    except Unreachable as error:
        raise _Away(
            Code.TRY_AGAIN,
            f"dhcp: nobody would renew a lease: the multinet daemon is not reachable at {path} "
            f'({error.reason}); start it with "multinet daemon"',
        ) from None
    except (TimeoutError, WireError) as error:
        raise CNIError(Code.TRY_AGAIN, f"dhcp: multinet daemon at {path}: {error}") from None
    finally:
        if opened >= 0:
            os.close(opened)
    answer = json.loads(response.stdout) if response.stdout.strip() else None
    if response.exit_code:
        raise _failure(answer or {})
    return answer if isinstance(answer, dict) else None


def _wire_request(verb: str, request: IpamRequest, netns_errno: int | None = None) -> Request:
    env = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": request.owner.container_id,
        "CNI_IFNAME": request.owner.ifname,
        "CNI_NETNS": request.netns,
        "CNI_ARGS": ";".join(f"{key}={value}" for key, value in request.args.items()),
        "CNI_PATH": os.environ.get("CNI_PATH", ""),
    }
    limit = DEFAULT_TIME_LIMIT_MS
    if request.deadline is not None:
        limit = max(1, int((request.deadline - time.monotonic()) * 1000))
    stdin = json.dumps(request.conf).encode()
    return Request("dhcp", {key: value for key, value in env.items() if value}, stdin, limit, netns_errno)


def _failure(answer: Mapping[str, Any]) -> CNIError:
    return CNIError(
        int(answer.get("code", Code.INTERNAL)),
        str(answer.get("msg", "the daemon gave no reason")),
        str(answer.get("details", "")),
    )


in_daemon = InDaemon()

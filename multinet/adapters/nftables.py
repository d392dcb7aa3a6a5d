"""nftables by its own library: libnftables through ctypes, JSON or words. The ``nft`` program isn't needed.

Source: libnftables(3), libnftables-json(5). One `Nftables.run`, or `run_script`, is one transaction: the kernel
takes all or nothing. One that the kernel refuses is slow (it waits for a grace period, some 15 ms), so callers read
first (`nftables_netlink`) and send what they expect to succeed.
"""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Sequence
from typing import Any

from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError, Code

__all__ = ["Command", "Conflict", "Nftables"]

Command = dict[str, Any]
"""One command of libnftables-json(5): ``{"add": {"table": {…}}}``."""

_LIBRARY = "libnftables.so.1"
_OUTPUT_JSON, _OUTPUT_HANDLE = 1 << 4, 1 << 3
# What the kernel or the library says when the ground has moved since the caller looked.
_RACES = ("No such file or directory", "File exists", "Device or resource busy", "Interrupted system call")


class Conflict(CNIError):
    """The transaction met what isn't there, is there already, or is in use: look and try again."""


class Nftables:
    """A connection to nftables in one network namespace. Any thread may use it; one transaction at a time."""

    def __init__(self, netns: Netns) -> None:
        self._netns = netns
        self._lock = threading.Lock()
        self._library: ctypes.CDLL | None = None
        self._context: int | None = None

    def run(self, commands: Sequence[Command]) -> dict[str, Any] | None:
        """One transaction. Returns what ``list`` commands found (``{"nftables": […]}``), else None.

        Raises Conflict when a race is the likely reason, CNIError (FIREWALL) with nft's own text otherwise.
        """
        output = self._send(json.dumps({"nftables": list(commands)}))
        return json.loads(output) if output else None

    def run_script(self, commands: Sequence[str]) -> None:
        """One transaction of commands in nft's own language, one each. Raises as `run` does.

        Words that come from outside are the caller's to check: a line break or ``;`` would start another command.
        """
        self._send("\n".join(commands))

    def _send(self, request: str) -> str:
        # The context keeps the namespace it was made in; being there anyway covers sockets it may open anew.
        with self._lock, self._netns.entered():
            library, context = self._opened()
            failed = library.nft_run_cmd_from_buffer(context, request.encode()) != 0
            output: bytes = library.nft_ctx_get_output_buffer(context)
            error: bytes = library.nft_ctx_get_error_buffer(context)
        if failed:
            raise _refusal(error.decode(errors="replace"), request)
        return output.decode(errors="replace")

    def close(self) -> None:
        """Free the library's context; safe to repeat, and a later `run` makes a new one."""
        with self._lock:
            if self._library is not None and self._context is not None:
                self._library.nft_ctx_free(self._context)
                self._context = None

    def usable(self) -> str:
        """Empty when a transaction could be run here, else what is in the way."""
        try:
            self.run([{"list": {"tables": None}}])
        except CNIError as error:
            return str(error)
        return ""

    def _opened(self) -> tuple[ctypes.CDLL, int]:
        if self._library is None:
            self._library = _load()
        if self._context is None:
            context = self._library.nft_ctx_new(0)
            if not context:
                raise CNIError(
                    Code.FIREWALL, f"nftables in {_name(self._netns)}: no context (out of memory?)"
                )
            self._library.nft_ctx_buffer_output(context)
            self._library.nft_ctx_buffer_error(context)
            self._library.nft_ctx_output_set_flags(context, _OUTPUT_JSON | _OUTPUT_HANDLE)
            self._context = int(context)
        return self._library, self._context


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        raise CNIError(Code.FIREWALL, f"{_LIBRARY} not found: install libnftables1") from None
    context = ctypes.c_void_p
    library.nft_ctx_new.restype = context
    library.nft_ctx_new.argtypes = (ctypes.c_uint32,)
    library.nft_ctx_free.restype = None
    library.nft_run_cmd_from_buffer.argtypes = (context, ctypes.c_char_p)
    library.nft_ctx_output_set_flags.argtypes = (context, ctypes.c_uint)
    for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = (context,)
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = (context,)
        getattr(library, name).restype = ctypes.c_char_p
    return library


def _refusal(text: str, request: str) -> CNIError:
    """nft's complaint, each line once, without its ``internal:0:0-0:`` position; details: the request."""
    lines = dict.fromkeys(line.partition("Error: ")[2] or line for line in text.splitlines() if line.strip())
    kind = Conflict if any(race in text for race in _RACES) else CNIError
    problem = "; ".join(lines) or "refused without a reason"
    return kind(Code.FIREWALL, f"nftables: {problem}", request[:2000])


def _name(netns: Netns) -> str:
    return netns.path or f"netns {netns.identity[1]}"

"""CNI errors: one tree, the specification's codes, and the JSON a plugin prints when it fails.

Source: CNI specification 1.1.0, "Error"; codes from 100 on are the plugin's own.
"""

from __future__ import annotations

import json
from enum import IntEnum

__all__ = ["CNIError", "Code", "InvalidConfig"]


class Code(IntEnum):
    """Error codes of the CNI specification, and multinet's own from 100 on."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    DECODING_FAILURE = 6
    INVALID_CONFIG = 7
    INVALID_NETNS = 8
    TRY_AGAIN = 11
    NOT_AVAILABLE = 50
    LIMITED_CONNECTIVITY = 51
    # multinet's own; each has a section in docs/reference/errors.md
    KERNEL = 100
    """The kernel refused a link, address, route or sysctl."""
    IPAM = 101
    """No address could be given: pool empty, address taken, IPAM result without addresses."""
    CHECK_FAILED = 102
    """CHECK found the kernel different from what ADD made; the message lists each difference."""
    DELEGATE_FAILED = 103
    """An external plugin failed without a CNI error of its own."""
    POD = 104
    """The pod is gone, or has another UID than the one the runtime asked for."""
    ATTACHMENT = 105
    """A network attachment is missing, forbidden or unusable."""
    CLUSTER = 106
    """The cluster (apiserver or manifest directory) could not be read or written."""
    FIREWALL = 107
    """nftables or iptables refused a rule."""
    CANCELLED = 108
    """The caller hung up, or its deadline passed; what was begun has been undone."""
    INTERNAL = 999
    """A fault in multinet itself."""


class CNIError(Exception):
    """A failure with a code that a CNI caller understands.

    ``msg`` is one sentence that names the object and the field; ``details`` may be long.
    """

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(msg)
        self.code = int(code)
        self.msg = msg
        self.details = details

    def __str__(self) -> str:
        return f"{self.msg}; {self.details}" if self.details else self.msg

    def to_json(self, cni_version: str = "1.1.0") -> bytes:
        """The error as a plugin prints it on standard output (spec, "Error")."""
        body: dict[str, object] = {"cniVersion": cni_version, "code": self.code, "msg": self.msg}
        if self.details:
            body["details"] = self.details
        return json.dumps(body, indent=4, ensure_ascii=False).encode()

    def prefixed(self, text: str) -> CNIError:
        """The same failure with ``text`` before its message: the code survives every wrapping."""
        return CNIError(self.code, f"{text}{self.msg}", self.details)

    def tell_also(self, text: str) -> None:
        """Add what is to be known beside the cause, such as what could not be undone, to the details."""
        self.details = f"{self.details}; {text}" if self.details else text


class InvalidConfig(CNIError):
    """A fault in a configuration: ``path`` is the JSON path of the field (``$.ipam.subnet``)."""

    def __init__(self, path: str, problem: str, code: int = Code.INVALID_CONFIG) -> None:
        super().__init__(code, f"{path}: {problem}")
        self.path = path
        self.problem = problem

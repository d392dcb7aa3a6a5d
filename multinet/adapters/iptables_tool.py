"""The iptables programs: one table read (``-S``), one table changed in one transaction (``-restore --noflush``)."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from multinet.adapters.iptables_rules import Ruleset
from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError, Code

__all__ = ["IptablesTool"]

_TOOLS = {4: "iptables", 6: "ip6tables"}
_LOCK_SECONDS, _RUN_SECONDS = 20, 30
_SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin"


class IptablesTool:
    """iptables of one address family in one namespace; ``legacy``: the kernel's tables of old, if there is a choice."""

    def __init__(self, netns: Netns, version: int, legacy: bool = False) -> None:
        self._netns = netns
        self._legacy = legacy
        self.name = _TOOLS[version]

    def read(self, table: str) -> Ruleset:
        """All chains and rules of a table. Raises CNIError (FIREWALL)."""
        return Ruleset.parse(self._run(self._program(""), "-w", str(_LOCK_SECONDS), "-t", table, "-S"))

    def restore(self, table: str, lines: Sequence[str]) -> None:
        """All lines or none; no lines, no process. Raises CNIError (FIREWALL) with the script as details."""
        if lines:
            script = "\n".join([f"*{table}", *lines, "COMMIT", ""])
            self._run(self._program("-restore"), "--noflush", "-w", str(_LOCK_SECONDS), script=script)

    def has(self, table: str, rule: str) -> bool:
        """Whether a rule (from the chain's name on) is there, in whatever words the program would print it."""
        command = [self._program(""), "-w", str(_LOCK_SECONDS), "-t", table, "-C", *shlex.split(rule)]
        try:
            self._run(*command)
        except CNIError:
            return False
        return True

    def _program(self, suffix: str) -> str:
        import shutil  # with subprocess below: only nodes with iptables rules need them

        if self._legacy and shutil.which(f"{self.name}-legacy{suffix}", path=_SEARCH):
            return f"{self.name}-legacy{suffix}"
        return f"{self.name}{suffix}"

    def _run(self, *command: str, script: str = "") -> str:
        import subprocess

        # The child is started by this thread, and so is born in the namespace that this thread is in.
        with self._netns.entered():
            try:
                done = subprocess.run(
                    command,
                    input=script,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=_RUN_SECONDS,
                    check=False,
                    env={"PATH": _SEARCH, "LC_ALL": "C"},
                )
            except FileNotFoundError:
                hint = 'install iptables, or choose the back end "nftables"'
                raise CNIError(Code.FIREWALL, f"{command[0]} not found: {hint}") from None
            except subprocess.TimeoutExpired:
                problem = f"{command[0]}: no answer within {_RUN_SECONDS} s"
                raise CNIError(Code.FIREWALL, problem, script) from None
        if done.returncode:
            problem = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
            raise CNIError(Code.FIREWALL, f"{command[0]}: {problem}", script)
        return done.stdout

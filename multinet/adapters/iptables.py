"""Masquerade in iptables, as the reference plugins lay it out: read (``-S``), decide, write one restore.

Table ``nat``, a chain for each attachment, one jump from POSTROUTING for each address::

    -A POSTROUTING -s 10.1.2.3/32 -j CNI-374f33fe84ab0ed84dcdebe3
    -A CNI-374f33fe84ab0ed84dcdebe3 -d 10.1.2.0/24 -j ACCEPT
    -A CNI-374f33fe84ab0ed84dcdebe3 ! -d 224.0.0.0/4 -j MASQUERADE

each with the comment ``name: "{network}" id: "{containerID}"``. Unlike the reference, all ACCEPT rules come
before MASQUERADE, and the chain's name has the interface's in it, so that two attachments of one container to
one network don't share it.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Sequence

from multinet.adapters.iptables_rules import (
    Ruleset,
    accepted,
    chain_name,
    comment_prefix,
    kept_chains,
    line_of,
    reference_chain_name,
    value_of,
    without,
)
from multinet.adapters.netns import Netns
from multinet.cni.addresses import interface_of, prefix_of
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Difference, Masquerade, Owner

__all__ = ["Iptables"]

_TOOLS = {4: "iptables", 6: "ip6tables"}
_MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}
_LOCK_SECONDS, _RUN_SECONDS = 20, 30
_SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin"


class Iptables:
    """The nat table of one address family in one namespace. ``legacy``: the kernel's tables of old."""

    def __init__(self, netns: Netns, version: int, legacy: bool = False) -> None:
        self._netns = netns
        self._version = version
        self._legacy = legacy

    def apply(self, items: Sequence[Masquerade]) -> None:
        """Make the chains and jumps for the items; what an owner has already stays."""
        rules = self._read()
        script: list[str] = []
        for owner, cidrs in _by_owner(items).items():
            chain, jumps = chain_name(owner), rules.jumps(chain_name(owner))
            addresses = dict.fromkeys([*(value_of(line, "-s") for line in jumps), *map(_host, cidrs)])
            networks = dict.fromkeys([*accepted(rules, chain), *map(_network, cidrs)])
            script += self._rebuilt(owner, rules, addresses, networks)
        self._restore(script)

    def remove(self, items: Sequence[Masquerade]) -> None:
        """Remove the items' jumps, and the chain with the owner's last one."""
        rules = self._read()
        script: list[str] = []
        for owner, cidrs in _by_owner(items).items():
            chain = chain_name(owner)
            gone = set(map(_host, cidrs))
            kept = dict.fromkeys(a for line in rules.jumps(chain) if (a := value_of(line, "-s")) not in gone)
            if kept:
                hosts = [interface_of(address).ip for address in kept]
                nets = [n for n in accepted(rules, chain) if any(h in prefix_of(n) for h in hosts)]
                script += self._rebuilt(owner, rules, kept, nets)
            else:
                script += without(rules, chain)
        self._restore(script)

    def compare(self, items: Sequence[Masquerade]) -> list[Difference]:
        """Missing, surplus or misplaced rules."""
        rules = self._read()
        differences = []
        for owner, cidrs in _by_owner(items).items():
            chain = chain_name(owner)
            subject = f"{_TOOLS[self._version]} nat chain {chain}"
            wanted = [
                line_of(text).words for text in self._chain_rules(owner, dict.fromkeys(map(_network, cidrs)))
            ]
            have = [line.words for line in rules.chains.get(chain, [])]
            if sorted(wanted[:-1]) + wanted[-1:] != sorted(have[:-1]) + have[-1:]:
                differences.append(Difference(subject, "rules", _said(wanted), _said(have)))
            jumps = [value_of(line, "-s") for line in rules.jumps(chain)]
            for address in dict.fromkeys(map(_host, cidrs)):
                if jumps.count(address) != 1:
                    count = jumps.count(address)
                    have_text = f"{count} times" if count else ""
                    differences.append(Difference(subject, f"jump for {address}", "once", have_text))
        return differences

    def sweep(self, owner: Owner) -> None:
        """Remove the owner's chains, ours and the one that the reference plugins made."""
        rules = self._read()
        chains = (chain_name(owner), reference_chain_name(owner.network, owner.container_id))
        self._restore([line for chain in chains for line in without(rules, chain)])

    def collect(self, network: str, valid: Collection[tuple[str, str]]) -> None:
        """Remove the network's chains that belong to no attachment in ``valid``."""
        rules = self._read()
        keep = kept_chains(network, valid)
        prefix = comment_prefix(network)
        found = dict.fromkeys(
            chain
            for line in [*rules.postrouting, *(line for lines in rules.chains.values() for line in lines)]
            if value_of(line, "--comment").startswith(prefix)
            and (chain := value_of(line, "-j") if line.words[0] == "POSTROUTING" else line.words[0])
            not in keep
            and chain.startswith("CNI-")
        )
        self._restore([line for chain in found for line in without(rules, chain)])

    def _rebuilt(
        self, owner: Owner, rules: Ruleset, addresses: Iterable[str], networks: Iterable[str]
    ) -> list[str]:
        """Lines that give the owner exactly these rules; none if it has them."""
        chain, comment = chain_name(owner), _comment(owner)
        inside = self._chain_rules(owner, networks)
        jumps = [f"POSTROUTING -s {address} {comment} -j {chain}" for address in addresses]
        have = [*rules.chains.get(chain, []), *rules.jumps(chain)]
        if [line.words for line in have] == [line_of(text).words for text in [*inside, *jumps]]:
            return []
        return [
            f":{chain} - [0:0]",  # makes it, or empties it
            *(f"-A {rule}" for rule in inside),
            *(f"-D {line.text}" for line in rules.jumps(chain)),
            *(f"-A {rule}" for rule in jumps),
        ]

    def _chain_rules(self, owner: Owner, networks: Iterable[str]) -> list[str]:
        chain, comment = chain_name(owner), _comment(owner)
        accept = [f"{chain} -d {network} {comment} -j ACCEPT" for network in networks]
        return [*accept, f"{chain} ! -d {_MULTICAST[self._version]} {comment} -j MASQUERADE"]

    def _read(self) -> Ruleset:
        return Ruleset.parse(self._run(self._tool(""), "-w", str(_LOCK_SECONDS), "-t", "nat", "-S"))

    def _restore(self, lines: Sequence[str]) -> None:
        """One transaction: all lines or none."""
        if lines:
            script = "\n".join(["*nat", *lines, "COMMIT", ""])
            self._run(self._tool("-restore"), "--noflush", "-w", str(_LOCK_SECONDS), script=script)

    def _tool(self, suffix: str) -> str:
        import shutil  # with subprocess below: only nodes with iptables rules need them

        name = _TOOLS[self._version]
        if self._legacy and shutil.which(f"{name}-legacy{suffix}", path=_SEARCH):
            return f"{name}-legacy{suffix}"
        return f"{name}{suffix}"

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
                hint = 'install iptables, or set "ipMasqBackend" to "nftables"'
                raise CNIError(Code.FIREWALL, f"{command[0]} not found: {hint}") from None
            except subprocess.TimeoutExpired:
                problem = f"{command[0]}: no answer within {_RUN_SECONDS} s"
                raise CNIError(Code.FIREWALL, problem, script) from None
        if done.returncode:
            problem = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
            raise CNIError(Code.FIREWALL, f"{command[0]}: {problem}", script)
        return done.stdout


def _by_owner(items: Iterable[Masquerade]) -> dict[Owner, list[str]]:
    grouped: dict[Owner, list[str]] = {}
    for item in items:
        grouped.setdefault(item.owner, []).append(item.cidr)
    return grouped


def _said(rules: Iterable[Sequence[str]]) -> str:
    return "; ".join(shlex.join(words[1:]) for words in rules)


def _comment(owner: Owner) -> str:
    text = f'{comment_prefix(owner.network)}{owner.container_id}"'.replace('"', '\\"')
    return f'-m comment --comment "{text}"'


def _host(cidr: str) -> str:
    """The address alone, as ``-S`` prints it."""
    address = interface_of(cidr).ip
    return f"{address}/{address.max_prefixlen}"


def _network(cidr: str) -> str:
    return str(interface_of(cidr).network)

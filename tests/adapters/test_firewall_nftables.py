"""nftables itself: transactions, readings, races, the layout's names."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.adapters.firewall import HostFirewall
from multinet.adapters.firewall_holdings import holdings_of
from multinet.adapters.firewall_nftables import NftablesRules
from multinet.adapters.firewall_tables import (
    COMMENT_LIMIT,
    TABLE,
    Change,
    comment,
    entry_from,
    layout_of,
    network_prefix,
)
from multinet.adapters.netns import Netns
from multinet.adapters.nftables import Conflict, Nftables
from multinet.adapters.nftables_netlink import Element, ElementChange, NftablesSocket
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import RULE_KINDS, MacGuard, Masquerade, Owner
from tests.leaks import nothing_left_open

NAMES = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]{0,300}", fullmatch=True)


def items_of(number: int, network: str = "net") -> list[Masquerade | MacGuard]:
    owner = Owner(network, f"{number:064x}", "eth0")
    cidr4, cidr6 = f"10.1.{number >> 8}.{number & 255}/16", f"fd01::{number:x}/64"
    guard = MacGuard(link=owner.host_ifname, mac=owner.mac("guard"), owner=owner)
    return [Masquerade(cidr=cidr4, owner=owner), Masquerade(cidr=cidr6, owner=owner), guard]


@pytest.fixture
def firewall(lab) -> Iterator[HostFirewall]:
    firewall = HostFirewall(lab.host)
    try:
        yield firewall
    finally:
        firewall.close()


def test_errors_carry_nfts_own_words(lab) -> None:
    nft = Nftables(lab.host)
    with pytest.raises(Conflict, match=r"nftables: .*No such file or directory") as missing:
        nft.run([{"list": {"table": {"family": "inet", "name": "absent"}}}])
    assert missing.value.code == Code.FIREWALL
    with pytest.raises(CNIError, match=r"nftables: .") as nonsense:
        nft.run([{"add": {"nothing": {}}}])
    assert nonsense.value.code == Code.FIREWALL and not isinstance(nonsense.value, Conflict)
    assert "internal:0" not in nonsense.value.msg
    nft.close()
    nft.close()


def test_a_refused_transaction_leaves_nothing(lab) -> None:
    nft = Nftables(lab.host)
    table = {"add": {"table": {"family": "inet", "name": "half"}}}
    chain = {"flush": {"chain": {"family": "inet", "table": "half", "name": "absent"}}}
    with pytest.raises(CNIError):
        nft.run([table, chain])
    assert lab.run("nft", "list", "tables") == ""
    nft.close()


def test_a_context_stays_in_its_namespace(lab) -> None:
    other = lab.sandbox()
    nft = Nftables(lab.host)
    nft.run([{"add": {"table": {"family": "inet", "name": "one"}}}])
    with other.entered():
        nft.run([{"add": {"table": {"family": "inet", "name": "two"}}}])
    assert lab.run("nft", "list", "tables").split() == ["table", "inet", "one", "table", "inet", "two"]
    assert lab.run("nft", "list", "tables", netns=other) == ""
    nft.close()


def test_without_the_library_the_error_says_what_to_install(lab) -> None:
    script = """
import sys
from multinet.adapters.firewall import choose_backend
from multinet.adapters.netns import Netns
from multinet.adapters.nftables import Nftables
print(Nftables(Netns.current()).usable())
print(choose_backend(Netns.current()))
"""
    hidden = glob.glob("/usr/lib/*/libnftables.so.1") + glob.glob("/usr/lib/libnftables.so.1")
    hide = " && ".join(f"mount --bind /dev/null $(readlink -f {path})" for path in hidden)
    command = f"{hide} && exec {sys.executable} -c '{script}'"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert "libnftables.so.1 not found: install libnftables1" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "iptables"


def test_eight_threads_and_eight_connections_at_once(lab, firewall: HostFirewall) -> None:
    failures: list[BaseException] = []

    def work(first: int, own: HostFirewall) -> None:
        try:
            for number in range(first, first + 50):
                own.apply(items_of(number))
            for number in range(first, first + 50, 2):
                own.remove(items_of(number))
        except BaseException as error:
            failures.append(error)

    # Half of the threads share one firewall, the others stand for processes with a connection of their own.
    firewalls = [firewall if i % 2 else HostFirewall(lab.host) for i in range(8)]
    threads = [threading.Thread(target=work, args=(1 + i * 50, firewalls[i])) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in firewalls:
        own.close()
    assert not failures
    kept = [item for i in range(8) for n in range(2 + i * 50, 51 + i * 50, 2) for item in items_of(n)]
    assert firewall.compare(kept) == []
    reader = NftablesSocket(lab.host)
    assert len(reader.elements("inet", TABLE, "masquerade4-16")) == 200
    assert len(reader.elements("inet", TABLE, "claims6-64")) == 200
    assert len(reader.elements("bridge", TABLE, "guarded")) == 200
    for family, chain in (("inet", "postrouting4-16"), ("inet", "postrouting6-64"), ("bridge", "mac-guard")):
        assert len(reader.rules(family, TABLE, chain)) == 1, "concurrent creators must not double a rule"
    reader.close()


class Interrupted(NftablesSocket):
    """Something else happens just before the ``step``-th look-up or change, once."""

    def __init__(self, netns: Netns, step: int, meanwhile: Callable[[], object]) -> None:
        super().__init__(netns)
        self.step = step
        self.meanwhile = meanwhile

    def change(self, changes: Sequence[ElementChange]) -> None:
        self.tick()
        super().change(changes)

    def element(self, family: str, table: str, name: str, key: bytes) -> Element | None:
        self.tick()
        return super().element(family, table, name, key)

    def elements(self, family: str, table: str, name: str, mark: str = "") -> list[Element]:
        self.tick()
        return super().elements(family, table, name, mark)

    def tick(self) -> None:
        self.step -= 1
        if self.step == -1:
            self.meanwhile()


@pytest.mark.parametrize("verb", ["apply", "remove", "sweep", "collect"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_take_over_in_the_middle_of_an_operation(
    lab, firewall: HostFirewall, verb: str, index: int
) -> None:
    # An older owner is at work when a newer one takes the address (or link) over, at each step in turn.
    older, newer, other = (
        [items_of(n, text)[index]] for n, text in ((7, "older"), (7, "newer"), (8, "other"))
    )
    nft, reader = Nftables(lab.host), NftablesSocket(lab.host)
    family, claims = [("inet", "claims4-16"), ("inet", "claims6-64"), ("bridge", "claims")][index]
    interrupted = True
    step = 0
    while interrupted:
        firewall.remove(newer)
        firewall.apply([*other, *(older if verb != "apply" else [])])
        socket = Interrupted(lab.host, step, lambda: firewall.apply(newer))
        rules = NftablesRules(nft, socket)
        if verb == "sweep":
            rules.sweep(older[0].owner, RULE_KINDS)
        elif verb == "collect":
            rules.collect("older", (), RULE_KINDS)
        else:
            getattr(rules, verb)(older)
        interrupted = socket.step < 0
        socket.close()
        if verb == "apply":
            # Whoever came last has it, wholly.
            assert [firewall.compare(older), firewall.compare(newer)].count([]) == 1
            firewall.remove(older)
        elif interrupted:
            assert firewall.compare(newer) == [], f"interrupted at step {step}"
        assert firewall.compare(other) == []
        firewall.remove(newer)
        assert len(reader.elements(family, TABLE, claims)) == 1, f"interrupted at step {step}"
        step += 1
    assert step > 3
    nft.close()
    reader.close()


def test_a_table_deleted_in_the_middle_is_made_again(lab, firewall: HostFirewall) -> None:
    firewall.apply(items_of(1))
    nft, socket = Nftables(lab.host), Interrupted(lab.host, 1, lambda: lab.run("nft", "flush ruleset"))
    NftablesRules(nft, socket).apply(items_of(2))
    assert socket.step < 0
    assert firewall.compare(items_of(2)) == []
    nft.close()
    socket.close()


def test_element_changes_are_all_or_nothing_and_named_when_refused(lab, firewall: HostFirewall) -> None:
    firewall.apply(items_of(1))
    socket = NftablesSocket(lab.host)
    there, absent = (holdings_of(items_of(number)[:1])[0] for number in (1, 2))
    make = absent.entries[0].create(absent.comment).element()
    with pytest.raises(Conflict, match=r"create element inet multinet masquerade4-16 .*: File exists"):
        socket.change([make, there.entries[0].create(there.comment).element()])
    assert len(socket.elements("inet", TABLE, "masquerade4-16")) == 1
    with pytest.raises(Conflict, match="No such file or directory"):
        socket.change([make, absent.claim.delete().element()])
    assert len(socket.elements("inet", TABLE, "masquerade4-16")) == 1
    with pytest.raises(CNIError, match="Invalid argument") as refused:
        socket.change([make, ElementChange("create", "inet", TABLE, "masquerade4-16", b"short")])
    assert refused.value.code == Code.FIREWALL and not isinstance(refused.value, Conflict)
    socket.change([make])
    socket.change([change.element() for n in range(1000, 5000) for change in creations(n)])
    assert len(socket.elements("inet", TABLE, "masquerade4-16")) == 4002
    assert "10.1.0.2 . 10.1.0.0 comment" in lab.run("nft", "list", "set", "inet", TABLE, "masquerade4-16")
    socket.close()


def creations(number: int) -> list[Change]:
    [holding] = holdings_of(items_of(number)[:1])
    return [*(entry.create(holding.comment) for entry in holding.entries), holding.claim.create()]


def test_the_reader_agrees_with_nft(lab, firewall: HostFirewall) -> None:
    reader = NftablesSocket(lab.host)
    assert reader.tables() == frozenset()
    assert reader.elements("inet", TABLE, "masquerade4-16") == []
    assert reader.rules("inet", TABLE, "postrouting4-16") == []
    assert reader.sets("inet", TABLE) == []
    assert not reader.has_chain("inet", TABLE, "postrouting4-16")
    items = [item for number in range(1, 300) for item in items_of(number)]
    firewall.apply(items)
    assert reader.tables() == {("inet", TABLE), ("bridge", TABLE)}
    assert reader.has_chain("bridge", TABLE, "mac-guard")
    wanted = {(entry, holding.comment) for holding in holdings_of(items) for entry in holding.entries}
    found = {
        (entry_from(family, name, element.key), element.comment)
        for family in ("inet", "bridge")
        for name in reader.sets(family, TABLE)
        if (layout := layout_of(family, name)) is not None and layout.holds is not None
        for element in reader.elements(family, TABLE, name)
    }
    assert found == wanted
    text = lab.run("nft", "list", "ruleset")
    assert all(all(part in text for part in entry.parts) and mark in text for entry, mark in found)
    [only] = reader.elements("inet", TABLE, "masquerade4-16", comment(items_of(5)[0].owner))
    assert only.key == holdings_of(items_of(5)[:1])[0].entries[0].key
    reader.close()


def test_a_saved_ruleset_can_be_loaded_again(lab, firewall: HostFirewall) -> None:
    long = Owner("n" * 200, "c" * 64, "interface-15abc")
    items = [*items_of(1), Masquerade(cidr="10.1.9.9/16", owner=long)]
    firewall.apply(items)
    saved = lab.run("nft", "list", "ruleset")
    lab.run("nft", "flush", "ruleset")
    lab.run("nft", "-f", "-", stdin=saved)
    assert firewall.compare(items) == []


def test_nothing_is_left_open(lab) -> None:
    with nothing_left_open():
        for _ in range(20):
            firewall = HostFirewall(lab.host)
            firewall.apply(items_of(1))
            firewall.sweep(items_of(1)[0].owner)
            firewall.close()
            firewall.close()


@given(network=NAMES, container_id=NAMES, ifname=st.from_regex(r"[a-z0-9.\-]{1,15}", fullmatch=True))
def test_comments_are_bounded_and_tell_networks_apart(network: str, container_id: str, ifname: str) -> None:
    owner = Owner(network, container_id, ifname)
    text = comment(owner)
    assert len(text.encode()) <= COMMENT_LIMIT
    assert text.startswith(network_prefix(network))
    assert text.count("/") == 2 and text.endswith(f"/{ifname}")
    for other in (Owner(network + "x", container_id, ifname), Owner(network, container_id + "x", ifname)):
        assert comment(other) != text
    assert not comment(owner).startswith(network_prefix(network + "x"))
    if len(owner.network) <= 38 and len(container_id) <= 64:
        assert text == owner.mark

"""What a GC takes away, and what it leaves: spec 5.55, 10.15."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
import pytest

from multinet.adapters.netns import Netns
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError
from multinet.core.record import AttachmentRecord
from multinet.daemon.collection import Missing, collect, missing, sandbox_is_gone

Pairs = Collection[tuple[str, str]]


def record(container: str, ifname: str = "eth0", **more: Any) -> AttachmentRecord:
    name = more.pop("network_name", "cbr0")
    network = NetworkList.from_object({"cniVersion": "1.1.0", "name": name, "type": "bridge"}).raw
    given = {"position": 0, "name": name, "network": network, "network_name": name, "phase": "ready", **more}
    return AttachmentRecord(container_id=container, ifname=ifname, **given)


def alive(_: AttachmentRecord) -> bool:
    return False


class TestMissing:
    def test_a_container_that_is_listed(self) -> None:
        assert missing([record("a")], {"a"}, {"a"}, lambda _: True) == Missing()

    def test_missing_once_is_no_proof(self) -> None:
        first = missing([record("a"), record("a", "net1")], set(), set(), alive)
        assert first == Missing(doubtful=frozenset("a"))
        assert missing([record("a")], set(), first.doubtful, alive) == Missing(forsaken=frozenset("a"))

    def test_back_in_the_list_it_starts_anew(self) -> None:
        doubtful = missing([record("a")], set(), set(), alive).doubtful
        doubtful = missing([record("a")], {"a"}, doubtful, alive).doubtful
        assert missing([record("a")], set(), doubtful, alive) == Missing(doubtful=frozenset("a"))

    def test_a_sandbox_that_is_gone_is_proof(self) -> None:
        found = missing([record("a"), record("b")], set(), set(), lambda one: one.container_id == "a")
        assert found == Missing(forsaken=frozenset("a"), doubtful=frozenset("b"))

    def test_what_is_being_removed_goes_on(self) -> None:
        assert missing([record("a", phase="deleting")], set(), set(), alive).forsaken == {"a"}

    def test_what_is_being_added_is_younger_than_the_list(self) -> None:
        records = [record("a"), record("a", "net1", phase="adding")]
        assert missing(records, set(), {"a"}, lambda _: True) == Missing()


class TestSandboxIsGone:
    def test_there_it_is(self, lab: Any) -> None:
        netns = lab.sandbox()
        made = record("a", netns=netns.path, netns_identity=netns.identity)
        assert not sandbox_is_gone(made)
        other = msgspec.structs.replace(made, netns_identity=lab.sandbox().identity)
        assert sandbox_is_gone(other)  # its path leads to another one by now

    def test_its_path_is_gone(self, tmp_path: Path) -> None:
        made = record("a", netns=str(tmp_path / "n"), netns_identity=(4, 7))
        assert sandbox_is_gone(made)

    def test_a_daemon_that_does_not_see_the_nodes_namespaces_knows_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()  # what a namespace is mounted on, where the mount isn't seen
        for path in (tmp_path / "nowhere" / "n", tmp_path / "file", tmp_path / "file" / "n"):
            assert not sandbox_is_gone(record("a", netns=str(path), netns_identity=(4, 7)))

    def test_one_that_was_never_known(self) -> None:
        assert not sandbox_is_gone(record("a", netns="/run/netns/absent"))
        assert not sandbox_is_gone(record("a", netns_identity=(4, 7)))

    def test_by_the_inode_as_the_record_has_it(self) -> None:
        with Netns.open("/proc/self/ns/net") as netns:
            assert netns.identity == (lambda found: (found.st_dev, found.st_ino))(
                os.stat("/proc/self/ns/net")
            )


class TestCollect:
    def collected(
        self, *records: AttachmentRecord, valid: Pairs, default: str = "cbr0"
    ) -> dict[str, set[Any]]:
        runs: dict[str, set[Any]] = {}
        collect(network_of(default), records, valid, lambda one, keep: runs.update({one.name: set(keep)}))
        return runs

    def test_a_plugin_that_serves_two_networks_gets_the_attachments_of_both(self) -> None:
        records = [record("a"), record("a", "net1", network_name="other"), record("b")]
        kept = {("a", "eth0"), ("a", "net1"), ("b", "eth0")}
        assert self.collected(*records, valid={("a", "eth0"), ("b", "eth0")}) == {"cbr0": kept, "other": kept}

    def test_doubtful_ones_are_kept(self) -> None:
        runs = self.collected(record("a"), record("a", "net1"), valid=set())
        assert runs == {"cbr0": {("a", "eth0"), ("a", "net1")}}

    def test_the_secondaries_of_a_container_that_is_not_in_the_journal(self) -> None:
        records = [record("a"), record("a", "net1", network_name="other")]
        runs = self.collected(*records, valid={("a", "eth0"), ("from before", "eth0")})
        assert runs == {"cbr0": {("a", "eth0"), ("a", "net1"), ("from before", "eth0")}}

    def test_all_are_tried_and_all_failures_are_told(self) -> None:
        def fail(network: NetworkList, keep: Pairs) -> None:
            raise CNIError(42, network.name)

        with pytest.raises(CNIError, match="cbr0") as caught:
            collect(network_of("cbr0"), [record("a", network_name="other")], {("a", "eth0")}, fail)
        assert caught.value.code == 42 and "other" in caught.value.msg


def network_of(name: str) -> NetworkList:
    return NetworkList.from_object({"cniVersion": "1.1.0", "name": name, "type": "bridge"})

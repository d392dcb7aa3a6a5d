"""An ADD that fails is taken back whole, in reverse order; a DEL repeats what ADD used."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multinet.cni.errors import Code

Site = Any


def l2(bridge: str = "br1", **more: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "type": "bridge", "bridge": bridge, **more}


@pytest.fixture
def four(site: Site) -> Any:
    """A pod of four external attachments, one after another; the third is a chain of two."""
    site.conf["sequentialAttachments"] = True
    rec = site.recorders
    for name in ("p0", "p1", "p2", "p3", "q2"):
        rec.make(name)
    site.default_network({"type": "p0"})
    site.nad("n1", {"cniVersion": "1.0.0", "type": "p1"})
    site.nad("n2", {"cniVersion": "1.0.0", "plugins": [{"type": "p2"}, {"type": "q2"}]})
    site.nad("n3", {"cniVersion": "1.0.0", "type": "p3"})
    site.pod(networks="n1,n2,n3")
    return rec


ADDS = [("p0", "eth0"), ("p1", "net1"), ("p2", "net2"), ("q2", "net2"), ("p3", "net3")]


@pytest.mark.parametrize("failing", range(5))
def test_external_plugins_in_reverse(site: Site, four: Any, failing: int) -> None:
    """DEL for each that was begun, the failed one included; its own error arrives, with its code."""
    plugin, ifname = ADDS[failing]
    four.fail(plugin, "ADD", '{"cniVersion": "1.0.0", "code": 77, "msg": "no luck", "details": "today"}')
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox)
    assert code == 77
    assert "error adding container to network" in text and "no luck" in text and "today" in text
    assert four.asked("ADD") == [(p, "ADD", i) for p, i in ADDS[: failing + 1]]
    begun = [one for one in ADDS if one[1] <= ifname]  # a chain is removed as a whole
    assert four.asked("DEL") == [(p, "DEL", i) for p, i in reversed(begun)]
    site.assert_clean(sandbox)
    assert not (site.manifests / ".status").exists()


@pytest.mark.parametrize("failing", range(4))
def test_in_process(site: Site, failing: int) -> None:
    """Links, addresses, rules and leases of all attachments before the failing one go."""
    names = ["a", "b", "c"]
    for index, name in enumerate(names):
        site.nad(name, {"cniVersion": "1.0.0", **site.bridge(f"10.{index}.0.0/24", bridge=f"br{index}")})
        site.lab.allowed.add(f"br{index}")
    bad = {"type": "static", "addresses": [{"address": "10.0.0.0.1/24"}]}
    if failing:
        site.nad(names[failing - 1], l2(ipam=bad))
    else:
        site.default_network(l2(ipam=bad))
    site.pod(networks=",".join(names))
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox)
    assert code == Code.INVALID_CONFIG
    assert "$.ipam.addresses[0]" in text
    assert ("cbr0" if not failing else f"default/{names[failing - 1]}") in text
    site.assert_clean(sandbox)


def test_mixed_chain(site: Site) -> None:
    """Ours, then an executable that fails: ours is removed too."""
    site.recorders.make("rec")
    site.recorders.fail("rec", "ADD")
    site.default_network(site.bridge("10.244.0.0/24"), {"type": "rec"})
    sandbox = site.lab.sandbox()
    assert site.fails("ADD", netns=sandbox)[0] == 123
    assert site.recorders.asked() == [("rec", "ADD", "eth0"), ("rec", "DEL", "eth0")]
    site.assert_clean(sandbox)


def test_plugin_that_fails_without_an_error_of_its_own(site: Site) -> None:
    site.recorders.make("rec")
    site.recorders.fail("rec", "ADD", "Segmentation fault")
    site.default_network({"type": "rec"})
    code, text = site.fails("ADD", netns=site.lab.sandbox())
    assert code == Code.DELEGATE_FAILED
    assert "Segmentation fault" in text
    site.assert_clean()


def test_status_that_cannot_be_published(site: Site) -> None:
    """The last step but one: everything is taken back."""
    site.nad("a", l2())
    site.pod(networks="a")
    (site.manifests / ".status").write_text("in the way")
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox)
    assert code == Code.CLUSTER
    assert "error setting the networks status" in text and "default/web" in text
    site.assert_clean(sandbox)


def test_undo_that_fails(site: Site, four: Any) -> None:
    """The caller gets the first failure; what is left stays in the journal, and is removed later."""
    four.fail("p2", "ADD", '{"code": 77, "msg": "no luck"}')
    four.fail("p1", "DEL", '{"code": 5, "msg": "disk full"}')
    sandbox = site.lab.sandbox()
    code, text = site.fails("ADD", netns=sandbox)
    assert code == 77
    assert "no luck" in text and "net1 could not be removed" in text and "disk full" in text
    assert [(r.ifname, r.phase) for r in site.rows] == [("net1", "deleting")]
    assert "disk full" in site.rows[0].failure
    assert four.asked("DEL")[-1] == ("p0", "DEL", "eth0")
    four.succeed("p1", "DEL")
    four.clear()
    assert site.app.handler.retry_removals() == 0
    assert four.asked() == [("p1", "DEL", "net1")]
    site.assert_clean(sandbox)


def test_add_again_after_an_undo_that_failed(site: Site, four: Any) -> None:
    """The runtime's next try clears what is left first."""
    four.fail("p2", "ADD")
    four.fail("p1", "DEL")
    sandbox = site.lab.sandbox()
    site.fails("ADD", netns=sandbox)
    code, text = site.fails("ADD", netns=sandbox)
    assert code == Code.TRY_AGAIN
    assert "net1" in text and "told to fail" in text
    four.succeed("p2", "ADD")
    four.succeed("p1", "DEL")
    four.clear()
    site.ok("ADD", netns=sandbox)
    assert four.asked() == [("p1", "DEL", "net1")] + [(p, "ADD", i) for p, i in ADDS]
    site.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)


class TestRemoval:
    def test_same_configuration_as_add(self, site: Site) -> None:
        """Byte for byte what ADD used and got, although the definition was edited and the pod has gone."""
        rec = site.recorders
        rec.make("rec")
        plugin = {"type": "rec", "capabilities": {"ips": True, "mac": True}, "deep": {"b": [1, 2.50, "ü"]}}
        definition = {
            "cniVersion": "1.0.0",
            "name": "n",
            "plugins": [plugin, {"type": "rec", "second": True}],
        }
        site.nad("a", definition)
        site.pod(networks=[{"name": "a", "ips": ["10.3.0.9/24"], "cni-args": {"k": 1}}])
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        site.nad("a", {**definition, "plugins": [{"type": "other"}]})
        site.forget_manifest("pod-web")
        site.close()  # as by another daemon
        site.ok("DEL", netns=sandbox, conf={"clusterNetwork": "/nowhere"})
        add1, add2, del2, del1 = rec.calls
        result = {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "net1", "sandbox": sandbox.path}],
            "ips": [{"address": "10.99.0.2/24", "interface": 0}],
        }
        assert [call.verb for call in rec.calls] == ["ADD", "ADD", "DEL", "DEL"]
        for add, delete in ((add1, del1), (add2, del2)):
            wanted = {**add.conf, "prevResult": result}
            assert json.dumps(delete.conf, sort_keys=True) == json.dumps(wanted, sort_keys=True)
            assert {k: v for k, v in delete.env.items() if k.startswith("CNI_")} == {
                k: v for k, v in add.env.items() if k.startswith("CNI_")
            } | {"CNI_COMMAND": "DEL"}
        assert del1.conf["args"] == {"cni": {"k": 1}}
        site.assert_clean(sandbox)

    def test_namespace_that_is_gone(self, site: Site) -> None:
        """CNI_NETNS is empty then; leases and rules go."""
        rec = site.recorders
        rec.make("rec")
        site.default_network(site.bridge("10.244.0.0/24", "fd00:244::/64", macspoofchk=True), {"type": "rec"})
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        assert site.lease_files()
        assert "multinet:" in site.rules()
        sandbox.close()
        site.ok("DEL", netns="")
        assert rec.calls[-1].env["CNI_NETNS"] == ""
        site.assert_clean()

    def test_another_namespace_than_adds(self, site: Site) -> None:
        """Nothing in it is touched."""
        sandbox, other = site.lab.sandbox(), site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        site.lab.ip("link", "add", "eth0", "type", "bridge", netns=other)
        site.ok("DEL", netns=other)
        assert set(site.lab.links(other)) == {"lo", "eth0"}
        site.assert_clean(sandbox)

    def test_older_container_of_the_same_pod(self, site: Site) -> None:
        """Removes only what is its own."""
        one, two = site.lab.sandbox(), site.lab.sandbox()
        site.ok("ADD", "old", one)
        site.ok("ADD", "new", two)
        site.ok("DEL", "old", one)
        assert {row.container_id for row in site.rows} == {"new"}
        site.ok("CHECK", "new", two)
        assert len(site.lease_files()) == 2
        site.ok("DEL", "new", two)
        site.assert_clean(one, two)

    def test_without_a_readable_cluster(self, site: Site) -> None:
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        site.close()
        for file in site.manifests.glob("*.json"):
            file.write_text("{")
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)


class TestSecondAdd:
    def test_first_stays_whole(self, site: Site) -> None:
        site.nad("a", l2())
        site.pod(networks="a")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        before, rows = site.routes(sandbox), site.rows
        code, text = site.fails("ADD", netns=sandbox)
        assert code == Code.INVALID_CONFIG
        assert "container c1 has interface eth0, net1 attached already" in text
        assert site.rows == rows
        assert site.routes(sandbox) == before
        site.ok("CHECK", netns=sandbox)
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    def test_first_stays_whole_when_another_namespace_is_named(self, site: Site) -> None:
        sandbox, other = site.lab.sandbox(), site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        code, _ = site.fails("ADD", netns=other)
        assert code == Code.INVALID_CONFIG
        assert set(site.lab.links(other)) == {"lo"}
        site.ok("CHECK", netns=sandbox)
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox, other)

    def test_what_a_vanished_sandbox_left_is_removed_first(self, site: Site) -> None:
        sandbox, other = site.lab.sandbox(), site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        sandbox.close()
        site.ok("ADD", netns=other)
        assert len(site.lease_files()) == 2
        site.ok("CHECK", netns=other)
        site.ok("DEL", netns=other)
        site.assert_clean(other)

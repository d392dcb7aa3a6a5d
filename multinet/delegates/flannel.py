"""flannel: hands the pod on to a delegate (bridge), with the subnet that flanneld gave the node."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from multinet.cni.chain import PluginCall
from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import AnyItem, Owner, StateFile
from multinet.delegates.flannel_conf import FlannelConf, Subnets, delegate_conf, faulty, parse_subnet_env
from multinet.sdk import Facts
from multinet.sdk.executor import DelegateExecutor
from multinet.sdk.ipam import member
from multinet.sdk.ipam_plugin import VALID_ATTACHMENTS, owner_of, valid_attachments
from multinet.sdk.node import Node
from multinet.sdk.plugin import Outcome
from multinet.sdk.state_files import drop, keep

__all__ = ["flannel"]

_log = logging.getLogger(__name__)
_NAME_ROOM = 240
_SOME_NODE = Subnets(("10.0.0.0/16",), ("10.0.1.0/24",), 1450, False)


class Flannel:
    """The five verbs. What the delegate got at ADD is kept in a file: DEL hands it the very same."""

    conf = FlannelConf
    rules = ()

    def add(self, call: PluginCall, node: Node) -> Outcome:
        """Compose the delegate's configuration, keep it, and have the delegate do the work."""
        conf = convert(call.conf, FlannelConf)
        owner = owner_of(call)
        with node.scene(call, owner) as scene:
            inner = delegate_conf(conf, call.conf, _subnets(conf, scene.facts, Code.TRY_AGAIN))
            kept = StateFile(path=_path(conf, owner), content=json.dumps(inner), replaces=True)
            keep(kept, scene)
        executor = DelegateExecutor(node)
        asked = _inner(call, inner)
        try:
            result = executor.run(asked)
        except CNIError as error:
            self._give_up(call, node, inner, kept)
            raise error.prefixed("failed to delegate add: ") from error
        return Outcome(result or {}, (*executor.applied.get(asked.place, ()), kept))

    def check(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """The delegate's CHECK, with the configuration of the ADD."""
        conf = convert(call.conf, FlannelConf)
        with node.scene(call, owner_of(call)) as scene:
            inner = _kept(call, conf.data_dir, items, scene.facts)
        if inner is None:
            raise CNIError(
                Code.CHECK_FAILED, f"{_path(conf, owner_of(call))}: the ADD's configuration is gone"
            )
        asked = _inner(call, {**inner, "prevResult": call.conf.get("prevResult")})
        DelegateExecutor(node, _applied(asked, items)).run(asked)

    def delete(self, call: PluginCall, node: Node, items: tuple[AnyItem, ...] | None) -> None:
        """The delegate's DEL with what the ADD kept; the file goes only when that has succeeded."""
        folder = _data_dir(call)
        with node.scene(call, owner_of(call)) as scene:
            inner = _kept(call, folder, items, scene.facts)
            paths = [path for path, _ in _files(call, folder, scene.facts)]
        if inner is None:
            return
        asked = _inner(call, inner)
        DelegateExecutor(node, _applied(asked, items)).run(asked)
        paths += [item.path for item in items or () if isinstance(item, StateFile)]
        for path in paths:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def gc(self, call: PluginCall, node: Node) -> None:
        """The delegate's DEL for each attachment of the network that isn't valid, then the delegate's GC."""
        valid = valid_attachments(call.conf)
        if valid is None:
            return
        network = str(call.conf.get("name") or "")
        folder = _data_dir(call)
        failures: list[CNIError] = []
        with node.scene(call, owner_of(call)) as scene:
            live = {_file_name(Owner(network, *pair)) for pair in valid} | {pair[0] for pair in valid}
            for name, inner in _of_network(folder, network, scene.facts):
                if name not in live:
                    self._collect(call, node, os.path.join(folder, name), inner, failures)
            conf = convert(call.conf, FlannelConf)
            with suppress(CNIError):  # without the node's subnet there is nobody to hand it on to
                inner = delegate_conf(conf, call.conf, _subnets(conf, scene.facts, Code.TRY_AGAIN))
                inner[VALID_ATTACHMENTS] = call.conf.get(VALID_ATTACHMENTS)
                DelegateExecutor(node).run(_inner(call, inner))
        if failures:
            raise failures[0]

    def status(self, call: PluginCall, node: Node) -> None:
        """The subnet file is complete, and the delegate is ready."""
        conf = convert(call.conf, FlannelConf)
        with node.scene(call, owner_of(call)) as scene:
            inner = delegate_conf(conf, call.conf, _subnets(conf, scene.facts, Code.NOT_AVAILABLE))
        DelegateExecutor(node).run(_inner(call, inner))

    def example(self, conf: Mapping[str, Any]) -> dict[str, Any]:
        """What the delegate gets on a node whose subnet is 10.0.1.0/24."""
        return delegate_conf(convert(conf, FlannelConf), conf, _SOME_NODE)

    def _give_up(self, call: PluginCall, node: Node, inner: dict[str, Any], kept: StateFile) -> None:
        """Have the delegate remove what it may have left; the file stays for a later DEL if it can't."""
        try:
            DelegateExecutor(node).run(_inner(_removal(call), inner))
        except CNIError as error:
            _log.warning("flannel: %s stays: the delegate's DEL failed: %s", kept.path, error)
            return
        with node.scene(call, owner_of(call)) as scene:
            drop(kept, scene)

    def _collect(
        self, call: PluginCall, node: Node, path: str, inner: dict[str, Any], failures: list[CNIError]
    ) -> None:
        container_id, _, rest = os.path.basename(path).partition(":")
        gone = _removal(call, container_id=container_id, ifname=rest.partition(":")[0] or "eth0")
        try:
            DelegateExecutor(node).run(_inner(gone, inner))
            os.unlink(path)
        except FileNotFoundError:
            pass
        except CNIError as error:
            failures.append(error)


flannel = Flannel()


def _subnets(conf: FlannelConf, facts: Facts, absent: Code) -> Subnets:
    """flanneld writes the file when it has the node's subnet, some time after boot: until then, try again."""
    text = facts.file(conf.subnet_file)
    if text is None:
        raise faulty(conf.subnet_file, f"open {conf.subnet_file}: no such file or directory", absent)
    try:
        return parse_subnet_env(text, conf.subnet_file)
    except CNIError as error:
        raise CNIError(absent if absent == Code.NOT_AVAILABLE else error.code, error.msg) from None


def _inner(call: PluginCall, conf: dict[str, Any]) -> PluginCall:
    """The same call of the delegate."""
    return msgspec.structs.replace(call, type=str(conf.get("type")), conf=conf)


def _removal(call: PluginCall, **whose: str) -> PluginCall:
    """The call as a DEL, of another attachment if ``whose`` says so."""
    invocation = msgspec.structs.replace(call.invocation, command="DEL", **whose)
    return msgspec.structs.replace(call, verb="DEL", invocation=invocation)


def _applied(asked: PluginCall, items: tuple[AnyItem, ...] | None) -> dict[str, tuple[AnyItem, ...]]:
    """What the delegate applied, out of what flannel recorded."""
    if items is None:
        return {}
    return {asked.place: tuple(item for item in items if not isinstance(item, StateFile))}


def _data_dir(call: PluginCall) -> str:
    given = member(call.conf, "dataDir")
    return given if isinstance(given, str) and given else FlannelConf().data_dir


def _file_name(owner: Owner) -> str:
    """One an attachment; names of containers, networks and interfaces have no colon."""
    name = f"{owner.container_id}:{owner.ifname}:{owner.network}"
    return name if len(name) <= _NAME_ROOM else hashlib.sha256(name.encode()).hexdigest()


def _path(conf: FlannelConf, owner: Owner) -> str:
    return os.path.join(conf.data_dir, _file_name(owner))


def _paths(folder: str, owner: Owner) -> tuple[str, ...]:
    """Ours, and the reference's, which knows one attachment a container."""
    return os.path.join(folder, _file_name(owner)), os.path.join(folder, owner.container_id)


def _kept(
    call: PluginCall, folder: str, items: tuple[AnyItem, ...] | None, facts: Facts
) -> dict[str, Any] | None:
    """The delegate's configuration as the ADD composed it: by the record, or from its file; None without."""
    for item in items or ():
        if isinstance(item, StateFile) and (conf := _of_request(call, item.path, item.content)) is not None:
            return conf
    return next((conf for _, conf in _files(call, folder, facts)), None)


def _files(call: PluginCall, folder: str, facts: Facts) -> Iterator[tuple[str, dict[str, Any]]]:
    """The attachment's files, and what they hold."""
    for path in _paths(folder, owner_of(call)):
        text = facts.file(path)
        if text is not None and (conf := _of_request(call, path, text)) is not None:
            yield path, conf


def _of_request(call: PluginCall, path: str, text: str) -> dict[str, Any] | None:
    """A file's configuration, if it is of the request's network: the reference's says nothing of the interface."""
    conf = _decoded(path, text)
    return conf if conf is not None and conf.get("name") == call.conf.get("name") else None


def _decoded(path: str, text: str) -> dict[str, Any] | None:
    try:
        conf = json.loads(text)
    except ValueError as error:
        _log.warning("flannel: %s stays: it can't be read: %s", path, error)
        return None
    return conf if isinstance(conf, dict) else None


def _of_network(folder: str, network: str, facts: Facts) -> Iterator[tuple[str, dict[str, Any]]]:
    """The files of a network's attachments, by name."""
    for name in facts.files(folder):
        path = os.path.join(folder, name)
        if name.startswith(".") or name.endswith(".tmp") or not os.path.isfile(path):
            continue
        conf = _decoded(path, facts.file(path) or "")
        if conf is not None and conf.get("name") == network:
            yield name, conf

"""A network's plugins in their order: what each is asked, and what becomes of their answers and errors.

This is libcni's semantics without libcni's effects: an ``Executor`` runs each plugin, as an executable
(``execution.ExecutableRunner``) or as a function in this process; the result cache is the caller's
(``runtime.Runtime`` has one). Plugin objects are handed on without a JSON round trip; an executor must not
change what it is given.

All functions take the same keywords (``Terms``). Source: CNI specification 1.1.0, sections 3 and 4; error
texts as libcni's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Unpack

from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError, Code
from multinet.cni.invocation import Invocation
from multinet.cni.names import validate_container_id, validate_ifname, validate_network_name
from multinet.cni.plugin_call import Executor, PluginCall, Terms, description, plugin_call, request_conf
from multinet.cni.result import Result, result_version
from multinet.cni.versions import at_least, require_supported

__all__ = [
    "Executor",
    "PluginCall",
    "Terms",
    "add",
    "add_or_undo",
    "add_raw",
    "check",
    "delete",
    "gc",
    "request_conf",
    "status",
]


def add(network: NetworkList, invocation: Invocation, executor: Executor, **terms: Unpack[Terms]) -> Result:
    """Run ADD of each plugin in order, each with the result of the one before; the last result counts.

    The first error ends it; what was made until then stays (``add_or_undo`` undoes it). Raises CNIError.
    """
    return Result.from_json(add_raw(network, invocation, executor, **terms), network.cni_version)


def add_raw(
    network: NetworkList, invocation: Invocation, executor: Executor, **terms: Unpack[Terms]
) -> dict[str, Any]:
    """As ``add``; the last plugin's own object, with keys that multinet doesn't know.

    It is converted only if the plugin answered in another version than the network's.
    """
    return _add(network, invocation, executor, [], terms)


def add_or_undo(
    network: NetworkList,
    invocation: Invocation,
    executor: Executor,
    accept: Callable[[dict[str, Any]], object] = lambda _: None,
    undo_seconds: float = 30.0,
    **terms: Unpack[Terms],
) -> Result:
    """As ``add``, but after a failure each plugin that was begun, the failed one first, gets a DEL.

    ``accept`` is called with the last plugin's own object (``add_raw``) before the ADD counts as done: to
    record it, say. If it raises, the ADD has failed. The undo has ``undo_seconds`` of its own, and neither
    the deadline nor the caller's hanging up ends it. Its errors don't hide the failure: they are in the
    ``details`` of the CNIError (or in a note on any other exception).
    """
    begun: list[dict[str, Any]] = []
    try:
        raw = _add(network, invocation, executor, begun, terms)
        result = Result.from_json(raw, network.cni_version)
        accept(raw)
        return result
    except BaseException as failure:
        terms["deadline"] = time.monotonic() + undo_seconds
        terms["cancel_fd"] = None
        trouble = _undo(network, begun, invocation, executor, terms)
        if trouble and isinstance(failure, CNIError):
            details = "; ".join(filter(None, (failure.details, *trouble)))
            raise CNIError(failure.code, failure.msg, details) from failure
        if trouble:
            failure.add_note("; ".join(trouble))
        raise


def check(
    network: NetworkList,
    invocation: Invocation,
    executor: Executor,
    previous: Mapping[str, Any] | None,
    **terms: Unpack[Terms],
) -> None:
    """Run CHECK of each plugin in order, with the result of the ADD; the first error ends it.

    Success without a call if the network disables it. Raises CNIError: code 1 below version 0.4.0; code 6
    when ``previous`` can't be said in the network's version; or the plugin's.
    """
    if not at_least(network.cni_version, "0.4.0"):
        raise CNIError(
            Code.INCOMPATIBLE_VERSION,
            f'configuration version "{network.cni_version}" does not support the CHECK command',
        )
    if network.disable_check:
        return
    _validate(network, invocation)
    result = None if previous is None else _in_version(previous, require_supported(network.cni_version))
    for plugin in network.plugins:
        executor.run(plugin_call("CHECK", network, plugin, invocation, result, terms))


def delete(
    network: NetworkList,
    invocation: Invocation,
    executor: Executor,
    previous: Mapping[str, Any] | None = None,
    **terms: Unpack[Terms],
) -> None:
    """Run DEL of each plugin in reverse order; the first error ends it, and a later call repeats all.

    ``previous``, the result of the ADD, is handed on from version 0.4.0 on; one that can't be said in the
    network's version is ignored. Raises CNIError.
    """
    _validate(network, invocation)
    result = _known_result(network, previous)
    for plugin in reversed(network.plugins):
        try:
            executor.run(plugin_call("DEL", network, plugin, invocation, result, terms))
        except CNIError as error:
            raise error.prefixed(f"plugin {description(plugin)} failed (delete): ") from error


def gc(
    network: NetworkList,
    invocation: Invocation,
    executor: Executor,
    valid: Collection[tuple[str, str]] | None,
    **terms: Unpack[Terms],
) -> None:
    """Run GC of each plugin, whatever the others say; ``valid`` are the live (container id, ifname).

    None is no list at all, and tells the plugins to do nothing; it is not an empty one. Nothing is run below
    version 1.1.0, or if the network disables it. Raises one CNIError for all failures, with the first code.
    """
    if network.disable_gc or not at_least(network.cni_version, "1.1.0"):
        return
    failures: list[CNIError] = []
    for plugin in network.plugins:
        call = plugin_call("GC", network, plugin, _of_no_container(invocation), None, terms)
        if valid is not None:
            attachments = [{"containerID": container, "ifname": ifname} for container, ifname in valid]
            call.conf["cni.dev/valid-attachments"] = attachments
            call.conf["cni.dev/attachments"] = attachments  # the key of libcni before 1.2
        try:
            executor.run(call)
        except CNIError as error:
            failures.append(error.prefixed(f"failed to GC plugin {description(plugin)}: "))
    if failures:
        raise CNIError(failures[0].code, "\n".join(str(error) for error in failures))


def status(network: NetworkList, invocation: Invocation, executor: Executor, **terms: Unpack[Terms]) -> None:
    """Run STATUS of each plugin in order. The first error is raised as it is, so that its code survives.

    Success without a call below version 1.1.0.
    """
    if not at_least(network.cni_version, "1.1.0"):
        return
    for plugin in network.plugins:
        executor.run(plugin_call("STATUS", network, plugin, _of_no_container(invocation), None, terms))


def _add(
    network: NetworkList,
    invocation: Invocation,
    executor: Executor,
    begun: list[dict[str, Any]],
    terms: Terms,
) -> dict[str, Any]:
    """``begun`` gets each plugin before it is run."""
    version = require_supported(network.cni_version)
    _validate(network, invocation)
    previous: dict[str, Any] | None = None
    for plugin in network.plugins:
        call = plugin_call("ADD", network, plugin, invocation, previous, terms)
        begun.append(plugin)
        try:
            previous = _in_version(executor.run(call) or {}, version)
        except CNIError as error:
            raise error.prefixed(f"plugin {description(plugin)} failed (add): ") from error
    assert previous is not None, "a network list has plugins"
    return previous


def _undo(
    network: NetworkList,
    begun: list[dict[str, Any]],
    invocation: Invocation,
    executor: Executor,
    terms: Terms,
) -> list[str]:
    """DEL what was begun, backwards; what went wrong with that, as text."""
    trouble: list[str] = []
    for plugin in reversed(begun):
        try:
            executor.run(plugin_call("DEL", network, plugin, invocation, None, terms))
        except Exception as error:
            # Whatever it is, the plugins before this one must still be undone.
            trouble.append(f"undo: plugin {description(plugin)} failed (delete): {error}")
    return trouble


def _in_version(raw: Mapping[str, Any], version: str) -> dict[str, Any]:
    """A result object in ``version``; in one that names none it is taken to be in it already.

    The object itself, with all its keys, if it needs no conversion. Raises CNIError code 6.
    """
    result = Result.from_json(raw, version)
    if result_version(raw, version) != version:
        return result.as_version(version)
    return {**raw, "cniVersion": version}


def _known_result(network: NetworkList, previous: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if previous is None or not at_least(network.cni_version, "0.4.0"):
        return None
    try:
        return _in_version(previous, require_supported(network.cni_version))
    except CNIError:
        return None  # DEL goes on without, rather than never succeed


def _validate(network: NetworkList, invocation: Invocation) -> None:
    validate_container_id(invocation.container_id)
    validate_network_name(network.name)
    validate_ifname(invocation.ifname)


def _of_no_container(invocation: Invocation) -> Invocation:
    """GC and STATUS are about a network: only the path is theirs."""
    return Invocation(command=invocation.command, path=invocation.path)

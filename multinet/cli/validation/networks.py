"""CNI configurations: their shape, and every option of the plugins that are ours."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cli.validation.address_managers import check_address_manager
from multinet.cli.validation.delegates import check_delegate, typed
from multinet.cli.validation.findings import Subject
from multinet.cli.validation.pools import Pools
from multinet.cli.validation.rehearsal import Rehearsal
from multinet.cli.validation.strange_keys import name_strange_keys
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError, InvalidConfig
from multinet.core.settings import Settings, settings_warnings
from multinet.daemon.networks import META_TYPES
from multinet.sdk import registry
from multinet.sdk.delegate_plugin import DelegatePlugin
from multinet.sdk.plugin import HandsOn

__all__ = ["check_network"]


class _ListConf(msgspec.Struct, rename="camel"):
    """Keys of a network configuration list."""

    cni_version: Any = None
    cni_versions: Any = None
    name: Any = None
    plugins: Any = None
    disable_check: Any = None
    disable_gc: Any = msgspec.field(name="disableGC", default=None)
    load_only_inlined_plugins: Any = None


_OF_A_SINGLE_PLUGIN = ("cniVersions", "disableCheck", "disableGC", "deviceID", "pciBusID")
"""Keys that a plugin object may have beside its own; they are the runtime's, or the meta-plugin's."""


def check_network(raw: Mapping[str, Any], subject: Subject, pools: Pools) -> None:
    """A list or a single plugin."""
    try:
        network = NetworkList.from_object(raw)
    except CNIError as error:
        subject.faults(error)
        return
    single = raw.get("plugins") is None
    if not single:
        name_strange_keys(raw, _ListConf, subject)
    rehearsal = Rehearsal()
    for index, plugin in enumerate(network.plugins):
        part = subject if single else subject.below(f"$.plugins[{index}]")
        complete = {**plugin, "name": network.name, "cniVersion": network.cni_version}
        if plugin["type"] in META_TYPES:
            _check_meta_plugin(plugin, complete, part, pools)
        else:
            _check_plugin(plugin, complete, part, pools, rehearsal)


def _check_plugin(
    plugin: Mapping[str, Any],
    complete: Mapping[str, Any],
    subject: Subject,
    pools: Pools,
    rehearsal: Rehearsal,
) -> None:
    kind = str(plugin["type"])
    ours: Any = registry.plugin(kind)
    if ours is None:
        near = difflib.get_close_matches(kind, registry.types(), 1, 0.8)
        if near:
            subject.warning("$.type", f'no delegate is called "{kind}", did you mean "{near[0]}"?')
    options = getattr(ours, "conf", None)
    if options is None:
        rehearsal.pass_over()
    else:
        name_strange_keys(plugin, options, subject, _OF_A_SINGLE_PLUGIN)
        written = typed(complete, options, subject)
        if isinstance(ours, DelegatePlugin):
            check_delegate(ours, written, subject, rehearsal)
        elif isinstance(ours, HandsOn):
            _check_inner(ours, written.values, subject, rehearsal)
        else:
            rehearsal.pass_over()
    ipam = plugin.get("ipam")
    if isinstance(ipam, Mapping) and ipam and not isinstance(ours, HandsOn):
        check_address_manager(complete, subject, pools)


def _check_inner(plugin: HandsOn, values: Mapping[str, Any], subject: Subject, rehearsal: Rehearsal) -> None:
    """The delegate of a plugin that only composes its configuration. Which addresses it has only nodes know."""
    try:
        inner = plugin.example(values)
    except CNIError as error:
        subject.faults(error)
        rehearsal.pass_over()
        return
    written = {**(values.get("delegate") or {}), "type": inner["type"]}
    _check_plugin(written, inner, subject.below("$.delegate"), Pools(), rehearsal)
    check_address_manager(inner, subject, Pools())


def _check_meta_plugin(
    plugin: Mapping[str, Any], complete: Mapping[str, Any], subject: Subject, pools: Pools
) -> None:
    for warning in settings_warnings(complete):
        path, _, problem = warning.partition(": ")
        subject.warning(path, problem)
    try:
        settings = Settings.from_config(
            {"clusterNetwork": "/", **complete}
        )  # the daemon has a default for it
    except InvalidConfig as error:
        subject.faults(error)
        return
    except CNIError as error:
        subject.error("$", str(error))
        return
    for index, delegate in enumerate(settings.delegates):
        check_network({"name": settings.name, **delegate}, subject.below(f"$.delegates[{index}]"), pools)

"""CNI configurations: their shape, and every option of the plugins that are ours."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from multinet.cli.validation.address_managers import check_address_manager
from multinet.cli.validation.any_host import AnyHost
from multinet.cli.validation.findings import Subject, faults_of
from multinet.cli.validation.pools import Pools
from multinet.cni.conf import NetworkList
from multinet.cni.decode import convert, unknown_keys
from multinet.cni.errors import CNIError, InvalidConfig
from multinet.core.desired import Owner
from multinet.core.settings import Settings, settings_warnings
from multinet.daemon.networks import META_TYPES
from multinet.sdk import registry
from multinet.sdk.delegate import Sandbox
from multinet.sdk.interface_plugin import InterfacePlugin

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
        name_unknown_keys(raw, _ListConf, subject)
    for index, plugin in enumerate(network.plugins):
        part = subject if single else subject.below(f"$.plugins[{index}]")
        complete = {**plugin, "name": network.name, "cniVersion": network.cni_version}
        if plugin["type"] in META_TYPES:
            _check_meta_plugin(plugin, complete, part, pools)
        else:
            _check_plugin(plugin, complete, part, pools)


def name_unknown_keys(
    raw: Mapping[str, Any], known: type[msgspec.Struct], subject: Subject, also: Iterable[str] = ()
) -> None:
    """A warning for each key that nobody reads; keys with a dot or a slash are other people's."""
    for key, near in unknown_keys(raw, known).items():
        if key not in also and not any(mark in key for mark in "./"):
            hint = f', did you mean "{near}"?' if near else ""
            subject.warning("$." + key, f'unknown key "{key}"{hint}')


def _check_plugin(
    plugin: Mapping[str, Any], complete: Mapping[str, Any], subject: Subject, pools: Pools
) -> None:
    kind = str(plugin["type"])
    ours = registry.plugin(kind)
    if ours is None:
        near = difflib.get_close_matches(kind, registry.types(), 1, 0.8)
        if near:
            subject.warning("$.type", f'no delegate is called "{kind}", did you mean "{near[0]}"?')
    elif isinstance(ours, InterfacePlugin):
        name_unknown_keys(plugin, ours.conf, subject, _OF_A_SINGLE_PLUGIN)
        _check_delegate(ours, complete, subject)
    ipam = plugin.get("ipam")
    if isinstance(ipam, Mapping) and ipam:
        check_address_manager(complete, subject, pools)


def _check_delegate(delegate: InterfacePlugin[Any], complete: Mapping[str, Any], subject: Subject) -> None:
    """Its options by their types, then by what the delegate itself says about those that have theirs."""
    typed = complete
    try:
        convert(complete, delegate.conf)
    except InvalidConfig as error:
        subject.faults(error)
        faulty = {path.split(".")[1].partition("[")[0].lower() for path, _ in faults_of(error) if "." in path}
        typed = {key: value for key, value in complete.items() if key.lower() not in faulty}
    try:
        conf = convert(typed, delegate.conf)
        pod = Sandbox(owner=Owner(conf.name, "validate", "net1"), netns="/run/netns/validate")
        delegate.desired(conf, pod, AnyHost())
    except CNIError as error:
        subject.faults(error)


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

"""What a node's Multus was told, as the configuration file of our daemon.

Source: multus-cni 4: the ``daemon-config.json`` of its daemon, and the ``00-multus.conf`` (``.conflist``) that its
daemon or its one-shot plugin has the runtime read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from multinet.cni.errors import InvalidConfig
from multinet.core.daemon_config import GENERATED_NAME
from multinet.core.settings import Settings

__all__ = ["MULTUS_TYPES", "config_in_manifest", "daemon_configuration", "plugin_of"]

MULTUS_TYPES = frozenset({"multus", "multus-shim"})
_DATA_KEYS = ("daemon-config.json", "cni-conf.json")
_OF_THE_CALL = frozenset(("cniVersion", "name", "type", "prevResult", "runtimeConfig", "capabilities"))


def config_in_manifest(manifest: Mapping[str, Any]) -> str | None:
    """The text of Multus' configuration in a ConfigMap; None when the object is none, or has none."""
    if manifest.get("kind") != "ConfigMap":
        return None
    data = manifest.get("data") or {}
    return next((str(data[key]) for key in _DATA_KEYS if key in data), None)


def plugin_of(network: Mapping[str, Any]) -> dict[str, Any] | None:
    """Multus' object in the runtime's configuration, with the network's name and version; None: it isn't Multus'."""
    plugins = network.get("plugins")
    for plugin in plugins if isinstance(plugins, list) else [network]:
        if isinstance(plugin, Mapping) and plugin.get("type") in MULTUS_TYPES:
            return {**plugin, "name": network.get("name", ""), "cniVersion": network.get("cniVersion", "")}
    return None


def daemon_configuration(
    daemon: Mapping[str, Any], plugin: Mapping[str, Any] | None, conf_dir: str, primaries: Collection[str]
) -> dict[str, Any]:
    """The content of our file: ``daemon`` as it is, and what only the runtime's configuration says.

    ``plugin`` is Multus' object there (``plugin_of``), ``conf_dir`` the folder it is in, and ``primaries`` the
    names of the networks besides it. Raises InvalidConfig for a primary that is nowhere else.
    """
    content = dict(daemon)
    if plugin is None:
        return content
    known = {field.encode_name for field in msgspec.structs.fields(Settings)} - _OF_THE_CALL
    given = {key: value for key, value in plugin.items() if key in known and value not in ("", None)}
    if plugin.get("cniConf"):  # what Multus' generator once wrote for it
        given.setdefault("confDir", plugin["cniConf"])
    is_generated = bool(content.get("multusAutoconfigDir")) or _is_generated(given, primaries)
    if is_generated:
        # The copy of the primary in it is as old as it is; ours is made anew.
        given.pop("delegates", None)
        given.pop("clusterNetwork", None)
        content.setdefault("multusConfigFile", "auto")
        content.setdefault("multusAutoconfigDir", conf_dir)
        content.setdefault("cniConfigDir", conf_dir)
        content.setdefault("cniVersion", plugin.get("cniVersion") or "0.3.1")
    elif (
        len(given.get("delegates") or ()) == 0
        and not given.get("clusterNetwork")
        and "clusterNetwork" not in content
    ):
        raise InvalidConfig(
            "$", "neither clusterNetwork nor delegates: there is no default network to take over"
        )
    name = plugin.get("name") or GENERATED_NAME
    # The runtime finds the DELs of pods that run by this name (6.8).
    if is_generated and name != GENERATED_NAME and not content.get("overrideNetworkName"):
        content["multinet"] = {**(content.get("multinet") or {}), "networkName": name}
    return {**given, **content}


def _is_generated(given: Mapping[str, Any], primaries: Collection[str]) -> bool:
    """Whether the only network in it is a copy of one that has a file of its own."""
    delegates = given.get("delegates") or []
    if given.get("clusterNetwork") or len(delegates) != 1 or not isinstance(delegates[0], Mapping):
        return False
    return delegates[0].get("name") in primaries

"""Multus' own configuration on a node: found, read, and a file for our daemon written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from multinet.cni import jsontext
from multinet.cni.conf import conf_files, load_file
from multinet.cni.errors import CNIError, Code
from multinet.core.multus_installation import MULTUS_TYPES, config_in_manifest, plugin_of

__all__ = ["MultusFiles", "read_daemon_file", "read_multus_files"]

_DAEMON_CONFIG = os.path.join("multus.d", "daemon-config.json")


class MultusFiles(NamedTuple):
    """What was found in the runtime's folder."""

    daemon_config: str
    """Path of ``daemon-config.json``; empty: there is none."""
    plugin: Mapping[str, Any] | None
    """Multus' object in the runtime's configuration."""
    plugin_path: str
    primaries: tuple[str, ...]
    """Names of the other networks there."""


def read_multus_files(conf_dir: str) -> MultusFiles:
    """Look through the runtime's folder. Raises CNIError code 5 when it can't be read."""
    plugin, plugin_path, primaries = None, "", []
    for path in conf_files(conf_dir):
        try:
            network = load_file(path)
        except CNIError:  # the runtime passes it over too
            continue
        if not any(one["type"] in MULTUS_TYPES for one in network.plugins):
            primaries.append(network.name)
        elif plugin is None:
            plugin, plugin_path = plugin_of(jsontext.decode(network.raw)), path
    daemon_config = os.path.join(conf_dir, _DAEMON_CONFIG)
    found = daemon_config if os.path.exists(daemon_config) else ""
    return MultusFiles(found, plugin, plugin_path, tuple(primaries))


def read_daemon_file(path: str) -> dict[str, Any]:
    """The configuration in ``path``: ``daemon-config.json`` itself, or the ConfigMap that it comes from.

    Raises OSError; CNIError code 6 for what is neither, with the file's name.
    """
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        if not path.endswith((".yaml", ".yml")):
            whole = jsontext.decode(text)
            inner = config_in_manifest(whole) if isinstance(whole, Mapping) else None
            found = whole if inner is None else jsontext.decode(inner)
        else:
            found = jsontext.decode(_of_manifests(text, path))
    except jsontext.MalformedJSON as error:
        raise CNIError(Code.DECODING_FAILURE, f"{path}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise CNIError(Code.DECODING_FAILURE, f"{path}: expected an object, got {type(found).__name__}")
    return found


def _of_manifests(text: str, path: str) -> str:
    import yaml  # 5 MB that only who gives YAML pays for

    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise CNIError(Code.DECODING_FAILURE, f"{path}: not YAML: {error}") from None
    for document in documents:
        inner = config_in_manifest(document) if isinstance(document, Mapping) else None
        if inner is not None:
            return inner
    raise CNIError(
        Code.DECODING_FAILURE,
        f'{path}: no ConfigMap with a key "daemon-config.json" or "cni-conf.json" in it',
    )

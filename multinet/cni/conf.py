"""Network configurations: lists of plugins, single plugins, and the folders they are found in.

Everything becomes a ``NetworkList``. Plugin objects stay the raw objects they were, so that keys which
multinet doesn't know reach the plugin unchanged; treat them as read-only, they are shared.

Faults are CNIErrors that name the file: code 5 (can't be read), 6 (no JSON; with line and column), 7 (wrong
shape; with the JSON path). Source: CNI specification 1.1.0, "Network configuration format"; file rules and
texts as libcni's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import msgspec

from multinet.cni import jsontext
from multinet.cni.conf_shape import (
    LIST_FAULT,
    PLUGIN_FAULT,
    chosen_version,
    flag,
    network_name,
    require_object,
    require_plugin,
)
from multinet.cni.errors import CNIError, Code, InvalidConfig

__all__ = [
    "Broken",
    "NetworkList",
    "NoConfiguration",
    "conf_files",
    "find_by_name",
    "first_valid",
    "load_file",
    "plugins_in",
]

_SUFFIXES = (".conflist", ".conf", ".json")


class NoConfiguration(CNIError):
    """A folder holds no usable network configuration; ``details`` names the broken ones."""


class Broken(msgspec.Struct, frozen=True):
    """A configuration file that was passed over, and why."""

    path: str
    error: CNIError


class NetworkList(msgspec.Struct, frozen=True):
    """A network: its name, the version its plugins are called in, and the plugins in order."""

    name: str
    cni_version: str
    plugins: tuple[dict[str, Any], ...]
    disable_check: bool = False
    disable_gc: bool = False
    load_only_inlined_plugins: bool = False
    raw: bytes = b""
    """The list as JSON, complete: ``from_bytes(raw)`` gives the same plugins again, from any folder."""

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "") -> NetworkList:
        """The list, or single plugin, in ``data``; ``source`` names it in errors. Raises CNIError 6, 7."""
        raw = _parsed(data, source)
        network = cls.from_object(raw, source)
        return msgspec.structs.replace(network, raw=data) if raw.get("plugins") else network

    @classmethod
    def from_object(cls, raw: Mapping[str, Any], source: str = "") -> NetworkList:
        """The list, or the single plugin, that ``raw`` is. Raises InvalidConfig (code 7)."""
        try:
            require_object(raw, "$")
            if raw.get("plugins") is None and raw.get("type") is None:
                raise InvalidConfig("$", f"{PLUGIN_FAULT}missing 'type' (or, for a list, 'plugins')")
            return _network(raw)
        except InvalidConfig as error:
            _raise_for(source, error)


def load_file(path: str) -> NetworkList:
    """The network in a file; for a list that allows it, with the plugins of the folder named like it.

    The folder is ``{directory of the file}/{network name}/``: each ``*.conf`` in it is one more plugin, in
    lexical order. Raises CNIError 5, 6, 7.
    """
    raw = _parsed(_read(path), path)
    try:
        if raw.get("plugins") is None and raw.get("type") is not None:
            return _network(raw)
        if raw.get("plugins") is None and flag(raw, "loadOnlyInlinedPlugins"):
            raise InvalidConfig(
                "$.plugins", f"{LIST_FAULT}`loadOnlyInlinedPlugins` is true, and no 'plugins' key"
            )
        if not flag(raw, "loadOnlyInlinedPlugins"):
            raw = _with_folder(raw, path)
        return _network(raw)
    except InvalidConfig as error:
        _raise_for(path, error)


def plugins_in(folder: str) -> list[dict[str, Any]]:
    """The plugin objects of the folder's ``*.conf`` files, in lexical order; a missing folder has none.

    Raises CNIError 5, 6, 7.
    """
    loaded: list[dict[str, Any]] = []
    for file in _files(folder, (".conf",)):
        plugin = _parsed(_read(file), file)
        try:
            require_plugin(plugin, "$")
        except InvalidConfig as error:
            _raise_for(file, error)
        loaded.append(plugin)
    return loaded


def conf_files(directory: str) -> list[str]:
    """Paths of the configuration files of a folder, in bytewise order of their names; not of its subfolders.

    A missing folder has none. Raises CNIError code 5 when it can't be read.
    """
    return _files(directory, _SUFFIXES)


def find_by_name(
    directory: str, name: str, broken: Callable[[Broken], object] = lambda _: None
) -> NetworkList:
    """The network called ``name``: lists are looked through first, then single-plugin files.

    Files that don't parse are passed over and told to ``broken`` (a list's ``append``, say), each once.
    Raises NoConfiguration when there is no such network.
    """
    files = conf_files(directory)
    files.sort(key=lambda path: not path.endswith(".conflist"))  # stable: lexical within each kind
    passed: list[Broken] = []
    for network in _valid(files, passed, broken):
        if network.name == name:
            return network
    if not files:
        raise NoConfiguration(Code.INVALID_CONFIG, f"no net configurations found in {directory}")
    raise NoConfiguration(
        Code.INVALID_CONFIG, f'no net configuration with name "{name}" in {directory}', _listing(passed)
    )


def first_valid(
    directory: str,
    skip: Callable[[NetworkList], bool] = lambda _: False,
    broken: Callable[[Broken], object] = lambda _: None,
) -> NetworkList:
    """The network of the first file, in lexical order, that parses and has plugins: a node's default.

    ``skip`` is asked about each network that parses. Files that don't are passed over and told to ``broken``.
    Raises NoConfiguration when none is left.
    """
    passed: list[Broken] = []
    for network in _valid(conf_files(directory), passed, broken):
        if not skip(network):
            return network
    raise NoConfiguration(
        Code.INVALID_CONFIG, f"no net configurations found in {directory}", _listing(passed)
    )


def _valid(
    files: list[str], passed: list[Broken], broken: Callable[[Broken], object]
) -> Iterator[NetworkList]:
    for path in files:
        try:
            yield load_file(path)
        except CNIError as error:
            fault = Broken(path, error)
            passed.append(fault)
            broken(fault)


def _listing(passed: list[Broken]) -> str:
    return "; ".join(str(fault.error) for fault in passed)


def _network(raw: Mapping[str, Any]) -> NetworkList:
    """The typed view of a list or a single plugin. Raises InvalidConfig."""
    name = network_name(raw)
    version = chosen_version(raw)
    single = raw.get("plugins") is None
    whole = {"cniVersion": version, "name": name, "plugins": [raw]} if single else raw
    plugins = whole["plugins"]
    if not isinstance(plugins, list):
        raise InvalidConfig("$.plugins", f"{LIST_FAULT}expected a list, got {type(plugins).__name__}")
    if not plugins:
        raise InvalidConfig("$.plugins", f"{LIST_FAULT}no plugins in list")
    for i, plugin in enumerate(plugins):
        require_plugin(plugin, "$" if single else f"$.plugins[{i}]")
    return NetworkList(
        name=name,
        cni_version=version,
        plugins=tuple(plugins),
        disable_check=flag(whole, "disableCheck"),
        disable_gc=flag(whole, "disableGC"),
        load_only_inlined_plugins=flag(whole, "loadOnlyInlinedPlugins"),
        raw=jsontext.encode(whole),
    )


def _with_folder(raw: dict[str, Any], path: str) -> dict[str, Any]:
    """The list with the plugins of its folder inlined, so that it no longer depends on the folder."""
    folder = os.path.join(os.path.dirname(path), network_name(raw))
    loaded = plugins_in(folder)
    inlined = raw.get("plugins")
    if inlined is None and not loaded:
        raise InvalidConfig("$", f"no plugin configs found (no 'plugins' key, and nothing in {folder})")
    if not loaded or not isinstance(inlined, list | None):
        return raw
    return {**raw, "plugins": [*(inlined or ()), *loaded], "loadOnlyInlinedPlugins": True}


def _parsed(data: bytes, source: str) -> dict[str, Any]:
    try:
        raw: dict[str, Any] = jsontext.decode(data)
    except jsontext.MalformedJSON as error:
        raise CNIError(Code.DECODING_FAILURE, f"{_of(source)}{LIST_FAULT}{error}") from None
    try:
        require_object(raw, "$")
    except InvalidConfig as error:
        _raise_for(source, error)
    return raw


def _raise_for(source: str, error: InvalidConfig) -> NoReturn:
    """Raise the fault again, with the file's name before the path."""
    raise InvalidConfig(f"{_of(source)}{error.path}", error.problem, error.code) from None


def _of(source: str) -> str:
    return f"{source}: " if source else ""


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CNIError(
            Code.IO_FAILURE, f"error reading {path}: {os.strerror(error.errno or 0).lower()}"
        ) from None


def _files(directory: str, suffixes: tuple[str, ...]) -> list[str]:
    try:
        names = sorted(os.listdir(os.fsencode(directory)))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CNIError(
            Code.IO_FAILURE, f"error reading {directory}: {os.strerror(error.errno or 0).lower()}"
        ) from None
    paths = (os.path.join(directory, os.fsdecode(name)) for name in names)
    return [path for path in paths if path.endswith(suffixes) and _may_be_file(path)]


def _may_be_file(path: str) -> bool:
    """False for folders, pipes (which would block the reader) and the like.

    A dangling link counts as a file, so that opening it reports what is wrong.
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True

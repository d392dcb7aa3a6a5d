r"""The CNI specification (0.1.0 … 1.1.0) as Python types, and a runtime library: what libcni is for Go.

Read a configuration, attach a container to it, detach it again:

>>> import os, tempfile
>>> from multinet.cni import Container, NetworkList, ResultCache, Runtime
>>> folder = tempfile.mkdtemp()
>>> with open(f"{folder}/answer", "w") as plugin:  # a plugin is any executable
...     _ = plugin.write("#!/bin/sh\necho '{\"ips\": [{\"address\": \"10.1.2.3/24\"}]}'")
>>> os.chmod(plugin.name, 0o755)
>>> conf = b'{"cniVersion": "1.0.0", "name": "demo", "plugins": [{"type": "answer"}]}'
>>> network = NetworkList.from_bytes(conf, source="10-demo.conflist")
>>> runtime = Runtime(path=[folder], cache=ResultCache(folder))
>>> container = Container("c1", netns="/run/netns/c1", ifname="eth0")
>>> runtime.add(network, container).ips
(IPConfig(address='10.1.2.3/24', gateway='', interface=None),)
>>> runtime.delete(network, container)

Results convert between all versions:

>>> from multinet.cni import Result
>>> Result.from_json({"ip4": {"ip": "10.1.2.3/24"}}, "0.2.0").as_version("1.1.0")
{'cniVersion': '1.1.0', 'ips': [{'address': '10.1.2.3/24'}]}

Every failure is a CNIError with a code of the specification; faults in a configuration say where:

>>> NetworkList.from_bytes(b'{"name": "demo", "plugins": [{"type": "x", "ipam": 3}]}')
Traceback (most recent call last):
multinet.cni.errors.InvalidConfig: $.plugins[0].ipam: expected object | null, got int

Names are loaded when they are first used: a plugin that only prints a result never loads what starts
processes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multinet.cni.cache import CachedAttachment, ResultCache
    from multinet.cni.chain import Executor, PluginCall
    from multinet.cni.conf import (
        Broken,
        NetworkList,
        NoConfiguration,
        conf_files,
        find_by_name,
        first_valid,
        load_file,
    )
    from multinet.cni.errors import CNIError, Code, InvalidConfig
    from multinet.cni.execution import ExecutableRunner
    from multinet.cni.invocation import Invocation, parse_args
    from multinet.cni.request import Request, read_request
    from multinet.cni.result import DNS, Interface, IPConfig, Result, Route
    from multinet.cni.runtime import Container, Runtime
    from multinet.cni.versions import LATEST, SUPPORTED

__all__ = [
    "DNS",
    "LATEST",
    "SUPPORTED",
    "Broken",
    "CNIError",
    "CachedAttachment",
    "Code",
    "Container",
    "ExecutableRunner",
    "Executor",
    "IPConfig",
    "Interface",
    "InvalidConfig",
    "Invocation",
    "NetworkList",
    "NoConfiguration",
    "PluginCall",
    "Request",
    "Result",
    "ResultCache",
    "Route",
    "Runtime",
    "conf_files",
    "find_by_name",
    "first_valid",
    "load_file",
    "parse_args",
    "read_request",
]

_HOMES = {
    "cache": ("CachedAttachment", "ResultCache"),
    "conf": (
        "Broken",
        "NetworkList",
        "NoConfiguration",
        "conf_files",
        "find_by_name",
        "first_valid",
        "load_file",
    ),
    "errors": ("CNIError", "Code", "InvalidConfig"),
    "execution": ("ExecutableRunner",),
    "invocation": ("Invocation", "parse_args"),
    "plugin_call": ("Executor", "PluginCall"),
    "request": ("Request", "read_request"),
    "result": ("DNS", "IPConfig", "Interface", "Result", "Route"),
    "runtime": ("Container", "Runtime"),
    "versions": ("LATEST", "SUPPORTED"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

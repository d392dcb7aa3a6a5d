"""Multus as it leaves a node: the reference plugins run by libcni's rules, and its files about them."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from multinet.adapters.netns import Netns
from multinet.cni import chain
from multinet.cni.cache import CachedAttachment, ResultCache
from multinet.cni.conf import NetworkList
from multinet.cni.execution import ExecutableRunner
from multinet.cni.invocation import Invocation, split_args
from multinet.daemon.elsewhere import InNamespace

GO_PLUGINS = "/usr/lib/cni"


class Network:
    """One network of a pod: display name, configuration, and what its element of the annotation asked for."""

    def __init__(
        self,
        name: str,
        conf: Mapping[str, Any],
        ifname: str = "",
        capabilities: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.conf, self.ifname = name, dict(conf), ifname
        self.capabilities = dict(capabilities or {})


class Multus:
    """One node's Multus; the plugins find themselves in ``host``."""

    def __init__(self, directory: Path, host: Netns, path: Sequence[str] = (GO_PLUGINS,)) -> None:
        self.directory = directory
        self._plugins = InNamespace(host, ExecutableRunner())
        self._path = tuple(path)

    def add(self, container: str, netns: Netns, networks: Sequence[Network], pod: str = "web") -> None:
        """Attach a pod: the scratch file first, then network by network with a file of its result."""
        self.write_scratch(container, networks)
        args = f"IgnoreUnknown=true;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod}"
        args += f";K8S_POD_INFRA_CONTAINER_ID={container};K8S_POD_UID=uid-{pod}"
        cache = ResultCache(str(self.directory))
        for position, network in enumerate(networks):
            ifname = network.ifname or (f"net{position}" if position else "eth0")
            raw = json.dumps(network.conf).encode()
            listed = NetworkList.from_bytes(raw)
            invocation = Invocation("ADD", container, netns.path, ifname, args, self._path)
            result = chain.add_raw(listed, invocation, self._plugins, capability_args=network.capabilities)
            cache.put(
                CachedAttachment(
                    network_name=listed.name,
                    container_id=container,
                    ifname=ifname,
                    config=raw,
                    netns=netns.path,
                    args=split_args(args),
                    capability_args=network.capabilities,
                    result=result,
                )
            )

    def delete(self, container: str, netns: Netns, networks: Sequence[Network]) -> None:
        """Delete a pod as Multus does, the last network first; its files go too."""
        cache = ResultCache(str(self.directory))
        for position, network in reversed(list(enumerate(networks))):
            listed = NetworkList.from_bytes(json.dumps(network.conf).encode())
            ifname = network.ifname or (f"net{position}" if position else "eth0")
            entry = cache.get(listed.name, container, ifname)
            assert entry is not None
            args = ";".join(f"{key}={value}" for key, value in entry.args)
            invocation = Invocation("DEL", container, netns.path, ifname, args, self._path)
            chain.delete(
                listed, invocation, self._plugins, entry.result, capability_args=network.capabilities
            )
            cache.remove(listed.name, container, ifname)
        (self.directory / container).unlink()

    def write_scratch(self, container: str, networks: Sequence[Network]) -> Path:
        """The file as ``saveScratchNetConf`` writes it: Go's ``DelegateNetConf``, zero values and all."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        delegates = []
        for network in networks:
            delegate: dict[str, Any] = {
                "Conf": {"cniVersion": "", "name": "", "ipam": {}, "dns": {}},
                "ConfList": {"cniVersion": "", "name": "", "plugins": None},
                "Name": network.name,
                "IsFilterV4Gateway": False,
                "IsFilterV6Gateway": False,
                "Bytes": b64encode(json.dumps(network.conf).encode()).decode(),
            }
            if "plugins" in network.conf:
                plugins = [{"type": one["type"], "ipam": {}, "dns": {}} for one in network.conf["plugins"]]
                delegate["ConfList"] = {**network.conf, "plugins": plugins}
            else:
                delegate["Conf"] = {key: network.conf[key] for key in ("cniVersion", "name", "type")}
            if network.ifname:
                delegate["ifnameRequest"] = network.ifname
            if "mac" in network.capabilities:
                delegate["macRequest"] = network.capabilities["mac"]
            if "ips" in network.capabilities:
                delegate["ipRequest"] = network.capabilities["ips"]
            delegates.append(delegate)
        file = self.directory / container
        file.write_text(json.dumps(delegates))
        os.chmod(file, 0o600)
        return file

    @property
    def files(self) -> list[str]:
        """What it has, relative to its folder."""
        found = (path for path in self.directory.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.directory)) for path in found)

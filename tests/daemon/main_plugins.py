"""The main plugins' configuration files, as their installers write them on a node, and what the plugins answer."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

Json = dict[str, Any]

CALICO = """{
  "name": "k8s-pod-network",
  "cniVersion": "0.3.1",
  "plugins": [
    {
      "container_settings": {"allow_ip_forwarding": false},
      "datastore_type": "kubernetes",
      "endpoint_status_dir": "/var/run/calico/endpoint-status",
      "ipam": {"assign_ipv4": "true", "assign_ipv6": "false", "type": "calico-ipam"},
      "kubernetes": {
        "k8s_api_root": "https://10.96.0.1:443",
        "kubeconfig": "/etc/cni/net.d/calico-kubeconfig"
      },
      "log_file_max_age": 30,
      "log_file_max_count": 10,
      "log_file_max_size": 100,
      "log_file_path": "/var/log/calico/cni/cni.log",
      "log_level": "Info",
      "mtu": 0,
      "nodename_file_optional": false,
      "policy": {"type": "k8s"},
      "policy_setup_timeout_seconds": 0,
      "type": "calico"
    },
    {"capabilities": {"bandwidth": true}, "type": "bandwidth"},
    {"capabilities": {"portMappings": true}, "snat": true, "type": "portmap"}
  ]
}
"""
CALICO_RESULT: Json = {
    "cniVersion": "0.3.1",
    "interfaces": [{"name": "cali5dd3f5a1b2c"}],
    "ips": [{"version": "4", "address": "192.168.77.5/32"}],
    "dns": {},
}
"""The host's end alone, and an address that names no interface."""

CILIUM = """
{
  "cniVersion": "0.3.1",
  "name": "cilium",
  "plugins": [
    {
       "type": "cilium-cni",
       "enable-debug": false,
       "log-file": "/var/run/cilium/cilium-cni.log"
    }
  ]
}
"""
CILIUM_RESULT: Json = {
    "cniVersion": "0.3.1",
    "interfaces": [
        {"name": "lxc0c1d2e3f4a5b", "mac": "aa:bb:cc:00:00:01"},
        {"name": "eth0", "mac": "aa:bb:cc:00:00:02", "sandbox": "/var/run/netns/cni-0"},
    ],
    "ips": [{"version": "4", "interface": 1, "address": "10.0.1.25/32", "gateway": "10.0.1.7"}],
    "routes": [{"dst": "10.0.1.7/32"}, {"dst": "0.0.0.0/0", "gw": "10.0.1.7"}],
    "dns": {},
}

CILIUM_PORTMAP = """{
  "cniVersion": "0.3.1",
  "name": "portmap",
  "plugins": [
    {"type": "cilium-cni", "enable-debug": true, "log-file": "/var/run/cilium/cilium-cni.log"},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
"""

FLANNEL = """{
  "name": "cbr0",
  "cniVersion": "0.3.1",
  "plugins": [
    {"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
"""
K3S_FLANNEL = """{
  "name":"cbr0",
  "cniVersion":"1.0.0",
  "plugins":[
    {"type":"flannel","delegate":{"hairpinMode":true,"forceAddress":true,"isDefaultGateway":true}},
    {"type":"portmap","capabilities":{"portMappings":true}},
    {"type":"bandwidth","capabilities":{"bandwidth":true}}
  ]
}
"""
FLANNEL_RESULT: Json = {
    "cniVersion": "0.3.1",
    "interfaces": [
        {"name": "cni0", "mac": "5a:00:00:00:00:01"},
        {"name": "veth5c1e0a11", "mac": "5a:00:00:00:00:02"},
        {"name": "eth0", "mac": "5a:00:00:00:00:03", "sandbox": "/var/run/netns/cni-0"},
    ],
    "ips": [{"version": "4", "interface": 2, "address": "10.244.1.5/24", "gateway": "10.244.1.1"}],
    "routes": [{"dst": "10.244.0.0/16"}, {"dst": "0.0.0.0/0", "gw": "10.244.1.1"}],
    "dns": {},
}
K3S_FLANNEL_RESULT: Json = {
    **FLANNEL_RESULT,
    "cniVersion": "1.0.0",
    "ips": [{"interface": 2, "address": "10.244.1.5/24", "gateway": "10.244.1.1"}],
}


class MainPlugin(NamedTuple):
    """One, with its file and the answer to an ADD."""

    kind: str
    file_name: str
    text: str
    result: Json

    @property
    def conf(self) -> Json:
        conf: Json = json.loads(self.text)
        return conf

    def as_executables(self) -> Json:
        """The list with every plugin run as an executable, those of ours included."""
        conf = self.conf
        conf["plugins"] = [{**plugin, "multinet/executable": True} for plugin in conf["plugins"]]
        return conf


MAIN_PLUGINS = {
    "calico": MainPlugin("calico", "10-calico.conflist", CALICO, CALICO_RESULT),
    "cilium": MainPlugin("cilium-cni", "05-cilium.conflist", CILIUM, CILIUM_RESULT),
    "cilium with portmap": MainPlugin("cilium-cni", "05-cilium.conflist", CILIUM_PORTMAP, CILIUM_RESULT),
    "flannel": MainPlugin("flannel", "10-flannel.conflist", FLANNEL, FLANNEL_RESULT),
    "flannel of k3s": MainPlugin("flannel", "10-flannel.conflist", K3S_FLANNEL, K3S_FLANNEL_RESULT),
}

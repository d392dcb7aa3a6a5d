"""What the slot is to be like: where, under which name, with what in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cni.errors import InvalidConfig

__all__ = ["DEFAULT_FILE", "SlotPlan"]

DEFAULT_FILE = "00-multinet.conflist"


class SlotPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of Multus' ``daemon-config.json`` have their meaning here; all paths are as the daemon sees them."""

    config_dir: str
    """The container runtime's folder (``cniConfigDir``)."""
    autoconfig_dir: str
    """Where the primary network's configuration is found (``multusAutoconfigDir``)."""
    primary: str = ""
    """Name of the primary's file (``multusMasterCNI``); empty: the first in lexical order."""
    file: str = DEFAULT_FILE
    """Our file's name: one plugin if it ends in ``.conf``, else a list."""
    name: str = "multinet"
    """The network's name for the runtime. Keep it: a DEL may know no other."""
    type: str = "multinet"
    """The executable that the runtime starts."""
    cni_version: str = ""
    """Of our file; empty: the primary's own."""
    override_network_name: bool = False
    """The name is the primary's own (``overrideNetworkName``)."""
    force_cni_version: bool = False
    """Rewrite the primary's file to have ``cni_version`` (``forceCNIVersion``)."""
    capabilities: Mapping[str, bool] = {}
    """Asked for whatever the primary's plugins declare."""
    keys: Mapping[str, Any] = {}
    """Further keys of the meta-plugin; those that the daemon alone reads are left out."""
    readiness_file: str = ""
    """The primary is ready once this exists (``readinessindicatorfile``)."""
    source: str = ""
    """A configuration that is put in place as it is, under its own name, instead of one made here
    (``multusConfigFile``)."""

    def __post_init__(self) -> None:
        own = os.path.join(self.autoconfig_dir, self.primary)
        if self.primary and self.is_slot(own):
            raise InvalidConfig(
                "$.multusMasterCNI",
                f"cannot specify {own} to prevent recursive config load: name another file",
            )

    @property
    def path(self) -> str:
        """The slot's file."""
        return os.path.join(self.config_dir, os.path.basename(self.source) or self.file)

    @property
    def folders(self) -> tuple[str, ...]:
        """Where a change may concern the slot."""
        beside = (os.path.dirname(path) for path in (self.readiness_file, self.source) if path)
        return (self.config_dir, self.autoconfig_dir, *beside)

    def is_slot(self, path: str) -> bool:
        """Whether a path leads to the slot's file."""
        return os.path.realpath(path) == os.path.realpath(self.path)

"""What the slot's file is to hold: kept up to date, and never worse than it was."""

from __future__ import annotations

import logging
import os
from contextlib import suppress

from multinet.cni.conf import Broken, NetworkList
from multinet.cni.errors import CNIError, Code
from multinet.daemon.networks import is_meta
from multinet.daemon.slot import folder
from multinet.daemon.slot.composition import compose, undeclared_capabilities
from multinet.daemon.slot.plan import SlotPlan
from multinet.daemon.slot.primary import Primary, find_primary

__all__ = ["Content"]

_log = logging.getLogger(__name__)


class Content:
    """The content that is wanted, and the primary network that it leads to."""

    def __init__(self, plan: SlotPlan, grace: float) -> None:
        """What an earlier daemon left in place is good until there is better.

        ``grace``: seconds for which a primary that vanished is waited for before the next in order is taken.
        """
        self._plan = plan
        self._grace = grace
        self._gone_since: float | None = None
        self._said: dict[str, str] = {}
        self.good: bytes | None = None
        """The last content that was right; None: there never was one."""
        self.primary = ""
        """Path of the primary's configuration."""
        self.unready = "the daemon is starting"
        """Why a pod would get no primary network now; empty: it would."""
        with suppress(OSError, CNIError):
            inherited = folder.read(plan.path)
            if inherited and is_meta(NetworkList.from_bytes(inherited)):
                self.good, self.primary = inherited, folder.primary_of(plan.path)
                self.unready = ""  # as far as one knows before the first look

    def refresh(self, now: float) -> float | None:
        """Bring it up to date; seconds after which it may change by itself, None: it won't.

        Raises CNIError, InstallationError, OSError; then the last good content remains.
        """
        ready = self._plan.readiness_file
        if ready and not os.path.exists(ready):
            self.unready = (
                "have you checked that your default network is ready? "
                f"still waiting for readinessindicatorfile @ {ready}"
            )
            return None
        found = find_primary(self._plan, self.primary)
        for fault in found.broken:
            self._say(fault.path, f"passed over a configuration: {fault.error}")
        if self._plan.source:
            self.good, self.unready = self._copied(found.primary), ""
        elif found.primary is None:
            self.unready = self._nothing(found.broken)
        elif self._is_in_doubt(found.primary, now):
            self.unready = f"the primary network's configuration {self.primary} is gone"
            return self._grace
        else:
            self._adopt(found.primary)
        return None

    def _nothing(self, broken: tuple[Broken, ...]) -> str:
        why = "; ".join(str(fault.error) for fault in broken)
        text = f"could not find a plugin configuration in {self._plan.autoconfig_dir}"
        return f"{text}: {why}" if why else text

    def _is_in_doubt(self, found: Primary, now: float) -> bool:
        """The one so far has vanished, and another would take its place: an upgrade may be going on."""
        follows = os.path.basename(found.path) > os.path.basename(self.primary)
        if self._plan.primary or not self.primary or not follows:
            return False
        if self._gone_since is None:
            self._gone_since = now
        return now - self._gone_since < self._grace

    def _adopt(self, primary: Primary) -> None:
        plan = self._plan
        if (
            plan.force_cni_version
            and plan.cni_version
            and folder.force_version(primary.path, plan.cni_version)
        ):
            _log.warning("%s: cniVersion is now %s, as forceCNIVersion asks", primary.path, plan.cni_version)
            primary = find_primary(plan, primary.path).primary or primary
        self.good = compose(primary, plan)
        if self.primary != primary.path:
            _log.info("the primary network is %s (%s)", primary.network.name, primary.path)
        self.primary, self._gone_since, self.unready = primary.path, None, ""

    def _copied(self, primary: Primary | None) -> bytes:
        """The hand-written configuration. Raises CNIError when it is none, or isn't there."""
        source = self._plan.source
        content = folder.read(source)
        if content is None:
            raise CNIError(Code.IO_FAILURE, f"$.multusConfigFile: {source} is not found")
        network = NetworkList.from_bytes(content, source)
        absent = undeclared_capabilities(network, primary.network) if primary else ()
        if primary and absent:
            names = ", ".join(absent)
            self._say(
                source,
                f"{source} doesn't declare the capabilities {names} of {primary.path}: add them, "
                "or pods won't get what they ask for by them",
            )
        return content

    def _say(self, about: str, text: str) -> None:
        """Log it, unless that is what was said last about it."""
        if self._said.get(about) != text:
            self._said[about] = text
            _log.warning("%s", text)

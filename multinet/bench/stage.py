"""Everything in its place: the lab, the installed shim, a serving daemon, and those it is compared with."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from multinet.adapters.installation import InstallationError, install
from multinet.bench.contenders import Contender, GoPlugins, Ours, Pod
from multinet.bench.driver import Driver, compile_static
from multinet.bench.failure import BenchError
from multinet.bench.floor import Floor, GroupFloor
from multinet.bench.lab import Lab
from multinet.bench.node_daemon import NodeDaemon
from multinet.shim.build import BuildError, build

__all__ = ["Stage"]


class Stage:
    """A context manager; what it set up is gone afterwards."""

    def __init__(self, pods: int) -> None:
        """For up to ``pods`` pods at the same time. Raises BenchError."""
        self._held = ExitStack()
        self._serial = 0
        try:
            self._set_up(pods)
        except (BuildError, InstallationError) as error:
            self._held.close()
            raise BenchError(str(error)) from None
        except BaseException:
            self._held.close()
            raise

    def _set_up(self, pods: int) -> None:
        self.lab = lab = self._held.enter_context(Lab())
        self.driver = Driver(lab.folder("driver"), lab.host)
        socket, state = lab.memory / "multinet.sock", lab.folder("state")
        self.shim = install_shim(lab, socket, state / "spool")
        self.true = compile_static("int main(void) { return 0; }\n", lab.directory / "true")
        manifests = lab.memory_folder("manifests")
        self.ours = Ours(lab, self.shim, manifests, pods)
        self.go = GoPlugins(lab) if GoPlugins.present() else None
        self.floors = (Floor(lab), GroupFloor(lab))
        for number in range(pods):
            lab.sandbox(number)
        self.daemon = self._held.enter_context(NodeDaemon(lab, socket, state, manifests))

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """All of them, those that are compared most closely next to one another."""
        return (self.floors[1], self.floors[0], self.ours, *self.rivals)

    @property
    def rivals(self) -> tuple[Contender, ...]:
        """The reference plugins, if they are installed."""
        return (self.go,) if self.go else ()

    def pod(self, slot: int) -> Pod:
        """A new pod for the sandbox ``slot``."""
        self._serial += 1
        return Pod(slot, self._serial, self.lab.sandbox(slot).path)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *exc: object) -> None:
        self._held.close()


def install_shim(lab: Lab, socket: Path, spool: Path) -> Path:
    """Build the shim and install it into the lab; the executable. Raises BuildError, InstallationError."""
    built = build(lab.directory / "shim")
    plugins = lab.folder("bin")
    install(["multinet"], plugins, built, str(socket), str(spool))
    return plugins / "multinet"

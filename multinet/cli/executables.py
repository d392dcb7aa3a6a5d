"""What ``install`` puts into the plugin folder: the shim, or Python scripts that need no daemon."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from multinet import __version__
from multinet.adapters.installation import InstallationError
from multinet.adapters.plugin_directory import read_source
from multinet.shim.build import BuildError, build
from multinet.shim.script import python_script
from multinet.shim.twin import twin_script

__all__ = ["inline_meta_plugin", "require_this_version", "shim", "standalone_delegates"]

_VERSION_SECONDS = 30.0


def shim(compiled: str = "") -> tuple[bytes, str]:
    """The shim, and what it is, for a person: the one in the file ``compiled``, or compiled now, or else its
    Python twin. Raises InstallationError, ValueError.
    """
    if compiled:
        content = read_source(Path(compiled))
        return content, f"the shim ({len(content) >> 10} KB)"
    with tempfile.TemporaryDirectory(prefix="multinet-shim-") as folder:
        try:
            content = build(Path(folder, "shim")).read_bytes()
        except BuildError as error:
            reason = str(error).partition("\n")[0]
            return twin_script(), f"the shim's Python twin, since the shim could not be compiled ({reason})"
    return content, f"the shim ({len(content) >> 10} KB)"


def require_this_version(path: str) -> None:
    """The shim at ``path`` runs on this machine and is of this version. Raises InstallationError."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, errors="replace", timeout=_VERSION_SECONDS
        )
    except OSError as error:
        raise InstallationError(
            f"the new shim doesn't run here: {error.strerror}; is it of another architecture, or may nothing "
            "be executed on this file system (noexec)?"
        ) from None
    except subprocess.TimeoutExpired:
        raise InstallationError(
            f"the new shim doesn't tell its version in {_VERSION_SECONDS:.0f} s"
        ) from None
    version = done.stdout.strip()
    if done.returncode != 0 or version != f"multinet {__version__}":
        found = f'answers "{version}"' if version else f"ends with status {done.returncode}"
        raise InstallationError(f'the new shim {found} to --version; expected "multinet {__version__}"')


def standalone_delegates() -> bytes:
    """One script for all delegates: each is the plugin that it is called by. Raises ValueError."""
    return python_script(
        "import os\n\nfrom multinet.cli.plugin import main\n\nmain(os.path.basename(sys.argv[0]))\n", "-I"
    )


def inline_meta_plugin(options: Mapping[str, str]) -> bytes:
    """The meta-plugin that serves a call by itself, with ``options`` of ``multinet cni``. Raises ValueError."""
    given = ", ".join(f"{name}={value!r}" for name, value in sorted(options.items()) if value)
    return python_script(f"from multinet.cli.cni import main\n\nsys.exit(main({given}))\n", "-I")

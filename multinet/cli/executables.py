"""What ``install`` puts into the plugin folder: the shim, or Python scripts that need no daemon."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from multinet.shim.build import BuildError, build
from multinet.shim.script import python_script
from multinet.shim.twin import twin_script

__all__ = ["inline_meta_plugin", "shim", "standalone_delegates"]


def shim() -> tuple[bytes, str]:
    """The shim compiled, or else its Python twin; and what it is, for a person. Raises ValueError."""
    with tempfile.TemporaryDirectory(prefix="multinet-shim-") as folder:
        try:
            content = build(Path(folder, "shim")).read_bytes()
        except BuildError as error:
            reason = str(error).partition("\n")[0]
            return twin_script(), f"the shim's Python twin, since the shim could not be compiled ({reason})"
    return content, f"the shim ({len(content) >> 10} KB)"


def standalone_delegates() -> bytes:
    """One script for all delegates: each is the plugin that it is called by. Raises ValueError."""
    return python_script(
        "import os\n\nfrom multinet.cli.plugin import main\n\nmain(os.path.basename(sys.argv[0]))\n", "-I"
    )


def inline_meta_plugin(options: Mapping[str, str]) -> bytes:
    """The meta-plugin that serves a call by itself, with ``options`` of ``multinet cni``. Raises ValueError."""
    given = ", ".join(f"{name}={value!r}" for name, value in sorted(options.items()) if value)
    return python_script(f"from multinet.cli.cni import main\n\nsys.exit(main({given}))\n", "-I")

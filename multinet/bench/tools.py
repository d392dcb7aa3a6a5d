"""What is compiled once for a run: the driver, the shim, and a program that does nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

from multinet.bench.driver import compile_driver, compile_static
from multinet.bench.failure import BenchError
from multinet.shim.build import BuildError, build

__all__ = ["Tools"]


class Tools:
    """A context manager: the programs are gone afterwards."""

    def __init__(self) -> None:
        """Raises BenchError when there is no C compiler."""
        self._folder = tempfile.TemporaryDirectory(prefix="multinet-bench-")
        try:
            folder = Path(self._folder.name)
            self.driver = compile_driver(folder / "driver")
            self.true = compile_static("int main(void) { return 0; }\n", folder / "true")
            """A static program that does nothing."""
            self.shim = build(folder / "shim")
        except BuildError as error:
            self.close()
            raise BenchError(str(error)) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove them."""
        self._folder.cleanup()

    def __enter__(self) -> Tools:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

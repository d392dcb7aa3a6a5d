"""``python -m multinet``: the same as the command ``multinet``."""

from __future__ import annotations

import sys

from multinet.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

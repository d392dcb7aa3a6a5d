from __future__ import annotations

import re
import subprocess
import sys

SCRIPT = """
import logging
from multinet.cli.logs import log_to_stderr
log_to_stderr("info")
log = logging.getLogger("multinet.x")
log.debug("not this one")
log.info("two\\nlines")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
"""


def test_each_record_is_one_line_with_its_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    first, second = done.stderr.splitlines()
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"{time} INFO multinet\.x: two\\nlines", first)
    assert re.fullmatch(rf"{time} ERROR multinet\.x: failed\\nTraceback .*\\nZeroDivisionError: .*", second)

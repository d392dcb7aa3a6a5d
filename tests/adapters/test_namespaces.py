"""Network namespaces that can be seen: by a process that is in one."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

from multinet.adapters.namespaces import visible_namespaces


def test_a_namespace_is_seen_as_long_as_a_process_is_in_it(lab: Any) -> None:
    netns = lab.sandbox()
    assert netns not in _seen()
    process = subprocess.Popen(["nsenter", f"--net=/proc/{os.getpid()}/fd/{netns.fd}", "sleep", "600"])
    try:
        while os.stat(f"/proc/{process.pid}/ns/net").st_ino != netns.identity[1]:
            time.sleep(0.01)
        assert _seen().count(netns) == 1
    finally:
        process.kill()
        process.wait()


def test_each_is_seen_once(lab: Any) -> None:
    seen = _seen()
    assert len(seen) == len({netns.identity for netns in seen}) > 0


def _seen() -> list[Any]:
    found = list(visible_namespaces())
    for netns in found:
        netns.close()
    return found

"""Keys that come twice in one JSON object: parsers keep the last and say nothing."""

from __future__ import annotations

import json
from typing import Any

from multinet.cni.errors import CNIError, Code

__all__ = ["require_distinct_sysctls"]

_NAME = "sysctl"


class _Object(dict[str, Any]):
    """An object that knows which of its keys came twice, and which did in a ``sysctl`` anywhere within it."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        keys = [key for key, _ in pairs]
        self.repeated = sorted({key for key in keys if keys.count(key) > 1}) if len(self) < len(keys) else []
        self.sysctls: list[str] = []
        for key, value in pairs:
            self.sysctls += _within(value)
            if key.lower() == _NAME and isinstance(value, _Object):
                self.sysctls += value.repeated


def require_distinct_sysctls(text: bytes | str) -> None:
    """No object called ``sysctl`` (tuning's) has a key twice: which value is meant can't be known.

    Raises CNIError code 7 in the reference plugin's words. ``text`` is valid JSON.
    """
    haystack = text if isinstance(text, str) else text.decode(errors="replace")
    if _NAME not in haystack.lower():
        return
    repeated = _within(json.loads(haystack, object_pairs_hook=_Object))
    if repeated:
        raise CNIError(
            Code.INVALID_CONFIG, "duplicated sysctl keys are not allowed", f"twice: {', '.join(repeated)}"
        )


def _within(value: Any) -> list[str]:
    if isinstance(value, list):
        return [key for one in value for key in _within(one)]
    return value.sysctls if isinstance(value, _Object) else []

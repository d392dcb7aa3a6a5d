"""A CNI plugin as an executable: environment and standard input in, a result or an error out.

Source: CNI specification 1.1.0, "Section 2".
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from multinet.cni.errors import CNIError, Code
from multinet.cni.request import Request, read_request, require_other_netns
from multinet.cni.standard_input import read_standard_input

__all__ = ["serve"]


def serve(about: str, run: Callable[[Request], dict[str, Any] | None]) -> int:
    """Serve the one call that this process was started for; the exit code.

    ``run`` does the verb (all but VERSION) and may raise CNIError. ``about`` is said to a person who starts the
    program by hand.
    """
    if not os.environ.get("CNI_COMMAND"):
        from multinet.cni.invocation import about as in_full  # for people only

        sys.stderr.write(in_full(about))
        return 0
    version = "1.1.0"
    try:
        request = read_request(os.environ, read_standard_input)
        version = request.cni_version
        if request.invocation.command == "VERSION":
            from multinet.cni.versions import version_output

            return _print(version_output())
        if request.invocation.command in ("ADD", "CHECK"):
            require_other_netns(request.invocation.netns, os.environ)
        return _print(run(request))
    except CNIError as error:
        sys.stdout.write(error.to_json(version).decode() + "\n")
        return 1
    except Exception as error:  # the caller gets an error that it understands, not a traceback
        fault = CNIError(Code.INTERNAL, f"internal fault: {type(error).__name__}: {error}")
        sys.stdout.write(fault.to_json(version).decode() + "\n")
        return 1


def _print(answer: dict[str, Any] | None) -> int:
    if answer is not None:
        sys.stdout.write(json.dumps(answer, indent=4) + "\n")
    return 0

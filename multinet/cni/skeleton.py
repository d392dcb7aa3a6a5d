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

__all__ = ["respond", "serve"]


def serve(about: str, run: Callable[[Request], dict[str, Any] | None]) -> int:
    """Serve the one call that this process was started for; the exit code.

    ``run`` does the verb (all but VERSION) and may raise CNIError. ``about`` is said to a person who starts the
    program by hand.
    """

    def answer(request: Request) -> tuple[bytes, int]:
        if request.invocation.command in ("ADD", "CHECK"):
            require_other_netns(request.invocation.netns, os.environ)
        return _text(run(request)), 0

    return respond(about, answer)


def respond(
    about: str,
    answer: Callable[[Request], tuple[bytes, int]],
    read: Callable[[], bytes] = read_standard_input,
) -> int:
    """As ``serve``, where the answer is output and exit code already; ``read`` reads standard input."""
    if not os.environ.get("CNI_COMMAND"):
        from multinet.cni.invocation import about as in_full  # for people only

        sys.stderr.write(in_full(about))
        return 0
    version = "1.1.0"
    try:
        request = read_request(os.environ, read)
        version = request.cni_version
        if request.invocation.command == "VERSION":
            from multinet.cni.versions import version_output

            output, code = _text(version_output()), 0
        else:
            output, code = answer(request)
    except CNIError as error:
        output, code = error.to_json(version) + b"\n", 1
    except Exception as error:  # the caller gets an error that it understands, not a traceback
        fault = CNIError(Code.INTERNAL, f"internal fault: {type(error).__name__}: {error}")
        output, code = fault.to_json(version) + b"\n", 1
    sys.stdout.buffer.write(output)
    return code


def _text(answer: dict[str, Any] | None) -> bytes:
    return b"" if answer is None else f"{json.dumps(answer, indent=4)}\n".encode()

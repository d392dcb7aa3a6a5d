"""``--config FILE``: a file that stands for options, read where it stands among them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from multinet.cli.failure import Failure
from multinet.cli.node_options import NODE_FLAGS
from multinet.cli.safety_options import SAFETY_FLAGS

__all__ = ["KNOWN_OPTIONS", "add_config_file"]

KNOWN_OPTIONS = frozenset(flag.name.replace("_", "-") for flag in (*NODE_FLAGS, *SAFETY_FLAGS)) | {
    "log-level"
}
"""What a file may say."""


class _Config(argparse.Action):
    """Takes the file's options as if they stood here; what no option can say is kept beside them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        from multinet.cni import jsontext
        from multinet.cni.errors import InvalidConfig
        from multinet.core.daemon_config import read_daemon_config

        path = str(values)
        try:
            with open(path, "rb") as file:
                raw = jsontext.decode(file.read())
            config = read_daemon_config(raw, KNOWN_OPTIONS)
        except (jsontext.MalformedJSON, UnicodeDecodeError) as error:
            raise Failure(f"--config {path}: not JSON: {error}") from None
        except InvalidConfig as error:
            raise Failure(f"--config {path}: {error}") from None
        parser.parse_args([f"--{name}={value}" for name, value in config.options.items()], namespace)
        namespace.config = config
        namespace.config_path = path


def add_config_file(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        action=_Config,
        help="read options from a file, Multus' daemon-config.json or one of ours; options after it count more",
    )

"""``multinet new-delegate``: a working delegate with its tests, to begin from."""

from __future__ import annotations

import argparse
import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from multinet.cli.failure import Failure, UsageError

SUMMARY = "Write a delegate of your own to begin from, with its tests."
EXAMPLE = """\
multinet new-delegate vault
multinet new-delegate --kind chained vault ~/src/vault"""

_KINDS = ("interface", "chained", "ipam")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Name, kind, folder."""
    parser.add_argument(
        "name", metavar="NAME", help='the "type" it is called by: small letters, digits, hyphens'
    )
    parser.add_argument(
        "folder", metavar="DIR", nargs="?", default="", help="where to; default: multinet-NAME here"
    )
    parser.add_argument(
        "--kind",
        choices=_KINDS,
        default="interface",
        help="makes an interface, adjusts one (chained), or manages addresses (ipam); default: %(default)s",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the files; nothing that is there is overwritten."""
    name, kind = arguments.name, arguments.kind
    if not _NAME.fullmatch(name):
        raise UsageError(f'"{name}": a name has small letters, digits and single hyphens')
    folder = Path(arguments.folder or f"multinet-{name}")
    identifier = name.replace("-", "_")
    if keyword.iskeyword(identifier):
        identifier += "_"
    module = f"multinet_{name.replace('-', '_')}"
    words = {"name": name, "module": module, "identifier": identifier, "kind": kind}
    written = {
        f"{module}.py": f"{kind}.py.txt",
        f"test_{module}.py": f"test_{kind}.py.txt",
        "conftest.py": "conftest.py.txt",
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": "README.md.txt",
    }
    present = [file for file in written if (folder / file).exists()]
    if present:
        raise Failure(f"{folder / present[0]} is there already: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    templates = files("multinet.sdk") / "templates"
    for file, template in written.items():
        (folder / file).write_text(Template((templates / template).read_text()).substitute(words))
    (folder / f"{module}.py").chmod(0o755)
    print(f"wrote {', '.join(written)} in {folder}")
    print(f"try it: cd {folder} && sudo python3 -m pytest")
    return 0

"""From a JSON path to the line it stands on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

__all__ = ["Places", "compose"]

_STEP = re.compile(r'\.([^.\[\]]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]')
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def compose(text: str) -> Any:
    """The node tree of JSON text, which is nearly always YAML too; None when it isn't (tabs)."""
    try:
        return yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError:
        return None


class Places:
    """The lines of one object, by the node tree that the YAML parser made of it."""

    def __init__(self, node: Any, first_line: int = 1, is_literal: bool = True) -> None:
        """``first_line``: the file's line that line 1 of the parsed text is; ``is_literal``: the text's
        lines are the file's (else all of it counts as standing on ``first_line``)."""
        self.node = node
        self._first_line = first_line
        self._is_literal = is_literal

    def line(self, path: str) -> int:
        """The line of the value at ``path``, or of as much of the path as there is."""
        node, mark = self.node, getattr(self.node, "start_mark", None)
        for step in _steps(path):
            found = _child(node, step)
            if found is None:
                break
            key, node = found
            mark = (key or node).start_mark
        return self.line_in_text(mark.line + 1) if mark else self._first_line

    def line_in_text(self, line: int) -> int:
        """The file's line of a line (from 1) of the parsed text."""
        return self._first_line + line - 1 if self._is_literal else self._first_line

    def item(self, step: str | int) -> Places:
        """The places of one item of a list, or one member."""
        found = _child(self.node, step)
        return Places(found[1] if found else None, self._first_line, self._is_literal)

    def embedded(self, path: str, text: str) -> Places:
        """The places in the JSON that the text at ``path`` holds."""
        node = self.node
        for step in _steps(path):
            found = _child(node, step)
            node = found[1] if found else None
        literal = getattr(node, "style", None) == "|" and self._is_literal
        first = self.line(path) + 1 if literal else self.line(path)
        return Places(compose(text), first, literal)

    def repeated_keys(self) -> Iterator[tuple[str, str]]:
        """(path of the object, key) of each key that is written twice in one object."""
        yield from _repeated(self.node, "$")


def _steps(path: str) -> Iterator[str | int]:
    for match in _STEP.finditer(path):
        name, index, quoted = match.groups()
        yield int(index) if index is not None else name if name is not None else quoted


def _child(node: Any, step: str | int) -> tuple[Any, Any] | None:
    """Key node (None in a list) and value node."""
    if isinstance(node, yaml.MappingNode):
        exact = [(key, value) for key, value in node.value if key.value == step]
        loose = [(key, value) for key, value in node.value if str(key.value).lower() == str(step).lower()]
        found = exact or loose
        return found[-1] if found else None
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return None, node.value[step]
    return None


def _repeated(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated(item, f"{path}[{index}]")
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen and name != "<<":
                yield path, name
            seen.add(name)
            plain = re.fullmatch(r"[^.\[\]\"]+", name)
            yield from _repeated(value, f"{path}.{name}" if plain else f'{path}["{name}"]')

"""Files as objects: YAML documents, JSON, and the items of Kubernetes lists, each with its places."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from multinet.cli.validation.places import Places, compose

__all__ = ["Document", "Malformed", "documents"]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_JSON_SUFFIXES = (".json", ".conf", ".conflist")


class Document(NamedTuple):
    """One object of a file."""

    value: Any
    places: Places


class Malformed(Exception):
    """The text is no YAML or JSON from ``line``, ``column`` (from 1) on."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        super().__init__(problem)
        self.line, self.column, self.problem = line, column, problem


def documents(file: str, text: str) -> Iterator[Document]:
    """The objects in ``text``; ``file`` tells by its name what it is written in. Raises Malformed."""
    text = text.removeprefix("\ufeff")
    read = _json if file.endswith(_JSON_SUFFIXES) else _yaml
    for document in read(text):
        if document.value is not None:
            yield from _flattened(document)


def _json(text: str) -> Iterator[Document]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise Malformed(error.lineno, error.colno, error.msg) from None
    except RecursionError:
        raise Malformed(1, 1, "nested too deeply") from None
    yield Document(value, Places(compose(text)))


def _yaml(text: str) -> Iterator[Document]:
    loader = _LOADER(text)
    node = None
    try:
        while loader.check_node():
            node = loader.get_node()
            yield Document(loader.construct_document(node), Places(node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise Malformed(line, column, error.problem or str(error)) from None
    except yaml.YAMLError as error:  # a character that YAML doesn't allow
        before = text[: getattr(error, "position", 0)]
        problem = getattr(error, "reason", None) or str(error)
        raise Malformed(before.count("\n") + 1, len(before) - before.rfind("\n"), problem) from None
    except (ValueError, RecursionError) as error:  # what looks like a date but isn't one
        mark = node.start_mark if node is not None else None
        raise Malformed(mark.line + 1 if mark else 1, 1, str(error)) from None
    finally:
        loader.dispose()


def _flattened(document: Document) -> Iterator[Document]:
    value, places = document
    items = value.get("items") if isinstance(value, dict) else None
    if isinstance(items, list) and str(value.get("kind", "")).endswith("List"):
        inside = places.item("items")
        for index, item in enumerate(items):
            yield from _flattened(Document(item, inside.item(index)))
    else:
        yield document

"""A directory of Kubernetes manifests as a set of objects, parsed again only where a file has changed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

__all__ = ["Fault", "Interpret", "Key", "Manifests", "Rejected", "Snapshot"]

_SUFFIXES = (".yaml", ".yml", ".json")

_SETTLED_NS = 100_000_000
"""File times advance in ticks of up to 10 ms: what was read of a file that changed this recently isn't
trusted at the next call, since the file may have changed once more without its times showing it."""

V = TypeVar("V")
Key = tuple[str, str, str]
"""Kind, namespace, name."""
Interpret = Callable[[dict[str, Any]], tuple[Key, V] | None]
"""One object of a manifest as key and value; None for a kind of no interest. Raises Rejected."""
_Signature = tuple[int, int, int]


class Rejected(Exception):
    """An object isn't as its kind has to be; the message begins with the JSON path."""


class Fault(msgspec.Struct, frozen=True):
    """What could not be read: ``place`` is the file's name, and line and column where they are known."""

    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


class Snapshot(msgspec.Struct, Generic[V], frozen=True):
    """All objects of the directory, and what of it could not be read."""

    objects: dict[Key, V]
    faults: tuple[Fault, ...]


class _Contents(msgspec.Struct, Generic[V], frozen=True):
    signature: _Signature | None
    """None: changed too recently to be trusted."""
    objects: dict[Key, V]
    faults: tuple[Fault, ...]


class Manifests(Generic[V]):
    """The objects in the ``.yaml``, ``.yml`` and ``.json`` files of one directory, not of those below it.

    Files count in lexical order, so that the last of two objects of one name wins, as with ``kubectl apply``;
    names that begin with a dot are skipped. An unchanged directory costs one ``stat`` a file.
    """

    def __init__(self, path: str, interpret: Interpret[V]) -> None:
        self._path = path
        self._interpret = interpret
        self._lock = threading.Lock()
        self._listed: tuple[_Signature | None, tuple[str, ...]] = (None, ())
        self._files: dict[str, _Contents[V]] = {}
        self._snapshot: Snapshot[V] = Snapshot(objects={}, faults=())

    def snapshot(self) -> Snapshot[V]:
        """The directory as it is now. Raises OSError when it can't be listed; a bad file is only a fault."""
        with self._lock:
            files = {name: contents for name in self._names() if (contents := self._contents(name))}
            before = self._files
            if len(files) != len(before) or any(before.get(n) is not c for n, c in files.items()):
                self._files = files
                self._snapshot = _merged(files)
            return self._snapshot

    def _names(self) -> tuple[str, ...]:
        now = _signature(self._path)
        before, names = self._listed
        if before is None or before != now:
            names = tuple(sorted(filter(_is_manifest, os.listdir(self._path))))
            self._listed = (_trusted(now), names)
        return names

    def _contents(self, name: str) -> _Contents[V] | None:
        """What the file holds; None when it went away just now."""
        path = os.path.join(self._path, name)
        try:
            now = _signature(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            return _Contents(None, {}, (Fault(name, error.strerror or str(error)),))
        before = self._files.get(name)
        if before is not None and before.signature == now:
            return before
        return self._read(path, name, _trusted(now))

    def _read(self, path: str, name: str, signature: _Signature | None) -> _Contents[V]:
        objects: dict[Key, V] = {}
        faults: list[Fault] = []
        try:
            for line, manifest in _documents(path):
                try:
                    found = self._interpret(manifest)
                except Rejected as error:
                    faults.append(Fault(f"{name} line {line}", str(error)))
                else:
                    if found is not None:
                        objects[found[0]] = found[1]
        except _Broken as error:
            faults.append(Fault(f"{name} line {error.line}, column {error.column}", error.problem))
        except (OSError, UnicodeDecodeError, RecursionError) as error:
            faults.append(Fault(name, str(error)))
        return _Contents(signature, objects, tuple(faults))


class _Broken(Exception):
    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(problem)
        self.problem, self.line, self.column = problem, line, column


def _merged(files: dict[str, _Contents[V]]) -> Snapshot[V]:
    objects: dict[Key, V] = {}
    for contents in files.values():
        objects.update(contents.objects)
    return Snapshot(objects=objects, faults=tuple(f for c in files.values() for f in c.faults))


def _is_manifest(name: str) -> bool:
    return name.endswith(_SUFFIXES) and not name.startswith(".")


def _signature(path: str) -> _Signature:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _trusted(signature: _Signature) -> _Signature | None:
    now = time.time_ns()
    return None if now - _SETTLED_NS <= signature[0] <= now else signature


def _documents(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and object of each document in the file, the items of lists one by one. Raises _Broken."""
    with open(path, encoding="utf-8-sig") as file:
        text = file.read()
    for line, document in _parse_json(text) if path.endswith(".json") else _parse_yaml(text):
        if isinstance(document, dict):
            for manifest in _flattened(document):
                yield line, manifest
        elif document is not None:
            raise _Broken(f"expected a Kubernetes object, got {type(document).__name__}", line, 1)


def _flattened(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    items = document.get("items")
    if str(document.get("kind", "")).endswith("List") and isinstance(items, list):
        for item in items:
            if isinstance(item, dict):
                yield from _flattened(item)
    else:
        yield document


def _parse_json(text: str) -> Iterator[tuple[int, Any]]:
    try:
        yield 1, json.loads(text)
    except json.JSONDecodeError as error:
        raise _Broken(error.msg, error.lineno, error.colno) from None


def _parse_yaml(text: str) -> Iterator[tuple[int, Any]]:
    import yaml  # 5 MB that a process with a Kubernetes API never needs

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            yield node.start_mark.line + 1, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _Broken(error.problem or str(error), line, column) from None
    except yaml.YAMLError as error:  # a character that YAML doesn't allow: no mark, only a position
        before = text[: getattr(error, "position", 0)]
        problem = getattr(error, "reason", None) or str(error)
        column = len(before) - before.rfind("\n")
        raise _Broken(problem, before.count("\n") + 1, column) from None
    except ValueError as error:  # a date or number that looks like one but isn't (2024-13-45)
        raise _Broken(str(error), node.start_mark.line + 1, node.start_mark.column + 1) from None
    finally:
        loader.dispose()

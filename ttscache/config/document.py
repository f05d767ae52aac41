"""A YAML document that remembers on which line each of its parts stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from ttscache.errors import ConfigurationError

Path: TypeAlias = tuple[str | int, ...]

_MAX_BYTES = 1024 * 1024
# an alias stands for a whole subtree; a few lines of them could stand for billions of nodes
_MAX_NODES = 100_000
# single characters and YAML's own names of tokens (<block end>) are quoted too, and stay
_QUOTED = re.compile(r"""'[^'<][^']+'|"[^"<][^"]+\"""")
# What no value of a configuration needs, and neither a path nor a log line can hold.
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null"))


@dataclass(frozen=True)
class Document:
    """The document as plain values, the line (from 1) of each path in it, and what is wrong with it as YAML."""

    name: str
    value: Any
    lines: dict[Path, int]
    mistakes: tuple[str, ...]

    def mistake(self, path: Path, message: str) -> str:
        """Return the message with its place: the line of the nearest part that is there."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        where = f"{self.name}:{self.lines.get(known, 1)}"
        return f"{where}: {shown(path)}: {message}" if path else f"{where}: {message}"


def shown(path: Path) -> str:
    """Return a path as people write it: issuers[0].url."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def parse(text: bytes, name: str) -> Document:
    """Parse YAML. Raises ConfigurationError for what is not YAML, with its line."""
    if len(text) > _MAX_BYTES:
        raise ConfigurationError((f"{name}: the file has more than {_MAX_BYTES} bytes",))
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError((f"{name}:{line}: not YAML: {_without_values(error.problem or '')}",)) from None
    except (yaml.YAMLError, RecursionError):
        raise ConfigurationError((f"{name}: not YAML, or not in UTF-8",)) from None
    if root is None:
        raise ConfigurationError((f"{name}: the file is empty; `ttscache config schema` says what it may hold",))
    builder = _Builder(name)
    try:
        value = builder.build(root, ())
    except RecursionError:
        raise ConfigurationError((f"{name}: the document contains itself or is nested too deeply",)) from None
    return Document(name, value, builder.lines, tuple(builder.mistakes))


def _without_values(problem: str) -> str:
    """YAML's words without what it quotes of the file: a secret that begins with * or ! is quoted as a name."""
    return _QUOTED.sub("...", problem)


class _Builder:
    def __init__(self, name: str) -> None:
        self.lines: dict[Path, int] = {}
        self.mistakes: list[str] = []
        self._name = name
        self._scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - whatever YAML holds
        if len(self.lines) > _MAX_NODES:
            raise ConfigurationError((f"{self._name}: the document has more than {_MAX_NODES} parts",))
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return {key: self.build(value, (*path, key)) for key, value in self._items(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _items(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        seen = set()
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                self._mistake(key_node, path, "a key must be a plain word")
            elif _UNFIT.search(key):
                self._mistake(key_node, path, "a key holds a control character or a line end")
            elif key in seen:
                self._mistake(key_node, (*path, key), "the key is there twice")
            else:
                seen.add(key)
                self.lines[(*path, key)] = key_node.start_mark.line + 1
                yield key, value_node

    def _scalar(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - str, int, float, bool or None
        if node.tag not in _PLAIN_TAGS:
            self._mistake(node, path, "YAML takes this for something other than text or a number; put it in quotes")
            return None
        if _UNFIT.search(node.value):
            self._mistake(node, path, "holds a control character or a line end (a block written with | ends in one)")
            return None
        try:
            return self._scalars.construct_object(node)
        except (ValueError, LookupError, ArithmeticError, yaml.YAMLError):
            self._mistake(node, path, "YAML takes this for a number, but it is none; put it in quotes")
            return None

    def _mistake(self, node: yaml.Node, path: Path, message: str) -> None:
        self.mistakes.append(f"{self._name}:{node.start_mark.line + 1}: {shown(path)}: {message}")

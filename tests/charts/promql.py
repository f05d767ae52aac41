"""PromQL as the checks read it: which metrics an expression names, and what promtool says of rules."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.tools.programs import Verdict, need, run

_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>\d[\w.]*)|(?P<name>[A-Za-z_:][\w:]*)|(?P<sign>[=!<>~]+|\S)"""
)
_OPERATORS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_CLAUSES = {"by", "without", "on", "ignoring", "group_left", "group_right"}
# these may have their clause before the parenthesis
_AGGREGATIONS = {"sum", "min", "max", "avg", "count", "group", "topk", "bottomk", "quantile", "stddev", "stdvar"}


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric, with the value that each label is matched with."""

    metric: str
    matchers: Mapping[str, str]


def selectors(expression: str) -> list[Selector]:
    """Return everything that an expression reads; of `{__name__=~"a|b"}` each one."""
    return [Selector(name, matchers) for name, matchers in _selectors(_tokens(expression))]


def grouped(expression: str) -> set[str]:
    """Return the labels that an expression adds up by, or joins on."""
    tokens, found = _tokens(expression), set[str]()
    for at, (_, text) in enumerate(tokens):
        if text in _CLAUSES and tokens[at + 1][1] == "(":
            end = _closing(tokens, at, ")")
            found |= {name for kind, name in tokens[at + 2 : end] if kind == "name"}
    return found


def check(expressions: Mapping[str, str], folder: Path) -> Verdict:
    """Ask promtool whether expressions parse; each is named in what it complains of."""
    rules = [{"alert": name, "expr": expression} for name, expression in expressions.items()]
    file = folder / "expressions.yaml"
    file.write_text(json.dumps({"groups": [{"name": "expressions", "rules": rules}]}))
    return promtool("check", "rules", file)


def promtool(*arguments: str | Path) -> Verdict:
    need("promtool")
    return run(["promtool", *arguments])


def _tokens(expression: str) -> list[tuple[str, str]]:
    return [(str(found.lastgroup), found.group()) for found in _TOKEN.finditer(expression)]


def _selectors(tokens: list[tuple[str, str]]) -> Iterator[tuple[str, Mapping[str, str]]]:
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        after = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        at += 1
        if text == "[" or (text in _CLAUSES and after == "("):
            at = _closing(tokens, at, "]" if text == "[" else ")")
        elif text == "{" or (kind == "name" and after == "{" and text not in _OPERATORS):
            end = _closing(tokens, at, "}")
            matchers = _matchers(tokens[at:end])
            names = matchers.pop("__name__") if text == "{" else text
            yield from ((name, matchers) for name in names.split("|"))
            at = end
        elif kind == "name" and after != "(" and text not in _OPERATORS | _CLAUSES | _AGGREGATIONS:
            yield text, {}


def _closing(tokens: list[tuple[str, str]], at: int, bracket: str) -> int:
    return next(place for place in range(at, len(tokens)) if tokens[place][1] == bracket) + 1


def _matchers(tokens: list[tuple[str, str]]) -> dict[str, str]:
    places = [at for at, (kind, _) in enumerate(tokens) if kind == "string"]
    return {tokens[at - 2][1]: json.loads(tokens[at][1]) for at in places}

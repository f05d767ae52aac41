#!/usr/bin/env python3
"""generate.py [--check]: what the charts' sources say once and other files repeat.

Each values.schema.json gets the shared definitions that it names, of charts/library/definitions.json; each chart gets a
README.md with a table of its values, whose meanings are the comments of values.yaml. With --check nothing is written,
and the exit status is 1 when something would be.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_CHARTS = Path(__file__).parents[2] / "charts"
_LONGEST_DEFAULT = 60
_REFERENCE = re.compile(r'"#/\$defs/([^"/]+)"')

Json = dict[str, Any]


class Value(NamedTuple):
    """A key of values.yaml by its path, such as `image.tag`; a map with keys of its own has no default."""

    path: str
    default: str | None
    meaning: str


def main() -> int:
    """Write the files, or say which would change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    shared = json.loads((_CHARTS / "library" / "definitions.json").read_text())
    wanted = {}
    for schema in sorted(_CHARTS.glob("*/values.schema.json")):
        wanted[schema] = with_definitions(schema.read_text(), shared)
        wanted[schema.with_name("README.md")] = readme(schema.parent)
    stale = [file for file, text in wanted.items() if not file.exists() or file.read_text() != text]
    for file in stale:
        if check:
            sys.stdout.write(f"{file.relative_to(_CHARTS.parent)} is stale: deploy/charts/generate.py\n")
        else:
            file.write_text(wanted[file])
    return 1 if check and stale else 0


def with_definitions(text: str, shared: Json) -> str:
    """Return a schema with those definitions that it names, directly or through another; its own stay."""
    schema: Json = json.loads(text)
    own = {name: definition for name, definition in schema.pop("$defs", {}).items() if name not in shared}
    known = shared | own
    used: set[str] = set()
    wanted = _named(schema)
    while new := wanted - used:
        used |= new
        wanted = {name for each in new for name in _named(known[each])}
    definitions = {"$defs": {name: known[name] for name in known if name in used}}
    first = {key: schema.pop(key) for key in ("$schema", "title") if key in schema}
    return json.dumps(first | (definitions if used else {}) | schema, indent=2, ensure_ascii=False) + "\n"


def _named(schema: Json) -> set[str]:
    return set(_REFERENCE.findall(json.dumps(schema)))


def readme(chart: Path) -> str:
    """Return the page of a chart."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    kube = about["kubeVersion"].removesuffix("-0")
    lines = [
        f"# {about['name']}",
        "",
        "<!-- written by deploy/charts/generate.py from Chart.yaml and values.yaml -->",
        "",
        f"{about['description'].rstrip('.')}.",
        "",
        f"Chart {about['version']}, application {about['appVersion']}, Kubernetes {kube}.",
        "",
        "| value | default | what it is |",
        "|---|---|---|",
        *map(_row, values((chart / "values.yaml").read_text())),
    ]
    return "\n".join(lines) + "\n"


def _row(value: Value) -> str:
    default = "" if value.default is None else f"`{_cell(value.default)}`"
    meaning = _cell(value.meaning).replace("<", "&lt;")
    return f"| `{value.path}` | {default} | {meaning} |"


def values(text: str) -> Iterator[Value]:
    """Yield every key of a values file that has lines of its own, in order; `{a: 1}` on one line is one value."""
    root = yaml.compose(text)
    if isinstance(root, yaml.MappingNode):
        yield from _values(root, text.splitlines(), "")


def _values(mapping: yaml.MappingNode, lines: Sequence[str], before: str) -> Iterator[Value]:
    for key, node in mapping.value:
        path, meaning = f"{before}{key.value}", _comment(lines, key.start_mark.line)
        if isinstance(node, yaml.MappingNode) and not node.flow_style:
            yield Value(path, None, meaning)
            yield from _values(node, lines, f"{path}.")
        else:
            yield Value(path, _default(node), meaning)


def _comment(lines: Sequence[str], line: int) -> str:
    """Return the text of the comment lines directly above."""
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip().lstrip("#").strip())
    return " ".join(found)


def _default(node: yaml.Node) -> str:
    """Return a default on one line, as it could stand in a values file."""
    value = yaml.safe_load(yaml.serialize(node))
    text = value if isinstance(value, str) and value and "\n" not in value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_DEFAULT else f"{text[:_LONGEST_DEFAULT]} ..."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())

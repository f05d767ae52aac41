"""Values: each is described where it stands, its schema knows it and nothing else, and nonsense is refused."""

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.charts.cases import case, leaves, over
from tests.charts.objects import Json, pods
from tests.charts.rendering import CHARTS, HELMS, ROOT, UMBRELLA, charts, refused, render

_GENERATE = ROOT / "deploy" / "charts" / "generate.py"
# (chart, values laid over the minimal ones, words of the refusal)
_REFUSED = [
    pytest.param(entry["values"], entry["says"], chart, id=f"{chart}-{entry['says']}")
    for chart, entries in yaml.safe_load(Path(__file__).with_name("refused.yaml").read_text()).items()
    for entry in entries
]
# Helm puts these into a chart's values itself
_HELMS_OWN = {"global", "library"}
# by the daemon's own schema, and by those of the parts
_LOOKED_AT_ELSEWHERE = {
    "ttscache": ("/properties/config",),
    UMBRELLA: tuple(f"/properties/{chart}" for chart in charts()),
}

each_chart = pytest.mark.parametrize("chart", charts())


def test_readmes_and_definitions_are_of_today() -> None:
    done = subprocess.run([sys.executable, _GENERATE, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@each_chart
def test_every_value_is_described_and_in_the_schema(chart: str) -> None:
    described = _described(chart)
    assert [path for path, (_, meaning) in described.items() if not meaning] == [], "no comment above"
    assert [path for path in described if _schema_at(chart, path) is None] == [], "not in values.schema.json"


@each_chart
def test_every_property_of_the_schema_has_a_value(chart: str) -> None:
    described = _described(chart)
    maps = ["", *(path for path, (default, _) in described.items() if default is None)]
    properties = {f"{path}.{name}".lstrip(".") for path in maps for name in _properties(chart, path)}
    assert sorted(properties - set(described) - _HELMS_OWN) == []


@each_chart
def test_schemas_are_shut(chart: str) -> None:
    """A key that is misspelt is refused, and does not vanish."""
    schema = _schema(chart)
    Draft7Validator.check_schema(schema)
    maps = {path: shape for path, shape in _shapes(schema) if "properties" in shape}
    open_ = [path for path, shape in maps.items() if shape.get("additionalProperties", True) is True]
    assert [path for path in open_ if not path.startswith(_LOOKED_AT_ELSEWHERE.get(chart, ()))] == []


@each_chart
@pytest.mark.parametrize("helm", HELMS)
def test_an_unknown_key_is_refused(chart: str, helm: int) -> None:
    minimal = case(chart, "minimal").values
    assert "misspelt" in refused(chart, over(minimal, {"misspelt": 1}), helm=helm)


@pytest.mark.parametrize("values,says,chart", _REFUSED)
def test_nonsense_is_refused(chart: str, values: Json, says: str) -> None:
    told = refused(chart, over(case(chart, "minimal").values, values))
    assert says in told


@each_chart
def test_every_image_is_a_value(chart: str) -> None:
    """A site without the internet has them all elsewhere."""
    given = case(chart, "full")
    images = [path[:-1] for path, _ in leaves(given.all_values) if path[-1] == "repository"]
    moved = given.values
    for path in images:
        moved = over(moved, _nested(path, {"registry": "mirror.example/" + "/".join(path).lower()}))
    found = {c["image"] for one in pods(render(chart, moved)) for c in one.containers()}
    wanted = {"mirror.example/" + "/".join(path).lower() for path in images}
    used = {mirror for mirror in wanted for image in found if image.startswith(f"{mirror}/")}
    assert [image for image in found if not image.startswith(tuple(f"{mirror}/" for mirror in wanted))] == []
    assert sorted(wanted - used) == [], "values that no container has"


def _described(chart: str) -> dict[str, tuple[str | None, str]]:
    """Return default and meaning of each value by its path; the default of a map is None."""
    values = runpy.run_path(str(_GENERATE))["values"]
    return {path: (default, meaning) for path, default, meaning in values((CHARTS / chart / "values.yaml").read_text())}


def _schema(chart: str) -> Json:
    schema: Json = json.loads((CHARTS / chart / "values.schema.json").read_text())
    return schema


def _schema_at(chart: str, path: str) -> Json | None:
    """Return what a schema says of a value; of what stands in a map of any keys, what it says of them all."""
    root = shape = _schema(chart)
    for name in filter(None, path.split(".")):
        others = shape.get("additionalProperties", None if "properties" in shape else {})
        found = shape.get("properties", {}).get(name, others)
        if not isinstance(found, dict):
            return None
        shape = _followed(root, found)
    return shape


def _followed(root: Json, shape: Json) -> Json:
    while "$ref" in shape:
        shape = root["$defs"][shape["$ref"].removeprefix("#/$defs/")]
    return shape


def _properties(chart: str, path: str) -> set[str]:
    return set((_schema_at(chart, path) or {}).get("properties", {}))


def _shapes(value: object, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield every map of a schema that says what it describes, with where it is."""
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _shapes(inner, f"{path}/{number}")
    elif isinstance(value, dict):
        if value.get("type") == "object":
            yield path, value
        for key, inner in value.items():
            yield from _shapes(inner, f"{path}/{key}")


def _nested(path: tuple[str, ...], value: Json) -> Json:
    for key in reversed(path):
        value = {key: value}
    return value

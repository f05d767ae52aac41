"""The files for monitoring, and what they ask Prometheus."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.charts import rendering

Json = dict[str, Any]

FILES = rendering.CHARTS / rendering.UMBRELLA / "files" / "monitoring"
RULES = [FILES / "recordings.yaml", FILES / "alerts.yaml"]
DASHBOARDS = sorted((FILES / "dashboards").glob("*.json"))
MANUAL = rendering.ROOT / "docs" / "monitoring.md"

# what Grafana puts in place of a variable
_VARIABLES = {"$site": ".*", "$namespace": "grid", "$__rate_interval": "5m"}


@cache
def loaded(path: Path) -> Json:
    text = path.read_text()
    found: Json = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=yaml.CSafeLoader)
    return found


def rules() -> list[Json]:
    return [rule for path in RULES for group in loaded(path)["groups"] for rule in group["rules"]]


def alerts() -> dict[str, Json]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def panels(path: Path) -> list[Json]:
    return [panel for panel in loaded(path)["panels"] if panel["type"] != "row"]


def variables(path: Path) -> dict[str, Json]:
    return {each["name"]: each for each in loaded(path)["templating"]["list"]}


def expressions() -> Iterator[tuple[str, str]]:
    """Go through everything that Prometheus is asked, with where it is asked."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for path in DASHBOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']} {target['refId']}", substituted(target["expr"])
        for name in ("site", "namespace"):
            (series,) = re.findall(r"label_values\((.*), \w+\)", variables(path)[name]["query"]["query"])
            yield f"{path.stem}: ${name}", substituted(series)
    for rule in loaded(FILES / "adapter.yaml")["rules"]:
        yield f"adapter: {rule['seriesQuery']}", rule["seriesQuery"]


def substituted(expression: str) -> str:
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    return expression

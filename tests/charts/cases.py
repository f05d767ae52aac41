"""The values that charts are rendered with.

They are files, in the charts' own `ci/` and in matrix/ here. Each chart has two of them: `minimal.yaml` is what must be
said, and `full.yaml` switches on what can be, but adds no flows of a site's own. The umbrella's are laid over those of
all charts.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.charts.objects import Json
from tests.charts.rendering import CHARTS, KUBE, KUBES, UMBRELLA, charts, defaults, render

# what the oldest cluster does not have, and a chart refuses there
_SINCE = {"wn-volume": "1.28.0", "htcondor-volume": "1.28.0"}
_MATRIX = Path(__file__).with_name("matrix")


class Case(NamedTuple):
    """A chart, and a file of values for it."""

    chart: str
    file: Path

    def __str__(self) -> str:
        return f"{self.chart}-{self.file.stem}"

    @property
    def values(self) -> Json:
        """What is said; for the umbrella, what the case of this name says for each chart as well."""
        said: Json = yaml.safe_load(self.file.read_text()) or {}
        if self.chart != UMBRELLA:
            return said
        below = [case(chart, self.file.stem) for chart in charts() if chart != UMBRELLA]
        return over({each.chart: each.values for each in below if each.file.exists()}, said)

    @property
    def kubes(self) -> tuple[str, ...]:
        """The clusters that take it."""
        since = _SINCE.get(str(self), KUBES[0])
        return KUBES[KUBES.index(since) :]

    @property
    def all_values(self) -> Json:
        """What the templates see."""
        below = {chart: defaults(chart) for chart in charts() if chart != UMBRELLA} if self.chart == UMBRELLA else {}
        return over(over(below, defaults(self.chart)), self.values)

    def render(self, kube: str = KUBE, helm: int = 3) -> list[Json]:
        return render(self.chart, self.values, kube, helm)


def cases() -> list[Case]:
    """Return every case of every chart."""
    return [case for chart in charts() for case in of_chart(chart)]


def of_chart(chart: str) -> list[Case]:
    """Return the cases of a chart."""
    files = [file for folder in _folders(chart) for file in folder.glob("*.yaml")]
    return [Case(chart, file) for file in sorted(files)]


def case(chart: str, name: str) -> Case:
    """Return one case of a chart, such as `minimal`."""
    files = [folder / f"{name}.yaml" for folder in _folders(chart)]
    return Case(chart, next((file for file in files if file.exists()), files[0]))


def _folders(chart: str) -> tuple[Path, Path]:
    return _MATRIX / chart, CHARTS / chart / "ci"


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Json:
    """Lay values over others as Helm does: maps are merged, all else is replaced."""
    merged = deepcopy(dict(below))
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = over(known, value) if isinstance(known, dict) and isinstance(value, dict) else deepcopy(value)
    return merged


def leaves(values: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield every value that is no map, with its path."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, values

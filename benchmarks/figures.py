"""What a benchmark finds, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import eq, ge, le, lt
from statistics import median

_RELATIONS = {"<": lt, "<=": le, ">=": ge, "=": eq}
_HEADER = ("benchmark", "what", "ours", "against", "ratio", "goal", "")


@dataclass(frozen=True)
class Goal:
    """What a figure must be."""

    relation: str
    bound: float

    def is_met(self, value: float) -> bool:
        """Tell whether a value is as it must be."""
        return bool(_RELATIONS[self.relation](value, self.bound))

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"


@dataclass(frozen=True)
class Figure:
    """Something measured; with a ``ratio`` to what it is measured against the goal speaks of that."""

    benchmark: str
    what: str
    unit: str
    ours: float
    against: float | None = None
    ratio: float | None = None
    goal: Goal | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        return None if self.goal is None else self.goal.is_met(self.ours if self.ratio is None else self.ratio)

    def as_json(self) -> dict[str, object]:
        """Return the figure as it stands in the JSON document."""
        return {
            "benchmark": self.benchmark,
            "what": self.what,
            "unit": self.unit,
            "ours": self.ours,
            "against": self.against,
            "ratio": self.ratio,
            "goal": None if self.goal is None else str(self.goal),
            "met": self.is_met,
        }


def compared(
    benchmark: str, what: str, unit: str, rounds: Sequence[tuple[float, float]], *, goal: Goal | None = None
) -> Figure:
    """Return the figure of rounds of (ours, against): the median of their ratios, for noise hits both of a round."""
    return Figure(
        benchmark=benchmark,
        what=what,
        unit=unit,
        ours=median(ours for ours, _ in rounds),
        against=median(against for _, against in rounds),
        ratio=median(ours / against for ours, against in rounds),
        goal=goal,
    )


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as lines of aligned columns."""
    rows = [_HEADER, *(_row(figure) for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(figure: Figure) -> tuple[str, ...]:
    verdict = {None: "", True: "met", False: "MISSED"}[figure.is_met]
    # a hundredth part is nearer to the truth than none
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}" if figure.ratio >= 0.1 else f"{figure.ratio:.2g}"
    against = "" if figure.against is None else _shown(figure.against, figure.unit)
    goal = "" if figure.goal is None else str(figure.goal)
    return figure.benchmark, figure.what, _shown(figure.ours, figure.unit), against, ratio, goal, verdict


def _shown(value: float, unit: str) -> str:
    digits = 0 if value == int(value) or value >= 100 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()

"""Durations on the command line: ``90`` or ``90s``, ``10m``, ``12h``, ``7d``."""

from __future__ import annotations

import re
from typing import Any

import click

_FORM = re.compile(r"(-?[0-9]{1,9})([smhd]?)\Z")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[int]):
    """A duration in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's
        """Return the seconds; a wrong form is a usage error."""
        if isinstance(value, int):
            return value
        match = _FORM.match(str(value))
        if match is None:
            self.fail("must be a number and a unit: 30s, 10m, 24h, 7d", param, ctx)
        return int(match[1]) * _UNITS[match[2]]

"""From a configuration file to settings: every mistake at once, each with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ttscache.config import document, schema
from ttscache.config.build import Builder
from ttscache.config.settings import Settings
from ttscache.errors import ConfigurationError


def load(path: Path) -> Settings:
    """Load a configuration. Raises :class:`ttscache.errors.ConfigurationError` with every mistake that was found."""
    parsed, faults = _read(path)
    filled = _with_defaults(parsed)
    builder = Builder(filled, path.absolute().parent, broken=tuple(fault.path for fault in faults if fault.breaks))
    settings = builder.settings() if isinstance(filled.value, dict) else None
    found = (parsed.mistake(fault.path, fault.message) for fault in faults)
    mistakes = (*parsed.mistakes, *found, *builder.mistakes)
    if mistakes or settings is None:
        raise ConfigurationError(tuple(sorted(dict.fromkeys(mistakes), key=_line)))
    return settings


def effective(path: Path) -> Any:  # noqa: ANN401 - JSON
    """Return a configuration as plain values with all defaults filled in; secrets stay references.

    Raises ConfigurationError, as :func:`load`.
    """
    load(path)
    return _with_defaults(_read(path)[0]).value


def _read(path: Path) -> tuple[document.Document, list[schema.Fault]]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError((f"{path}: cannot be read: {error.strerror}",)) from None
    parsed = document.parse(text, str(path))
    return parsed, list(schema.faults(parsed, schema.schema()))


def _with_defaults(parsed: document.Document) -> document.Document:
    return document.Document(
        parsed.name, schema.with_defaults(parsed.value, schema.schema()), parsed.lines, parsed.mistakes
    )


def _line(mistake: str) -> int:
    """Return the line that a mistake names: they are told in the order of the file."""
    parts = mistake.split(":", 2)
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0

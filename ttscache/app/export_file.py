"""The file of `ttscache store export`: JSON lines, of records that are sealed as they are at rest.

The first line says what it is, the last one how many records there are, so that a file that was cut short is told.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, BinaryIO

from ttscache.errors import ConfigurationError

_KIND = "ttscache-store"
_FORMAT = 1
# Records are of some kilobytes, the list of revocations may be of some hundred.
_MAX_LINE = 64 * 2**20
# in POSIX seconds; nothing of ours lives so long
_LATEST = 1e11


class ExportUnusableError(ConfigurationError):
    """A file that is no whole export, or not one that this configuration's keys open."""

    def __init__(self, file: BinaryIO, reason: str) -> None:
        super().__init__((f"{file.name}: {reason}",))


@dataclass(frozen=True)
class ExportedRecord:
    """A record as it is in the file; ``value`` is sealed."""

    key: str
    value: bytes
    expires_at: float


def first_line() -> bytes:
    """Return the line that says what the file is."""
    return _line({"kind": _KIND, "format": _FORMAT, "version": version("ttscache")})


def record_line(record: ExportedRecord) -> bytes:
    """Return a record's line."""
    value = base64.b64encode(record.value).decode()
    return _line({"key": record.key, "value": value, "expires_at": record.expires_at})


def last_line(count: int) -> bytes:
    """Return the line that ends a whole file."""
    return _line({"count": count})


def read_export(file: BinaryIO) -> Iterator[tuple[int, ExportedRecord]]:
    """Yield the records, from the file's beginning, with the numbers of their lines.

    Raises :class:`ExportUnusableError`, where it is found: whoever wants a whole file reads it to its end.
    """
    file.seek(0)
    lines = _lines(file)
    _require_known(file, next(lines, (0, None))[1])
    seen = 0
    for number, fields in lines:
        if fields is not None and "count" in fields:
            _require_end(file, fields["count"], seen)
            return
        if (record := _record(fields)) is None:
            raise ExportUnusableError(file, f"line {number} is no record: the file was cut short or changed")
        seen += 1
        yield number, record
    raise ExportUnusableError(file, f"was cut short behind {seen} records: the last line, with their count, is missing")


def _lines(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield the lines' objects with their numbers; None for what is none."""
    number = 0
    while line := file.readline(_MAX_LINE):
        number += 1
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        yield number, fields if isinstance(fields, dict) else None


def _require_known(file: BinaryIO, first: dict[str, Any] | None) -> None:
    if first is None or first.get("kind") != _KIND:
        raise ExportUnusableError(file, "is no file of `ttscache store export`")
    if first.get("format") != _FORMAT:
        writer = str(first.get("version"))[:40]
        raise ExportUnusableError(file, f"was written by ttscache {writer}, in a form that this version does not know")


def _require_end(file: BinaryIO, count: object, seen: int) -> None:
    if count != seen:
        raise ExportUnusableError(file, f"holds {seen} records, and its last line tells of another number")
    if file.read(1):
        raise ExportUnusableError(file, "goes on behind its last line: it is more than one export")


def _record(fields: dict[str, Any] | None) -> ExportedRecord | None:
    match fields:
        case {"key": str(key), "value": str(value), "expires_at": int() | float() as end} if 0 < end < _LATEST:
            with contextlib.suppress(ValueError):  # not base64, or half a character
                key.encode()
                return ExportedRecord(key, base64.b64decode(value, validate=True), float(end))
    return None


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"

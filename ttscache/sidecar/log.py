"""The sidecar's log: lines of JSON on standard error."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from datetime import UTC, datetime


def log(event: str, **fields: object) -> None:
    """Write a line; one that nobody reads is no reason to end. Fields that are None are left out."""
    line: dict[str, object] = {"time": rfc3339(time.time()), "event": event}
    line.update((name, value) for name, value in fields.items() if value is not None)
    if sys.stderr is None:  # closed by who started us
        return
    with contextlib.suppress(OSError):
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()


def rfc3339(seconds: float | None) -> str | None:
    """Return POSIX seconds in the form of RFC 3339, in UTC."""
    return None if seconds is None else f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"

"""Structured logs: one JSON object a line, with the request's id, escaped so that nothing can forge a line."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as JSON in ASCII: control characters, line ends and marks of direction come out escaped.

    Of an exception it tells the type and the places it passed, not its text nor the values of variables: those are
    where a secret could be.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        current = request_id.get()
        if current is not None:
            fields["request_id"] = current
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            extra["exception"] = _places(record.exc_info[1])
        return json.dumps(fields | extra, default=str)


def configure(level: str) -> None:
    """Send all logs of this process to standard error, as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # what no line tells need not be found out for each: logging HOWTO, section "Optimization"
    logging._srcfile = None  # the documented name
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # aiohttp, asyncio and authlib would log values of requests at these levels
    for name in ("aiohttp", "asyncio", "authlib"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _places(error: BaseException) -> str:
    places = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return f"{type(error).__name__} at " + " < ".join(reversed(places))

"""The one error that the client raises, and how it is read from an answer."""

from __future__ import annotations

import re
from typing import Any

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_UNAVAILABLE = frozenset({429, 502, 503, 504})
_CLIENT_ERROR_STATUSES = range(400, 500)
# mistakes in how the client was called
_USAGE = frozenset({"url_invalid", "ca_file_invalid", "certificate_invalid"})
# refused before there was an answer with a status
_REFUSED = frozenset({"certificate_refused"})


class ClientError(Exception):
    """The daemon refused, or could not be asked.

    ``code`` is the daemon's stable code, or `unreachable`, `answer_invalid`, `url_invalid`, `ca_file_invalid`,
    `certificate_invalid`, `certificate_refused` of our own; ``status`` the HTTP status, None when there was no answer;
    ``retry_after`` in seconds, where it was told.
    """

    def __init__(self, code: str, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after = retry_after

    @property
    def unavailable(self) -> bool:
        """Whether trying again later may help."""
        return self.code == "unreachable" or self.status in _UNAVAILABLE

    @property
    def exit_status(self) -> int:
        """How a command ends that fails by it: 2 usage, 3 refused, 4 unavailable, 1 a fault."""
        if self.code in _USAGE:
            return 2
        if self.unavailable:
            return 4
        return 3 if self.code in _REFUSED or self.status in _CLIENT_ERROR_STATUSES else 1


def refusal(status: int, retry_after: str | None, document: dict[str, Any] | None) -> ClientError:
    """Read an RFC 9457 problem, or the token endpoint's RFC 6749 body; from a gateway in between there may be none."""
    fields = document or {}
    code, detail = fields.get("code"), fields.get("detail", fields.get("error_description"))
    if not isinstance(code, str) or not _CODE.match(code) or not isinstance(detail, str):
        code, detail = "answer_invalid", f"answered with status {status} and no reason"
    seconds = float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
    return ClientError(code, _one_line(detail), status=status, retry_after=seconds)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:500])
